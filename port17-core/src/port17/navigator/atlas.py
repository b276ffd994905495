"""Where nodes are: asks a geo source once per address, looks over its answers, and fills in from the table of
countries what they leave out.

A bottle's claims don't count. What follows for routes and lanes is others' to say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

from port17.errors import ConfigError
from port17.navigator.countries import CONTINENTS, COUNTRIES
from port17.navigator.geo import GeoSource, Nowhere, Place
from port17.records.host import host_of
from port17.records.ip_space import Address, embedded_ipv4

KEPT_CAP: Final = 65_536
"""Places that are kept, some 20 MiB: those of the nodes of a large network, and of some destinations."""
ASN_CAP: Final = (1 << 32) - 1
"""The largest number of an autonomous system (RFC 6793)."""

_NOT_ASKED: Final = "not asked yet"
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


class Unplaceable(ConfigError):
    """A geo source failed at an address: what it would have said is not known, which is not the same as that
    it knows nothing."""


class _NoPlaceError(Exception):
    """What a source says is no place; the text doesn't name the address."""


class Atlas:
    """What one geo source says."""

    def __init__(self, source: GeoSource | None = None) -> None:
        self.source: Final = source if source is not None else Nowhere()
        self._kept: dict[Address, Place | str | None] = {}

    @property
    def is_empty(self) -> bool:
        """It never knows anything."""
        return isinstance(self.source, Nowhere)

    def find(self, ip: Address) -> Place | None:
        """Where an address is. One that only wraps an IPv4 address is where that is.

        :returns: None if nothing is known of it.
        :raises Unplaceable: the source failed.
        """
        if self.is_empty:
            return None
        found = self._kept.get(ip, _NOT_ASKED)
        if found is _NOT_ASKED:
            found = self._kept[ip] = self._ask(ip)
            if len(self._kept) > KEPT_CAP:
                del self._kept[next(iter(self._kept))]
        if isinstance(found, str):
            raise Unplaceable(found, cure="Get its file anew, or name another source in [geo].")
        return found

    def places(self, addresses: Mapping[str, Iterable[str]]) -> tuple[Place, ...]:
        """Where a node is.

        :param addresses: per transport, as its label advertises them. Names are not resolved: whoever is
            asked about them would learn whom we know.
        :returns: one for each number among them that the source knows, in their order.
        :raises Unplaceable: the source failed at one.
        """
        if self.is_empty:
            return ()
        numbers = dict.fromkeys(host_of(one).ip for found in addresses.values() for one in found)
        places = [self.find(ip) for ip in numbers if ip is not None]
        return tuple(place for place in places if place is not None)

    def close(self) -> None:
        """Let go of the source's files."""
        self.source.close()

    def _ask(self, ip: Address) -> Place | str | None:
        """:returns: as :meth:`find`; a text says how the source failed."""
        inner: Address = ip
        for wrapped in embedded_ipv4(ip):
            inner = wrapped
        try:
            said = self.source.locate(inner)
            return None if said is None else _checked(said, ip)
        except _NoPlaceError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a driver's; what it has not said must open nothing
            # Not its text: that may name the address, which may be a destination's.
            why = type(error).__name__
        return f"the geo source {self.source.name!r} failed at an address: {why}"


def _checked(said: Place, ip: Address) -> Place:
    """:raises _NoPlaceError: the source says what is no place."""
    if not isinstance(said, Place):
        raise _NoPlaceError(f"it answered a {type(said).__name__}")
    country, continent, latitude, longitude = said.country, said.continent, said.latitude, said.longitude
    if country and not _COUNTRY.match(country):
        raise _NoPlaceError(f"{country!r} is no country's code")
    if continent and continent not in CONTINENTS:
        raise _NoPlaceError(f"{continent!r} is no continent's code")
    if not 0 <= said.asn <= ASN_CAP:
        raise _NoPlaceError(f"{said.asn} is no AS number")
    if latitude is None or longitude is None:
        latitude = longitude = None
    elif not (math.isfinite(latitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        raise _NoPlaceError(f"{latitude}, {longitude} is nowhere on earth")
    known = COUNTRIES.get(country)
    if known is not None:
        continent = continent or known.continent
        if latitude is None:
            latitude, longitude = float(known.latitude), float(known.longitude)
    if not (country or continent or said.asn or latitude is not None):
        raise _NoPlaceError("it names a place and says nothing of it")
    return Place(ip, said.asn, country, continent, latitude, longitude)
