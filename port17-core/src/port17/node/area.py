"""The area of the internet that an address is in: what somebody who rents one machine can't easily leave.

A source of finer knowledge (whose network a prefix is) can take this one's place where a mesh is made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from port17.records.bottle import Label

IPV4_BITS: Final = 16
"""Bits of an IPv4 address that make its area: prefixes are seldom announced larger, and a customer of one
provider gets most of his addresses from few of them."""
IPV6_BITS: Final = 32
"""The same of an IPv6 address: what a provider is allotted; everything finer its customers have in plenty."""
NAMED: Final = "name"
"""The area of all host names together: whoever owns a domain can make as many names as he likes for one
machine."""


def area_of(address: str) -> str:
    """The area of one address, in whatever form its transport writes it.

    :param address: ``HOST:PORT``, ``[IPV6]:PORT``, and what may stand before or behind that.
    """
    rest = address.partition("://")[2] or address
    rest = rest.partition("/")[0]
    host = rest[1:].partition("]")[0] if rest.startswith("[") else rest.rpartition(":")[0] or rest
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return NAMED
    if isinstance(found, ipaddress.IPv6Address):
        # Of addresses that only wrap one of IPv4 there are as many as of that.
        found = found.ipv4_mapped or found.sixtofour or found
    bits = IPV4_BITS if found.version == 4 else IPV6_BITS
    return str(ipaddress.ip_network(f"{found}/{bits}", strict=False))


def areas_of(label: Label) -> Iterable[str]:
    """The areas of all addresses of a label."""
    return {area_of(address) for found in label.addresses.values() for address in found}
