"""Routes: a random one of the near-best of all that the chart, the exits' rules and every policy allow.

What a route costs is :mod:`~port17.navigator.cost`'s to say, how likely that makes it
:mod:`~port17.navigator.ranking`'s, and which there are :mod:`~port17.navigator.walks`'.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import Final

from port17.errors import LocalViolation, NoRoute
from port17.navigator import cost
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.compiled import Compiled, Step
from port17.navigator.cost import Part as Part
from port17.navigator.explain import NETWORK, Removal, Search, explain
from port17.navigator.left_out import left_out, reachable, refusing
from port17.navigator.parts import route_parts
from port17.navigator.policy import (
    Demand,
    NoPolicies,
    Objection,
    Policies,
    Request,
    Route,
    SecurityLevel,
)
from port17.navigator.ranking import LEAST_NEAR, TIE_US
from port17.navigator.ranking import Ranking as Ranking
from port17.navigator.ranking import Scored as Scored
from port17.navigator.shortlist import shortlist
from port17.navigator.walks import Admits, Backtrack, Every, Ground, Walk, reach, sample

HOPS_LEAST: Final = 3
"""Least nodes of a route: with two, the entry and the exit would know each other."""
HOPS_CAP: Final = 5
"""Most nodes of a route: the genesis' ``max_hops`` in version 1 of the protocol."""
EVERY_CAP: Final = 10_000
"""Most walks that are all looked at; of more, a sample is. Three guards with 40 lanes each to nodes with 40
make 4,800, which take some milliseconds, and are looked at once per survey and not per request."""
TRIES: Final = 1_000
"""Walks tried for a sample; where nodes have about as many lanes each, a quarter of them is left. A first one
meets a thousand nodes of which nothing is known yet, which takes a tenth of a second."""
ENOUGH: Final = 32
"""With fewer in a sample, exits are rare: it is taken again, of ways that lead to one."""
STEPS_CAP: Final = 50_000
"""Steps of the search through all walks that is made if no sample has any: some tenths of a second. It goes
at random, so that what lies beyond is not always the same."""
SAMPLED_SLACK: Final = 1.1
"""A route suits a request whose near-best are known from a sample only, if it costs at most so many times
what the dearest of these does: another sample would have another one."""
REMEMBERED: Final = 8
"""Requests whose routes are remembered: a page has a few servers. Some MiB at most."""


@dataclass
class _Found:
    """What a search has found.

    :param walks: those that one is drawn from, the cheapest first, and then the others; without those that
        are known to be vetoed.
    :param near: the first so many are drawn from.
    :param weights: of these; those of one entry together weigh 1.
    :param vetoes: routes that policies refused.
    """

    demand: Demand
    walks: list[Walk]
    exact: bool
    near: int = 0
    weights: list[float] = field(default_factory=list)
    vetoes: list[Removal] = field(default_factory=list)
    steps: int = 0
    exhausted: bool = True
    search: Search | None = None
    """Why there is none, once somebody has asked."""


