"""Rules: the first that matches decides as a whole, whatever stands below it; and what their words mean."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import ConfigError, NoRoute
from port17.navigator.policy import Position, Request, SecurityLevel
from port17.navigator.route import Survey
from port17.plugins.loader import Registry
from port17.policies.destination import Destinations, Ports, Programs, address_of
from port17.policies.rules import RULES_CAP, Rules

from .policy_nodes import full_mesh, node

POSITIONS: tuple[Position, ...] = ("entry", "middle", "exit")
BERLIN = node("berlin", "85.10.0.1=DE")
PARIS = node("paris", "86.10.0.1=FR")
NAMED = node("named", "a.example.org")


def rules(*tables: dict[str, Any]) -> Rules:
    return Rules(Rules.Config.model_validate({"rule": tables}))


def refused(*tables: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        Registry().policies(["rules"], {"rules": {"rule": list(tables)}})
    assert error.value.cure
    return error.value.message


# -- conditions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("texts", "inside", "outside"),
    [
        (
            ["example.org"],
            ["example.org", "EXAMPLE.org.", "example.org..", "\uff45xample.org\u3002", "[example.org..]"],
            ["www.example.org", "example.com", "xexample.org"],
        ),
        (["*.example.org"], ["www.example.org", "a.b.example.org"], ["example.org", "xexample.org", "org"]),
        (
            ["Bücher.example"],
            ["bücher.example", "xn--bcher-kva.example", "BÜCHER.example"],
            ["bucher.example"],
        ),
        (["192.0.2.1"], ["192.0.2.1", "::ffff:192.0.2.1", "3221225985", "0xc0000201"], ["192.0.2.2", "a.b"]),
        (
            ["10.0.0.0/8"],
            ["10.1.2.3", "10.1", "012.0.0.1", f"{'0' * 20}12.0.0.1", f"0x{'0' * 20}a.1", "[::ffff:10.0.0.1]"],
            ["11.0.0.0", "10.example.org"],
        ),
        (["2001:db8::/32"], ["2001:db8::1", "[2001:DB8:1::]"], ["2001:db9::1", "32.1.13.184"]),
        (["::1"], ["::1", "[::1]"], ["::2", "0.0.0.1"]),
        (["localhost", "*.local"], ["localhost", "nas.local"], ["local"]),
        (["_dmarc.example.org"], ["_dmarc.example.org"], ["dmarc.example.org"]),
        (["0.0.0.0/0"], ["192.0.2.1", "127.1"], ["example.org", "::1"]),
    ],
)
def test_destinations(texts: list[str], inside: list[str], outside: list[str]) -> None:
    destinations = Destinations(texts)
    assert [host for host in inside if not destinations.match(host)] == []
    assert [host for host in outside if destinations.match(host)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://example.org/", "is a URL"),
        ("example.org:443", "write 'example.org' here and 443 under `ports`"),
        ("*", "leave `to` out"),
        (".example.org", "all below a domain is *.example.org; the domain itself is example.org"),
        ("www.*.org", "an asterisk stands for whole labels"),
        ("*example.org", "an asterisk stands for whole labels"),
        ("192.0.2.1/24", "the network is 192.0.2.0/24"),
        ("two words", "neither a name"),
        ("", "neither a name"),
        ("a" * 64, "neither a name"),
        (".".join(["a" * 60] * 5), "neither a name"),
    ],
)
def test_what_is_no_destination(text: str, said: str) -> None:
    error = refused({"to": ["fine.org", text], "level": "high"})
    assert "rule 1, to: " in error
    assert said in error


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(1, 4), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
def test_old_forms_of_addresses_are_seen_through(address: Any, pieces: int, form: str) -> None:
    number = int(address)
    shown = [number >> (8 * (3 - place)) & 255 for place in range(pieces - 1)]
    shown.append(number & (256 ** (5 - pieces) - 1))
    assert address_of(".".join(form.format(piece) for piece in shown)) == address


@pytest.mark.parametrize("host", ["1.2.3.4.5", "256.1", "1.2.65536", "08", "0x", "a.1", "1..2", "", "9" * 17])
def test_what_is_no_old_form(host: str) -> None:
    assert address_of(host) in (None, ip_address(0))


def test_ports() -> None:
    ports = Ports([443, "8000-8010", "8011", "80"])
    assert [port for port in (79, 80, 81, 443, 8000, 8011, 8012) if ports.match(port)] == [
        80,
        443,
        8000,
        8011,
    ]
    for wrong, said in (
        ([70000], "70000 is neither a port"),
        (["90-80"], 'a range runs upwards, "80-90"'),
        (["http"], "'http' is neither a port"),
        ([True], "a list of ports is wanted"),
        (0, "0 is neither a port"),
        ([], "is empty; leave it out to match every port"),
        (["1-"], "neither a port"),
    ):
        error = refused({"ports": wrong, "level": "high"})
        assert "rule 1, ports: " in error
        assert said in error


def test_programs() -> None:
    programs = Programs(["/usr/bin/curl", "firefox"])
    seen = ["/usr/bin/curl", "/opt/firefox/firefox", "/usr/bin/curls", "/home/curl", "curl", ""]
    assert [path for path in seen if programs.match(path)] == ["/usr/bin/curl", "/opt/firefox/firefox"]
    assert "'bin/curl' is neither a whole path" in refused({"programs": ["bin/curl"], "level": "high"})
    assert "programs: is empty" in refused({"programs": [], "level": "high"})
    assert rules({"programs": "curl", "level": "high"}).wants_program
    assert not rules({"to": "a.org", "level": "high"}).wants_program
    table = {"programs": "curl", "level": "high"}
    assert Registry().policies(["rules"], {"rules": {"rule": [table]}}).wants_program
    assert not Registry().policies([]).wants_program


# -- what a rule does ------------------------------------------------------------------------------------
def test_lists_hold_in_their_positions_and_reasons_name_the_rule() -> None:
    policy = rules(
        {
            "to": "a.org",
            "name": "bank",
            "exit_only": "country:FR",
            "entry_exclude": ["berlin"],
            "level": "high",
        },
        {"to": "b.org", "only": ["country:DE", "country:FR"], "exclude": ["paris"]},
        {"to": "c.org", "middle_exclude": ["country:FR"], "unknown": True},
        {"to": "d.org", "block": "never from here"},
    )

    def said(host: str, one: Any) -> list[str | None]:
        return [policy.exclude_node(one, position, Request(host, 443)) for position in POSITIONS]

    assert said("a.org", BERLIN) == [
        "rule 1 (bank): you excluded berlin",
        None,
        "rule 1 (bank): you want only country:FR",
    ]
    assert said("a.org", PARIS) == [None] * 3
    assert said("b.org", BERLIN) == [None] * 3
    assert said("b.org", PARIS) == ["rule 2: you excluded paris"] * 3
    assert (
        said("b.org", NAMED)
        == ["rule 2: you want only country:DE, country:FR, and whether it is of these is not known"] * 3
    )
    both = node("both", "85.10.0.2=DE", "86.10.0.2=FR")
    assert said("a.org", both) == [None, None, "rule 1 (bank): you want only country:FR"], (
        "each address counts"
    )
    assert said("b.org", both) == [None] * 3
    assert said("c.org", both)[1] == "rule 3: you excluded country:FR", "any address counts"
    assert said("c.org", NAMED)[1] == (
        "rule 3: it is not known whether it is of country:FR, and you excluded what is unknown"
    )
    assert said("c.org", PARIS) == [None, "rule 3: you excluded country:FR", None]
    assert said("e.org", PARIS) == [None] * 3
    assert policy.choose_level(Request("a.org", 443)) == "high"
    assert policy.choose_level(Request("b.org", 443)) is None
    assert policy.refuse_request(Request("d.org", 443)) == "rule 4 blocks: never from here"
    assert policy.refuse_request(Request("a.org", 443)) is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "rule 1: it says nothing about routes"),
        ({"to": "a.org"}, "rule 1: it says nothing about routes"),
        (
            {"allow": ["country:DE"]},
            "there is no option 'allow': there is no `allow`: what nothing restricts",
        ),
        ({"exit": "country:DE"}, "say `exit_only` or `exit_exclude`"),
        ({"domain": "a.org"}, "destinations stand under `to`"),
        ({"exit_onyl": "ash"}, "did you mean `exit_only`?"),
        ({"port": 80, "level": "high"}, "did you mean `ports`?"),
        ({"exit_only": []}, "exit_only is empty"),
        ({"exclude": []}, "exclude is empty"),
        ({"exit_only": ["DE"]}, "rule 1, exit_only: 'DE' may mean"),
        ({"level": "highest"}, "rule 1, level: Input should be 'fast', 'normal' or 'high'"),
        ({"block": ""}, "block wants the reason"),
        ({"block": "no", "exit_only": "ash"}, "block stands alone: with it, exit_only would mean nothing"),
        (
            {"unrestricted": True, "level": "high"},
            "unrestricted stands alone: with it, level would mean nothing",
        ),
        (
            {"unrestricted": True, "block": "no"},
            "block stands alone: with it, unrestricted would mean nothing",
        ),
        ({"only": "ash", "unknown": True}, "unknown belongs to an exclusion"),
        ({"name": "n" * 201, "level": "high"}, "rule 1, name: String should have at most 200"),
        ({"to": 5, "level": "high"}, "rule 1, to: a list of destinations, such as"),
    ],
)
def test_a_rule_that_cannot_be_meant_so_is_refused(table: dict[str, Any], said: str) -> None:
    assert said in refused(table)


def test_rules_have_a_cap_and_are_a_list() -> None:
    assert "there is no rule; each is a table [[policy_options.rules.rule]]" in refused()
    tables = [{"to": f"a{index}.org", "level": "high"} for index in range(RULES_CAP + 1)]
    assert f"rule: Tuple should have at most {RULES_CAP}" in refused(*tables)
    with pytest.raises(ConfigError, match="rule: a list is wanted"):
        Registry().policies(["rules"], {"rules": {"rule": {"level": "high"}}})


@pytest.mark.parametrize(
    ("earlier", "later", "never"),
    [
        ({}, {}, True),
        ({}, {"to": "a.org"}, True),
        ({"to": "a.org"}, {}, False),
        ({"to": "a.org"}, {"to": "a.org", "ports": 80}, True),
        ({"to": "a.org", "ports": 80}, {"to": "a.org"}, False),
        ({"to": "*.a.org"}, {"to": ["x.a.org", "*.y.a.org", "*.a.org"]}, True),
        ({"to": "*.a.org"}, {"to": ["x.a.org", "a.org"]}, False),
        ({"to": "x.a.org"}, {"to": "*.a.org"}, False),
        ({"to": "10.0.0.0/8"}, {"to": ["10.1.0.0/16", "10.2.3.4"]}, True),
        ({"to": "10.1.0.0/16"}, {"to": "10.0.0.0/8"}, False),
        ({"to": "10.0.0.0/8"}, {"to": "a.org"}, False),
        ({"ports": "1-1000"}, {"ports": [80, "400-500"]}, True),
        ({"ports": ["1-100", "101-200"]}, {"ports": "90-110"}, True),
        ({"ports": "1-1000"}, {"ports": [80, 8080]}, False),
        ({"programs": "curl"}, {"programs": "/usr/bin/curl"}, True),
        ({"programs": "/usr/bin/curl"}, {"programs": "curl"}, False),
    ],
)
def test_a_rule_that_is_never_reached_is_refused(
    earlier: dict[str, Any], later: dict[str, Any], never: bool
) -> None:
    first, second = {**earlier, "level": "high"}, {**later, "name": "late", "level": "fast"}
    if never:
        assert "rule 2 (late) is never reached: rule 1 matches all that it matches" in refused(first, second)
    else:
        assert rules(first, second).config.rule[1].name == "late"


# -- the first match decides, against a plain model -------------------------------------------------------
@dataclass(frozen=True)
class Written:
    """A rule as one reads it: what it matches, each condition as plain Python says it."""

    table: dict[str, Any]

    def holds(self, request: Request) -> bool:
        table = self.table
        return (
            ("to" not in table or any(self._is(request.host, text) for text in table["to"]))
            and ("ports" not in table or request.port in table["ports"])
            and ("programs" not in table or request.program.split("/")[-1] in table["programs"])
        )

    def _is(self, host: str, text: str) -> bool:
        if "/" in text:
            return host[0].isdigit() and ip_address(host) in ip_network(text)
        return host.endswith(text[1:]) if text.startswith("*.") else host == text


HOSTS = ["a.org", "x.a.org", "y.x.a.org", "b.org", "10.0.0.1", "10.9.0.1", "192.0.2.1"]
PATTERNS = ["a.org", "*.a.org", "x.a.org", "*.x.a.org", "b.org", "10.0.0.0/8", "10.9.0.0/16"]
PORTS = [80, 443]
PROGRAMS = ["curl", "firefox"]
LEVEL = st.sampled_from(["fast", "normal", "high"])
TABLE = st.fixed_dictionaries(
    {"level": LEVEL},
    optional={
        "to": st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True),
        "ports": st.lists(st.sampled_from(PORTS), min_size=1, max_size=2, unique=True),
        "programs": st.lists(st.sampled_from(PROGRAMS), min_size=1, max_size=2, unique=True),
    },
)
REQUEST = st.builds(
    Request, st.sampled_from(HOSTS), st.sampled_from([*PORTS, 22]),
    program=st.sampled_from(["", "/usr/bin/curl", "/usr/bin/firefox", "/usr/bin/wget"]),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(TABLE, min_size=1, max_size=6), st.lists(REQUEST, min_size=1, max_size=8))
def test_the_first_match_decides(tables: list[dict[str, Any]], requests: list[Request]) -> None:
    reached: list[dict[str, Any]] = []
    for one in map(Written, tables):
        try:
            rules(*reached, one.table)
        except ValueError:
            # It says that no request gets there, so none must: all that it matches an earlier one does.
            for host in HOSTS:
                for port in (*PORTS, 22):
                    for program in ("", "/usr/bin/curl", "/usr/bin/firefox", "/usr/bin/wget"):
                        request = Request(host, port, program=program)
                        if one.holds(request):
                            assert any(Written(table).holds(request) for table in reached)
            continue
        reached.append(one.table)
    policy = rules(*reached)
    for request in requests:
        expected = next((table for table in reached if Written(table).holds(request)), None)
        level: SecurityLevel | None = expected["level"] if expected is not None else None
        assert policy.choose_level(request) == level
        found = policy.rule_for(request)
        assert (found is None) == (expected is None)
        assert found is None or reached[found[0]] is expected


COUNTRIES = ("DE", "FR", "CH", "US")
MESH = full_mesh(
    *(
        node(
            f"{country.lower()}-{index}",
            f"{81 + place * 3 + index}.{place}.0.1={country}/{10 * place + index + 1}",
        )
        for place, country in enumerate(COUNTRIES)
        for index in range(3)
    )
)
RESTRICTION = st.tuples(
    st.sampled_from(
        ["only", "exclude", "entry_only", "entry_exclude", "middle_exclude", "exit_only", "exit_exclude"]
    ),
    st.lists(st.sampled_from(COUNTRIES), min_size=1, max_size=3, unique=True),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(RESTRICTION, min_size=1, max_size=3, unique_by=lambda one: one[0]), st.integers(0, 9))
def test_no_route_is_laxer_than_the_rule(restrictions: list[tuple[str, list[str]]], seed: int) -> None:
    table = {"to": ["a.org"], **{name: [f"country:{one}" for one in found] for name, found in restrictions}}
    panel = Registry().policies(["rules"], {"rules": {"rule": [table, {"block": "only there"}]}})

    def fits(country: str, position: Position) -> bool:
        for name, found in restrictions:
            where, _, kind = name.rpartition("_")
            if where in ("", position) and (country in found) != (kind == "only"):
                return False
        return True

    survey = Survey(MESH, panel)
    may = {position: [one for one in COUNTRIES if fits(one, position)] for position in POSITIONS}
    try:
        route = survey.draw(Request("a.org", 443), Random(seed))
    except NoRoute:
        # Three nodes per country: there is a route if each position has a country.
        assert not all(may.values())
    else:
        assert all(may.values())
        for one, position in zip(route.nodes, POSITIONS, strict=True):
            assert one.places[0].country in may[position]
    with pytest.raises(NoRoute) as refusal:
        survey.draw(Request("b.org", 443), Random(seed))
    assert refusal.value.short == "the connection is refused (policies: rules)"
    assert "rule 2 blocks: only there" in str(refusal.value.explained())
