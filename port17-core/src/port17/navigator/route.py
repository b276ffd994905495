"""Routes: a random one of those that the chart, the exits' rules and every policy allow.

Every valid route of the asked length has the same chance, except that each :data:`HALVING_US` of cost which
policies add to it halves its chance. Which of them is fastest is not this module's question.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from random import Random
from typing import Final

from port17.errors import LocalViolation
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.explain import CLIENT, NETWORK, Removal, Search, explain
from port17.navigator.policy import Judgement, NoPolicies, Objection, Policies, Request, Route

HALVING_US: Final = 20_000.0
"""Microseconds of added cost that halve a route's chance: a hop within a continent."""
COST_CAP_US: Final = 1_000_000.0
"""Most cost of one lane or exit that counts, microseconds: 2^-50 is as good as never, and a product of six
of them is still a float. Who means never excludes."""
HOPS_CAP: Final = 5
"""Most nodes of a route: the genesis' ``max_hops`` in version 1 of the protocol."""
DRAWS: Final = 200
"""Draws before searching through: a draw fails if it meets a node or group twice or is vetoed. Where one in
twenty is good, 200 fail once in 28,000 times."""
SEARCH_CAP: Final = 20_000
"""Steps of the search through all routes, some tens of milliseconds; it starts at random, so that what lies
beyond is not always the same."""


class Survey:
    """What one chart and one set of policies allow, worked out once; draw as many routes as you like.

    Valid for as long as chart and policies are: make a new one per chart.
    """

    def __init__(
        self,
        chart: Chart,
        policies: Policies | None = None,
        hops: int = 3,
        *,
        transports: Collection[str] | None = None,
        avoid: Collection[Fingerprint] = (),
        avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]] = (),
        entries: Collection[Fingerprint] | None = None,
    ) -> None:
        """Ask the policies about every node and lane.

        :param chart: the map.
        :param policies: None stands for none.
        :param hops: nodes of a route, 1 to :data:`HOPS_CAP`.
        :param transports: the transports that the client has, for the entry; None stands for any.
        :param avoid: nodes that are not to be used, because they have just failed.
        :param avoid_lanes: pairs of nodes whose lane is not to be used, in either direction.
        :param entries: routes begin at one of these, and only what is near them is looked at; None stands for
            any.
        """
        if not 1 <= hops <= HOPS_CAP:
            raise LocalViolation(f"a route has 1 to {HOPS_CAP} nodes, not {hops}")
        self.chart = chart
        self.hops = hops
        self._policies: Policies = policies if policies is not None else NoPolicies()
        self._removed: list[Removal] = []
        within = chart.nodes if entries is None else _near(chart, entries, hops - 1)
        self._nodes = self._keep_nodes(within, frozenset(avoid))
        self._before = self._keep_lanes({frozenset(pair) for pair in avoid_lanes})
        self._entries = {
            fingerprint
            for fingerprint, node in self._nodes.items()
            if (entries is None or fingerprint in entries)
            and any(
                found and (transports is None or name in transports) for name, found in node.addresses.items()
            )
        }
        self._weights = self._weigh_walks()

    @property
    def removed(self) -> tuple[Removal, ...]:
        """Which policy removed which node or lane, and why."""
        return tuple(self._removed)

    def draw(self, request: Request, rng: Random) -> Route:
        """A random valid route for a request.

        :param rng: :class:`random.SystemRandom` in production; anything seeded makes tests repeatable.
        :raises NoRoute: there is none; says what removed the nodes that are missing, and the cure.
        """
        search = Search(
            chart=self.chart,
            hops=self.hops,
            request=request,
            removed=list(self._removed),
            kept=len(self._nodes),
            entries=len(self._entries),
        )
        exits: list[tuple[ChartNode, float]] = []
        for fingerprint, node in self._nodes.items():
            judgement = self._judge_exit(node, request)
            if judgement.objections:
                search.refused_exits += [
                    Removal(node.name, said.by, said.reason) for said in judgement.objections
                ]
                continue
            search.exits += 1
            weight = self._weights[-1].get(fingerprint, 0.0) * _chance(judgement.cost_us)
            if weight > 0.0:
                exits.append((node, weight))
        if not exits:
            raise explain(search)
        for _ in range(DRAWS):
            nodes = self._walk(exits, rng)
            if _distinct(nodes):
                route = Route(nodes)
                if self._agreed(route, request, search):
                    return route
        for route in self._search([node for node, _ in exits], rng, search):
            if self._agreed(route, request, search):
                return route
        raise explain(search)

    def _keep_nodes(
        self, within: Mapping[Fingerprint, ChartNode], avoid: frozenset[Fingerprint]
    ) -> dict[Fingerprint, ChartNode]:
        kept: dict[Fingerprint, ChartNode] = {}
        for fingerprint, node in within.items():
            objections = (
                (Objection(CLIENT, "it has just failed"),)
                if fingerprint in avoid
                else self._policies.judge_node(node).objections
            )
            self._removed += [Removal(node.name, said.by, said.reason) for said in objections]
            if not objections:
                kept[fingerprint] = node
        return kept

    def _keep_lanes(
        self, avoid: Collection[frozenset[Fingerprint]]
    ) -> dict[Fingerprint, tuple[list[ChartNode], list[float]]]:
        """Per node, from where a route may come to it, and each lane's factor on a route's chance."""
        before: dict[Fingerprint, tuple[list[ChartNode], list[float]]] = {}
        for fingerprint, node in self._nodes.items():
            sources: list[ChartNode] = []
            factors: list[float] = []
            for peer, lane in node.lanes.items():
                source = self._nodes.get(peer)
                if source is None or _same_group(source, node):
                    continue
                judgement = (
                    Judgement((Objection(CLIENT, "it has just failed"),))
                    if frozenset((peer, fingerprint)) in avoid
                    else self._policies.judge_lane(source, node, lane)
                )
                if judgement.objections:
                    between = f"lane {source.name} to {node.name}"
                    self._removed += [Removal(between, said.by, said.reason) for said in judgement.objections]
                    continue
                sources.append(source)
                factors.append(_chance(judgement.cost_us))
            before[fingerprint] = (sources, factors)
        return before

    def _weigh_walks(self) -> list[dict[Fingerprint, float]]:
        """Per length 1 to ``hops`` and last node, the weight of all walks from an entry to it.

        Nodes may repeat in a walk; drawing again when they do keeps the chances of what is left as they were.
        """
        weights = [dict.fromkeys(self._entries, 1.0)]
        for _ in range(1, self.hops):
            shorter = weights[-1]
            longer: dict[Fingerprint, float] = {}
            for fingerprint, (sources, factors) in self._before.items():
                weight = sum(
                    shorter.get(source.fingerprint, 0.0) * factor
                    for source, factor in zip(sources, factors, strict=True)
                )
                if weight > 0.0:
                    longer[fingerprint] = weight
            weights.append(longer)
        return weights

    def _judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        if node.exit is None:
            return Judgement((Objection(NETWORK, "is no exit"),))
        if not node.addresses:
            return Judgement((Objection(NETWORK, "has no address, and so serves in the middle alone"),))
        if not node.exit.allows(request.host, request.port):
            return Judgement((Objection(NETWORK, "its exit rules do not allow the destination"),))
        if request.plain_text and not node.plain_text:
            reason = "the charter does not trust it with unencrypted connections"
            return Judgement((Objection(NETWORK, reason),))
        return self._policies.judge_exit(node, request)

    def _walk(self, exits: list[tuple[ChartNode, float]], rng: Random) -> tuple[ChartNode, ...]:
        """One walk, drawn from its exit backwards; its chance is in proportion to its weight."""
        node = _pick([node for node, _ in exits], [weight for _, weight in exits], rng)
        nodes = [node]
        for length in range(self.hops - 1, 0, -1):
            shorter = self._weights[length - 1]
            sources, factors = self._before[node.fingerprint]
            weights = [
                shorter.get(source.fingerprint, 0.0) * factor
                for source, factor in zip(sources, factors, strict=True)
            ]
            node = _pick(sources, weights, rng)
            nodes.append(node)
        nodes.reverse()
        return tuple(nodes)

    def _search(self, exits: list[ChartNode], rng: Random, search: Search) -> Iterator[Route]:
        """All valid routes, from a random start on, until :data:`SEARCH_CAP`."""
        stack: list[tuple[ChartNode, ...]] = [(node,) for node in exits]
        rng.shuffle(stack)
        while stack and search.steps < SEARCH_CAP:
            search.steps += 1
            nodes = stack.pop()
            if len(nodes) == self.hops:
                yield Route(nodes)
                continue
            shorter = self._weights[self.hops - len(nodes) - 1]
            longer = [
                (source, *nodes)
                for source in self._before[nodes[0].fingerprint][0]
                if source.fingerprint in shorter and _distinct((source, *nodes))
            ]
            rng.shuffle(longer)
            stack += longer
        search.exhausted = not stack

    def _agreed(self, route: Route, request: Request, search: Search) -> bool:
        judgement = self._policies.judge_route(route, request)
        search.routes += 1
        search.vetoes += [Removal("a route", said.by, said.reason) for said in judgement.objections]
        return not judgement.objections


