"""The areas of the internet that a node is in: what somebody who rents one machine can't easily leave.

The prefix of an address is one; whose network that is, its AS, is another where a geo source knows it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from port17.navigator.atlas import Atlas, Unplaceable
from port17.navigator.geo import Place
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


def public_area(address: str) -> Iterable[str]:
    """The area of a caller who advertises no address, by where its ship comes from: none if that is not a
    public address."""
    area = host_of(address).area
    return () if area is None else (area,)


class Areas:
    """The same, and the autonomous systems that a geo source knows."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas

    def of(self, label: Label) -> set[str]:
        """As :func:`areas_of`."""
        try:
            systems = {_system(place) for place in self._atlas.places(label.addresses)}
        except Unplaceable:
            systems = set()  # the prefixes still count; no route uses the node
        return {*areas_of(label), *systems} - {""}

    def at(self, address: str) -> set[str]:
        """As :func:`public_area`."""
        host = host_of(address)
        if host.ip is None or host.area is None:
            return set()
        try:
            place = self._atlas.find(host.ip)
        except Unplaceable:
            place = None
        return {host.area, _system(place)} - {""}


def _system(place: Place | None) -> str:
    return f"AS{place.asn}" if place is not None and place.asn else ""
