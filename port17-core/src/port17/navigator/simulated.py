"""Simulated charts: networks of any size that look like real ones, to try routes and policies on. Equal seeds
give equal charts. What comes of routes over them is :mod:`~port17.navigator.measure`'s to say.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final, NamedTuple

from port17.errors import UsageError
from port17.navigator.chart import Chart, ChartNode, Fingerprint, Lane
from port17.navigator.geo import Place
from port17.records.bottle import CAPACITY_CAP
from port17.records.exit_rules import ExitRules
from port17.records.framing import digest
from port17.records.identity import node_id
from port17.records.ip_space import is_public

NODES_CAP: Final = 200_000
"""Most nodes of a simulated chart: some 2 GiB."""
ENDS_CAP: Final = 128
"""Most lanes per node that may be asked for: as many as a bottle names."""
HOSTILE_MARK: Final = "hostile"
"""The mark of hostile nodes, by which whoever judges finds them. No policy of the project reads it, and no
moderator gives it."""
SUITE: Final = "simulated"
"""The cipher suite that all nodes serve."""
TRANSPORT: Final = "tcp"

LEAST_LANES: Final = 4
LANES_PER_BIT: Final = 1.3
ENDS_PER_TARGET: Final = 1.15
"""Lanes per node, by the size of the network, as docs/mesh.md has measured them."""
GRANTS: Final = 2
"""A node has at most so many times the usual lanes."""
MARK_SHARE: Final = 4
"""One in so many of a node's lanes may go to one group, as in the mesh."""
DRAWS: Final = 16
"""Draws of a peer before a node goes with a lane fewer: in networks of a few nodes, or of a large group."""

NEW_AS: Final = 0.12
"""Chance that a node is the first of its AS in its country; else it is where another one is. So few ASes have
many nodes and most have one (Simon's process), and 8,000 nodes have some 1,000 ASes, as those of Tor had in
2025."""
NEW_PREFIX: Final = 0.25
"""The same for /16 networks in an AS."""
GROUPED: Final = 0.15
"""Share of nodes that name a group."""
NEW_GROUP: Final = 0.3
"""Chance that such a node is the first of its group: three to four nodes in the mean, some with dozens."""
WEB_ONLY: Final = 0.3
"""Share of exits that open the web's ports alone."""
TRUSTED: Final = 0.3
"""Share of exits that the charter trusts with unencrypted connections."""
UNMEASURED: Final = 0.25
"""Share of lanes whose capacity nobody has measured."""

FIBRE_KM_PER_S: Final = 200_000.0
"""Light in fibre."""
DETOUR: Final = 1.6
"""So much longer than the great circle is the way of packets, in the mean."""
ACCESS_US: Final = 1_000.0
"""Microseconds that each end of a lane adds at least."""
ACCESS_SPREAD_US: Final = 3_000.0
"""Mean of what it adds beyond that."""
EARTH_KM: Final = 6_371.0
STRAY_DEGREES: Final = 2.0
"""Standard deviation of a node's true place around its country's; a geo source knows only the latter."""
UPLINKS: Final = ((12_500_000, 0.35), (31_250_000, 0.25), (125_000_000, 0.35), (1_250_000_000, 0.05))
"""Bytes per second of a node's uplink, and what share of nodes has it: 100, 250, 1,000 and 10,000 Mbit/s."""
FIRST_ASN: Final = 4_200_000_000
"""Numbers for private use (RFC 6996): no simulated AS is anybody's."""

OPEN: Final = ExitRules.parse(["accept *:*"])
WEB: Final = ExitRules.parse(["accept *:80,443"])


class Country(NamedTuple):
    """Where simulated nodes are.

    :param latitude: degrees north of where its machines stand.
    :param longitude: degrees east.
    :param weight: how many of some thousand nodes; the order is that of countries where hosting is cheap, a
        scale for trials and no statistics.
    """

    code: str
    continent: str
    latitude: float
    longitude: float
    weight: int


