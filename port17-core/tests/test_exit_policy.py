"""The exit policy: what is not public is refused in every disguise, and the rules decide the rest."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.node.exit_policy import ExitPolicy, embedded_ipv4

OPEN = ExitPolicy.parse(["accept *:*"])
NAT64 = IPv6Network("64:ff9b::/96")
TRUSTING = ExitPolicy.parse(["accept *:*"], allow_private=True)

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fdff::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "3fff::1", "2001:2::1", "2001:30::", "2002:909:909::1", "64:ff9b:1::7f00:1", "100::1",
    "5f00::1", "4000::1", "2606:4700::1%eth0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "9.9.9.9",
    "100.63.255.255",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00::1",
]


def disguises(address: IPv4Address) -> list[IPv6Address]:
    low = int(address)
    return [
        IPv6Address((0xFFFF << 32) | low),  # mapped
        IPv6Address(low),  # compatible
        IPv6Address(int(IPv6Address("64:ff9b::")) | low),  # NAT64
        IPv6Address(int(IPv6Address("2002::")) | low << 80),  # 6to4
        IPv6Address(int(IPv6Address("2001::")) | (low ^ 0xFFFF_FFFF)),  # Teredo's client
        IPv6Address(int(IPv6Address("2001::")) | low << 64),  # Teredo's server
    ]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not_public_is_refused_unless_allowed(text: str) -> None:
    assert not OPEN.allows("name.example", 80, ip_address(text))
    assert TRUSTING.allows("name.example", 80, ip_address(text))


@pytest.mark.parametrize("text", [text for text in NOT_PUBLIC if ":" not in text])
def test_a_disguise_changes_nothing(text: str) -> None:
    for disguised in disguises(IPv4Address(text)):
        assert not OPEN.allows("name.example", 80, disguised), disguised


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_the_rules_business(text: str) -> None:
    assert OPEN.allows("name.example", 80, ip_address(text))
    assert not ExitPolicy.parse([]).allows("name.example", 80, ip_address(text))


def test_a_translators_address_is_as_public_as_the_one_in_it() -> None:
    assert OPEN.allows("h", 80, ip_address("64:ff9b::9.9.9.9"))
    assert OPEN.allows("h", 80, ip_address("::ffff:9.9.9.9"))


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_calls_private(address: IPv4Address | IPv6Address) -> None:
    if OPEN.allows("h", 80, address):
        for form in (address, *embedded_ipv4(address)):
            mapped = isinstance(form, IPv6Address) and (form.ipv4_mapped or form in NAT64)
            assert mapped or form.is_global
            assert not any((form.is_multicast, form.is_loopback, form.is_link_local, form.is_unspecified))


@given(st.ip_addresses(v=4))
def test_no_disguise_is_allowed_where_the_plain_form_is_not(address: IPv4Address) -> None:
    for policy in (OPEN, ExitPolicy.parse(["reject 8.0.0.0/5:*", "accept *:*"])):
        if not policy.allows("h", 80, address):
            assert not any(policy.allows("h", 80, disguised) for disguised in disguises(address))


def test_rules_hold_in_order_for_names_and_addresses() -> None:
    policy = ExitPolicy.parse(
        ["reject *.evil.example:*", "reject 9.9.9.0/24:25", "accept [2620::/16]:443", "accept 9.0.0.0/8:*"]
    )
    nine, six = ip_address("9.9.9.9"), ip_address("2620::1")
    assert policy.allows("good.example", 80, nine)
    assert not policy.allows("good.example", 25, nine)
    assert not policy.allows("www.evil.example", 80, nine)
    assert not policy.allows("WWW.EVIL.EXAMPLE.", 80, nine)
    assert policy.allows("good.example", 443, six)
    assert not policy.allows("good.example", 80, six)
    assert not policy.allows("good.example", 80, ip_address("1.1.1.1"))


def test_a_bad_rule_is_named() -> None:
    with pytest.raises(RecordError, match="perhaps"):
        ExitPolicy.parse(["perhaps *:80"])
