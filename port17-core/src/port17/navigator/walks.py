"""All ways from a client's entries to the exits that a request may use, or, where these are too many, a
sample in which each had the same chance to be; and if none is met by chance, a search through all.

What makes one way better than another is not this module's question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from statistics import median_low
from typing import Final, TypeAlias

from port17.navigator import cost
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.compiled import Compiled, ExitKind, Exits, Families, Onward, Step
from port17.navigator.explain import NETWORK
from port17.navigator.policy import Judgement, Objection, Position, Request, SecurityLevel

Walk: TypeAlias = tuple[float, tuple[ChartNode, ...]]
"""What it costs, microseconds, and its nodes, from the entry to the exit."""
Reach: TypeAlias = Sequence[frozenset[Fingerprint]]
"""Per number of lanes, from which nodes an exit that is admitted may be so many lanes away."""

LOPSIDED: Final = 2
"""How many times more ways on than usual count. Of ways on every node has about as many as its lanes, and of
those twice the usual at most; but who has many nodes can name lanes among them that nobody else sees. Routes
by a node with more are the less likely each, and together as likely as by one with so many."""
WAYS_LEAST: Final = 12
"""So many always count: of a few exits near a node it is chance how many there are."""


@dataclass(frozen=True)
class Ground:
    """Where routes are looked for.

    :param hops: nodes of a route, at least 2.
    :param starts: entries; to the families of each belongs what is avoided.
    :param closed: lanes that are avoided, in both directions.
    """

    chart: Chart
    compiled: Compiled
    level: SecurityLevel
    hops: int
    starts: tuple[Step, ...]
    closed: frozenset[tuple[Fingerprint, Fingerprint]]

    def onward(self, node: ChartNode) -> Onward:
        """Where a route may go from a node."""
        found = self.compiled.onward(node, self.level, self.chart)
        if not self.closed:
            return found
        here, closed = node.fingerprint, self.closed
        return Onward(
            found.peers,
            found.chart,
            [step for step in found.middles if (here, step[1].fingerprint) not in closed],
            [step for step in found.exits if (here, step[1].fingerprint) not in closed],
            found.refused,
        )

    def steps(self, node: ChartNode, left: int) -> list[Step]:
        """Where a route may go that has so many nodes to come."""
        onward = self.onward(node)
        return onward.exits if left == 1 else onward.middles

    def within(self, most: int) -> bool:
        """Whether there are at most so many walks along lanes, allowed or not."""
        nodes, count = self.chart.nodes, len(self.starts)
        edge = [node for _, node, _ in self.starts]
        for left in range(self.hops - 1, 0, -1):
            count = sum(len(node.lanes) for node in edge)
            if count > most:
                return False
            if left > 1:
                edge = [nodes[peer] for node in edge for peer in node.lanes if peer in nodes]
        return True


class Admits:
    """What a request may use, each node and lane asked about once."""

    def __init__(self, ground: Ground, request: Request) -> None:
        self._compiled = ground.compiled
        self._policies = ground.compiled.policies
        self._request = request
        by_request = self._policies.by_request
        self._of_nodes = not by_request.isdisjoint(("exclude_node", "node_cost"))
        self._of_lanes = not by_request.isdisjoint(("exclude_lane", "lane_cost"))
        self._of_exits = not by_request.isdisjoint(("exclude_exit", "exit_cost"))
        self.picky = self._of_nodes or self._of_lanes
        """Nodes or lanes on the way have to be asked about."""
        self._kinds: dict[ExitKind, bool] = {}
        self._exits: dict[ChartNode, float] = {}
        """Of those that are admitted."""
        self._exits_asked: set[ChartNode] = set()
        self._nodes: dict[tuple[ChartNode, Position], float | None] = {}
        self._lanes: dict[tuple[ChartNode, ChartNode], float | None] = {}

    def exit_us(self, node: ChartNode) -> float | None:
        """What the request's policies add for an exit, microseconds; None if it must not be the exit."""
        if node not in self._exits_asked:
            self.admit_exits(self._compiled.by_kind((node,), self._request.level))
        return self._exits.get(node)

    def admit_exits(self, exits: Exits) -> Mapping[ChartNode, float]:
        """The same of many at once: those of them that may be the exit, and maybe others."""
        request = self._request
        open_to: list[ChartNode] = []
        for kind, nodes in exits:
            if self._allows(kind):
                open_to += nodes
            self._exits_asked.update(nodes)
        if self._of_exits:
            weighed, cap = self._policies.weigh_exits(open_to, request), cost.POLICY_CAP_US
            admitted = {node: us if us < cap else cap for node, us in weighed.items()}
        else:
            admitted = dict.fromkeys(open_to, 0.0)
        if self._of_nodes:
            for node, us in admitted.items():
                here = self.node_us(node, "exit")
                if here is not None:
                    self._exits[node] = us + here
        else:
            self._exits.update(admitted)
        return self._exits

    def node_us(self, node: ChartNode, position: Position) -> float | None:
        """The same of any node of a route, without what is asked of exits alone."""
        if not self._of_nodes:
            return 0.0
        key = (node, position)
        if key not in self._nodes:
            self._nodes[key] = _us(self._policies.judge_node_for(node, position, self._request))
        return self._nodes[key]

    def lane_us(self, source: ChartNode, target: ChartNode) -> float | None:
        """The same of a lane."""
        if not self._of_lanes:
            return 0.0
        key = (source, target)
        if key not in self._lanes:
            lane = source.lanes[target.fingerprint]
            self._lanes[key] = _us(self._policies.judge_lane_for(source, target, lane, self._request))
        return self._lanes[key]

    def way_us(self, nodes: tuple[ChartNode, ...]) -> float | None:
        """The same of an entry and the nodes and lanes that follow on it, none of which is the exit."""
        total = self.node_us(nodes[0], "entry")
        for source, target in pairwise(nodes):
            lane, here = self.lane_us(source, target), self.node_us(target, "middle")
            total = None if total is None or lane is None or here is None else total + lane + here
        return total

    def walk_us(self, nodes: tuple[ChartNode, ...]) -> float | None:
        """The same of a whole route."""
        extra = self.exit_us(nodes[-1])
        if extra is None or not self.picky:
            return extra
        way, last = self.way_us(nodes[:-1]), self.lane_us(nodes[-2], nodes[-1])
        return None if way is None or last is None else extra + way + last

    def refuses(self, node: ChartNode) -> list[Objection]:
        """Why the network lets a node not be the exit, whatever policies say."""
        rules, request = node.exit, self._request
        if rules is None:
            return [Objection(NETWORK, "is no exit")]
        if not node.addresses:
            return [Objection(NETWORK, "has no address, and so serves in the middle alone")]
        if not rules.allows(request.host, request.port):
            return [Objection(NETWORK, "its exit rules do not allow the destination")]
        if request.plain_text and not node.plain_text:
            return [Objection(NETWORK, "the charter does not trust it with unencrypted connections")]
        return []

    def _allows(self, kind: ExitKind) -> bool:
        allowed, request = self._kinds.get(kind), self._request
        if allowed is None:
            trusted = kind.plain_text or not request.plain_text
            allowed = self._kinds[kind] = trusted and kind.rules.allows(request.host, request.port)
        return allowed