COUNTRIES: Final = (
    Country("DE", "EU", 50.5, 9.5, 210),
    Country("US", "NA", 39.0, -95.0, 190),
    Country("FR", "EU", 48.0, 2.5, 95),
    Country("NL", "EU", 52.3, 5.3, 85),
    Country("GB", "EU", 52.0, -1.0, 45),
    Country("CA", "NA", 46.0, -76.0, 40),
    Country("SE", "EU", 59.3, 17.0, 38),
    Country("CH", "EU", 47.0, 8.0, 36),
    Country("FI", "EU", 60.5, 25.0, 34),
    Country("PL", "EU", 52.0, 20.0, 28),
    Country("AT", "EU", 48.0, 15.5, 24),
    Country("RO", "EU", 45.0, 25.0, 22),
    Country("LU", "EU", 49.6, 6.1, 16),
    Country("CZ", "EU", 50.0, 15.0, 16),
    Country("ES", "EU", 40.4, -3.7, 14),
    Country("IT", "EU", 45.0, 9.5, 14),
    Country("NO", "EU", 59.9, 10.7, 12),
    Country("DK", "EU", 55.7, 12.0, 12),
    Country("SG", "AS", 1.3, 103.8, 14),
    Country("JP", "AS", 35.7, 139.7, 14),
    Country("AU", "OC", -33.8, 151.0, 12),
    Country("UA", "EU", 50.0, 30.0, 10),
    Country("BG", "EU", 42.7, 23.5, 10),
    Country("IE", "EU", 53.3, -6.5, 8),
    Country("HK", "AS", 22.3, 114.2, 8),
    Country("IN", "AS", 19.0, 73.0, 8),
    Country("BR", "SA", -23.5, -46.6, 10),
    Country("ZA", "AF", -29.0, 26.0, 5),
    Country("IS", "EU", 64.1, -21.9, 5),
    Country("MD", "EU", 47.0, 28.8, 6),
    Country("LT", "EU", 54.9, 24.0, 6),
    Country("CL", "SA", -33.4, -70.6, 4),
    Country("MX", "NA", 19.4, -99.1, 4),
    Country("KR", "AS", 37.5, 127.0, 6),
    Country("NZ", "OC", -37.0, 175.0, 3),
    Country("KE", "AF", -1.3, 36.8, 2),
)
"""Places are approximate, of the regions where the countries' machine halls are."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """An attacker's part of a simulated network. His nodes have as many lanes as all others.

    :param share: of all nodes, 0 to 1.
    :param group: the group that his nodes name; empty if they name none.
    :param systems: of how many AS he rents, and nobody else does; 0 if his nodes stand where all others do.
    :param lying: they claim no load, and that the lanes among themselves cost no time and carry everything.
    """

    share: float
    group: str = ""
    systems: int = 0
    lying: bool = False


@dataclass(slots=True)
class _Node:
    """A node that is being made.

    :param at: where it really is, as a unit vector.
    :param access_us: microseconds that its own line adds.
    """

    fingerprint: Fingerprint
    place: Place
    at: tuple[float, float, float]
    access_us: float
    uplink: int
    group: str
    hostile: bool
    hidden: bool
    exit: ExitRules | None
    trusted: bool
    load: int
    lanes: dict[int, Lane]


def usual_ends(nodes: int) -> int:
    """Lanes per node, in the mean, of a mesh of so many nodes (docs/mesh.md)."""
    if nodes < 2:
        return 0
    target = max(LEAST_LANES, math.ceil(LANES_PER_BIT * math.log2(nodes)))
    return min(nodes - 1, round(ENDS_PER_TARGET * target))


def simulated_chart(
    nodes: int,
    *,
    seed: int = 0,
    ends: int | None = None,
    exits: float = 1 / 3,
    hidden: float = 0.1,
    hostile: Hostile | None = None,
) -> Chart:
    """A network that nobody has built.

    :param nodes: how many, at most :data:`NODES_CAP`.
    :param ends: lanes per node in the mean, so half as many per node in all; None takes the mesh's usual.
    :param exits: share of nodes that have an address and open connections.
    :param hidden: share of nodes that have no address, and so serve in the middle alone.
    :param hostile: an attacker's nodes, drawn from all; they have :data:`HOSTILE_MARK`.
    :raises UsageError: a number is out of bounds.
    """
    if not 0 <= nodes <= NODES_CAP:
        raise UsageError(f"A simulated chart of {nodes} nodes: there can be 0 to {NODES_CAP}.")
    wanted = usual_ends(nodes) if ends is None else ends
    if not 0 <= wanted <= ENDS_CAP:
        raise UsageError(f"Nodes with {wanted} lanes each: there can be 0 to {ENDS_CAP}.")
    rng = Random(f"simulated {seed}")
    made = _nodes(nodes, seed, rng, exits, hidden, hostile)
    _draw_lanes(made, min(wanted, max(nodes - 1, 0)), rng, lying=hostile is not None and hostile.lying)
    order = sorted(range(nodes), key=lambda index: made[index].fingerprint)
    return Chart.of_ordered({made[index].fingerprint: _finished(index, made) for index in order}, ())


def distance_km(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Kilometres along the great circle between two unit vectors."""
    cosine = one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
    return EARTH_KM * math.acos(max(-1.0, min(1.0, cosine)))


