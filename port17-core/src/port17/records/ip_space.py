"""Which internet addresses are public, and which of them lead to another one.

Pure; what follows for an exit, or for whoever dials what a bottle advertises, is theirs to say.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host, this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""IPv4 that is not globally reachable (the IANA special-purpose registry, RFC 6890). Written out because
``ipaddress``'s own idea of it differs between Python versions."""
_NOT_PUBLIC_V4_ENDS = sorted(
    end
    for network in ipaddress.collapse_addresses(_NOT_PUBLIC_V4)
    for end in (int(network[0]), int(network[-1]) + 1)
)
"""Where one of these begins, and the next address behind it, in turns: so one search finds whether an address
is in any, and of a chart with ten thousand nodes all are looked at at once."""
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
"""Global unicast: all of IPv6 that is public lies in it, so loopback, link-local, unique local, multicast,
unspecified and whatever is assigned later are refused without being named."""
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: deprecated (RFC 7526), and leads into IPv4
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix of translators to IPv4 (RFC 6052). The local one, 64:ff9b:1::/48, is never public."""
_COMPATIBLE = ipaddress.IPv6Network("::/96")
"""IPv4-compatible addresses (RFC 4291, 2.5.5.1; deprecated, still routed by some stacks)."""


def embedded_ipv4(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: mapped, compatible, NAT64, 6to4 and Teredo."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[ipaddress.IPv4Address] = []
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return found


def is_public_v4(number: int) -> bool:
    """Whether an IPv4 address, given as a number, is globally reachable."""
    return bisect_right(_NOT_PUBLIC_V4_ENDS, number) % 2 == 0


def is_public(address: Address) -> bool:
    """Whether an address is globally reachable, as far as its own form says: see :func:`embedded_ipv4`."""
    if isinstance(address, ipaddress.IPv4Address):
        return is_public_v4(int(address))
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None or address in _NAT64:
        return True  # It is as public as the IPv4 address in it, which is judged by itself.
    return address in _PUBLIC_V6 and not _within(address, _NOT_PUBLIC_V6)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
