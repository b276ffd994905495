"""The example does what its README says, within the lines that it promises."""

from __future__ import annotations

import ast
import inspect
import random
from itertools import permutations
from pathlib import Path

import port17_policy_example
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.policy import Request
from port17.navigator.route import Survey
from port17.plugins.loader import Registry
from port17.records.exit_rules import ExitRules

README = Path(__file__).parents[1] / "README.md"


def chart(*names: str) -> Chart:
    nodes = [
        ChartNode(
            fingerprint=bytes([index]) * 32,
            node_id=name,
            name=name,
            addresses={"tcp": ("192.0.2.1:1",)},
            exit=ExitRules.parse(["accept *:*"]),
        )
        for index, name in enumerate(names)
    ]
    lanes = {a.fingerprint: [(b.fingerprint, 1, 1) for b in nodes if b is not a] for a in nodes}
    return Chart.build(nodes, lanes)


def test_it_keeps_to_the_ending_and_likes_some_exits_better() -> None:
    options = {"ending": "-eu", "good_exits": ["a-eu"]}
    panel = Registry().policies(["example"], {"example": options})
    survey = Survey(chart("a-eu", "b-eu", "c-eu", "d-us"), panel)
    rng = random.Random(1)
    exits = [survey.draw(Request("example.com", 443), rng).exit.name for _ in range(500)]
    assert set(exits) == {"a-eu", "b-eu", "c-eu"}
    # The others have an eighth of its chance each: 400 of 500.
    assert 360 < exits.count("a-eu") < 440
    assert [(gone.subject, gone.by, gone.reason) for gone in survey.removed] == [
        ("d-us", "example", "its name lacks -eu")
    ]


def test_without_options_it_takes_nothing_away() -> None:
    survey = Survey(chart("a", "b", "c"), Registry().policies(["example"]))
    routes = {survey.draw(Request("example.com", 443), random.Random(seed)).nodes for seed in range(100)}
    assert {tuple(node.name for node in route) for route in routes} == set(permutations("abc"))


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