def unit_vector(latitude: float, longitude: float) -> tuple[float, float, float]:
    """A place on a sphere of radius 1, of degrees north and east."""
    north, east = math.radians(latitude), math.radians(longitude)
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _nodes(
    count: int, seed: int, rng: Random, exits: float, hidden: float, hostile: Hostile | None
) -> list[_Node]:
    share = 0.0 if hostile is None else hostile.share
    ours = frozenset(rng.sample(range(count), round(share * count)))
    weights = [country.weight for country in COUNTRIES]
    countries = rng.choices(COUNTRIES, weights, k=count)
    uplinks = rng.choices([rate for rate, _ in UPLINKS], [share for _, share in UPLINKS], k=count)
    internet = _Internet(rng)
    rented = [
        (country, internet.system())
        for country in rng.choices(COUNTRIES, weights, k=0 if hostile is None else hostile.systems)
    ]
    groups: list[str] = []
    named = 0
    made = []
    for index, country in enumerate(countries):
        group, asn = "", 0
        if index in ours:
            group = "" if hostile is None else hostile.group
            country, asn = rng.choice(rented) if rented else (country, 0)
        elif rng.random() < GROUPED:
            first = not groups or rng.random() < NEW_GROUP
            named += first
            group = f"group-{named}" if first else rng.choice(groups)
            groups.append(group)
        out_of_sight = rng.random() < hidden
        leaves = not out_of_sight and rng.random() < exits
        at = unit_vector(
            country.latitude + rng.gauss(0, STRAY_DEGREES), country.longitude + rng.gauss(0, STRAY_DEGREES)
        )
        made.append(
            _Node(
                fingerprint=digest("simulated node", str(seed).encode(), index.to_bytes(4, "big")),
                place=internet.place(country, asn),
                at=at,
                access_us=ACCESS_US + rng.expovariate(1 / ACCESS_SPREAD_US),
                uplink=uplinks[index],
                group=group,
                hostile=index in ours,
                hidden=out_of_sight,
                exit=None if not leaves else WEB if rng.random() < WEB_ONLY else OPEN,
                trusted=leaves and rng.random() < TRUSTED,
                load=0 if index in ours and hostile is not None and hostile.lying else _load(rng),
                lanes={},
            )
        )
    return made


def _load(rng: Random) -> int:
    """Permille; most nodes have little to do."""
    return int(1000 * rng.random() ** 2)