class Survey:
    """Routes over one chart by one set of policies; draw as many as you like.

    Valid for as long as what it was made of: make a new one per chart, with the same ``compiled``.
    """

    def __init__(
        self,
        chart: Chart,
        policies: Policies | None = None,
        *,
        transports: Collection[str] | None = None,
        avoid: Collection[Fingerprint] = (),
        avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]] = (),
        entries: Collection[Fingerprint] | None = None,
        entry_us: Mapping[Fingerprint, float] = MappingProxyType({}),
        hops: int = HOPS_LEAST,
        max_hops: int = HOPS_CAP,
        compiled: Compiled | None = None,
    ) -> None:
        """Nothing is asked yet.

        :param chart: the map.
        :param policies: None stands for none.
        :param transports: the transports that the client has, for the entry; None stands for any.
        :param avoid: nodes that are not to be used, because they have just failed.
        :param avoid_lanes: pairs of nodes whose lane is not to be used, in either direction.
        :param entries: routes begin at one of these, at each as often; None stands for any node that can be
            connected to.
        :param entry_us: what the client has measured of its way to entries, microseconds.
        :param hops: nodes of a route, if no policy asks for more; by the charter.
        :param max_hops: nodes of a route at most, by the charter.
        :param compiled: what is known already; of the same policies.
        """
        if not HOPS_LEAST <= hops <= max_hops <= HOPS_CAP:
            raise LocalViolation(f"a route has {HOPS_LEAST} to {HOPS_CAP} nodes, not {hops} to {max_hops}")
        self.chart = chart
        self._policies: Policies = policies if policies is not None else NoPolicies()
        self._compiled = compiled if compiled is not None else Compiled(self._policies)
        if compiled is not None and policies is not None and compiled.policies is not policies:
            raise LocalViolation("what is known is of other policies")
        self._policies = self._compiled.policies
        self._compiled.settle(chart)
        self._vetoing = "veto_route" in self._policies.by_request
        self._transports = transports
        self._avoided = frozenset(avoid)
        self._closed = frozenset(way for a, b in avoid_lanes for way in ((a, b), (b, a)))
        self._entries = entries
        self._entry_us = entry_us
        self._hops = hops
        self._max_hops = max_hops
        self._grounds: dict[tuple[SecurityLevel, int], Ground] = {}
        self._every: dict[tuple[SecurityLevel, int], Every | None] = {}
        self._remembered: OrderedDict[Request, _Found] = OrderedDict()

    def draw(self, request: Request, rng: Random) -> Route:
        """A random one of the near-best routes that the request may use.

        :param rng: :class:`random.SystemRandom` in production; anything seeded makes tests repeatable.
        :raises NoRoute: there is none; says what removed the nodes that are missing, and the cure.
        """
        found = self._find(request, rng)
        if not found.near:
            raise self._refusal(found)
        ((_, nodes),) = rng.choices(found.walks[: found.near], found.weights)
        return Route(nodes)

    def rank(self, request: Request, rng: Random | None = None) -> Ranking:
        """All routes that the request may use, and how likely each is.

        :param rng: what a sample is taken with, if there are too many; None stands for always the same.
        """
        found = self._find(request, _same() if rng is None else rng)
        request = found.demand.request
        scored = tuple(
            Scored(Route(nodes), route_parts(nodes, self._entry(nodes[0]), self._policies, request))
            for _, nodes in self._allowed(found)
        )
        return Ranking(request, scored, found.exact, found.near, tuple(found.weights), found.demand.spread)

    def near_best(self, request: Request, rng: Random | None = None) -> tuple[list[Walk], list[float]]:
        """The routes that one is drawn from, with their costs, and how likely each is: :meth:`rank` without
        all that people want to know.

        :param rng: as of :meth:`rank`.
        :returns: walks, the cheapest first, and as many weights; those of one entry together weigh 1.
        """
        found = self._find(request, _same() if rng is None else rng)
        return found.walks[: found.near], found.weights

    def usable(self, request: Request) -> tuple[list[Walk], bool]:
        """The routes that the request may use, those that one is drawn from first, and whether these are all:
        :meth:`rank` without all that people want to know."""
        found = self._find(request, _same())
        return self._allowed(found), found.exact

    def suits(self, route: Route, request: Request) -> bool:
        """Whether a route that stands may be used for a request: it might have been drawn for it."""
        demand = self._demand(request)
        us = self._cost_us(route, demand)
        if us is None:
            return False
        if demand.spread.share >= 1.0:
            return True
        found = self._find(request, _same())
        slack = 1.0 if found.exact else SAMPLED_SLACK
        entry = None if self._entries is None else route.entry.fingerprint
        dearest = (
            cost_us
            for cost_us, nodes in reversed(found.walks[: found.near])
            if entry in (None, nodes[0].fingerprint)
        )
        return us <= next(dearest, -math.inf) * slack + TIE_US

    def removed(self, request: Request) -> list[Removal]:
        """Every node that cannot be part of a route for the request or not everywhere in it, every lane near
        the entries that cannot, and the quickest of the routes that are vetoed, with who says so and why."""
        demand = self._demand(request)
        refused = [Removal("the request", said.by, said.reason, "request") for said in demand.objections]
        ground = self._ground(demand.request.level, min(demand.hops, self._max_hops))
        vetoes = self._find(request, _same()).vetoes if "veto_route" in self._policies.by_request else []
        return (
            refused
            + vetoes
            + left_out(ground, demand.request, self._avoided, self._entries, self._transports)
        )

    def allows(self, route: Route, request: Request) -> bool:
        """Whether a route that stands may be used for a request, whatever it costs."""
        return self._cost_us(route, self._demand(request)) is not None

    # -- the inside ------------------------------------------------------------------------------------
    def _allowed(self, found: _Found) -> list[Walk]:
        """What was found, without what policies veto."""
        further = found.walks[found.near :]
        request = found.demand.request
        return found.walks[: found.near] + [walk for walk in further if not self._vetoes(walk[1], request)]

    def _cost_us(self, route: Route, demand: Demand) -> float | None:
        """What a route that stands costs; None if it must not be used."""
        current = [self.chart.nodes.get(node.fingerprint) for node in route.nodes]
        nodes = tuple(node for node in current if node is not None)
        if demand.objections or len(nodes) < len(route.nodes) or not demand.hops <= len(nodes):
            return None
        ground = self._ground(demand.request.level, len(nodes))
        us = self._walk_us(ground, nodes, Admits(ground, demand.request))
        return None if us is None or self._vetoes(nodes, demand.request) else us

    def _demand(self, request: Request) -> Demand:
        demand = self._policies.judge_request(request)
        hops, objections = max(demand.hops, self._hops), demand.objections
        if hops > self._max_hops:
            reason = f"policies ask for {hops} nodes, and the charter allows {self._max_hops} at most"
            objections += (Objection(NETWORK, reason),)
        return replace(demand, hops=hops, objections=objections)

    def _ground(self, level: SecurityLevel, hops: int) -> Ground:
        ground = self._grounds.get((level, hops))
        if ground is None:
            starts = tuple(self._starts(level))
            ground = Ground(self.chart, self._compiled, level, hops, starts, self._closed)
            self._grounds[level, hops] = ground
        return ground

    def _starts(self, level: SecurityLevel) -> Iterator[Step]:
        nodes = self.chart.nodes
        known: Iterable[ChartNode] = (
            self.chart
            if self._entries is None
            else [nodes[entry] for entry in sorted(self._entries) if entry in nodes]
        )
        for node in known:
            if node.fingerprint in self._avoided or not reachable(node, self._transports):
                continue
            standing = self._compiled.standing(node, level)
            if standing.entry_us is not None:
                # What is avoided is kept away as if it were of the entry's family.
                yield standing.entry_us + self._entry(node), node, standing.families | self._avoided

    def _entry(self, node: ChartNode) -> float:
        return cost.entry_us(self._entry_us.get(node.fingerprint))

    def _all_walks(self, ground: Ground) -> Every | None:
        """None if there are too many."""
        key = ground.level, ground.hops
        if key not in self._every:
            self._every[key] = Every(ground) if ground.within(EVERY_CAP) else None
        return self._every[key]

    def _find(self, request: Request, rng: Random) -> _Found:
        found = self._remembered.get(request)
        if found is not None:
            self._remembered.move_to_end(request)
            return found
        demand = self._demand(request)
        if demand.objections:
            return _Found(demand, [], True)
        ground = self._ground(demand.request.level, demand.hops)
        admits = Admits(ground, demand.request)
        walks = self._all_walks(ground)
        if walks is None:
            return self._find_some(demand, ground, admits, rng)
        found = self._choose(_Found(demand, walks.admitted(admits), True), None if walks.is_even else walks)
        self._remembered[request] = found
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    def _find_some(self, demand: Demand, ground: Ground, admits: Admits, rng: Random) -> _Found:
        walks = sample(ground, admits, rng, TRIES)
        found = self._choose(_Found(demand, walks, False))
        if len(walks) >= ENOUGH and found.near:
            return found
        reached = reach(ground, admits)
        guided = self._choose(_Found(demand, sample(ground, admits, rng, TRIES, reached), False))
        if max(guided.near, found.near):
            return max(guided, found, key=lambda one: len(one.walks))
        search = Backtrack(ground, admits, reached, rng, STEPS_CAP)
        last = _Found(demand, [], False, vetoes=guided.vetoes)
        for walk in search.walks():
            vetoes = self._vetoes(walk[1], demand.request)
            last.vetoes += vetoes
            if not vetoes:
                last.walks.append(walk)
                if len(last.walks) == LEAST_NEAR:
                    break
        last.exact = last.exhausted = search.exhausted and len(last.walks) < LEAST_NEAR
        last.steps = search.steps
        return self._choose(last, vetoed=True)

    def _choose(self, found: _Found, uneven: Every | None = None, *, vetoed: bool = False) -> _Found:
        """Put the near-best in front, without those that policies refuse.

        :param uneven: says how much each walk counts; None if all do alike.
        :param vetoed: policies have been asked already.
        """
        request = found.demand.request
        short = shortlist(
            found.walks,
            found.demand.spread,
            by_entry=self._entries is not None,
            chance=None if uneven is None else uneven.chance,
            vetoes=None if vetoed or not self._vetoing else lambda nodes: self._vetoes(nodes, request),
        )
        found.walks, found.near, found.weights = short.walks, short.near, short.weights
        found.vetoes += short.vetoes
        return found

    def _vetoes(self, nodes: tuple[ChartNode, ...], request: Request) -> list[Removal]:
        if not self._vetoing:
            return []
        said = self._policies.judge_route(Route(nodes), request).objections
        between = " ".join(node.name for node in nodes) if said else ""
        return [Removal(between, one.by, one.reason, "route") for one in said]

    def _walk_us(self, ground: Ground, nodes: tuple[ChartNode, ...], admits: Admits) -> float | None:
        """What a walk costs; None if it must not be used. Vetoes aside."""
        start = next((start for start in ground.starts if start[1] is nodes[0]), None)
        if start is None:
            return None
        us, _, families = start
        for left, (source, target) in zip(range(len(nodes) - 1, 0, -1), pairwise(nodes), strict=True):
            step = next((step for step in ground.steps(source, left) if step[1] is target), None)
            if step is None or not families.isdisjoint(step[2]):
                return None
            us, families = us + step[0], families | step[2]
        extra = admits.walk_us(nodes)
        return None if extra is None else us + extra

    def _refusal(self, found: _Found) -> NoRoute:
        """Why there is none."""
        if found.search is None:
            found.search = self._searched(found)
        return explain(found.search)

    def _searched(self, found: _Found) -> Search:
        demand = found.demand
        ground = self._ground(demand.request.level, min(demand.hops, self._max_hops))
        admits = Admits(ground, demand.request)
        usable = (
            () if demand.objections else (one for one in self.chart if one.fingerprint not in self._avoided)
        )
        exits = [one for one in usable if _may_exit(ground, admits, one)]
        return Search(
            chart=self.chart,
            hops=demand.hops,
            request=demand.request,
            removed=lambda: left_out(ground, demand.request, self._avoided, self._entries, self._transports),
            entries=len(ground.starts),
            exits=len(exits),
            refusing=() if exits or demand.objections else refusing(ground, demand.request),
            failed=bool(self._avoided or self._closed),
            objections=demand.objections,
            exhausted=found.exhausted,
            vetoes=found.vetoes,
        )


def _may_exit(ground: Ground, admits: Admits, node: ChartNode) -> bool:
    standing = ground.compiled.standing(node, ground.level)
    return standing.exit_us is not None and admits.exit_us(node) is not None


def _same() -> Random:
    """What is asked twice gets the same answer."""
    return Random(0)
