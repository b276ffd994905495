"""``port17 geo lookup``, and the countries of a test network."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from port17.bottles.rack import MemoryRack, load_directory
from port17.config import ClientConfig, NodeConfig, load
from port17.errors import ConfigError, UsageError
from port17.navigator.chart_maker import ChartTerms, chart_of
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.plugins.own_atlas import open_atlas
from port17.records.charter import Charter
from port17_cli import countries, drivers, network
from port17_cli.main import main
from port17_cli.workplace import Workplace


@pytest.fixture
def client(tmp_path: Path) -> str:
    (tmp_path / "places.toml").write_text(
        '[places]\n"192.0.2.0/24" = { country = "DE", asn = 64500 }\n"2001:db8::/32" = { asn = 7 }\n'
    )
    config = tmp_path / "client.toml"
    config.write_text('charter = "x.charter"\n[geo]\nsource = "static"\noptions = { file = "places.toml" }\n')
    return str(config)


def test_a_look_up_says_what_is_known_and_by_whom(
    client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["geo", "lookup", "--config", client, "192.0.2.7", "[2001:db8::1]", "9.9.9.9"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [
        ["192.0.2.7", "DE", "EU", "64500", "51,", "9"],
        ["2001:db8::1", "-", "-", "7", "-"],
        ["9.9.9.9", "-", "-", "-", "-"],
    ]
    assert lines[-1] == ["table", "of", "2", "networks,", str(tmp_path / "places.toml")]


def test_a_look_up_in_json(client: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["geo", "lookup", "--json", "--config", client, "192.0.2.7", "9.9.9.9"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "port17.geo.lookup/1",
        "source": "static",
        "files": [f"table of 2 networks, {tmp_path / 'places.toml'}"],
        "places": [
            {
                "address": "192.0.2.7",
                "known": True,
                "country": "DE",
                "continent": "EU",
                "asn": 64500,
                "latitude": 51.0,
                "longitude": 9.0,
            },
            {
                "address": "9.9.9.9",
                "known": False,
                "country": None,
                "continent": None,
                "asn": None,
                "latitude": None,
                "longitude": None,
            },
        ],
    }


def test_names_are_not_looked_up(client: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["geo", "lookup", "--config", client, "example.org"]) == 2
    assert "names are not resolved" in capsys.readouterr().err


def test_who_has_no_source_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "client.toml").write_text('charter = "x.charter"\n')
    assert main(["geo", "lookup", "--config", str(tmp_path / "client.toml"), "192.0.2.7"]) == 0
    assert "by the source none, which knows nothing" in capsys.readouterr().out


def test_a_source_that_cannot_be_opened_is_a_wrong_configuration(
    tmp_path: Path, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "places.toml").unlink()
    assert main(["geo", "lookup", "--config", client, "192.0.2.7"]) == 3
    assert "There is no table of places" in capsys.readouterr().err


# -- test networks -------------------------------------------------------------------------------------
def test_the_countries_go_round() -> None:
    assert countries.parse("DE, fr,US", 5) == ("DE", "FR", "US", "DE", "FR")
    assert countries.parse(None, 5) == ()


@pytest.mark.parametrize(
    ("text", "wrong"), [("DE,XX", "'XX'"), ("", "''"), ("DE,FR,US,GB", "4 countries for 3")]
)
def test_countries_that_cannot_be(text: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        countries.parse(text, 3)


def test_elsewhere_than_on_linux_there_is_one_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigError, match="Linux"):
        countries.parse("DE", 3)


def test_every_node_of_a_test_network_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    said = ("DE", "FR", "US", "DE")
    with Workplace(tmp_path / "net") as place:
        plan = network.make(place, nodes=4, lanes=2, socks=None, suites=(), identity=None, countries=said)
    assert tuple(node.country for node in plan.nodes) == said
    assert [node.address.partition(":")[0] for node in plan.nodes] == [f"127.18.{n}.1" for n in (1, 2, 3, 4)]
    registry = Registry()
    schemes, now = drivers.schemes(registry), time.time()
    charter = Charter.load(plan.charter, schemes)
    client = load(ClientConfig, plan.client.config)[0]
    node = load(NodeConfig, plan.nodes[0].config)[0]
    rack = MemoryRack()
    for each in plan.nodes:
        load_directory(load(NodeConfig, each.config)[0].bottles, charter.network_id, schemes, rack, now)
    for config in (client, node):
        chart = chart_of(rack, ChartTerms(charter.current(now)), now, open_atlas(config, registry))
        found = {each.name: [(place.country, place.asn) for place in each.places] for each in chart}
        assert found == {
            f"n{number}": [(country, countries.FIRST_ASN + number)] for number, country in enumerate(said, 1)
        }
    # And so it is on the chart that a client or a node has.
    with closing(KnownNetwork.load(node, registry)) as known:
        assert [place.country for each in known.chart() for place in each.places] == ["DE"]


def test_a_test_network_without_countries_is_as_it_was(tmp_path: Path) -> None:
    with Workplace(tmp_path / "net") as place:
        plan = network.make(place, nodes=3, lanes=2, socks=None, suites=(), identity=None)
    assert {node.address.partition(":")[0] for node in plan.nodes} == {"127.0.0.1"}
    assert {node.country for node in plan.nodes} == {""}
    assert load(ClientConfig, plan.client.config)[0].geo.source == "none"
    assert not (tmp_path / "net" / "places.toml").exists()