def choose(
    chart: Chart,
    request: Request,
    policies: Policies | None,
    rng: Random,
    hops: int = 3,
    *,
    transports: Collection[str] | None = None,
    avoid: Collection[Fingerprint] = (),
    avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]] = (),
) -> Route:
    """One route; who draws many from one chart keeps a :class:`Survey`, whose parameters these are.

    :raises NoRoute: see :meth:`Survey.draw`.
    """
    survey = Survey(chart, policies, hops, transports=transports, avoid=avoid, avoid_lanes=avoid_lanes)
    return survey.draw(request, rng)


def _near(chart: Chart, entries: Collection[Fingerprint], lanes: int) -> dict[Fingerprint, ChartNode]:
    """The nodes that are no more lanes than so away from one of some."""
    found = {entry: chart.nodes[entry] for entry in entries if entry in chart.nodes}
    edge = list(found.values())
    for _ in range(lanes):
        peers = {peer: chart.nodes[peer] for node in edge for peer in node.lanes if peer not in found}
        found |= peers
        edge = list(peers.values())
    return found


def _same_group(one: ChartNode, other: ChartNode) -> bool:
    """Nodes that name no group are each their own."""
    return bool(one.group) and one.group == other.group


def _distinct(nodes: tuple[ChartNode, ...]) -> bool:
    groups = [node.group for node in nodes if node.group]
    return len({node.fingerprint for node in nodes}) == len(nodes) and len(set(groups)) == len(groups)


def _chance(cost_us: float) -> float:
    return math.exp2(-min(cost_us, COST_CAP_US) / HALVING_US)


def _pick(nodes: list[ChartNode], weights: list[float], rng: Random) -> ChartNode:
    return rng.choices(nodes, cum_weights=list(accumulate(weights)))[0]
