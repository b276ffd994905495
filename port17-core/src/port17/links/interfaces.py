"""What the system says of the links that this machine is attached to: its own addresses there, and whether
another address is on one of them. Nothing is sent for it.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from port17.links.dialling import Address

DISCARD_PORT = 9
"""Where nothing is ever sent: the port of a connection that only asks for the way (RFC 863)."""
_GROUPS = (
    (socket.AF_INET, "224.0.0.1"),
    (socket.AF_INET6, "ff02::1"),
    (socket.AF_INET6, "ff05::1"),
)
"""Ways to everybody on a link; to the last one, from an address that is good beyond it, if there is one."""
_ANY4 = bytes(4)


def split_scope(host: str) -> tuple[Address, str]:
    """An address and the name of its scope, empty if it has none: ``fe80::1%eth0``.

    :raises ValueError: it is a name, or nothing at all.
    """
    address = ip_address(host)
    if isinstance(address, IPv4Address) or address.scope_id is None:
        return address, ""
    return IPv6Address(int(address)), address.scope_id


def on_link(host: str) -> bool:
    """Whether a host is on one of our links, so that no router is between us.

    :param host: numeric; IPv6 is believed by its scope alone, since a link-local address leads nowhere else.
    """
    try:
        address, _ = split_scope(host)
    except ValueError:
        return False
    if address.version == 6:
        return address.is_link_local
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        try:
            asking.connect((str(address), DISCARD_PORT))
        except OSError:
            return False
    return True


def link_of(host: str) -> str | None:
    """The name of the interface behind which a neighbour is; None if it is none, or can't be told.

    :param host: numeric, a link-local one with its scope.
    """
    try:
        address, scope = split_scope(host)
    except ValueError:
        return None
    if address.version == 6:
        return scope or None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        try:
            asking.connect((host, DISCARD_PORT))
        except OSError:
            return None
        ours = split_scope(asking.getsockname()[0])[0]
    for index, name in socket.if_nameindex():
        if _own(socket.AF_INET, _GROUPS[0][1], index) == ours:
            return name
    return None


def own_addresses() -> list[Address]:
    """This machine's addresses, those from which it would send to its neighbours on each link.

    Link-local ones are without a scope, which means nothing to others; loopback is left out.
    """
    found: list[Address] = []
    for index, _ in socket.if_nameindex():
        for family, group in _GROUPS:
            address = _own(family, group, index)
            if address is not None and not address.is_loopback and not address.is_unspecified:
                found.append(address)
    return list(dict.fromkeys(found))


def _own(family: socket.AddressFamily, group: str, index: int) -> Address | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            if family == socket.AF_INET6:
                asking.connect((group, DISCARD_PORT, 0, index))
            else:
                membership = struct.pack("=4s4si", _ANY4, _ANY4, index)
                asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, membership)
                asking.connect((group, DISCARD_PORT))
            return split_scope(asking.getsockname()[0])[0]
    except (OSError, ValueError):
        return None  # no address of this family, or the link is gone
