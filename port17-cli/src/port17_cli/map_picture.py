"""The map of a network and the routes over it, as a picture in SVG: drawn by itself, with nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final
from xml.sax.saxutils import escape

from port17.navigator.chart import Chart, Fingerprint
from port17.navigator.tally import Measures

WIDTH: Final = 1440
HEIGHT: Final = 720
"""Pixels of the map."""
NORTH: Final = 80
SOUTH: Final = -60
"""Degrees of latitude between which it lies: beyond nobody has machines."""
BAND: Final = 90
"""Pixels below the map for nodes of which nobody knows where they are, and for the key."""
STEP: Final = 30
"""Degrees between two lines of the grid."""
SPIRAL: Final = 4.0
"""Pixels between nodes of one country, at most: they are put around its middle as seeds in a sunflower."""
ROOM: Final = 0.2
"""Share of the map that all nodes may take: of many each takes less."""
MARGIN: Final = 6.0
"""Pixels between two countries."""
PUSHES: Final = 120
"""Times that countries which overlap are pushed apart. Europe's do; so the map is bent, and readable."""
HOME: Final = 0.1
"""Part of the way home that a country goes before each of the first half of these pushes."""
CELL: Final = 10
"""Degrees within which nodes of no known country are taken for neighbours."""
TURN: Final = math.pi * (3 - math.sqrt(5))
"""The golden angle."""
LANES_CAP: Final = 600
"""Lanes that are drawn: those with the most routes. More is a grey spot."""
DOT: Final = (1.2, 7.0)
"""Least and largest radius of a node, pixels."""

SEA: Final = "#f6f8fa"
GRID: Final = "#dfe5ea"
INK: Final = "#3b4754"
LANE: Final = "#7890a8"
ROUTE: Final = "#1f77d0"
HOSTILE: Final = "#c62828"
COLOURS: Final = {"entry": "#1f77d0", "middle": "#8a97a5", "exit": "#e08a1e"}
"""What a node is in most of its routes. Colours that can be told apart by who sees no red."""


@dataclass(frozen=True, slots=True)
class _Spot:
    x: float
    y: float


@dataclass(slots=True)
class _Crowd:
    """Nodes of one country.

    :param x: where its middle is drawn.
    :param radius: pixels that it takes.
    """

    name: str
    x: float
    y: float
    nodes: list[Fingerprint] = field(default_factory=list)
    radius: float = 0.0


