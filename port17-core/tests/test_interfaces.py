"""Addresses on links: with their scopes, as they are dialled and told."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from port17.links.dialling import connect
from port17.links.interfaces import link_of, on_link, own_addresses, split_scope
from port17.links.tcp import split_address, told_address

LOOPBACK = socket.if_nametoindex("lo")


def test_scopes_are_taken_apart() -> None:
    assert split_scope("fe80::1%eth0") == (IPv6Address("fe80::1"), "eth0")
    assert split_scope("fe80::1") == (IPv6Address("fe80::1"), "")
    assert split_scope("10.0.0.1") == (IPv4Address("10.0.0.1"), "")
    for text in ("oak.example", "", "10.0.0.1:80", "fe80::1%"):
        with pytest.raises(ValueError, match=r"."):
            split_scope(text)


def test_what_is_told_of_a_link_local_address_can_be_dialled() -> None:
    told = told_address(("fe80::1", 80, 0, LOOPBACK))
    assert told == "[fe80::1%lo]:80"
    assert split_address(told) == ("fe80::1%lo", 80)
    assert told_address(("fe80::1%lo", 80, 0, LOOPBACK)) == told
    assert told_address(("::1", 80, 0, 0)) == "[::1]:80"
    assert told_address(("127.0.0.1", 80)) == "127.0.0.1:80"
    assert told_address(("::ffff:10.1.2.3", 80, 0, 0)) == "10.1.2.3:80"
    assert told_address(("fe80::1", 80, 0, 1 << 20)) == "[fe80::1]:80"


@pytest.mark.anyio
async def test_the_scope_decides_where_a_connection_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Sock(socket.socket):
        def connect(self, address: object) -> None:
            asked.append(address)
            raise OSError(111, "refused")

    monkeypatch.setattr(socket, "socket", Sock)
    for text in ("fe80::1%lo", f"fe80::1%{LOOPBACK}", "fe80::1", "127.0.0.1", "fe80::1%nosuch0"):
        with pytest.raises(OSError, match=r"."):
            await connect(ip_address(text), 80)
    scoped = "fe80::1", 80, 0, LOOPBACK
    assert asked == [scoped, scoped, ("fe80::1", 80), ("127.0.0.1", 80)]


def test_who_is_on_a_link() -> None:
    assert on_link("127.0.0.1")
    assert on_link("fe80::1%lo")
    for host in ("::1", "fd00::1", "2001:db8::1", "198.51.100.1", "oak.example", ""):
        assert not on_link(host)
    assert link_of("fe80::1%lo") == "lo"
    assert link_of("fe80::1") is None
    assert link_of("oak.example") is None


def test_a_machines_own_addresses_are_on_its_links_and_no_loopback() -> None:
    for address in own_addresses():
        assert not address.is_loopback
        assert getattr(address, "scope_id", None) is None
        assert on_link(str(address)) or not (address.version == 4 or address.is_link_local)
