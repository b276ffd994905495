"""Exit rules as text: what is one, what it matches, and that it comes back as it was."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.records.exit_rules import PORT_RANGES_CAP, RULES_CAP, ExitRule, ExitRules


@pytest.mark.parametrize(
    "text",
    [
        "accept *:*",
        "reject *:25",
        "accept example.com:80,443",
        "accept *.example.com:8000-8999",
        "accept 192.0.2.0/24:443",
        "accept 192.0.2.7/32:443",
        "reject [2001:db8::/32]:1-1023",
        "accept _dmarc.xn--bcher-kva.example:443",
    ],
)
def test_a_rule_comes_back_as_it_was(text: str) -> None:
    assert str(ExitRule.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "accept",
        "accept *",
        "accept *:",
        "accept :80",
        "permit *:*",
        "Accept *:*",
        "accept *:* # all",
        "accept *:0",
        "accept *:65536",
        "accept *:90-80",
        "accept *:80-",
        "accept *:-80",
        "accept *:80,",
        "accept *:+80",
        "accept *:²",
        "accept *:99999999999999999999",
        "accept 10.0.0.1/8:*",
        "accept 10.0.0.0/33:*",
        "accept 10.0.0.256:*",
        "accept 2001:db8::/32:80",
        "accept [2001:db8::/32:80",
        "accept a..b:80",
        "accept -a.b:80",
        "accept a/b:80",
        "accept *.*.b:80",
        "accept a*.b:80",
        f"accept {'a' * 64}.b:80",
        f"accept {'a.' * 127}aa:80",
        f"accept *:{','.join(['80'] * (PORT_RANGES_CAP + 1))}",
    ],
)
def test_what_is_no_rule_says_what_is_one(text: str) -> None:
    with pytest.raises(RecordError, match="not an exit rule") as raised:
        ExitRule.parse(text)
    assert 'A rule is "accept HOST:PORTS"' in raised.value.cure


def test_the_first_match_wins_and_nothing_matched_is_rejected() -> None:
    rules = ExitRules.parse(
        ["reject *:25", "accept 192.0.2.0/24:1-100", "reject 192.0.0.0/8:*", "accept *:443"]
    )
    assert not rules.allows("192.0.2.1", 25)
    assert rules.allows("192.0.2.1", 24)
    assert not rules.allows("192.9.2.1", 443)
    assert rules.allows("example.com", 443)
    assert not rules.allows("example.com", 444)
    assert not ExitRules().allows("example.com", 443)
    assert ExitRules.parse(["accept *:*"]).allows("example.com", 65535)
    assert not ExitRules.parse(["accept *:*"]).allows("example.com", 0)
    assert not ExitRules.parse(["accept *:*"]).allows("example.com", 65536)


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "www.example.com", False),
        ("example.com", "badexample.com", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("[2001:db8::/32]", "[2001:DB8::1]", True),
        ("[2001:db8::/32]", "10.0.0.1", False),
        ("[::1]", "::1", True),
    ],
)
def test_hosts(pattern: str, host: str, matches: bool) -> None:
    assert ExitRules.parse([f"accept {pattern}:*"]).allows(host, 80) is matches


def test_an_exit_asks_again_with_what_a_name_resolved_to() -> None:
    rules = ExitRules.parse(["reject 10.0.0.0/8:*", "accept *:*"])
    assert rules.allows("intranet.example", 80), "a client does not know better"
    assert not rules.allows("intranet.example", 80, ip_address("10.0.0.1"))
    assert not rules.allows("intranet.example", 80, ip_address("::ffff:10.0.0.1"))
    assert rules.allows("intranet.example", 80, ip_address("192.0.2.1"))


def test_a_list_has_an_end() -> None:
    ExitRules.parse(["accept *:1"] * RULES_CAP)
    with pytest.raises(RecordError, match="more than 256"):
        ExitRules.parse(["accept *:1"] * (RULES_CAP + 1))


@given(st.text(max_size=80))
def test_any_text_is_a_rule_that_comes_back_or_an_error(text: str) -> None:
    try:
        rule = ExitRule.parse(text)
    except RecordError:
        return
    assert ExitRule.parse(str(rule)) == rule


@given(
    st.lists(
        st.builds(
            "{} {}:{}".format,
            st.sampled_from(["accept", "reject"]),
            st.sampled_from(["*", "a.example", "*.example", "10.0.0.0/8", "[::/0]"]),
            st.sampled_from(["*", "80", "80-90", "1-65535", "443,80"]),
        ),
        max_size=6,
    )
)
def test_lists_come_back(lines: list[str]) -> None:
    rules = ExitRules.parse(lines)
    assert ExitRules.parse(rules.lines()) == rules
