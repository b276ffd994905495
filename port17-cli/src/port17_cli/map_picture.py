"""The map of a network and the routes over it, as a picture in SVG: drawn by itself, with nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.tally import Measures

WIDTH: Final = 1440
HEIGHT: Final = 720
"""Pixels of the map: two to one, since a degree is as long either way (plate carree)."""
BAND: Final = 90
"""Pixels below the map for nodes of which nobody knows where they are, and for the key."""
STEP: Final = 30
"""Degrees between two lines of the grid."""
SPIRAL: Final = 2.6
"""Pixels between nodes that are at one place: they are put around it as seeds in a sunflower."""
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


def picture(chart: Chart, measures: Measures, marked: Collection[Fingerprint] = ()) -> str:
    """The picture.

    :param marked: nodes of coalitions; they have a red rim.
    """
    spots = _spots(chart)
    unknown = sum(not _placed(node) for node in chart)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + BAND}"'
        f' font-family="sans-serif" font-size="11" fill="{INK}">',
        f"<title>{len(chart)} nodes and their routes</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT + BAND}" fill="{SEA}"/>',
        *_grid(),
        *_lanes(measures.flows, spots),
        *_examples(measures, spots),
        *_nodes(chart, measures, spots, frozenset(marked)),
        *_countries(chart),
        *_key(unknown, marked=bool(marked)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _placed(node: ChartNode) -> bool:
    return any(place.latitude is not None and place.longitude is not None for place in node.places)


def _at(latitude: float, longitude: float) -> _Spot:
    return _Spot((longitude + 180) / 360 * WIDTH, (90 - latitude) / 180 * HEIGHT)


def _spots(chart: Chart) -> dict[Fingerprint, _Spot]:
    """Where each node is drawn: around its place, those of one place beside each other."""
    crowd: dict[tuple[float, float], int] = {}
    found: dict[Fingerprint, _Spot] = {}
    row = 0
    for node in chart:
        place = next((one for one in node.places if one.latitude is not None), None)
        if place is None or place.latitude is None or place.longitude is None:
            found[node.fingerprint] = _Spot(20 + row % 280 * 5, HEIGHT + 16 + row // 280 % 5 * 5)
            row += 1
            continue
        key = (place.latitude, place.longitude)
        nth = crowd[key] = crowd.get(key, -1) + 1
        middle, reach, angle = _at(*key), SPIRAL * math.sqrt(nth), nth * TURN
        found[node.fingerprint] = _Spot(
            middle.x + reach * math.cos(angle), middle.y + reach * math.sin(angle)
        )
    return found


def _grid() -> Iterator[str]:
    yield f'<g stroke="{GRID}" stroke-width="1">'
    for longitude in range(-180, 181, STEP):
        x = _at(0, longitude).x
        yield f'<line x1="{x:.0f}" y1="0" x2="{x:.0f}" y2="{HEIGHT}"/>'
    for latitude in range(-90, 91, STEP):
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
    chart: Chart, measures: Measures, spots: Mapping[Fingerprint, _Spot], marked: frozenset[Fingerprint]
) -> Iterator[str]:
    """A dot per node, as large as its part of the work."""
    work = {
        node.fingerprint: {
            position: serving.get(node.fingerprint, 0.0) for position, serving in measures.serving.items()
        }
        for node in chart
    }
    most = max((sum(shares.values()) for shares in work.values()), default=0.0) or 1.0
    least, largest = DOT
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


def _countries(chart: Chart) -> Iterator[str]:
    """The codes of countries, where their nodes are."""
    seen = {
        place.country: _at(place.latitude, place.longitude)
        for node in chart
        for place in node.places
        if place.country and place.latitude is not None and place.longitude is not None
    }
    yield '<g text-anchor="middle" font-weight="bold" paint-order="stroke" stroke="white" stroke-width="2">'
    for country, spot in sorted(seen.items()):
        yield f'<text x="{spot.x:.1f}" y="{spot.y + 4:.1f}">{escape(country)}</text>'
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