def _us(judgement: Judgement) -> float | None:
    return None if judgement.objections else cost.charged_us(judgement)


class Every:
    """All walks over a ground, but for what a request may not use."""

    def __init__(self, ground: Ground) -> None:
        """Look at all of them."""
        partial: list[tuple[float, tuple[ChartNode, ...], Families]] = [
            (us, (node,), families) for us, node, families in ground.starts
        ]
        for left in range(ground.hops - 1, 1, -1):
            partial = [
                (us + more, (*nodes, target), families | theirs)
                for us, nodes, families in partial
                for more, target, theirs in ground.steps(nodes[-1], left)
                if families.isdisjoint(theirs)
            ]
        self._shares = _shares(
            ground, [[nodes[at] for _, nodes, _ in partial] for at in range(ground.hops - 1)]
        )
        lasts = dict.fromkeys(nodes[-1] for _, nodes, _ in partial)
        exits = {last: ground.steps(last, 1) for last in lasts}
        self._walks: list[Walk] = []
        for us, nodes, families in partial:
            apart = families.isdisjoint
            self._walks += [
                (us + more, (*nodes, target)) for more, target, theirs in exits[nodes[-1]] if apart(theirs)
            ]
        self._exits = ground.compiled.by_kind({nodes[-1] for _, nodes in self._walks}, ground.level)

    @property
    def is_even(self) -> bool:
        """No node has so many ways on that not all of them count."""
        return not any(self._shares)

    def chance(self, nodes: tuple[ChartNode, ...]) -> float:
        """How much a walk counts: 1, or less if a node on it has too many ways on."""
        counts = 1.0
        for node, shares in zip(nodes, self._shares, strict=False):
            if node in shares:
                counts *= shares[node]
        return counts

    def admitted(self, admits: Admits) -> list[Walk]:
        """Those that a request may use, with what its policies add."""
        extra = admits.admit_exits(self._exits).get
        if not admits.picky:
            return [
                (us + there, nodes) for us, nodes in self._walks if (there := extra(nodes[-1])) is not None
            ]
        ways: dict[tuple[ChartNode, ...], float | None] = {}
        found: list[Walk] = []
        for us, nodes in self._walks:
            there, before = extra(nodes[-1]), nodes[:-1]
            if there is None:
                continue
            if before not in ways:
                ways[before] = admits.way_us(before)
            way, last = ways[before], admits.lane_us(nodes[-2], nodes[-1])
            if way is not None and last is not None:
                found.append((us + way + last + there, nodes))
        return found


