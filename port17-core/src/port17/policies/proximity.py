"""The policy ``proximity``, always on: exits near the destination are preferred."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address
from typing import Annotated, Final

from pydantic import Field

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.cost import DETOUR, LIGHT_US_PER_KM, USUAL_LANE_US, Point, apart_km, point
from port17.navigator.countries import COUNTRIES
from port17.navigator.geo import Place
from port17.navigator.policy import Request, RoutePolicy
from port17.records.exit_rules import normal_host

WEIGHT_CAP: Final = 10.0
"""Largest weight: with ten times its real price distance decides everything else."""
SOLD_ABROAD: Final = frozenset(
    {
        "ac", "ad", "ag", "ai", "as", "bz", "cc", "cd", "co", "dj", "fm", "ga", "gg", "gl", "gq", "im", "io",
        "la", "ly", "me", "ml", "ms", "mu", "nu", "pw", "sc", "sh", "sr", "st", "su", "tk", "tm", "to", "tv",
        "vc", "vg", "vu", "ws",
    }
)  # fmt: skip
"""Endings of countries that are sold to everybody: they say nothing about where a server is. The generic ones
by Google's list for webmasters, and others whose registries advertise to foreigners (2026)."""
OTHER_ENDINGS: Final = {"uk": "GB"}
"""Endings of countries that are not their codes."""
NOWHERE: Final = IPv4Address(0)
"""The address of a place that is a country's and no machine's."""
PLACES_KEPT: Final = 256
"""Destinations' places that are kept in the form in which distances are worked out."""
DISTANCES_KEPT: Final = 16_384
"""Distances that are kept, some MiB: thousands of exits are asked about for one connection, and most of them
stand in a few hundred places."""
ASKED_KEPT: Final = 4
"""Names whose ending is kept: one is asked about thousands of times in a row, and no list of what was visited
shall come of it."""


class Proximity(RoutePolicy):
    """Counts an exit as slower by the time that light in cables takes from it to the destination and back."""

    class Config(RoutePolicy.Config):
        """How much nearness counts.

        :param weight: 1 counts distance as the time it costs, 0 not at all, 2 twice.
        :param by_ending: take a name that ends in a country's code for a server in that country.
        """

        weight: Annotated[float, Field(ge=0, le=WEIGHT_CAP)] = 1.0
        by_ending: bool = True

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._us_per_km = self.config.weight * LIGHT_US_PER_KM * DETOUR
        self._unknown_us = self.config.weight * USUAL_LANE_US

    @hookimpl
    def exit_cost(self, node: ChartNode, request: Request) -> float | None:
        """By the farthest of the exit's addresses: by which one it leaves nobody knows. One whose place is
        not known counts as an ocean away, so that hiding it wins nothing."""
        country = ""
        if request.place is not None:
            there = point(request.place)
        elif self.config.by_ending:
            country = country_of(request.host)
            there = _middle(country)
        else:
            return None
        if there is None or not self._us_per_km:
            return None
        farthest, abroad = -1.0, not country
        for place in node.places:
            abroad = abroad or place.country != country
            if place.latitude is not None and place.longitude is not None:
                apart = _apart_km(place.latitude, place.longitude, there)
                if apart > farthest:
                    farthest = apart
        if not abroad and node.places:
            return None  # where in its country a server is, its name doesn't say
        return self._unknown_us if farthest < 0.0 else farthest * self._us_per_km


@lru_cache(maxsize=ASKED_KEPT)
def country_of(host: str) -> str:
    """The country that a name's ending speaks of; empty if none. An address has no ending."""
    ending = normal_host(host).rpartition(".")
    if not ending[1] or ending[2] in SOLD_ABROAD:
        return ""
    code = OTHER_ENDINGS.get(ending[2], ending[2].upper())
    return code if code in COUNTRIES else ""


@lru_cache(maxsize=DISTANCES_KEPT)
def _apart_km(latitude: float, longitude: float, there: Point) -> float:
    here = point(Place(NOWHERE, latitude=latitude, longitude=longitude))
    return 0.0 if here is None else apart_km((here,), (there,)) or 0.0


@lru_cache(maxsize=PLACES_KEPT)
def _middle(country: str) -> Point | None:
    found = COUNTRIES.get(country)
    return (
        None if found is None else point(Place(NOWHERE, latitude=found.latitude, longitude=found.longitude))
    )
