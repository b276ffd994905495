"""docs/policies.md says what is so: its configurations are taken, its rules decide as its table says, and its
lists are those of the code."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from port17 import hookspecs
from port17.navigator.policy import LEVELS, Request
from port17.navigator.selector import CONTINENTS, KINDS, MARKS, Selector
from port17.plugins.loader import Registry
from port17.plugins.panel import ABOUT_ROUTES
from port17.policies.diversity import Diversity
from port17.policies.exclude import Exclude
from port17.policies.levels import Levels
from port17.policies.only import Only
from port17.policies.rules import LISTS, Rule, Rules

DOCUMENT = (Path(__file__).resolve().parent.parent / "docs/policies.md").read_text()
FENCE = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")


def blocks(language: str) -> list[tuple[str, str]]:
    """Titles and texts of fenced blocks."""
    return [(title, text) for kind, title, text in FENCE.findall(DOCUMENT) if kind == language]


def section(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def table(text: str, head: str) -> list[list[str]]:
    """The cells of a Markdown table, by the first cell of its head."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    else:
        raise AssertionError(f"there is no table of {head!r}")
    assert set(next(lines)) <= set("|-")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


@pytest.mark.parametrize("text", [text for _, text in blocks("toml")])
def test_the_configurations_are_taken(text: str, tmp_path: Path) -> None:
    for name, code in blocks("python"):
        (tmp_path / name).write_text(code)
    configuration = tomllib.loads(text)
    panel = Registry().policies(
        configuration.get("policies", []),
        configuration["policy_options"],
        folder=tmp_path,
        placed="geo" in configuration,
    )
    assert panel.judge_request(Request("example.org", 443)).objections == ()


def rules() -> Rules:
    (text,) = [text for _, text in blocks("toml") if 'policies = ["rules"]' in text]
    options: Any = tomllib.loads(text)["policy_options"]["rules"]
    return Rules(Rules.Config.model_validate(options))


@pytest.mark.parametrize("row", table(section("Rules"), "connection"), ids=lambda row: f"{row[0]} {row[1]}")
def test_the_first_rule_that_matches_is_the_one_that_the_table_says(row: list[str]) -> None:
    connection, program, rule, follows = row
    host, _, port = CODE.findall(connection)[0].rpartition(":")
    request = Request(host, int(port), program="".join(CODE.findall(program)))
    found = rules().rule_for(request)
    assert found is not None
    assert f"{found[0] + 1}, {found[1].name}" == rule
    if "blocks:" in follows:
        assert f'"{rules().refuse_request(request)}"' in follows
    if "level" in follows:
        assert f"level `{rules().choose_level(request)}`" in follows


def test_a_connection_that_no_rule_matches_is_not_restricted() -> None:
    tables = [{"to": "a.example", "block": "no"}]
    assert Rules(Rules.Config.model_validate({"rule": tables})).rule_for(Request("b.example", 1)) is None


def test_all_conditions_and_all_that_follows_are_there() -> None:
    shown = {
        word.partition(" ")[0]
        for row in table(section("Rules"), "condition")
        for word in CODE.findall(row[0])
    }
    assert shown == {"to", "ports", "programs"}
    text = section("Rules")
    follows = text[text.index("| what follows |") :]
    told = {
        word.partition(" ")[0]
        for word in CODE.findall("\n".join(re.findall(r"^\| (`[^|]*)\|", follows, re.M)))
    }
    assert told == {*LISTS, "unknown", "level", "unrestricted", "block"}
    assert {*shown, *told, "name"} == set(Rule.model_fields)


def test_all_hooks_are_there_with_their_arguments() -> None:
    asked = {CODE.findall(row[0])[0] for row in table(section("Write your own"), "hook")}
    assert asked == {
        f"{name}({', '.join(inspect.signature(getattr(hookspecs, name)).parameters)})"
        for name in ABOUT_ROUTES
    }


def test_all_selectors_are_there() -> None:
    shown = {
        CODE.findall(row[0])[0].replace("NODE_ID", "a" * 32)
        for row in table(section("Selectors"), "selector")
    }
    assert {Selector.parse(text).kind for text in shown} == {"", *KINDS}
    words = set(CODE.findall(section("Selectors")))
    assert set(CONTINENTS) <= words
    assert {mark for mark in MARKS if mark != "hostile"} == {
        word for mark in MARKS for word in words if word in (mark, f"mark:{mark}") for word in [mark]
    }


def test_options_and_defaults_are_those_of_the_policies() -> None:
    shown = [
        CODE.findall(row[2])[0].split(" = ", 1) for row in table(section("What every client does"), "family")
    ]
    defaults = {
        name: str(getattr(Diversity().config, name)).lower() for name in Diversity.Config.model_fields
    }
    assert dict(shown) == {**defaults, "owners": "{ NAME = [...] }"}
    prose = FENCE.sub("", section("Leave nodes out, or keep to some"))
    named = set(CODE.findall(prose))
    for cls in (Exclude, Only):
        options = {name for name in cls.Config.model_fields if name != "groups"}
        assert {word.partition(" ")[0] for word in named} >= options


def test_the_levels_are_those_of_the_policy() -> None:
    words = {1 / 8: "the quickest eighth", 1 / 3: "the quickest third", 1: "all"}
    meanings = Levels().config
    for level, row in zip(LEVELS, table(section("What every client does"), "level"), strict=True):
        meaning = getattr(meanings, level)
        assert row[0] == f"`{level}`"
        assert row[1] == str(meaning.hops)
        assert row[2] == words[meaning.share]
        assert re.search(r"(\d+) to 1", row[3])[1] == f"{meaning.ratio:g}"  # type: ignore[index]
        assert bool(row[4]) == meaning.countries
