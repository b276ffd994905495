"""What of a chart counts for an attacker: which nodes may serve where, whose they are, and whether a rented
machine could be one of them. What having some of them costs is :mod:`~port17.navigator.promise`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from port17.navigator.chart import Chart, ChartNode
from port17.navigator.compiled import Compiled
from port17.navigator.geo import Place
from port17.navigator.policy import Policies, Position, Request
from port17.records.exit_rules import ExitRules

OPEN: Final = ExitRules.parse(["accept *:*"])
"""What a hostile exit allows: everything."""
TRIED_PLACES: Final = 64
"""Countries in which a machine is thought of being rented, the most usual first."""


@dataclass(frozen=True, slots=True)
class Holding:
    """An attacker's part of a network.

    :param entry: of a client's possible guards, the share that is his.
    :param middle: of the nodes inside routes.
    :param exit: of the exits.
    :param apart: of the pairs of his entries and exits, the share that a route may have.
    """

    entry: float
    middle: float
    exit: float
    apart: float


class Field:
    """The nodes of a chart as the policies let them serve."""

    def __init__(self, chart: Chart, policies: Policies, request: Request) -> None:
        """
        :param request: a usual one; says for which destination and at which level.
        """
        self._compiled = Compiled(policies)
        self._request = demand = policies.judge_request(request).request
        self._level = demand.level
        self.spread = policies.judge_request(request).spread
        self.hops = max(3, policies.judge_request(request).hops)
        self.entries: list[ChartNode] = []
        self.middles: list[ChartNode] = []
        self.exits: list[ChartNode] = []
        for node in chart:
            for position in self._positions(node):
                {"entry": self.entries, "middle": self.middles, "exit": self.exits}[position].append(node)
        self.nodes = tuple(chart)
        self.rented: frozenset[Position] = frozenset(
            position for probe in self._rented(chart) for position in self._positions(probe)
        )
        """Where a machine that anybody rents could serve."""

    def _positions(self, node: ChartNode) -> Iterable[Position]:
        standing = self._compiled.standing(node, self._level)
        if standing.entry_us is not None and any(node.addresses.values()):
            yield "entry"
        if standing.middle_us is not None:
            yield "middle"
        kind = standing.exit_kind
        if (
            standing.exit_us is not None
            and kind is not None
            and kind.rules.allows(self._request.host, self._request.port)
            and (kind.plain_text or not self._request.plain_text)
        ):
            yield "exit"

    @staticmethod
    def _rented(chart: Chart) -> Iterable[ChartNode]:
        """A new node that nobody knows, in each of the usual places."""
        counts: Counter[str] = Counter()
        of_country: dict[str, Place] = {}
        for node in chart:
            for place in node.places:
                counts[place.country] += 1
                of_country.setdefault(place.country, place)
        usual = [(of_country[country],) for country, _ in counts.most_common(TRIED_PLACES)]
        for where in [*usual, ()]:
            yield ChartNode(
                fingerprint=bytes(32),
                node_id="a" * 32,
                name="rented",
                addresses={"tcp": ("rented.example.net:443",)},
                exit=OPEN,
                places=where,
            )

    def bought(self, servers: float, providers: float) -> Holding:
        """The part of somebody who adds machines of his own."""

        def share(position: Position, others: int) -> float:
            return servers / (others + servers) if position in self.rented and servers else 0.0

        return Holding(
            share("entry", len(self.entries)),
            share("middle", len(self.middles)),
            share("exit", len(self.exits)),
            1.0 - 1.0 / max(providers, 1.0),
        )

    def held(self, nodes: Collection[ChartNode]) -> Holding:
        """The part of somebody who has some of the nodes that there are."""
        ours = nodes if isinstance(nodes, set | frozenset) else frozenset(nodes)
        entries = [node for node in self.entries if node in ours]
        exits = [node for node in self.exits if node in ours]
        return Holding(
            len(entries) / max(len(self.entries), 1),
            sum(node in ours for node in self.middles) / max(len(self.middles), 1),
            len(exits) / max(len(self.exits), 1),
            self._apart(entries, exits),
        )

    def _apart(self, entries: Collection[ChartNode], exits: Collection[ChartNode]) -> float:
        """Of pairs of these, the share that may be in one route; rather too much than too little, since of
        families that cross each other the kind that forbids most counts alone."""
        pairs = len(entries) * len(exits)
        if not pairs:
            return 0.0
        of_entries, of_exits = self._families(entries), self._families(exits)
        forbidden: Counter[str] = Counter()
        for family in of_entries.keys() & of_exits.keys():
            kind = family.partition(":")[0] if isinstance(family, str) else "itself"
            forbidden[kind] += of_entries[family] * of_exits[family]
        return max(0.0, 1.0 - max(forbidden.values(), default=0) / pairs)

    def _families(self, nodes: Iterable[ChartNode]) -> Counter[str | bytes]:
        return Counter(
            family for node in nodes for family in self._compiled.standing(node, self._level).families
        )

    def by(self, label: Callable[[ChartNode], Collection[str]]) -> dict[str, frozenset[ChartNode]]:
        """The nodes by what they have in common."""
        found: dict[str, set[ChartNode]] = {}
        for node in self.nodes:
            for name in label(node):
                found.setdefault(name, set()).add(node)
        return {name: frozenset(nodes) for name, nodes in found.items()}
