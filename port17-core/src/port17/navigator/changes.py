"""What would have to change for a request to have a route: single changes, each tried out.

Nothing here is ever used for a connection: a route that a policy refuses stays refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable

from port17.errors import NoRoute
from port17.navigator.chart import ChartNode, Lane
from port17.navigator.explain import NO_POLICY, Removal
from port17.navigator.policy import (
    LEVELS,
    Demand,
    Judgement,
    Kin,
    Objection,
    Policies,
    Position,
    Request,
    Route,
    SecurityLevel,
)
from port17.navigator.situation import Situation

TRIALS_CAP: Final = 32
"""Most changes that are tried: each is a whole search, on a large chart a tenth of a second."""
ENCRYPTED_PORT: Final = 443
"""Tried in place of a port whose connections begin unencrypted."""

Kind: TypeAlias = Literal["failures", "entries", "level", "port", "policy", "reason", "policies"]


@runtime_checkable
class Parted(Policies, Protocol):
    """Policies of which some can be left away."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all who have an opinion."""

    def without(self, names: Collection[str]) -> Policies:
        """The same, but some are not asked."""


class Forgiving:
    """Policies of which one reason doesn't count."""

    def __init__(self, policies: Policies, by: str, reason: str) -> None:
        """:param by: who says so."""
        self._policies = policies
        self._by = by
        self._reason = reason

    @property
    def by_request(self) -> frozenset[str]:
        """As of the policies."""
        return self._policies.by_request

    def judge_request(self, request: Request) -> Demand:
        """As of the policies, but for the reason; and so below."""
        demand = self._policies.judge_request(request)
        return replace(demand, objections=self._rest(demand.objections))

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_node(node, position, level))

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_node_for(node, position, request))

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        """See above."""
        kin = self._policies.families(node, level)
        return replace(kin, objections=self._rest(kin.objections)) if kin.objections else kin

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_lane(source, target, lane))

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_lane_for(source, target, lane, request))

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_exit(node, request))

    def weigh_exits(self, nodes: Iterable[ChartNode], request: Request) -> dict[ChartNode, float]:
        """See above."""
        judged = ((node, self.judge_exit(node, request)) for node in nodes)
        return {node: judgement.cost_us for node, judgement in judged if not judgement.objections}

    def judge_route(self, route: Route, request: Request) -> Judgement:
        """See above."""
        return self._forgiven(self._policies.judge_route(route, request))

    def _forgiven(self, judgement: Judgement) -> Judgement:
        if not judgement.objections:
            return judgement
        return replace(judgement, objections=self._rest(judgement.objections))

    def _rest(self, objections: tuple[Objection, ...]) -> tuple[Objection, ...]:
        return tuple(one for one in objections if (one.by, one.reason) != (self._by, self._reason))


@dataclass(frozen=True)
class Change:
    """One thing that might be otherwise, and what that would bring.

    :param kind: what would be changed.
    :param what: the same for people: ``without the policy exclude``.
    :param names: the policies that it is about.
    :param routes: how many routes there would be; 0 if it doesn't help.
    :param exact: these are all.
    :param example: one of them.
    """

    kind: Kind
    what: str
    names: tuple[str, ...]
    routes: int
    exact: bool
    example: Route | None

    @property
    def helps(self) -> bool:
        """Whether there would be a route."""
        return self.example is not None

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "kind": self.kind,
            "what": self.what,
            "policies": list(self.names),
            "helps": self.helps,
            "routes": self.routes,
            "exact": self.exact,
            "example": None if self.example is None else [node.name for node in self.example.nodes],
        }


@dataclass(frozen=True)
class _Trial:
    """A change before it is tried."""

    kind: Kind
    what: str
    situation: Situation
    request: Request
    names: tuple[str, ...] = ()

    def outcome(self) -> Change:
        survey = self.situation.survey()
        try:
            # Seeded, as equal questions deserve equal answers.
            example = survey.draw(self.request, Random(0))
        except NoRoute:
            return Change(self.kind, self.what, self.names, 0, True, None)
        ranking = survey.rank(self.request)
        return Change(self.kind, self.what, self.names, max(1, len(ranking.scored)), ranking.exact, example)


def changes(situation: Situation, request: Request, removed: Sequence[Removal]) -> Iterator[Change]:
    """Try what could be otherwise, one thing at a time; then, if nothing helps alone, policies together.

    :param removed: what a search for the request has left out.
    """
    helped = False
    for trial in islice(_single(situation, request, removed), TRIALS_CAP):
        change = trial.outcome()
        helped = helped or change.helps
        yield change
    if not helped:
        yield from _together(situation, request)


def _single(situation: Situation, request: Request, removed: Sequence[Removal]) -> Iterator[_Trial]:
    if situation.avoid or situation.avoid_lanes:
        what = "once what has just failed works again"
        yield _Trial("failures", what, replace(situation, avoid=(), avoid_lanes=()), request)
    policies = situation.policies
    if isinstance(policies, Parted):
        said = _reasons(removed)
        for name in policies.names:
            without = replace(situation, policies=policies.without([name]))
            yield _Trial("policy", f"without the policy {name}", without, request, (name,))
            reasons = said.get(name, ())
            for reason in reasons if len(reasons) > 1 else ():
                without = replace(situation, policies=Forgiving(policies, name, reason))
                yield _Trial("reason", f"if {name} did not say: {reason}", without, request, (name,))
    for level in reversed(LEVELS[: LEVELS.index(request.level)]):
        yield _Trial("level", f"at the level {level}", situation, replace(request, level=level))
    if request.plain_text:
        what = f"to an encrypted port, like {ENCRYPTED_PORT}"
        yield _Trial("port", what, situation, replace(request, port=ENCRYPTED_PORT))
    if situation.entries is not None:
        what = "through other entry nodes than the chosen guards"
        yield _Trial("entries", what, replace(situation, entries=None), request)


def _together(situation: Situation, request: Request) -> Iterator[Change]:
    """The fewest policies that have to go at once; whether there is a route without any, if all must."""
    policies = situation.policies
    if not isinstance(policies, Parted) or len(policies.names) < 2:
        return
    gone = list(policies.names)
    best = _without(situation, policies, gone, request)
    for name in policies.names if best.helps else ():
        fewer = [one for one in gone if one != name]
        change = _without(situation, policies, fewer, request)
        if change.helps:
            gone, best = fewer, change
    yield best


def _without(situation: Situation, policies: Parted, names: Sequence[str], request: Request) -> Change:
    what = (
        "without any policy"
        if len(names) == len(policies.names)
        else f"without the policies {', '.join(names[:-1])} and {names[-1]} together"
    )
    situation = replace(situation, policies=policies.without(names))
    return _Trial("policies", what, situation, request, tuple(names)).outcome()


def _reasons(removed: Sequence[Removal]) -> dict[str, tuple[str, ...]]:
    """Per policy the reasons that it has given, the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for removal in removed:
        if removal.by not in NO_POLICY:
            key = removal.by, removal.reason
            counts[key] = counts.get(key, 0) + 1
    found: dict[str, tuple[str, ...]] = {}
    for by, reason in sorted(counts, key=lambda key: -counts[key]):
        found[by] = (*found.get(by, ()), reason)
    return found
