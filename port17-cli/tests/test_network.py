"""The files of a test network: every part of it valid, and nobody knows more than some nodes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from port17.bottles.rack import MemoryRack, load_directory
from port17.config import ClientConfig, NodeConfig, load
from port17.errors import PluginError, UsageError
from port17.navigator.chart_maker import ChartTerms, chart_of
from port17.plugins.loader import Registry
from port17.records.bootstrap import SignedBootstrap
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17_cli import drivers, network
from port17_cli.workplace import Workplace


def test_everything_made_is_valid(tmp_path: Path) -> None:
    with Workplace(tmp_path / "net") as place:
        plan = network.make(place, nodes=4, lanes=2, socks=None, suites=(), identity=None)
    schemes = drivers.schemes(Registry())
    now = time.time()
    charter = Charter.load(plan.charter, schemes)
    rack = MemoryRack()
    for node_plan in plan.nodes:
        config, _ = load(NodeConfig, node_plan.config)
        assert config.exit.allow_private
        assert (config.mesh.lanes, config.lanes) == (2, None)
        assert config.bootstrap.sources == [str(plan.bootstrap)]
        assert load_directory(config.bottles, charter.network_id, schemes, rack, now) == []
    assert {one.label.addresses["tcp"] for one in rack} == {(one.address,) for one in plan.nodes}
    assert len({one.label.group for one in rack}) == 4
    chart = chart_of(rack, ChartTerms(charter.current(now)), now)
    assert all(node.plain_text and node.exit is not None for node in chart)
    client, _ = load(ClientConfig, plan.client.config)
    assert client.ingress == {"socks5": {"listen": plan.client.socks}}
    assert (client.bootstrap.sources, list(client.bottles.iterdir())) == ([str(plan.bootstrap)], [])


def test_the_bootstrap_list_names_some_nodes_and_no_more(tmp_path: Path) -> None:
    with Workplace(tmp_path / "net") as place:
        plan = network.make(place, nodes=5, lanes=None, socks=None, suites=(), identity=None)
    schemes = drivers.schemes(Registry())
    charter = Charter.load(plan.charter, schemes)
    listed = SignedBootstrap.parse(plan.bootstrap.read_bytes())
    listed.verify(charter, charter.current(time.time()), schemes, time.time())
    names = [Bottle.parse(one).label.name for one in listed.held.bottles]
    assert names == ["n1", "n2", "n3"]


def test_suites_and_schemes_that_nobody_has(tmp_path: Path) -> None:
    for names in ({"suites": ["p17-1-none-such"]}, {"identity": "none"}):
        given = {"suites": (), "identity": None, **names}
        with Workplace(tmp_path) as place, pytest.raises(PluginError):
            network.make(place, nodes=3, lanes=2, socks=None, **given)


@pytest.mark.parametrize("text", ["", "1080", ":1080", "host:", "host:0", "host:65536", "host:x", "host:¹"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        network.parse_address(text)


def test_addresses() -> None:
    assert network.parse_address("localhost:1080") == ("localhost", 1080)
    assert network.parse_address("[::1]:1080") == ("::1", 1080)


def test_ports_are_different() -> None:
    assert len(set(network.free_ports(*["127.0.0.1"] * 30))) == 30
