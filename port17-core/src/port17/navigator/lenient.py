"""Policies without some of what they say, to try out what a route would need."""

from __future__ import annotations

from dataclasses import replace

from port17.navigator.chart import ChartNode, Lane
from port17.navigator.policy import (
    Demand,
    Judgement,
    Kin,
    NoPolicies,
    Objection,
    Policies,
    Position,
    Request,
    Route,
    SecurityLevel,
)


class Lenient(NoPolicies):
    """As other policies, but for some objections and some families."""

    def __init__(
        self,
        policies: Policies,
        *,
        objections: frozenset[tuple[str, str]] = frozenset(),
        families: frozenset[str] = frozenset(),
    ) -> None:
        """
        :param objections: who objects, and the reason, that don't count.
        :param families: kinds of family that don't: what stands before the colon.
        """
        self.by_request = policies.by_request
        self._policies = policies
        self._forgiven = objections
        self._families = families

    def judge_request(self, request: Request) -> Demand:
        """As of the policies, but for what is forgiven; and so below."""
        demand = self._policies.judge_request(request)
        return replace(demand, objections=self._rest(demand.objections))

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_node(node, position, level))

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_node_for(node, position, request))

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        """See above."""
        kin = self._policies.families(node, level)
        kept = frozenset(one for one in kin.families if one.partition(":")[0] not in self._families)
        return Kin(kept, self._rest(kin.objections))

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_lane(source, target, lane))

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_lane_for(source, target, lane, request))

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_exit(node, request))

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """See above."""
        return self._forgive(self._policies.judge_route(route, request))

    def _forgive(self, judgement: Judgement) -> Judgement:
        if not judgement.objections:
            return judgement
        return replace(judgement, objections=self._rest(judgement.objections))

    def _rest(self, objections: tuple[Objection, ...]) -> tuple[Objection, ...]:
        return tuple(one for one in objections if (one.by, one.reason) not in self._forgiven)