class _Internet:
    """Who has which network where: grows by every address that is asked for."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._systems: dict[str, list[int]] = {}
        """Per country, the AS of every address in it, so that big ones are drawn more often."""
        self._prefixes: dict[int, list[int]] = {}
        """Per AS, the /16 of every address in it."""
        self._used: set[int] = set()

    def system(self) -> int:
        """The number of another AS."""
        asn = FIRST_ASN + len(self._prefixes)
        self._prefixes[asn] = []
        return asn

    def place(self, country: Country, asn: int = 0) -> Place:
        """Another address.

        :param asn: whose; 0 leaves that to chance.
        """
        rng = self._rng
        if not asn:
            systems = self._systems.setdefault(country.code, [])
            asn = self.system() if not systems or rng.random() < NEW_AS else rng.choice(systems)
            systems.append(asn)
        prefixes = self._prefixes[asn]
        if not prefixes or rng.random() < NEW_PREFIX:
            prefixes.append(self._prefix())
        else:
            prefixes.append(rng.choice(prefixes))
        while True:
            number = prefixes[-1] << 16 | rng.randrange(1, 1 << 16)
            if number not in self._used:
                break
        self._used.add(number)
        address = ipaddress.IPv4Address(number)
        return Place(address, asn, country.code, country.continent, country.latitude, country.longitude)

    def _prefix(self) -> int:
        """A /16 of the public internet. Nobody is there, and nobody goes there."""
        while True:
            prefix = self._rng.randrange(1 << 8, 224 << 8)
            if is_public(ipaddress.IPv4Address(prefix << 16 | 0xFFFE)):
                return prefix


def _draw_lanes(nodes: list[_Node], ends: int, rng: Random, *, lying: bool) -> None:
    """Each node begins half of its lanes, with whomever it draws."""
    if ends == 0:
        return
    open_ = [index for index, node in enumerate(nodes) if not node.hidden]
    most, of_one_group = GRANTS * ends, max(2, math.ceil(ends / MARK_SHARE))
    begun: list[int] = [ends // 2 + (rng.random() < ends % 2 / 2) for _ in nodes]
    marks: Counter[tuple[int, str]] = Counter()
    for index, node in enumerate(nodes):
        for _ in range(begun[index] if open_ else 0):
            for _ in range(DRAWS):
                peer = open_[int(rng.random() * len(open_))]
                other = nodes[peer]
                if peer == index or peer in node.lanes or len(other.lanes) >= most:
                    continue
                if (other.group and marks[index, other.group] >= of_one_group) or (
                    node.group and marks[peer, node.group] >= of_one_group
                ):
                    continue
                marks[index, other.group] += 1
                marks[peer, node.group] += 1
                node.lanes[peer] = other.lanes[index] = _lane(node, other, rng, lying=lying)
                break


def _lane(one: _Node, other: _Node, rng: Random, *, lying: bool) -> Lane:
    if lying and one.hostile and other.hostile:
        return Lane(0, CAPACITY_CAP)
    detour = 1 + (DETOUR - 1) * 2 * rng.random()
    there_and_back_s = 2 * detour * distance_km(one.at, other.at) / FIBRE_KM_PER_S
    capacity = min(one.uplink, other.uplink) * (0.3 + 0.6 * rng.random())
    measured = rng.random() >= UNMEASURED
    return Lane(
        round(there_and_back_s * 1e6 + one.access_us + other.access_us), int(capacity) if measured else 0
    )


def _finished(index: int, nodes: list[_Node]) -> ChartNode:
    node = nodes[index]
    lanes: Mapping[Fingerprint, Lane] = MappingProxyType(
        dict(sorted((nodes[peer].fingerprint, lane) for peer, lane in node.lanes.items()))
    )
    addresses = {} if node.hidden else {TRANSPORT: (f"{node.place.ip}:443",)}
    return ChartNode(
        fingerprint=node.fingerprint,
        node_id=node_id(node.fingerprint),
        name=f"sim-{index}",
        group=node.group,
        marks=frozenset({HOSTILE_MARK}) if node.hostile else frozenset(),
        addresses=MappingProxyType(addresses),
        suites=(SUITE,),
        suite=SUITE,
        exit=node.exit,
        plain_text=node.trusted,
        lanes=lanes,
        load=node.load,
        places=() if node.hidden else (node.place,),
    )
