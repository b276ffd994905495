"""The example does what its README says, within the lines that it promises."""

from __future__ import annotations

import ast
import inspect
import random
from ipaddress import ip_address
from pathlib import Path

import pytest

import port17_policy_example
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.geo import Place
from port17.navigator.policy import Request
from port17.navigator.route import Survey
from port17.plugins.loader import Registry
from port17.plugins.panel import Panel
from port17.records.exit_rules import ExitRules

README = Path(__file__).parents[1] / "README.md"
OPTIONS = {"home": ["country:DE"], "liked": ["name:elm", "country:IS"]}


def node(name: str, country: str) -> ChartNode:
    index = len(name)
    address = f"{80 + index}.1.0.1"
    return ChartNode(
        fingerprint=bytes([index]) * 32,
        node_id=name,
        name=name,
        addresses={"tcp": (f"{address}:1",)},
        exit=ExitRules.parse(["accept *:*"]),
        places=(Place(ip_address(address), 0, country),),
    )


HOME, LIKED, NAMED, OTHER = (node("o", "DE"), node("ic", "IS"), node("elm", "US"), node("oaks", "FR"))


def survey(panel: Panel) -> Survey:
    nodes = (HOME, LIKED, NAMED, OTHER)
    lanes = {a.fingerprint: [(b.fingerprint, 1, 1) for b in nodes if b is not a] for a in nodes}
    return Survey(Chart.build(nodes, lanes), panel)


def panel(options: dict[str, list[str]]) -> Panel:
    every_route = {"normal": {"share": 1, "ratio": 1}}
    return Registry().policies(["example"], {"example": options, "levels": every_route})


def ends(options: dict[str, list[str]]) -> tuple[set[str], set[str]]:
    """The names of all entries and all exits of some hundred routes."""
    from_one, rng = survey(panel(options)), random.Random(1)
    routes = [from_one.draw(Request("example.com", 443), rng) for _ in range(300)]
    return {route.entry.name for route in routes}, {route.exit.name for route in routes}


def test_no_route_begins_at_home() -> None:
    entries, exits = ends(OPTIONS)
    assert entries == {"ic", "elm", "oaks"}
    assert "o" in exits, "home is no reason against any other position"
    removed = survey(panel(OPTIONS)).removed(Request("example.com", 443))
    assert [(gone.subject, gone.position, gone.by, gone.reason) for gone in removed] == [
        ("o", "entry", "example", "routes don't begin in country:DE")
    ]


@pytest.mark.parametrize(("one", "cost_us"), [(HOME, 60_000), (LIKED, 0), (NAMED, 0), (OTHER, 60_000)])
def test_some_exits_are_liked_better(one: ChartNode, cost_us: float) -> None:
    assert panel(OPTIONS).judge_exit(one, Request("example.com", 443)).cost_us == cost_us


def test_without_options_it_takes_nothing_away() -> None:
    assert ends({}) == ({"o", "ic", "elm", "oaks"}, {"o", "ic", "elm", "oaks"})


def test_it_has_25_lines_at_most_and_imports_only_what_is_public() -> None:
    source = inspect.getsource(port17_policy_example)
    assert len(source.splitlines()) <= 25
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {"__future__", "port17"}


def test_the_readme_shows_the_policy_as_it_is() -> None:
    code = inspect.getsource(port17_policy_example).split('"""\n\n', 1)[1]
    assert code in README.read_text()