def _shares(ground: Ground, ranks: Sequence[Sequence[ChartNode]]) -> list[dict[ChartNode, float]]:
    """Per place in a route but the last, the nodes whose ways on don't all count, and how much each does.

    What is usual the neighbours of each entry show; of several entries that counts where there are fewest: an
    entry of an attacker's may have none but his nodes for neighbours.

    :param ranks: the nodes that are met, per place.
    """
    found: list[dict[ChartNode, float]] = []
    for at, rank in enumerate(ranks):
        left = ground.hops - 1 - at
        kind = min(left, 2)  # whether exits are next; all other ways on are alike
        usual = [
            median_low(len(ground.steps(peer, kind)) for _, peer, _ in steps)
            for _, start, _ in ground.starts
            if (steps := ground.steps(start, ground.hops - 1))
        ]
        most = max(LOPSIDED * min(usual, default=0), WAYS_LEAST)
        ways = {node: len(ground.steps(node, left)) for node in dict.fromkeys(rank)}
        found.append({node: most / count for node, count in ways.items() if count > most})
    return found


def reach(ground: Ground, admits: Admits) -> Reach:
    """From where an exit that is admitted may be reached, over lanes alone."""
    chart, compiled, level = ground.chart, ground.compiled, ground.level
    sets = [
        frozenset(
            node.fingerprint
            for node in chart
            if compiled.standing(node, level).exit_us is not None and admits.exit_us(node) is not None
        )
    ]
    for _ in range(ground.hops - 1):
        last = sets[-1]
        sets.append(frozenset(node.fingerprint for node in chart if not last.isdisjoint(node.lanes)))
    return sets


def sample(
    ground: Ground, admits: Admits, rng: Random, tries: int, reached: Reach | None = None
) -> list[Walk]:
    """Some walks that the request may use, each with the same chance.

    :param tries: walks that are tried; most fail.
    :param reached: only steps from which an exit can still be reached are taken.
    """
    starts, random = ground.starts, rng.random
    met: dict[tuple[ChartNode, ...], tuple[float, int]] = {}
    if not starts:
        return []
    for _ in range(tries):
        us, node, families = starts[int(random() * len(starts))]
        nodes, odds = [node], 1
        for left in range(ground.hops - 1, 0, -1):
            steps = ground.steps(node, left)
            if reached is not None:
                goal = reached[left - 1]
                steps = [step for step in steps if step[1].fingerprint in goal]
            if not steps:
                break
            more, node, theirs = steps[int(random() * len(steps))]
            if not families.isdisjoint(theirs):
                break
            us, odds, families = us + more, odds * len(steps), families | theirs
            nodes.append(node)
        else:
            walk = tuple(nodes)
            extra = admits.walk_us(walk)
            if extra is not None:
                met[walk] = (us + extra, odds)
    return _evened(met, rng)


@dataclass
class Backtrack:
    """A search through all walks, in random order, that gives up after some steps.

    :param steps: made so far.
    :param exhausted: all walks were seen.
    """

    ground: Ground
    admits: Admits
    reached: Reach
    rng: Random
    most: int
    steps: int = 0
    exhausted: bool = field(default=True)

    def walks(self) -> Iterator[Walk]:
        """One by one."""
        ground, reached = self.ground, self.reached
        stack: list[tuple[float, tuple[ChartNode, ...], Families]] = [
            (us, (node,), families)
            for us, node, families in ground.starts
            if node.fingerprint in reached[ground.hops - 1]
        ]
        self.rng.shuffle(stack)
        while stack and self.steps < self.most:
            self.steps += 1
            us, nodes, families = stack.pop()
            left = ground.hops - len(nodes)
            if left == 0:
                extra = self.admits.walk_us(nodes)
                if extra is not None:
                    yield us + extra, nodes
                continue
            goal = reached[left - 1]
            longer = [
                (us + more, (*nodes, target), families | theirs)
                for more, target, theirs in ground.steps(nodes[-1], left)
                if target.fingerprint in goal and families.isdisjoint(theirs)
            ]
            self.rng.shuffle(longer)
            stack += longer
        self.exhausted = not stack


def _evened(met: dict[tuple[ChartNode, ...], tuple[float, int]], rng: Random) -> list[Walk]:
    """Of walks met by chance so many that each had the same chance.

    One that came by nodes with few ways on was met more easily: as the product of their numbers is smaller.
    """
    if not met:
        return []
    most = min(max(odds for _, odds in met.values()), LOPSIDED * median_low(odds for _, odds in met.values()))
    return [(us, nodes) for nodes, (us, odds) in met.items() if rng.random() * most < odds]
