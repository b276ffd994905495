"""What is known of every node for routes, worked out once: where it may serve, at what cost, and where a
route may go from it.

It is kept by node, and a chart's nodes are never changed but replaced: so nothing is asked twice while a node
is the same, on whatever chart it is. What depends on a request is the search's to ask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from port17.navigator import cost
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.policy import (
    LEVELS,
    Judgement,
    Policies,
    Position,
    SecurityLevel,
)
from port17.records.exit_rules import ExitRules

POSITIONS: Final[tuple[Position, ...]] = ("entry", "middle", "exit")
KEPT: Final = 2
"""Nodes that are kept at most, by the chart's number of them: what is no longer on it is forgotten when it
gets more than that, not one by one."""
KEPT_LEAST: Final = 1024
"""So many nodes are kept anyway; some MiB."""

Families: TypeAlias = frozenset[str | bytes]
"""Of a node or of all of a route: names of families, and the fingerprints of the nodes themselves, since none
is in a route twice."""
Exits: TypeAlias = "list[tuple[ExitKind, list[ChartNode]]]"
"""Nodes by what they are as exits."""
Step: TypeAlias = tuple[float, ChartNode, Families]
"""What it costs to go there over the lane and have it serve there, microseconds; the node; its families."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ExitKind:
    """What matters of an exit for whether it may open a connection: thousands have one of a few kinds. Of
    equal ones there is one object.

    :param plain_text: it is trusted with unencrypted connections.
    """

    rules: ExitRules
    plain_text: bool


@dataclass(slots=True, eq=False)
class Standing:
    """A node at a security level, for whatever request.

    :param families: its own fingerprint among them.
    :param entry_us: what it costs as entry, microseconds; None if it must not be one.
    :param exit_kind: None if it is no exit.
    :param points: where on earth it may be.
    """

    families: Families
    entry_us: float | None
    middle_us: float | None
    exit_us: float | None
    exit_kind: ExitKind | None
    points: tuple[cost.Point, ...]


@dataclass(slots=True, eq=False)
class Onward:
    """Where a route may go from a node.

    :param peers: the nodes at the other ends of its lanes; None for one that is not on the chart.
    :param chart: the last one on which they were these.
    :param middles: to nodes that may serve in the middle.
    :param exits: to nodes that may be exits.
    :param refused: lanes that policies exclude.
    """

    peers: list[ChartNode | None]
    chart: Chart
    middles: list[Step] = field(default_factory=list)
    exits: list[Step] = field(default_factory=list)
    refused: list[tuple[ChartNode, Judgement]] = field(default_factory=list)


class Compiled:
    """All that policies say of nodes and lanes without knowing the request; keep it as long as the policies.

    Nodes and lanes are asked about where a search first meets them, or all nodes at once: :meth:`compile`.
    """

    def __init__(self, policies: Policies) -> None:
        self.policies: Final = policies
        self._standings: Final[dict[SecurityLevel, dict[ChartNode, Standing]]] = {one: {} for one in LEVELS}
        self._onward: Final[dict[SecurityLevel, dict[ChartNode, Onward]]] = {one: {} for one in LEVELS}
        self._kinds: Final[dict[tuple[ExitRules, bool], ExitKind]] = {}
        self._chart: Chart | None = None

    def compile(self, chart: Chart, level: SecurityLevel = "normal") -> None:
        """Ask about all nodes of a chart that are not known yet."""
        self.settle(chart)
        known = self._standings[level]
        for node in chart:
            if node not in known:
                known[node] = self._stand(node, level)

    def settle(self, chart: Chart) -> None:
        """Forget nodes that are no longer on the chart if there are many."""
        if chart is self._chart:
            return
        self._chart = chart
        most = max(KEPT_LEAST, KEPT * len(chart))
        for level in LEVELS:
            _forget(self._standings[level], chart, most)
            _forget(self._onward[level], chart, most)
        if len(self._kinds) > most:
            self._kinds.clear()

    def standing(self, node: ChartNode, level: SecurityLevel) -> Standing:
        """Where a node may serve, and at what cost."""
        known = self._standings[level]
        found = known.get(node)
        if found is None:
            found = known[node] = self._stand(node, level)
        return found

    def onward(self, node: ChartNode, level: SecurityLevel, chart: Chart) -> Onward:
        """Where a route may go from a node of a chart."""
        known = self._onward[level]
        found = known.get(node)
        if found is not None and found.chart is chart:
            return found
        peers = [chart.nodes.get(peer) for peer in node.lanes]
        # Nodes are compared as objects: a peer that was replaced is another one.
        if found is not None and found.peers == peers:
            found.chart = chart
            return found
        found = known[node] = self._look_onward(node, level, peers, chart)
        return found

    def by_kind(self, nodes: Iterable[ChartNode], level: SecurityLevel) -> Exits:
        """Those of some nodes that may be exits of some connection, those of one kind together."""
        known, found = self._standings[level], defaultdict[ExitKind, list[ChartNode]](list)
        for node in nodes:
            standing = known.get(node) or self.standing(node, level)
            if standing.exit_kind is not None:
                found[standing.exit_kind].append(node)
        return list(found.items())

    def _stand(self, node: ChartNode, level: SecurityLevel) -> Standing:
        policies = self.policies
        kin = policies.families(node, level)
        waiting = cost.waiting_us(node)
        costs: list[float | None] = [waiting, waiting, waiting]
        for index, position in enumerate(POSITIONS):
            judgement = policies.judge_node(node, position, level)
            if kin.objections or judgement.objections:
                costs[index] = None
            elif judgement.cost_us:
                costs[index] = waiting + cost.charged_us(judgement)
        kind: ExitKind | None = None
        if node.exit is None or not node.addresses:
            costs[2] = None
        else:
            kind = self._kinds.get((node.exit, node.plain_text))
            if kind is None:
                kind = ExitKind(node.exit, node.plain_text)
                self._kinds[node.exit, node.plain_text] = kind
        return Standing(
            kin.families | {node.fingerprint}, costs[0], costs[1], costs[2], kind, cost.points(node.places)
        )

    def _look_onward(
        self, source: ChartNode, level: SecurityLevel, peers: list[ChartNode | None], chart: Chart
    ) -> Onward:
        onward = Onward(peers, chart)
        here = self.standing(source, level)
        for target, lane in zip(peers, source.lanes.values(), strict=True):
            if target is None:
                continue
            there = self.standing(target, level)
            if there.middle_us is None and there.exit_us is None:
                continue
            if not here.families.isdisjoint(there.families):
                continue
            judgement = self.policies.judge_lane(source, target, lane)
            if judgement.objections:
                onward.refused.append((target, judgement))
                continue
            us = cost.latency_us(lane, cost.apart_km(here.points, there.points)) + cost.piece_us(lane)
            if judgement.cost_us:
                us += cost.charged_us(judgement)
            if there.middle_us is not None:
                onward.middles.append((us + there.middle_us, target, there.families))
            if there.exit_us is not None:
                onward.exits.append((us + there.exit_us, target, there.families))
        return onward


def _forget(kept: dict[ChartNode, T], chart: Chart, most: int) -> None:
    if len(kept) > most:
        for node in [one for one in kept if chart.nodes.get(one.fingerprint) is not one]:
            del kept[node]
