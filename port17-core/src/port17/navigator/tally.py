"""Counts routes by their chances, and says what of them is seen by whom: the values that
:mod:`~port17.navigator.measure` gives, and how they are worked out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Final, Literal, TypeAlias

from port17.navigator import cost
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.evenness import entropy, gini, min_entropy, percentile
from port17.navigator.policy import Position, Route
from port17.navigator.walks import Walk
from port17.records.host import host_of

EXAMPLES: Final = 24
"""Routes that are kept to be shown."""
EXAMPLE_EVERY: Final = 7
"""Connections from one such route to the next, so that they are not all one client's."""
WORST: Final = 5
"""Owners of one kind that are named, those that see both ends of most routes first."""
STEP_US: Final = 1000
"""Microseconds within which round trips are taken for equal."""

Kind: TypeAlias = Literal["group", "owner", "as", "country", "prefix"]
KINDS: Final[tuple[Kind, ...]] = ("group", "owner", "as", "country", "prefix")
"""What nodes can have in common."""
POSITIONS: Final[tuple[Position, ...]] = ("entry", "middle", "exit")


@dataclass(frozen=True, slots=True)
class Hiding:
    """How evenly one position of routes is spread over nodes.

    :param nodes: that serve there at all.
    :param entropy: bits: as if so many bits' worth of nodes served equally often.
    :param min_entropy: bits: how likely the likeliest node is.
    :param of_one_client: entropy of one client's routes, bits, in the mean.
    """

    nodes: int
    entropy: float
    min_entropy: float
    of_one_client: float


@dataclass(frozen=True, slots=True)
class Sight:
    """Of how many routes somebody has what.

    :param name: who.
    :param nodes: nodes that are his.
    :param entry: share of routes that begin at one.
    :param exit: share of routes that end at one.
    :param both: share of routes of which both ends are his.
    :param whole: share of routes of which all nodes are.
    :param clients: share of clients of which he has both ends of some route.
    """

    name: str
    nodes: int
    entry: float
    exit: float
    both: float
    whole: float
    clients: float


@dataclass(frozen=True, slots=True)
class Common:
    """What ends of routes have in common.

    :param kind: see :data:`KINDS`.
    :param both: share of routes whose ends have one in common, whichever.
    :param whole: share of routes of which all nodes have one in common.
    :param worst: those who see most.
    """

    kind: Kind
    both: float
    whole: float
    worst: tuple[Sight, ...]


@dataclass(frozen=True)
class Measures:
    """What came out.

    :param connections: clients times destinations.
    :param refused: share of them that get no route.
    :param routes: routes that a connection is drawn from, in the mean.
    :param hops: nodes of a route, in the mean.
    :param round_trip_ms: mean, median and 95th percentile, by the chart's lanes and the usual way to a guard.
    :param cost_ms: what the navigator takes a route for, with what policies add; mean.
    :param gini: how unevenly the load falls on the nodes: 0 is equal, 1 is one does all.
    :param busiest: share of all work that the busiest hundredth of nodes does.
    :param positions: how routes are spread.
    :param common: what their ends have in common.
    :param coalitions: what those see that were asked about.
    :param flows: of how many routes a lane is part, from which end to which.
    :param serving: per position, of how many routes a node is part.
    :param examples: routes as clients got them.
    """

    connections: int
    refused: float
    routes: float
    hops: float
    round_trip_ms: tuple[float, float, float]
    cost_ms: float
    gini: float
    busiest: float
    positions: Mapping[Position, Hiding]
    common: tuple[Common, ...]
    coalitions: tuple[Sight, ...]
    flows: Mapping[tuple[Fingerprint, Fingerprint], float] = field(repr=False)
    serving: Mapping[Position, Mapping[Fingerprint, float]] = field(repr=False)
    examples: tuple[Route, ...] = field(repr=False)


def labels_of(node: ChartNode, kind: Kind) -> frozenset[str]:
    """What of a kind a node belongs to, by all of its addresses."""
    if kind == "group":
        return frozenset({node.group} - {""})
    if kind == "owner":
        return frozenset({node.owner} - {""})
    if kind == "as":
        return frozenset(f"AS{place.asn}" for place in node.places if place.asn)
    if kind == "country":
        return frozenset(place.country for place in node.places if place.country)
    addresses = (host_of(address) for found in node.addresses.values() for address in found)
    return frozenset(host.area for host in addresses if host.area is not None)


