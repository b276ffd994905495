"""What a route costs: microseconds, the sum of its parts. All constants of the cost model stand here.

A part is what a round trip and a piece of data probably take. Each has a floor and a cap: who claims to be
quicker than the floor counts as the floor, so that lying wins a bounded amount. How much of that makes a
route likelier is :mod:`~port17.navigator.ranking`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from port17.navigator.chart import ChartNode, Lane
from port17.navigator.geo import Place
from port17.navigator.policy import Judgement, Position

EARTH_KM: Final = 6_371.0
"""Mean radius of the earth."""
LIGHT_US_PER_KM: Final = 10.0
"""There and back in fibre, where light makes 200,000 km/s. No lane is quicker than that over the distance of
its ends, whatever it claims."""
DETOUR: Final = 2.0
"""So many times the light's time a lane is taken for of which nobody says how long it takes: cables bend and
routers wait. More than most take, so that being measured is worth more than silence."""
LATENCY_FLOOR_US: Final = 5_000.0
"""The least round trip that counts: about what two machines in one region take. Below, lies would cost
nothing and differences are not felt."""
LATENCY_CAP_US: Final = 600_000.0
"""The largest that counts: by way of a geostationary satellite."""
USUAL_LANE_US: Final = 100_000.0
"""A lane of which nobody knows how long it takes nor where its ends are: across an ocean."""
USUAL_ENTRY_US: Final = 50_000.0
"""From the client to an entry that it has never measured: within a continent."""

PIECE: Final = 262_144
"""Bytes whose time on a lane counts: a picture, a script. The time of a whole route's piece is taken for the
sum of its lanes' times, so that cost stays a sum; where pieces overlap it is less."""
CAPACITY_MOST: Final = 25_000_000
"""Bytes per second above which more doesn't count: 200 Mbit/s, more than a circuit gets anyway. So a claim of
terabits wins 32 ms against a lane that nobody has measured, and no more."""
USUAL_CAPACITY: Final = 6_250_000
"""Bytes per second of a lane that nobody has measured: 50 Mbit/s, what a cheap server shares out."""
PIECE_CAP_US: Final = 1_000_000.0
"""The longest time of a piece that counts."""

QUEUE_US: Final = 10_000.0
"""What waits in a node that is half busy. With load rho it is rho / (1 - rho) of that, as in a queue to which
arrivals come at random (M/M/1)."""
LOAD_CAP: Final = 900
"""Permille of load beyond which waiting no longer grows: 90 ms. A node says of itself how busy it is; who
says 0 counts as an idle one, and nobody counts as less."""

POLICY_CAP_US: Final = 1_000_000.0
"""The most that policies add for one node, lane or exit; more means never, and who means never excludes."""

POINTS_KEPT: Final = 4_096
"""Places that are kept as points, some hundred KiB: many nodes stand in a few cities, and where only
countries are known there are 250."""

Point: TypeAlias = tuple[float, float, float]
"""A place on the unit sphere."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a route's cost is made of.

    :param what: for people, nodes by their names.
    :param us: microseconds.
    """

    what: str
    us: float


def point(place: Place) -> Point | None:
    """Where a place is; None if that is not known."""
    if place.latitude is None or place.longitude is None:
        return None
    return _point(place.latitude, place.longitude)


@lru_cache(maxsize=POINTS_KEPT)
def _point(latitude: float, longitude: float) -> Point:
    north, east = math.radians(latitude), math.radians(longitude)
    level = math.cos(north)
    return level * math.cos(east), level * math.sin(east), math.sin(north)


def points(places: Iterable[Place]) -> tuple[Point, ...]:
    """All those that are known, each once."""
    found = [point(place) for place in places]
    if len(found) > 1:
        found = list(dict.fromkeys(found))
    return tuple([one for one in found if one is not None])


def apart_km(ones: Sequence[Point], others: Sequence[Point]) -> float | None:
    """Kilometres of the great circle between the closest two; None if one side's are unknown."""
    if not ones or not others:
        return None
    closest = -1.0
    for x, y, z in ones:
        for u, v, w in others:
            cosine = x * u + y * v + z * w
            if cosine > closest:
                closest = cosine
    return EARTH_KM * math.acos(min(1.0, closest))


def distance_km(ones: Iterable[Place], others: Iterable[Place]) -> float | None:
    """Kilometres between the closest two of some places; None if one side's are unknown."""
    return apart_km(points(ones), points(others))


def entry_us(measured_us: float | None) -> float:
    """The way from the client to its entry.

    :param measured_us: by the client's own circuits; None if it has none.
    """
    return USUAL_ENTRY_US if measured_us is None else _within(measured_us, LATENCY_FLOOR_US, LATENCY_CAP_US)


def latency_us(lane: Lane, apart: float | None) -> float:
    """A lane's round trip.

    :param apart: kilometres between its ends; None if that is not known.
    """
    if lane.latency_us > 0:
        light = 0.0 if apart is None else apart * LIGHT_US_PER_KM
        return _within(max(lane.latency_us, light), LATENCY_FLOOR_US, LATENCY_CAP_US)
    if apart is None:
        return USUAL_LANE_US
    return min(LATENCY_FLOOR_US + apart * LIGHT_US_PER_KM * DETOUR, LATENCY_CAP_US)


def piece_us(lane: Lane) -> float:
    """What a piece takes on a lane, by its capacity."""
    capacity = min(lane.capacity, CAPACITY_MOST) if lane.capacity > 0 else USUAL_CAPACITY
    return min(PIECE * 1e6 / capacity, PIECE_CAP_US)


def waiting_us(node: ChartNode) -> float:
    """What waits in a node, by its load."""
    load = min(max(node.load, 0), LOAD_CAP) / 1000
    return QUEUE_US * load / (1.0 - load)


def charged_us(judgement: Judgement) -> float:
    """What policies add."""
    return min(judgement.cost_us, POLICY_CAP_US)


def lane_parts(source: ChartNode, target: ChartNode, lane: Lane, *judgements: Judgement) -> list[Part]:
    """A lane's parts, with what policies add."""
    between = f"{source.name} to {target.name}"
    apart = distance_km(source.places, target.places)
    return [
        Part(f"{between}: latency", latency_us(lane, apart)),
        Part(f"{between}: capacity", piece_us(lane)),
        *(part for judgement in judgements for part in charges(between, judgement)),
    ]


def node_parts(node: ChartNode, position: Position, *judgements: Judgement) -> list[Part]:
    """A node's parts, with what policies add."""
    waiting = waiting_us(node)
    busy = [Part(f"{node.name}: load", waiting)] if waiting else []
    what = f"{node.name} as {position}"
    return [*busy, *(part for judgement in judgements for part in charges(what, judgement))]


def charges(what: str, judgement: Judgement) -> list[Part]:
    """What policies add, each with its share of what counts."""
    if not judgement.cost_us:
        return []
    counts = charged_us(judgement) / judgement.cost_us
    return [Part(f"{what}: {by}", us * counts) for by, us in judgement.charges if us]


def _within(us: float, floor: float, cap: float) -> float:
    return min(max(us, floor), cap)