def picture(chart: Chart, measures: Measures, marked: Collection[Fingerprint] = ()) -> str:
    """The picture.

    :param marked: nodes of coalitions; they have a red rim.
    """
    crowds, lost = _crowds(chart)
    step = min(SPIRAL, math.sqrt(ROOM * WIDTH * HEIGHT / (math.pi * max(len(chart), 1))))
    _push_apart(crowds, step)
    spots = dict(_spots(crowds, lost, step))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + BAND}"'
        f' font-family="sans-serif" font-size="11" fill="{INK}">',
        f"<title>{len(chart)} nodes and their routes</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT + BAND}" fill="{SEA}"/>',
        *_grid(),
        *_lanes(measures.flows, spots),
        *_examples(measures, spots),
        *_nodes(chart, measures, spots, frozenset(marked), step),
        *_countries(crowds),
        *_key(len(lost), marked=bool(marked)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(latitude: float, longitude: float) -> _Spot:
    return _Spot((longitude + 180) / 360 * WIDTH, (NORTH - latitude) / (NORTH - SOUTH) * HEIGHT)


def _crowds(chart: Chart) -> tuple[list[_Crowd], list[Fingerprint]]:
    """The nodes by country, and those of which nobody knows where they are."""
    crowds: dict[str, _Crowd] = {}
    lost = []
    for node in chart:
        for place in node.places:
            if place.latitude is None or place.longitude is None:
                continue
            cell = f"{place.latitude // CELL} {place.longitude // CELL}"
            spot = _at(place.latitude, place.longitude)
            crowd = crowds.setdefault(place.country or cell, _Crowd(place.country, spot.x, spot.y))
            crowd.nodes.append(node.fingerprint)
            break
        else:
            lost.append(node.fingerprint)
    return sorted(crowds.values(), key=lambda crowd: (crowd.name, crowd.x, crowd.y)), lost


def _push_apart(crowds: list[_Crowd], step: float) -> None:
    """Move countries until none covers another, or they have been moved often enough."""
    for crowd in crowds:
        crowd.radius = step * math.sqrt(len(crowd.nodes)) + MARGIN
    homes = [(crowd.x, crowd.y) for crowd in crowds]
    for turn in range(PUSHES):
        moved = turn < PUSHES // 2
        for crowd, (home_x, home_y) in zip(crowds, homes, strict=True) if moved else ():
            crowd.x += (home_x - crowd.x) * HOME
            crowd.y += (home_y - crowd.y) * HOME
        for one, other in combinations(crowds, 2):
            x, y = other.x - one.x, other.y - one.y
            apart, wanted = math.hypot(x, y), one.radius + other.radius
            if apart >= wanted:
                continue
            if apart < 1.0:  # one upon the other: any direction will do, the same each time
                x, y, apart = 1.0, 0.0, 1.0
            # The smaller one gives way.
            push, share = (wanted - apart) / apart / 2, other.radius / wanted
            one.x, one.y = one.x - x * push * share, one.y - y * push * share
            other.x, other.y = other.x + x * push * (1 - share), other.y + y * push * (1 - share)
            moved = True
        for crowd in crowds:
            crowd.x = min(max(crowd.x, crowd.radius), WIDTH - crowd.radius)
            crowd.y = min(max(crowd.y, crowd.radius), HEIGHT - crowd.radius)
        if not moved:
            break


def _spots(crowds: list[_Crowd], lost: list[Fingerprint], step: float) -> Iterator[tuple[Fingerprint, _Spot]]:
    """Where each node is drawn."""
    for crowd in crowds:
        for nth, fingerprint in enumerate(crowd.nodes):
            reach, angle = step * math.sqrt(nth), nth * TURN
            yield fingerprint, _Spot(crowd.x + reach * math.cos(angle), crowd.y + reach * math.sin(angle))
    row = (WIDTH - 40) // 5
    for nth, fingerprint in enumerate(lost):
        yield fingerprint, _Spot(20 + nth % row * 5, HEIGHT + 18 + nth // row % 7 * 5)


def _grid() -> Iterator[str]:
    yield f'<g stroke="{GRID}" stroke-width="1">'
    for longitude in range(-180, 181, STEP):
        x = _at(0, longitude).x
        yield f'<line x1="{x:.0f}" y1="0" x2="{x:.0f}" y2="{HEIGHT}"/>'
    for latitude in range(SOUTH, NORTH + 1, STEP):
        y = _at(latitude, 0).y
        yield f'<line x1="0" y1="{y:.0f}" x2="{WIDTH}" y2="{y:.0f}"/>'
    yield "</g>"


def _lanes(
    flows: Mapping[tuple[Fingerprint, Fingerprint], float], spots: Mapping[Fingerprint, _Spot]
) -> Iterator[str]:
    """The lanes that carry most, the more the darker."""
    busiest = sorted(flows.items(), key=lambda item: (-item[1], item[0]))[:LANES_CAP]
    most = busiest[0][1] if busiest else 1.0
    yield f'<g stroke="{LANE}" stroke-width="0.8">'
    for (source, target), flow in reversed(busiest):
        a, b = spots[source], spots[target]
        yield (
            f'<line x1="{a.x:.1f}" y1="{a.y:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"'
            f' stroke-opacity="{0.08 + 0.5 * flow / most:.2f}"/>'
        )
    yield "</g>"


def _examples(measures: Measures, spots: Mapping[Fingerprint, _Spot]) -> Iterator[str]:
    """Some whole routes, each a line through its nodes."""
    yield f'<g fill="none" stroke="{ROUTE}" stroke-width="1.4" stroke-opacity="0.45">'
    for route in measures.examples:
        points = " ".join(
            f"{spots[one.fingerprint].x:.1f},{spots[one.fingerprint].y:.1f}" for one in route.nodes
        )
        names = " > ".join(escape(one.name) for one in route.nodes)
        yield f'<polyline points="{points}"><title>{names}</title></polyline>'
    yield "</g>"


def _nodes(
    chart: Chart,
    measures: Measures,
    spots: Mapping[Fingerprint, _Spot],
    marked: frozenset[Fingerprint],
    step: float,
) -> Iterator[str]:
    """A dot per node, as large as its part of the work."""
    work = {
        node.fingerprint: {
            position: serving.get(node.fingerprint, 0.0) for position, serving in measures.serving.items()
        }
        for node in chart
    }
    most = max((sum(shares.values()) for shares in work.values()), default=0.0) or 1.0
    least, largest = (radius * step / SPIRAL for radius in DOT)
    for node in sorted(chart, key=lambda one: -sum(work[one.fingerprint].values())):
        shares = work[node.fingerprint]
        total = sum(shares.values())
        role = max(shares, key=lambda position: shares[position]) if total else "middle"
        spot, radius = spots[node.fingerprint], least + (largest - least) * math.sqrt(total / most)
        rim = f' stroke="{HOSTILE}" stroke-width="1.2"' if node.fingerprint in marked else ""
        words = ", ".join(f"{position} {100 * share:.2f} %" for position, share in shares.items())
        yield (
            f'<circle cx="{spot.x:.1f}" cy="{spot.y:.1f}" r="{radius:.1f}" fill="{COLOURS[role]}"'
            f' fill-opacity="{0.85 if total else 0.35}"{rim}>'
            f"<title>{escape(node.name)}: {words}</title></circle>"
        )


def _countries(crowds: list[_Crowd]) -> Iterator[str]:
    """The codes of countries, where their nodes are."""
    yield '<g text-anchor="middle" font-weight="bold" paint-order="stroke" stroke="white" stroke-width="3">'
    for crowd in crowds:
        yield f'<text x="{crowd.x:.1f}" y="{crowd.y + 4:.1f}">{escape(crowd.name)}</text>'
    yield "</g>"


def _key(unknown: int, *, marked: bool) -> Iterator[str]:
    y = HEIGHT + BAND - 14
    if unknown:
        yield f'<text x="20" y="{HEIGHT + 10}">{unknown} nodes: nobody says where they are</text>'
    x = 20
    for role, colour in COLOURS.items():
        yield f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{colour}"/><text x="{x + 10}" y="{y}">{role}</text>'
        x += 90
    if marked:
        yield (
            f'<circle cx="{x}" cy="{y - 4}" r="5" fill="white" stroke="{HOSTILE}" stroke-width="1.5"/>'
            f'<text x="{x + 10}" y="{y}">of a coalition</text>'
        )
        x += 120
    yield (
        f'<line x1="{x}" y1="{y - 4}" x2="{x + 24}" y2="{y - 4}" stroke="{ROUTE}" stroke-width="2"/>'
        f'<text x="{x + 30}" y="{y}">routes of some clients</text>'
    )
    yield f'<text x="{x + 190}" y="{y}">a node is as large as its part of all routes</text>'
