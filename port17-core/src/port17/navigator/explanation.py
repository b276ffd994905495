"""Why a connection gets the route that it gets, or none: what a search found, as one value.

How a route is found is :mod:`~port17.navigator.route`'s; what a change of mind would bring is
:mod:`~port17.navigator.changes`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final, Literal, TypeAlias

from port17.errors import NoRoute
from port17.navigator.changes import Change, Parted, changes
from port17.navigator.chart import ChartNode, LeftOut
from port17.navigator.explain import NETWORK, TRIES, Removal
from port17.navigator.policy import Request, SecurityLevel
from port17.navigator.ranking import Scored
from port17.navigator.situation import Situation

Fallback: TypeAlias = Literal["", "longer", "failed"]
ROUTES_CAP: Final = 1000
"""Routes that are told with all their parts, the near-best first: more than anybody reads, some hundred
kilobytes. How many there are is always said."""


@dataclass(frozen=True)
class Explanation:
    """What became of one request.

    :param request: with the level that holds for it.
    :param asked: the level that the user has set.
    :param hops: nodes of a route for it.
    :param fallback: ``longer`` if there is a route only of more nodes than were asked for, ``failed`` if only
        over what has just failed; empty otherwise.
    :param known: nodes that are known, and of these ``usable``, those on the chart.
    :param entries: names of the nodes that routes may begin at; None for any.
    :param policies: names of all that were asked.
    :param kin: families of which no route has two nodes, with the names of those that belong to them; only
        families of several, and only where there is no route and they may be the reason.
    :param chosen: the route that was drawn; another connection may draw another. None if there is none.
    :param routes: routes that may be used, the near-best first; if not ``exact``, those of a sample.
    :param near: of these, how many one is drawn from, with ``chances`` that add up to 1.
    :param removed: everything that cannot be part of a route, and why.
    :param refusal: why there is no route.
    :param changes: what would bring one, tried out.
    """

    request: Request
    asked: SecurityLevel
    hops: int
    fallback: Fallback
    known: int
    usable: int
    entries: tuple[str, ...] | None
    policies: tuple[str, ...]
    kin: Mapping[str, tuple[str, ...]]
    chosen: Scored | None
    routes: tuple[Scored, ...]
    exact: bool
    near: int
    chances: tuple[float, ...]
    removed: tuple[Removal, ...]
    refusal: NoRoute | None
    changes: tuple[Change, ...]

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it; docs/command-line.md describes it."""
        request, refusal = self.request, self.refusal
        return {
            "destination": {"host": request.host, "port": request.port, "program": request.program},
            "level": request.level,
            "asked_level": self.asked,
            "hops": self.hops,
            "fallback": self.fallback,
            "nodes": {"known": self.known, "usable": self.usable},
            "entries": None if self.entries is None else list(self.entries),
            "policies": list(self.policies),
            "families": {name: list(names) for name, names in self.kin.items()},
            "route": None if self.chosen is None else _route(self.chosen, described=True),
            "routes": {
                "count": len(self.routes),
                "exact": self.exact,
                "near": self.near,
                "list": [
                    {**_route(scored), "chance": round(chance, 6)}
                    for scored, chance in zip(self.routes[:ROUTES_CAP], self._all_chances(), strict=False)
                ],
            },
            "removed": [
                {
                    "kind": removal.kind,
                    "subject": removal.subject,
                    "id": removal.node_id or None,
                    "position": removal.position,
                    "by": removal.by,
                    "reason": removal.reason,
                }
                for removal in self.removed
            ],
            "no_route": None
            if refusal is None
            else {
                "message": refusal.message,
                # Who reads an explanation need not be sent to one.
                "cure": " ".join(refusal.cure.replace(TRIES, "").split()),
                "short": refusal.short,
                "lacks": refusal.lacks,
            },
            "changes": [change.plain() for change in self.changes],
        }

    def _all_chances(self) -> Sequence[float]:
        return [*self.chances, *[0.0] * (min(len(self.routes), ROUTES_CAP) - len(self.chances))]


def explain_request(situation: Situation, request: Request, rng: Random) -> Explanation:
    """Search as for a connection, and say all that was found.

    :param rng: what the route is drawn with.
    """
    chart, survey = situation.chart, situation.survey()
    fallback: Fallback = ""
    refusal: NoRoute | None = None
    try:
        survey.draw(request, rng)
    except NoRoute as error:
        refusal = error
        for name, other in _fallbacks(situation) if error.mendable else ():
            if other.survey().usable(request)[0]:
                situation, survey = other, other.survey()
                fallback, refusal = name, None
                break
    ranking = survey.rank(request)
    near = ranking.scored[: ranking.near]
    total = sum(ranking.weights[: len(near)])
    chosen = rng.choices(near, ranking.weights[: len(near)])[0] if near else None
    removed = (*(_left_out(one) for one in chart.left_out), *survey.removed(request))
    entries = situation.entries
    # Families stand in the way only where entries and exits are left.
    kin = _kin(situation, ranking.request.level) if refusal is not None and refusal.mendable else {}
    return Explanation(
        request=ranking.request,
        asked=request.level,
        hops=max(situation.hops, situation.policies.judge_request(request).hops),
        fallback=fallback,
        known=len(chart) + len(chart.left_out),
        usable=len(chart),
        entries=None
        if entries is None
        else tuple(sorted(chart.nodes[one].name for one in entries if one in chart.nodes)),
        policies=situation.policies.names if isinstance(situation.policies, Parted) else (),
        kin=kin,
        chosen=chosen,
        routes=ranking.scored,
        exact=ranking.exact,
        near=len(near),
        chances=tuple(weight / total for weight in ranking.weights[: len(near)]),
        removed=removed,
        refusal=refusal,
        changes=() if refusal is None else tuple(changes(situation, request, removed, kin, refusal)),
    )


def _fallbacks(situation: Situation) -> Iterator[tuple[Fallback, Situation]]:
    """What a client tries where there is no route, in this order."""
    for hops in range(situation.hops + 1, situation.max_hops + 1):
        yield "longer", replace(situation, hops=hops)
    if situation.avoid or situation.avoid_lanes:
        yield "failed", replace(situation, avoid=(), avoid_lanes=())


def _kin(situation: Situation, level: SecurityLevel) -> dict[str, tuple[str, ...]]:
    """Families of several nodes, the largest first."""
    members: dict[str, list[str]] = {}
    for node in situation.chart:
        for family in situation.policies.families(node, level).families:
            members.setdefault(family, []).append(node.name)
    several = [(name, tuple(names)) for name, names in members.items() if len(names) > 1]
    return dict(sorted(several, key=lambda one: (-len(one[1]), one[0])))


def _left_out(out: LeftOut) -> Removal:
    return Removal(out.name, NETWORK, out.reason)


def _route(scored: Scored, *, described: bool = False) -> dict[str, Any]:
    nodes = scored.route.nodes
    return {
        "nodes": [_node(node) for node in nodes] if described else [node.name for node in nodes],
        "cost_us": round(scored.cost_us, 1),
        "parts": [{"what": part.what, "us": round(part.us, 1)} for part in scored.parts],
    }


def _node(node: ChartNode) -> dict[str, Any]:
    """What tells a node from others, as policies see it."""
    return {
        "name": node.name,
        "id": node.node_id,
        "group": node.group,
        "owner": node.owner,
        "marks": sorted(node.marks),
        "load": node.load,
        "countries": sorted({place.country for place in node.places if place.country}),
        "asns": sorted({place.asn for place in node.places if place.asn}),
    }
