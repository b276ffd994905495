"""Which area an address is in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from port17.node.area import area_of, areas_of


@pytest.mark.parametrize(
    ("address", "area"),
    [
        ("192.0.2.7:1717", "192.0.0.0/16"),
        ("192.0.255.255:1", "192.0.0.0/16"),
        ("192.1.0.0:1", "192.1.0.0/16"),
        ("wss://192.0.2.7:443/way", "192.0.0.0/16"),
        ("[2001:db8:1:2::3]:1717", "2001:db8::/32"),
        ("[2001:db9::]:1", "2001:db9::/32"),
        ("[fe80::1]:1", "fe80::/32"),
        ("[::1]:1", "::/32"),
        # Whoever has an address of IPv4 has these as well.
        ("[::ffff:192.0.2.7]:1717", "192.0.0.0/16"),
        ("[2002:c000:0207::1]:1717", "192.0.0.0/16"),
        ("[64:ff9b::c000:207]:1717", "192.0.0.0/16"),
        # And whoever has a domain has names without end.
        ("node.example.org:1717", "name"),
        ("a.b.c.example.com:1", "name"),
        ("192.0.2.7.example.org:1", "name"),
        ("0300.0.2.7:1", "name"),
        ("memory-7", "name"),
        ("", "name"),
        (":", "name"),
        ("[", "name"),
    ],
)
def test_an_address_is_in_the_area_that_is_hard_to_leave(address: str, area: str) -> None:
    assert area_of(address) == area


def test_a_label_is_in_all_areas_of_its_addresses() -> None:
    addresses = {"tcp": ("192.0.2.7:1", "192.0.2.8:1", "[2001:db8::1]:1"), "tls": ("example.org:2",)}
    assert areas_of(SimpleNamespace(addresses=addresses)) == {"192.0.0.0/16", "2001:db8::/32", "name"}
