"""What records of the various publishers say, each in keys of its own; opens nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

LAST_ASN: Final = (1 << 32) - 1
"""The largest number of an autonomous system (RFC 6793)."""
CONTINENTS: Final = frozenset({"AF", "AN", "AS", "EU", "NA", "OC", "SA"})

_CODE = re.compile(r"[A-Za-z]{2}\Z")
_NUMBER = re.compile(r"(?:AS)?([0-9]{1,10})\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Spot:
    """What a country or city file says of a network.

    :param country: two capitals; empty if the record names none.
    :param continent: two capitals; empty if the record names none.
    :param latitude: degrees north.
    :param longitude: degrees east.
    """

    country: str = ""
    continent: str = ""
    latitude: float | None = None
    longitude: float | None = None


def spot(record: object) -> Spot | None:
    """The place in a record, by whichever of the keys it has:

    - ``country.iso_code``, ``continent.code``, ``location.latitude``: MaxMind, DB-IP;
    - ``country_code``, ``continent_code``, ``latitude``: IPLocate, ip-location-db;
    - ``country``, ``continent``: IPinfo.

    Where a network is *registered* is not where it is, and does not count.

    :returns: None if it says nothing of a place.
    """
    if not isinstance(record, Mapping):
        return None
    country = _code(_inside(record, "country", "iso_code"), record.get("country_code"), record.get("country"))
    continent = _code(
        _inside(record, "continent", "code"), record.get("continent_code"), record.get("continent")
    )
    location = record.get("location")
    latitude, longitude = _coordinates(location if isinstance(location, Mapping) else record)
    continent = continent if continent in CONTINENTS else ""
    if not (country or continent or latitude is not None):
        return None
    return Spot(country, continent, latitude, longitude)


def system(record: object) -> int:
    """The AS number in a record: ``autonomous_system_number`` (MaxMind, DB-IP, ip-location-db) or ``asn``,
    as a number or as text (IPLocate, IPinfo).

    :returns: 0 if it names none.
    """
    if not isinstance(record, Mapping):
        return 0
    for said in (record.get("autonomous_system_number"), record.get("asn")):
        if isinstance(said, str) and (match := _NUMBER.match(said)):
            said = int(match[1])
        if isinstance(said, int) and not isinstance(said, bool) and 0 < said <= LAST_ASN:
            return said
    return 0


def keys(record: object) -> list[str]:
    """The keys of a record, for messages about one that nothing can be made of."""
    return sorted(map(str, record))[:12] if isinstance(record, Mapping) else []


def _inside(record: Mapping[str, Any], key: str, inner: str) -> object:
    held = record.get(key)
    return held.get(inner) if isinstance(held, Mapping) else None


def _code(*said: object) -> str:
    """The first that is two letters."""
    for one in said:
        if isinstance(one, str) and _CODE.match(one):
            return one.upper()
    return ""


def _coordinates(record: Mapping[str, Any]) -> tuple[float, float] | tuple[None, None]:
    latitude, longitude = _degrees(record.get("latitude"), 90), _degrees(record.get("longitude"), 180)
    if latitude is None or longitude is None:
        return None, None
    return latitude, longitude


def _degrees(said: object, most: int) -> float | None:
    if isinstance(said, str):
        try:
            said = float(said)
        except ValueError:
            return None
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return float(said) if math.isfinite(said) and abs(said) <= most else None
