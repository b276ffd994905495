"""What would have to change for a request to have a route: single changes, each tried out.

Nothing here is ever used for a connection: a route that a policy refuses stays refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from port17.errors import NoRoute
from port17.navigator.explain import NO_POLICY, Removal
from port17.navigator.lenient import Lenient
from port17.navigator.policy import LEVELS, Policies, Request, Route
from port17.navigator.situation import Situation

TRIALS_CAP: Final = 32
"""Most changes that are tried: each is a whole search, on a large chart a tenth of a second."""
ENCRYPTED_PORT: Final = 443
"""Tried in place of a port whose connections begin unencrypted."""

FAMILIES: Final = {"as": "autonomous system", "net": "IP network", "yours": "family of your own"}
"""Kinds of family whose names say too little; those of others are shown as their policies call them."""

Kind: TypeAlias = Literal["level", "reason", "family", "policy", "port", "entries", "policies"]
KINDS: Final = get_args(Kind)
"""What gives up least first."""


@runtime_checkable
class Parted(Policies, Protocol):
    """Policies of which some can be left away."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all who have an opinion."""

    def without(self, names: Collection[str]) -> Policies:
        """The same, but some are not asked."""


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
        walks, exact = self.situation.survey().usable(self.request)
        example = Route(walks[0][1]) if walks else None
        return Change(self.kind, self.what, self.names, len(walks), exact, example)


def changes(
    situation: Situation,
    request: Request,
    removed: Sequence[Removal],
    kin: Collection[str],
    refusal: NoRoute,
) -> list[Change]:
    """Try what could be otherwise, one thing at a time; then, if nothing helps alone, policies together.

    :param removed: what a search for the request has left out.
    :param kin: families with several nodes, if these may stand in the way.
    :param refusal: what the search has ended with.
    :returns: what gives up least first.
    """
    policies = situation.policies
    found = [trial.outcome() for trial in _without_policies(situation, request)]
    # What a policy says stands in the way only if the policy does.
    guilty = {change.names[0] for change in found if change.helps}
    trials = [
        *_elsewise(situation, request, kin, refusal),
        *_without_reasons(situation, request, removed, guilty),
    ]
    found += [trial.outcome() for trial in trials[:TRIALS_CAP]]
    found.sort(key=lambda change: KINDS.index(change.kind))
    if isinstance(policies, Parted) and not any(change.helps for change in found):
        found += _together(situation, policies, request)
    return found


def _without_policies(situation: Situation, request: Request) -> Iterator[_Trial]:
    policies = situation.policies
    if isinstance(policies, Parted):
        for name in policies.names[:TRIALS_CAP]:
            without = replace(situation, policies=policies.without([name]))
            yield _Trial("policy", f"without the policy {name}", without, request, (name,))


def _without_reasons(
    situation: Situation, request: Request, removed: Sequence[Removal], guilty: Collection[str]
) -> Iterator[_Trial]:
    for name, reasons in _reasons(removed).items():
        # Where there is but one, the policy itself says as much.
        for reason in reasons if name in guilty and len(reasons) > 1 else ():
            lenient = Lenient(situation.policies, objections=frozenset([(name, reason)]))
            what = f"if {name} did not say: {reason}"
            yield _Trial("reason", what, replace(situation, policies=lenient), request, (name,))


def _elsewise(
    situation: Situation, request: Request, kin: Collection[str], refusal: NoRoute
) -> Iterator[_Trial]:
    """Whatever is no policy's."""
    for level in reversed(LEVELS[: LEVELS.index(request.level)]):
        yield _Trial("level", f"at the level {level}", situation, replace(request, level=level))
    for kind in sorted({family.partition(":")[0] for family in kin}):
        lenient = Lenient(situation.policies, families=frozenset([kind]))
        what = f"if a route could have two nodes of one {FAMILIES.get(kind, kind)}"
        yield _Trial("family", what, replace(situation, policies=lenient), request)
    if request.plain_text:
        what = f"to an encrypted port, like {ENCRYPTED_PORT}"
        yield _Trial("port", what, situation, replace(request, port=ENCRYPTED_PORT))
    # From no entry a route leads to an exit that does not exist.
    if situation.entries is not None and (refusal.mendable or refusal.lacks == "entry"):
        what = "through other entry nodes than the guards"
        yield _Trial("entries", what, replace(situation, entries=None), request)


def _together(situation: Situation, policies: Parted, request: Request) -> list[Change]:
    """The fewest policies that have to go at once; whether there is a route without any, if all must."""
    if len(policies.names) < 2:
        return []
    gone = list(policies.names)
    best = _without(situation, policies, gone, request)
    for name in policies.names if best.helps else ():
        fewer = [one for one in gone if one != name]
        change = _without(situation, policies, fewer, request)
        if change.helps:
            gone, best = fewer, change
    return [best]


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
