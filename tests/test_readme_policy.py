"""The README's route policy, taken from the README: its file and its configuration do what it says."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from random import Random

import pytest

from port17.config import ClientConfig, load
from port17.errors import ConfigError
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.geo import Place
from port17.navigator.policy import Request, Route
from port17.navigator.route import Survey
from port17.plugins.loader import Registry
from port17.plugins.panel import Panel
from port17.records.exit_rules import ExitRules

README = Path(__file__).resolve().parent.parent / "README.md"
SECTION = re.compile(r"^## Write a route policy\n(.*?)^## ", re.MULTILINE | re.DOTALL)
LINES_CAP = 25
"""What the README promises to whoever writes a policy."""
DRAWN = 400


def of_readme(language: str) -> str:
    """The block of that language in the README's section about policies."""
    section = SECTION.search(README.read_text())
    assert section is not None
    (block,) = re.findall(rf"^```{language}[^\n]*\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)
    assert isinstance(block, str)
    return block


def configured(folder: Path) -> ClientConfig:
    """The README's files, as a user would have put them there."""
    (folder / "ours.py").write_text(of_readme("python"))
    (folder / "client.toml").write_text(of_readme("toml"))
    config, _ = load(ClientConfig, folder / "client.toml", env={}, flags={})
    return config


def panel(folder: Path) -> Panel:
    config = configured(folder)
    return Registry().policies(config.policies, config.policy_options, folder=folder)


def node(index: int, country: str, asn: int, group: str = "") -> ChartNode:
    address = f"{81 + index}.1.0.1"
    return ChartNode(
        bytes([index]) * 32,
        f"id-{index}",
        f"node-{index}",
        group=group,
        addresses={"tcp": (f"{address}:7017",)},
        exit=ExitRules.parse(["accept *:*"]),
        places=(Place(ip_address(address), asn, country),),
    )


def network() -> Chart:
    """Twelve nodes that all have lanes with each other: three at home, three liked, six others. No two lanes
    are equally quick, since of routes that cost the same either all are near-best or none is."""
    at_home = [node(0, "DE", 100), node(1, "DE", 101), node(2, "FR", 3320)]
    liked = [node(3, "IS", 103), node(4, "IS", 104), node(5, "US", 105, "friends")]
    others = [node(index, country, 100 + index) for index, country in enumerate(("CH", "AT", "PL") * 2, 6)]
    nodes = [*at_home, *liked, *others]
    rng = Random(12)
    lanes = {
        one.fingerprint: [
            (other.fingerprint, rng.randrange(20_000, 30_000), 1_000_000)
            for other in nodes
            if other is not one
        ]
        for one in nodes
    }
    return Chart.build(nodes, lanes)


def drawn(survey: Survey) -> list[Route]:
    rng = Random(17)
    return [survey.draw(Request("example.com", 443), rng) for _ in range(DRAWN)]


def is_at_home(one: ChartNode) -> bool:
    return one.places[0].country == "DE" or one.places[0].asn == 3320


def is_liked(one: ChartNode) -> bool:
    return one.places[0].country == "IS" or one.group == "friends"


def test_it_is_as_short_as_promised() -> None:
    assert len(of_readme("python").splitlines()) <= LINES_CAP


def test_it_does_what_the_readme_says(tmp_path: Path) -> None:
    policy = Survey(network(), panel(tmp_path))
    routes = drawn(policy)
    without = drawn(Survey(network(), Registry().policies([])))
    assert not any(is_at_home(route.entry) for route in routes)
    assert any(is_at_home(route.entry) for route in without), "else the policy would have had nothing to do"
    assert any(is_at_home(one) for route in routes for one in route.nodes[1:]), (
        "only the entry is asked about"
    )
    liked = Counter(is_liked(route.exit) for route in routes)[True] / DRAWN
    usual = Counter(is_liked(route.exit) for route in without)[True] / DRAWN
    assert usual < 0.4
    assert liked > 2 * usual


def test_it_says_who_was_left_out_and_why(tmp_path: Path) -> None:
    removed = Survey(network(), panel(tmp_path)).removed(Request("example.com", 443))
    said = {(one.subject, one.position, one.by, one.reason) for one in removed}
    assert said == {
        ("node-0", "entry", "ours.py:Example", "routes don't begin in country:DE"),
        ("node-1", "entry", "ours.py:Example", "routes don't begin in country:DE"),
        ("node-2", "entry", "ours.py:Example", "routes don't begin in as:3320"),
    }


def test_a_mistake_in_its_options_is_found_before_the_client_starts(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (spec,) = config.policies
    for options, said in (
        ({"home": ["DE"]}, "home: 'DE' may mean a node of that name or something else. Write country:DE"),
        ({"homes": []}, "homes: there is no such option; did you mean home?"),
    ):
        with pytest.raises(ConfigError) as error:
            Registry().policies(config.policies, {spec: options}, folder=tmp_path)
        assert said in error.value.message
    with pytest.raises(ConfigError, match="no geo source says where nodes are"):
        Registry().policies(config.policies, config.policy_options, folder=tmp_path, placed=False)
