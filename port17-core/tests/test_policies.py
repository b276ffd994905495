"""The policies that the core brings, each by itself: whom they leave out, what they charge, and which options
they refuse, with what words."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import ConfigError, PluginError
from port17.navigator.chart import ChartNode
from port17.navigator.cost import DETOUR, LIGHT_US_PER_KM, USUAL_LANE_US
from port17.navigator.countries import COUNTRIES
from port17.navigator.geo import Place
from port17.navigator.policy import LEVELS, Position, Request, SecurityLevel, Spread
from port17.plugins.families import ALWAYS_ON
from port17.plugins.loader import Registry
from port17.policies.diversity import Diversity
from port17.policies.exclude import Exclude
from port17.policies.levels import Levels
from port17.policies.only import Only
from port17.policies.proximity import SOLD_ABROAD, Proximity, country_of
from port17.records.host import host_of

from .policy_nodes import node

POSITIONS: tuple[Position, ...] = ("entry", "middle", "exit")
BERLIN = node("berlin", "85.10.0.1=DE/3320", group="Acme", owner="Smith")
PARIS = node("paris", "85.11.0.1=FR/3215")
BOTH = node("both", "85.10.0.2=DE/3320", "2001:4860::1=US/15169")
NAMED = node("named", "a.node.example.org")
REQUEST = Request("example.com", 443)


def refused(policy: str, options: Mapping[str, Any], *, placed: bool = True) -> str:
    with pytest.raises(ConfigError) as error:
        Registry().policies([] if policy in ALWAYS_ON else [policy], {policy: options}, placed=placed)
    assert error.value.cure
    return error.value.message


# -- exclude ---------------------------------------------------------------------------------------------
def test_exclude_leaves_out_what_is_picked_by_any_address_everywhere_or_in_one_position() -> None:
    policy = Exclude(
        Exclude.Config.model_validate({"nodes": "country:US", "exit": ["berlin"], "groups": ["x"]})
    )
    assert [policy.exclude_node(BOTH, position) for position in POSITIONS] == ["you excluded country:US"] * 3
    assert [policy.exclude_node(BERLIN, position) for position in POSITIONS] == [
        None,
        None,
        "you excluded berlin",
    ]
    assert [policy.exclude_node(NAMED, position) for position in POSITIONS] == [None] * 3
    assert policy.exclude_node(node("y", group="X"), "middle") == "you excluded group:x"


def test_exclude_keeps_what_is_unknown_unless_it_is_told_otherwise() -> None:
    policy = Exclude(Exclude.Config.model_validate({"entry": ["country:US"], "unknown": True}))
    said = "it is not known whether it is of country:US, and you excluded what is unknown"
    assert [policy.exclude_node(NAMED, position) for position in POSITIONS] == [said, None, None]
    assert policy.exclude_node(PARIS, "entry") is None


def test_exclude_without_options_excludes_nobody() -> None:
    assert all(Exclude().exclude_node(BERLIN, position) is None for position in POSITIONS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"nodes": ["DE"]}, "nodes: 'DE' may mean a node of that name or something else. Write country:DE"),
        ({"exit": ["country:UK"]}, "exit: not a selector: 'country:UK'"),
        ({"exits": ["ash"]}, "exits: there is no such option; did you mean exit?"),
        ({"nodes": 7}, "nodes: a list of selectors is wanted"),
        ({"groups": "acme"}, "groups: a list is wanted, in brackets"),
        ({"groups": ["a b"]}, "not a selector: 'group:a b'"),
    ],
)
def test_exclude_says_which_option_is_wrong(options: dict[str, Any], said: str) -> None:
    assert said in refused("exclude", options)


# -- only ------------------------------------------------------------------------------------------------
def test_only_keeps_what_is_picked_by_each_address() -> None:
    policy = Only(Only.Config.model_validate({"nodes": ["continent:EU", "name:named"], "exit": "country:DE"}))
    assert [policy.exclude_node(BERLIN, position) for position in POSITIONS] == [None] * 3
    assert [policy.exclude_node(PARIS, position) for position in POSITIONS] == [
        None,
        None,
        "you want only country:DE",
    ]
    assert [policy.exclude_node(BOTH, position) for position in POSITIONS] == [
        "you want only continent:EU, name:named"
    ] * 3
    assert policy.exclude_node(NAMED, "entry") is None


def test_only_leaves_out_what_is_unknown() -> None:
    policy = Only(Only.Config.model_validate({"middle": ["country:DE"]}))
    said = "you want only country:DE, and whether it is of these is not known"
    assert [policy.exclude_node(NAMED, position) for position in POSITIONS] == [None, said, None]
    assert policy.exclude_node(node("hidden"), "middle") == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, 'say whom to keep, for example exit = ["country:CH"]'),
        ({"exit": []}, "an empty list would keep no node"),
        ({"exit": ["country:CH"], "nodes": []}, "an empty list would keep no node"),
        ({"exit": ["CH"]}, "exit: 'CH' may mean"),
    ],
)
def test_only_says_which_option_is_wrong(options: dict[str, Any], said: str) -> None:
    assert said in refused("only", options)


# -- diversity -------------------------------------------------------------------------------------------
def test_families_are_groups_owners_networks_and_systems() -> None:
    assert set(Diversity().families(BERLIN)) == {"group:acme", "owner:smith", "net:85.10.0.0/16", "as:3320"}
    assert set(Diversity().families(BOTH)) == {
        "net:85.10.0.0/16",
        "as:3320",
        "net:2001:4860::/32",
        "as:15169",
    }
    assert set(Diversity().families(NAMED)) == {"owner:example.org"}
    assert set(Diversity().families(node("local", "127.0.0.1", "192.0.2.1", "::1"))) == set()


@pytest.mark.parametrize(
    ("option", "gone"),
    [
        ("group", {"group:acme"}),
        ("owner", {"owner:smith", "owner:example.org"}),
        ("prefix", {"net:85.10.0.0/16"}),
        ("asn", {"as:3320"}),
    ],
)
def test_each_family_can_be_switched_off(option: str, gone: set[str]) -> None:
    one = node("one", "85.10.0.1=DE/3320", "x.example.org", group="acme", owner="smith")
    policy = Diversity(Diversity.Config.model_validate({option: False}))
    assert set(Diversity().families(one)) - set(policy.families(one)) == gone


def test_the_user_has_families_of_his_own() -> None:
    options = {"country": True, "owners": {"friends": ["paris", "country:US"], "others": "as:3320"}}
    policy = Diversity(Diversity.Config.model_validate(options))
    assert {"yours:friends", "country:FR"} <= set(policy.families(PARIS))
    assert {"yours:friends", "yours:others", "country:DE", "country:US"} <= set(policy.families(BOTH))
    assert "owners.friends: not a selector" in refused("diversity", {"owners": {"friends": ["as:x"]}})
    assert "country" in refused("diversity", {"country": "perhaps"})


ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: f"{ip}:7017"),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]:7017"),
    st.tuples(*[st.integers(0, 300)] * 4, st.integers(0, 70_000)).map(lambda n: "{}.{}.{}.{}:{}".format(*n)),
    st.sampled_from(
        ["010.1.1.1:7017", "8.8.8.08:7017", "a.example.org:1", "onion", "1.2.3.4", "wss://8.8.8.8:1/x"]
    ),
)


@settings(max_examples=200, deadline=None)
@given(ADDRESSES)
def test_the_quick_way_to_a_network_is_the_long_one(address: str) -> None:
    one = ChartNode(b"", "", "one", addresses={"tcp": (address,)})
    host = host_of(address)
    expected = set()
    if host.area is not None:
        expected.add(f"net:{host.area}")
    if host.is_name:
        expected.add(f"owner:{host.site}")
    assert set(Diversity().families(one)) == expected


# -- levels ----------------------------------------------------------------------------------------------
def test_what_the_levels_mean() -> None:
    policy = Levels()
    requests: dict[SecurityLevel, Request] = {
        level: Request("example.com", 443, level=level) for level in LEVELS
    }
    assert [policy.least_hops(requests[level]) for level in LEVELS] == [3, 3, 4]
    assert [policy.choose_spread(requests[level]) for level in LEVELS] == [
        Spread(1 / 8, 4),
        Spread(1 / 3, 2),
        Spread(1, 1),
    ]
    assert [policy.families(BOTH, level) for level in LEVELS] == [None, None, {"country:DE", "country:US"}]


def test_a_level_can_be_told_to_mean_something_else() -> None:
    policy = Levels(
        Levels.Config.model_validate({"fast": {"share": 0.5, "countries": True}, "high": {"hops": 5}})
    )
    fast, high = Request("a", 1, level="fast"), Request("a", 1, level="high")
    assert policy.choose_spread(fast) == Spread(0.5, 4)
    assert policy.least_hops(fast) == 3
    assert policy.families(PARIS, "fast") == {"country:FR"}
    assert (policy.least_hops(high), policy.choose_spread(high)) == (5, Spread(1, 1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"high": {"hops": 6}}, "high.hops: Input should be less than or equal to 5"),
        ({"high": {"hops": 2}}, "high.hops: Input should be greater than or equal to 3"),
        ({"fast": {"share": 0}}, "fast.share: Input should be greater than 0"),
        ({"fast": {"ratio": 0.5}}, "fast.ratio: Input should be greater than or equal to 1"),
        ({"fast": {"ration": 2}}, "fast.ration: there is no such option"),
        ({"quick": {"hops": 3}}, "quick: there is no such option"),
        ({"fast": 3}, "fast: a table is wanted"),
    ],
)
def test_levels_say_which_option_is_wrong(options: dict[str, Any], said: str) -> None:
    assert said in refused("levels", options)


# -- proximity -------------------------------------------------------------------------------------------
def at(country: str) -> Place:
    found = COUNTRIES[country]
    return Place(ip_address("198.41.0.4"), 0, country, found.continent, found.latitude, found.longitude)


def test_an_exit_costs_what_light_in_cables_takes() -> None:
    policy, request = Proximity(), Request("198.41.0.4", 443, place=at("FR"))
    assert policy.exit_cost(PARIS, request) == pytest.approx(0, abs=1)
    near, far = policy.exit_cost(BERLIN, request), policy.exit_cost(BOTH, request)
    assert near is not None
    assert far is not None
    # The middles of France (46 N 2 E) and Germany (51 N 9 E) are 760 km apart, that of the USA 7,700 km.
    assert near / (LIGHT_US_PER_KM * DETOUR) == pytest.approx(760, rel=0.05)
    assert far / (LIGHT_US_PER_KM * DETOUR) == pytest.approx(7700, rel=0.05), (
        "the farthest of its addresses counts"
    )
    assert policy.exit_cost(NAMED, request) == USUAL_LANE_US, "who hides where he is wins nothing"


def test_a_name_is_taken_for_a_server_in_the_country_that_it_ends_in() -> None:
    policy = Proximity()
    assert policy.exit_cost(PARIS, Request("www.example.fr", 443)) is None
    abroad = policy.exit_cost(BERLIN, Request("WWW.Example.FR.", 443))
    assert abroad is not None
    assert abroad > 0
    for host in ("example.com", "example.io", "example.eu", "fr", "192.0.2.1", "2001:db8::fr"):
        assert policy.exit_cost(BERLIN, Request(host, 443)) is None, host
    assert country_of("example.co.uk") == "GB"
    assert all(country_of(f"example.{ending}") == "" for ending in SOLD_ABROAD)


def test_how_much_nearness_counts_can_be_set() -> None:
    request = Request("www.example.fr", 443)
    usual = Proximity().exit_cost(BERLIN, request)
    assert usual is not None
    twice = Proximity(Proximity.Config(weight=2)).exit_cost(BERLIN, request)
    assert twice == pytest.approx(2 * usual)
    assert Proximity(Proximity.Config(weight=0)).exit_cost(BERLIN, request) is None
    assert Proximity(Proximity.Config(by_ending=False)).exit_cost(BERLIN, request) is None
    assert "weight: Input should be less than or equal to 10" in refused("proximity", {"weight": 11})


# -- always on -------------------------------------------------------------------------------------------
def test_three_policies_are_always_on_and_can_be_adjusted_without_being_named() -> None:
    panel = Registry().policies([])
    kin = panel.families(BERLIN, "high").families
    assert kin == {"group:acme", "owner:smith", "net:85.10.0.0/16", "as:3320", "country:DE"}
    assert panel.judge_request(Request("a", 1, level="high")).hops == 4
    assert panel.judge_exit(BERLIN, Request("example.fr", 443)).cost_us > 0
    adjusted = Registry().policies([], {"diversity": {"group": False}, "proximity": {"weight": 0}})
    assert "group:acme" not in adjusted.families(BERLIN, "normal").families
    assert adjusted.judge_exit(BERLIN, Request("example.fr", 443)).cost_us == 0


def test_a_policy_that_is_always_on_may_be_named_and_is_there_once() -> None:
    panel = Registry().policies(["proximity"], {"proximity": {"weight": 2}})
    request = Request("example.fr", 443)
    once = Registry().policies([]).judge_exit(BERLIN, request).cost_us
    assert panel.judge_exit(BERLIN, request).cost_us == pytest.approx(2 * once)


def test_options_of_a_policy_that_is_not_used_are_a_mistake() -> None:
    with pytest.raises(ConfigError) as error:
        Registry().policies([], {"exclude": {"nodes": ["ash"]}})
    assert "options for 'exclude', which `policies` does not name" in error.value.message
    assert "Add 'exclude' to `policies`" in error.value.cure
    with pytest.raises(ConfigError, match="Did you mean 'diversity'"):
        Registry().policies([], {"diversty": {"group": False}})


def test_a_blocked_policy_is_not_there_and_one_that_is_missing_is_an_error() -> None:
    assert not Registry(blocked=ALWAYS_ON).policies([]).families(BERLIN, "high").families
    with pytest.raises(PluginError, match="no route policy named 'diversity' is installed"):
        Registry(found=()).policies([])


@pytest.mark.parametrize(
    ("policy", "options"),
    [
        ("exclude", {"entry": ["ash", "country:DE"]}),
        ("only", {"exit": ["continent:EU"]}),
        ("diversity", {"country": True}),
        ("diversity", {"owners": {"telekom": ["as:3320"]}}),
        ("rules", {"rule": [{"middle_exclude": ["as:3320"]}]}),
    ],
)
def test_who_picks_by_place_is_refused_where_nobody_knows_places(
    policy: str, options: dict[str, Any]
) -> None:
    said = refused(policy, options, placed=False)
    assert f"policy {policy!r} picks nodes by AS, country or continent, and no geo source" in said


def test_who_needs_no_places_is_not_refused() -> None:
    options: dict[str, dict[str, Any]] = {
        "exclude": {"nodes": ["ip:192.0.2.0/24", "group:acme"]},
        "rules": {"rule": [{"level": "high"}]},
        "diversity": {"owners": {"friends": ["ash"]}},
    }
    assert (
        Registry().policies(["exclude", "rules"], options, placed=False).judge_node(BERLIN, "entry", "normal")
    )
