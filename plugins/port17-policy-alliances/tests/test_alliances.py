"""Alliances: who belongs to which, and that no route has two members of one, or has them at its ends."""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any

import pytest

import port17_policy_alliances
from port17.errors import ConfigError, NoRoute
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.geo import Place
from port17.navigator.policy import Request
from port17.navigator.route import Survey
from port17.plugins.loader import Registry
from port17.records.exit_rules import ExitRules
from port17_policy_alliances import ALLIANCES, Alliances

README = Path(__file__).parents[1] / "README.md"
COUNTRIES = ("US", "GB", "DE", "CH", "IS", "BR")
REQUEST = Request("example.com", 443)


def node(index: int, country: str) -> ChartNode:
    address = f"{80 + index}.1.0.1"
    places = (Place(ip_address(address), index + 1, country),) if country else ()
    return ChartNode(
        bytes([index]) * 32,
        f"id-{index}",
        f"{country.lower() or 'nowhere'}-{index}",
        addresses={"tcp": (f"{address}:7017",)},
        exit=ExitRules.parse(["accept *:*"]),
        places=places,
    )


def chart(*countries: str) -> Chart:
    nodes = [node(index, country) for index, country in enumerate(countries)]
    claims = {
        one.fingerprint: [(other.fingerprint, 1, 1) for other in nodes if other is not one] for one in nodes
    }
    return Chart.build(nodes, claims)


def drawn(options: dict[str, Any], *countries: str) -> set[tuple[str, ...]]:
    survey = Survey(chart(*countries), Registry().policies(["alliances"], {"alliances": options}))
    routes = (survey.draw(REQUEST, Random(seed)) for seed in range(60))
    return {tuple(one.places[0].country if one.places else "" for one in route.nodes) for route in routes}


def test_no_route_has_two_members() -> None:
    for route in drawn({}, *COUNTRIES):
        assert sum(country in ALLIANCES["fourteen_eyes"] for country in route) <= 1
    routes = drawn({"alliances": ["five_eyes"]}, *COUNTRIES)
    assert any("DE" in route and ("US" in route or "GB" in route) for route in routes)
    assert not any("US" in route and "GB" in route for route in routes)


def test_where_only_the_ends_count_the_middle_is_free() -> None:
    routes = drawn({"ends": True}, *COUNTRIES)
    eyes = ALLIANCES["fourteen_eyes"]
    assert not any(first in eyes and last in eyes for first, _, last in routes)
    assert any(middle in eyes and (first in eyes or last in eyes) for first, middle, last in routes)


def test_who_is_nowhere_may_be_taken_for_a_member() -> None:
    assert any("" in route and "US" in route for route in drawn({}, "US", "", "CH", "IS"))
    assert not any("" in route and "US" in route for route in drawn({"unknown": True}, "US", "", "CH", "IS"))


def test_alliances_of_the_user_s_own() -> None:
    options = {"alliances": [], "own": {"alps": ["country:CH", "name:br-5"]}}
    assert not any("CH" in route and "BR" in route for route in drawn(options, *COUNTRIES))


def test_a_route_that_is_not_there_is_explained() -> None:
    with pytest.raises(NoRoute):
        drawn({}, "US", "GB", "DE", "CH")
    panel = Registry().policies(["alliances"], {"alliances": {"ends": True}})
    with pytest.raises(NoRoute) as refusal:
        Survey(chart("US", "GB", "DE"), panel).draw(REQUEST, Random(1))
    assert "entry and exit are both of fourteen_eyes" in str(refusal.value.explained())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alliances": ["five_ears"]}, "alliances 1: Input should be 'five_eyes', 'nine_eyes'"),
        ({"alliances": []}, "there is no alliance"),
        ({"own": {"x": ["DE"]}}, "own.x: 'DE' may mean"),
        ({"end": True}, "end: there is no such option; did you mean ends?"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Registry().policies(["alliances"], {"alliances": options})
    assert said in error.value.message


def test_without_a_geo_source_it_refuses_to_do_nothing() -> None:
    with pytest.raises(ConfigError, match="no geo source says where nodes are"):
        Registry().policies(["alliances"], placed=False)


def test_the_readme_tells_the_options_and_the_countries() -> None:
    text = README.read_text()
    for option in Alliances.Config.model_fields:
        assert f"| `{option}` |" in text
    shown: set[str] = set()
    for name in ("five_eyes", "nine_eyes", "fourteen_eyes"):
        row = re.search(rf"\| `{name}` \| (?:and )?([A-Z ]+) \|", text)
        assert row is not None
        shown |= set(row[1].split())
        assert shown == set(ALLIANCES[name])
    configuration = tomllib.loads(text.partition("```toml client.toml\n")[2].partition("```")[0])
    Registry().policies(configuration["policies"], configuration["policy_options"])


def test_it_imports_only_what_is_public() -> None:
    source = Path(port17_policy_alliances.__file__).read_text()
    assert re.findall(r"^from port17(\S*) import", source, re.MULTILINE) == [""]
