"""Selectors: what is one and what is none, and which nodes lists of them pick."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from port17.errors import ConfigError
from port17.navigator.chart import ChartNode
from port17.navigator.policy import RoutePolicy
from port17.navigator.selector import MARKS, SELECTORS_CAP, Selector, Selectors
from port17.navigator.simulated import HOSTILE_MARK

from .policy_nodes import node

ASH = node("Ash", "85.10.0.1=DE/3320", group="Acme", owner="Smith", marks=("trusted_exit",))
TWO = node("two", "85.10.0.2=DE/3320", "2001:4860::1=US/15169")
NAMED = node("named", "node.example.org", "85.10.0.3=DE/3320")
PLACELESS = node("placeless", "85.10.0.4")
HIDDEN = node("hidden")
NO_AS = node("no-as", "85.10.0.5=FR")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ash", "ash"),
        ("Ash", "ash"),
        ("name:Ash", "name:ash"),
        ("name:DE", "name:de"),
        ("NAME: ash ", "name:ash"),
        ("group:acme", "group:acme"),
        ("as:AS3320", "as:3320"),
        ("as:03320", "as:3320"),
        ("country:de", "country:DE"),
        ("continent:eu", "continent:EU"),
        ("ip:192.0.2.7", "ip:192.0.2.7/32"),
        ("ip:192.0.2.0/24", "ip:192.0.2.0/24"),
        ("ip:[2001:DB8::]/32", "ip:2001:db8::/32"),
        ("ip:2001:db8::1", "ip:2001:db8::1/128"),
        ("mark:trusted_exit", "mark:trusted_exit"),
        (f"id:{ASH.node_id.upper()}", f"id:{ASH.node_id}"),
        (f"id:{ASH.fingerprint.hex()}", f"id:{ASH.fingerprint.hex()}"),
        (ASH.node_id, f"id:{ASH.node_id}"),
        (ASH.fingerprint.hex(), f"id:{ASH.fingerprint.hex()}"),
    ],
)
def test_what_is_a_selector(text: str, shown: str) -> None:
    assert str(Selector.parse(text)) == shown
    assert Selector.parse(shown) == Selector.parse(text)


def test_who_calls_himself_by_another_ones_id_is_not_picked_for_it() -> None:
    for text in (ASH.node_id, ASH.fingerprint.hex()):
        selectors = Selectors([text])
        assert selectors.covers(ASH)
        assert not selectors.covers(replace(TWO, name=text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("DE", "Write country:DE, or name:DE"),
        ("de", "Write country:DE"),
        ("{de}", "Write country:DE"),
        ("EU", "Write continent:EU, or name:EU"),
        ("AS3320", "Write as:3320, or name:AS3320"),
        ("192.0.2.1", "Write ip:192.0.2.1"),
        ("192.0.2.0/24", "Write ip:192.0.2.0/24"),
        ("two words", "no name that a node"),
        ("-ash", "no name that a node"),
        ("contry:DE", "did you mean country:?"),
        ("colour:red", "there is no kind 'colour'"),
        ("country:", "nothing stands after country:"),
        ("country:UK", "the United Kingdom is country:GB"),
        ("country:EU", "the European Union has no selector"),
        ("country:Germany", "of two letters"),
        ("country:ZZ", "no country's code"),
        ("continent:XX", "EU (Europe)"),
        ("as:0", "1 to 4294967295"),
        ("as:4294967296", "1 to 4294967295"),
        ("as:٣", "1 to 4294967295"),
        ("ip:192.0.2.1/24", "the network is ip:192.0.2.0/24"),
        ("ip:300.0.0.1", "neither an address nor a network"),
        ("ip:::ffff:192.0.2.1", "write ip:192.0.2.1"),
        ("mark:nice", "there are trusted_exit, owner_verified"),
        ("id:ash", "neither a node id"),
        ("group:a b", "no name"),
    ],
)
def test_what_is_none_and_what_to_write_instead(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Selector.parse(text)
    assert said in str(error.value)
    assert error.value.cure


def test_the_simulator_s_mark_is_known() -> None:
    assert HOSTILE_MARK in MARKS


@pytest.mark.parametrize(
    ("texts", "touched", "covered", "uncertain"),
    [
        (["ash"], {ASH}, {ASH}, set()),
        (["name:ASH"], {ASH}, {ASH}, set()),
        ([f"id:{ASH.node_id}", TWO.fingerprint.hex()], {ASH, TWO}, {ASH, TWO}, set()),
        (["group:ACME"], {ASH}, {ASH}, set()),
        (["owner:smith"], {ASH}, {ASH}, set()),
        (["mark:trusted_exit"], {ASH}, {ASH}, set()),
        (["country:DE"], {ASH, TWO, NAMED}, {ASH}, {NAMED, PLACELESS, HIDDEN}),
        (["country:DE", "country:US"], {ASH, TWO, NAMED}, {ASH, TWO}, {NAMED, PLACELESS, HIDDEN}),
        (["continent:EU"], {ASH, TWO, NAMED, NO_AS}, {ASH, NO_AS}, {NAMED, PLACELESS, HIDDEN}),
        (["as:3320"], {ASH, TWO, NAMED}, {ASH}, {NAMED, PLACELESS, HIDDEN, NO_AS}),
        (["ip:85.10.0.0/30"], {ASH, TWO, NAMED}, {ASH}, {NAMED, HIDDEN}),
        (["ip:85.10.0.0/30", "ip:2001:4860::/32"], {ASH, TWO, NAMED}, {ASH, TWO}, {NAMED, HIDDEN}),
        (["ip:85.10.0.0/30", "country:US"], {ASH, TWO, NAMED}, {ASH, TWO}, {NAMED, PLACELESS, HIDDEN}),
        (["hidden", "country:DE"], {ASH, TWO, NAMED, HIDDEN}, {ASH, HIDDEN}, {NAMED, PLACELESS}),
        ([], set(), set(), set()),
    ],
)
def test_whom_a_list_picks(
    texts: list[str], touched: set[ChartNode], covered: set[ChartNode], uncertain: set[ChartNode]
) -> None:
    nodes = (ASH, TWO, NAMED, PLACELESS, HIDDEN, NO_AS)
    selectors = Selectors(texts)
    assert {one for one in nodes if selectors.touching(one) is not None} == touched
    assert {one for one in nodes if selectors.covers(one)} == covered
    assert {one for one in nodes if selectors.uncertain(one)} == uncertain


def test_a_list_is_an_option_of_a_policy() -> None:
    class Config(RoutePolicy.Config):
        nodes: Selectors = Selectors()

    assert Config().nodes == Selectors()
    assert Config.model_validate({"nodes": "country:DE"}).nodes == Selectors(["country:DE"])
    assert list(Config.model_validate({"nodes": ["ash", "as:7"]}).nodes) == [
        Selector("", "ash"),
        Selector("as", "7"),
    ]
    for wrong in (5, {"a": 1}, [5], ["ash", None]):
        with pytest.raises(ValidationError, match="a list of selectors is wanted"):
            Config.model_validate({"nodes": wrong})
    with pytest.raises(ValidationError, match="the United Kingdom is country:GB"):
        Config.model_validate({"nodes": ["ash", "country:UK"]})


def test_a_list_has_a_cap_and_shows_its_beginning() -> None:
    names = [f"n{index}" for index in range(SELECTORS_CAP)]
    assert str(Selectors(names)) == f"n0, n1, n2 and {SELECTORS_CAP - 3} more"
    with pytest.raises(ConfigError, match=f"more than {SELECTORS_CAP}"):
        Selectors([*names, "one-more"])


COUNTRY = st.sampled_from(["DE", "FR", ""])
ADDRESS = st.one_of(
    st.builds(
        lambda a, b, country, asn: f"85.{a}.0.{b}={country}/{asn}",
        st.integers(1, 2), st.integers(1, 3), COUNTRY, st.sampled_from([0, 7, 8]),
    ),
    st.builds(lambda a, b: f"85.{a}.0.{b}", st.integers(1, 2), st.integers(4, 6)),
    st.sampled_from(["a.example.org", "b.example.org"]),
)  # fmt: skip
NODE = st.builds(
    lambda name, addresses, group: node(name, *addresses, group=group),
    st.sampled_from(["ash", "elm"]),
    st.lists(ADDRESS, max_size=3, unique_by=lambda text: text.partition("=")[0]),
    st.sampled_from(["", "acme"]),
)  # fmt: skip
LIST = st.lists(
    st.sampled_from(
        [
            "ash",
            "group:acme",
            "country:DE",
            "country:FR",
            "continent:EU",
            "as:7",
            "ip:85.1.0.0/16",
            "ip:85.2.0.2",
        ]
    ),
    max_size=4,
)


def said_of(text: str, one: ChartNode, address: str) -> bool | None:
    """The plain model: whether a selector picks a node by one of its addresses; None if nobody knows."""
    kind, _, value = text.rpartition(":")
    if kind in ("", "group"):
        return {"": one.name, "group": one.group}[kind] == value
    host = address.removesuffix(":7017")
    if host.endswith(".org"):
        return None
    if kind == "ip":
        return ip_address(host) in ip_network(value)
    for place in one.places:
        if str(place.ip) == host:
            found = {"country": place.country, "continent": place.continent, "as": str(place.asn or "")}[kind]
            return found == value if found else None
    return None


@settings(max_examples=150, deadline=None)
@given(NODE, LIST)
def test_lists_pick_as_their_words_say(one: ChartNode, texts: list[str]) -> None:
    addresses = one.addresses.get("tcp", ())
    answers = [[said_of(text, one, address) for text in texts] for address in addresses]
    whole = any(
        said_of(text, one, "") is True for text in texts if text.partition(":")[0] in ("ash", "group")
    )
    local = [text for text in texts if text.partition(":")[0] not in ("ash", "group")]
    selectors = Selectors(texts)
    assert (selectors.touching(one) is not None) == (whole or any(True in each for each in answers))
    covered = whole or (bool(answers) and all(True in each for each in answers))
    assert selectors.covers(one) == covered
    if not covered:
        doubtful = any(True not in each and None in each for each in answers) or not answers
        assert selectors.uncertain(one) == (bool(local) and doubtful)
    if covered and texts:
        assert selectors.touching(one) is not None, "what covers a node touches it"