_Shared: TypeAlias = defaultdict[ChartNode, float]
"""Nodes, and the sum of the chances of routes that they are part of."""


def _add_all(to: _Shared, counts: _Shared) -> None:
    for node, chance in counts.items():
        to[node] += chance


class _Shares:
    """What one hand has, while it is counted."""

    __slots__ = ("both", "clients", "whole")

    def __init__(self) -> None:
        self.both = self.whole = 0.0
        self.clients: set[int] = set()


class Tally:
    """Counts routes by their chances; each connection counts as much as any other."""

    def __init__(self, chart: Chart, coalitions: Mapping[str, Collection[Fingerprint]]) -> None:
        self._chart = chart
        self._client = 0
        self.taken = 0
        self.refused = 0
        self._routes = 0
        self._hops = self._cost_us = 0.0
        self._round_trip_us = 0.0
        self._round_trips: dict[int, float] = {}
        self._serving: dict[Position, _Shared] = {one: defaultdict(float) for one in POSITIONS}
        self._of_client: dict[Position, _Shared] = {one: defaultdict(float) for one in POSITIONS}
        self._client_bits: dict[Position, float] = dict.fromkeys(POSITIONS, 0.0)
        self._flows: defaultdict[tuple[ChartNode, ChartNode], float] = defaultdict(float)
        self._lanes_us: dict[tuple[ChartNode, ChartNode], float] = {}
        self._labels = {
            kind: {node: labels_of(node, kind) for node in chart if labels_of(node, kind)} for kind in KINDS
        }
        self._common = {kind: _Shares() for kind in KINDS}
        self._by_label: dict[Kind, dict[str, _Shares]] = {kind: {} for kind in KINDS}
        self._members = {
            name: frozenset(chart.nodes[one] for one in members if one in chart.nodes)
            for name, members in coalitions.items()
        }
        self._seen = {name: _Shares() for name in coalitions}
        self._examples: list[Route] = []

    def take(self, walks: Sequence[Walk], weights: Sequence[float], rng: Random) -> None:
        """Another connection.

        :param walks: that it is drawn from.
        :param weights: how likely each is; they need not add up to 1.
        """
        total = sum(weights)
        self.taken += 1
        self._routes += len(walks)
        for (cost_us, nodes), weight in zip(walks, weights, strict=True):
            self._count(nodes, weight / total, cost_us)
        if len(self._examples) < EXAMPLES and self.taken % EXAMPLE_EVERY == 1:
            self._examples.append(Route(rng.choices(walks, weights)[0][1]))

    def _count(self, nodes: Sequence[ChartNode], chance: float, cost_us: float) -> None:
        entry, exit_ = nodes[0], nodes[-1]
        of_client = self._of_client
        of_client["entry"][entry] += chance
        of_client["exit"][exit_] += chance
        middles = of_client["middle"]
        for node in nodes[1:-1]:
            middles[node] += chance
        flows, lanes_us = self._flows, self._lanes_us
        round_trip_us = cost.USUAL_ENTRY_US
        for lane in pairwise(nodes):
            flows[lane] += chance
            us = lanes_us.get(lane)
            round_trip_us += self._lane_us(lane) if us is None else us
        self._round_trip_us += round_trip_us * chance
        step = round(round_trip_us / STEP_US)
        self._round_trips[step] = self._round_trips.get(step, 0.0) + chance
        self._hops += len(nodes) * chance
        self._cost_us += cost_us * chance
        self._see_common(nodes, entry, exit_, chance)
        for name, members in self._members.items():
            if entry in members and exit_ in members:
                self._add(self._seen[name], chance, whole=all(node in members for node in nodes))

    def _lane_us(self, lane: tuple[ChartNode, ChartNode]) -> float:
        source, target = lane
        apart = cost.distance_km(source.places, target.places)
        us = self._lanes_us[lane] = cost.latency_us(source.lanes[target.fingerprint], apart)
        return us

    def _see_common(
        self, nodes: Sequence[ChartNode], entry: ChartNode, exit_: ChartNode, chance: float
    ) -> None:
        for kind, labels in self._labels.items():
            ours, theirs = labels.get(entry), labels.get(exit_)
            if ours is None or theirs is None or ours.isdisjoint(theirs):
                continue
            shared = ours & theirs
            through = shared.intersection(*(labels.get(node, frozenset()) for node in nodes))
            self._add(self._common[kind], chance, whole=bool(through))
            for label in shared:
                found = self._by_label[kind].setdefault(label, _Shares())
                self._add(found, chance, whole=label in through)

    def _add(self, shares: _Shares, chance: float, *, whole: bool) -> None:
        shares.both += chance
        shares.whole += chance * whole
        shares.clients.add(self._client)

    def end_client(self) -> None:
        """What comes next is another client's."""
        for position, counts in self._of_client.items():
            self._client_bits[position] += entropy(counts.values())
            _add_all(self._serving[position], counts)
            counts.clear()
        self._client += 1

    def measures(self) -> Measures:
        """The result."""
        taken = max(self.taken, 1)
        busy: _Shared = defaultdict(float)
        for counts in self._serving.values():
            _add_all(busy, counts)
        loads = sorted(busy.get(node, 0.0) for node in self._chart)
        return Measures(
            connections=self.taken + self.refused,
            refused=self.refused / max(self.taken + self.refused, 1),
            routes=self._routes / taken,
            hops=self._hops / taken,
            round_trip_ms=self._round_trip_ms(),
            cost_ms=self._cost_us / taken / 1000,
            gini=gini(loads),
            busiest=sum(loads[-max(1, len(loads) // 100) :]) / max(sum(loads), 1e-12),
            positions={position: self._hiding(position) for position in POSITIONS},
            common=tuple(self._in_common(kind) for kind in KINDS),
            coalitions=tuple(
                self._sight(name, self._members[name], seen) for name, seen in self._seen.items()
            ),
            flows={
                (source.fingerprint, target.fingerprint): flow / taken
                for (source, target), flow in self._flows.items()
            },
            serving={
                position: {node.fingerprint: share / taken for node, share in counts.items()}
                for position, counts in self._serving.items()
            },
            examples=tuple(self._examples),
        )

    def _round_trip_ms(self) -> tuple[float, float, float]:
        steps = self._round_trips
        mean = self._round_trip_us / max(self.taken, 1)
        return (
            mean / 1000,
            percentile(steps, 0.5) * STEP_US / 1000,
            percentile(steps, 0.95) * STEP_US / 1000,
        )

    def _hiding(self, position: Position) -> Hiding:
        counts = self._serving[position]
        return Hiding(
            nodes=len(counts),
            entropy=entropy(counts.values()),
            min_entropy=min_entropy(counts.values()),
            of_one_client=self._client_bits[position] / max(self._client, 1),
        )

    def _in_common(self, kind: Kind) -> Common:
        taken = max(self.taken, 1)
        worst = sorted(self._by_label[kind].items(), key=lambda item: (-item[1].both, item[0]))[:WORST]
        holders = {label: frozenset[ChartNode]() for label, _ in worst}
        for node, labels in self._labels[kind].items():
            for label in labels & holders.keys():
                holders[label] |= {node}
        shares = self._common[kind]
        return Common(
            kind,
            shares.both / taken,
            shares.whole / taken,
            tuple(self._sight(label, holders[label], found) for label, found in worst),
        )

    def _sight(self, name: str, nodes: frozenset[ChartNode], shares: _Shares) -> Sight:
        taken = max(self.taken, 1)
        entries, exits = self._serving["entry"], self._serving["exit"]
        return Sight(
            name=name,
            nodes=len(nodes),
            entry=sum(entries.get(node, 0.0) for node in nodes) / taken,
            exit=sum(exits.get(node, 0.0) for node in nodes) / taken,
            both=shares.both / taken,
            whole=shares.whole / taken,
            clients=len(shares.clients) / max(self._client, 1),
        )
