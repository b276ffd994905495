"""The area of the internet that a node is in: what somebody who rents one machine can't easily leave.

A source of finer knowledge (whose network a prefix is) can take this one's place where a mesh is made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from port17.records.bottle import Label
from port17.records.host import AREA_BITS_V4, AREA_BITS_V6, host_of
from port17.records.ip_space import embedded_ipv4

NAMED: Final = "name"
"""The area of all host names together: whoever owns a domain can make as many names as he likes for one
machine."""


def area_of(address: str) -> str:
    """The area of one address, public or not, of whatever transport."""
    found = host_of(address).ip
    if found is None:
        return NAMED
    for inner in embedded_ipv4(found):
        found = inner  # of addresses that only wrap one of IPv4 there are as many as of that
    bits = AREA_BITS_V4 if found.version == 4 else AREA_BITS_V6
    return str(ipaddress.ip_network(f"{found}/{bits}", strict=False))


def areas_of(label: Label) -> Iterable[str]:
    """The areas of all addresses of a label."""
    return {area_of(address) for found in label.addresses.values() for address in found}
