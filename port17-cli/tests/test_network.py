"""The files of a test network: every lane mutual, every part of it valid, routes of three in it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from port17.bottles.rack import MemoryRack, load_directory
from port17.config import ClientConfig, NodeConfig, load
from port17.errors import PluginError, UsageError
from port17.navigator.chart_maker import ChartTerms, chart_of
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17_cli import drivers, network
from port17_cli.workplace import Workplace


@pytest.mark.parametrize(("nodes", "lanes"), [(3, 2), (4, 3), (5, 2), (5, 3), (5, 4), (9, 5), (12, 6)])
def test_lanes_are_mutual_enough_and_connected(nodes: int, lanes: int) -> None:
    graph = network.lane_graph(nodes, lanes)
    assert all(node in graph[other] for node in range(nodes) for other in graph[node])
    assert all(lanes <= len(neighbours) <= lanes + 1 for neighbours in graph)
    assert not any(node in graph[node] for node in range(nodes))
    reached = {0}
    while fresh := {other for node in reached for other in graph[node]} - reached:
        reached |= fresh
    assert len(reached) == nodes


def test_everything_made_is_valid(tmp_path: Path) -> None:
    with Workplace(tmp_path / "net") as place:
        plan = network.make(place, nodes=4, lanes=2, socks=None, suites=(), identity=None)
    schemes = drivers.schemes(Registry())
    now = time.time()
    charter = Charter.load(plan.charter, schemes)
    rack = MemoryRack()
    assert load_directory(place.directory / "bottles", charter.network_id, schemes, rack, now) == []
    chart = chart_of(rack, ChartTerms(charter.current(now)), now)
    assert len(chart.nodes) == 4
    for node in chart.nodes.values():
        assert len(node.lanes) == 2
        assert node.plain_text
        assert node.exit is not None
    assert len({node.group for node in chart.nodes.values()}) == 4
    assert len({node.address for node in plan.nodes}) == 4
    for node_plan in plan.nodes:
        config, _ = load(NodeConfig, node_plan.config)
        assert config.exit.allow_private
        assert config.lanes is not None
        assert len(json.loads(config.lanes.read_text())) == 2
    client, _ = load(ClientConfig, plan.client.config)
    assert client.ingress == {"socks5": {"listen": plan.client.socks}}


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
    assert len(set(network.free_ports(30))) == 30
