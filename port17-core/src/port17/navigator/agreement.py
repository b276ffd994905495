"""Which cipher suite two ends use: the best of charter, the node's label and our own configuration.

Decided from names alone, before anything is fetched or sent; whether a prekey is at hand comes after, and
changes nothing: a failure is a failure, never a reason to take a weaker suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from port17.records.revision import Revision

NOTHING_SAID: Final[Mapping[str, str]] = MappingProxyType({})
NOT_SERVED: Final = "the node does not serve it"
NOT_OWN: Final = "we do not have it, or our configuration does not allow it"
NOT_ALLOWED: Final = "the charter does not allow it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was made of one suite.

    :param name: the suite's wire name.
    :param taken: it is the one that is used.
    :param reason: why, or why not, for people.
    """

    name: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two ends use, and what became of every other suite.

    :param suite: the wire name; None if they have nothing in common.
    :param verdicts: one per suite that the charter, the node or we name, in order of preference; what the
        charter does not allow comes last.
    """

    suite: str | None
    verdicts: tuple[Verdict, ...]


def preference(revision: Revision) -> tuple[str, ...]:
    """The suites that the charter allows, best first: in its order, but deprecated ones after all others.

    :param revision: here and below: with what the suites' own authors deprecate added to ``deprecated``.
    """
    deprecated = frozenset(revision.deprecated)
    return tuple(sorted(revision.suites, key=lambda name: name in deprecated))


def agree(
    revision: Revision,
    served: Sequence[str],
    own: Collection[str],
    *,
    why_not_own: Mapping[str, str] = NOTHING_SAID,
) -> Agreement:
    """The suite to use with a node.

    The order in which the node names its suites says nothing: a node can narrow, but not prefer for others.

    :param served: the suites of the node's label.
    :param own: the suites that we can use and our configuration allows.
    :param why_not_own: of a suite that is not among them, the reason.
    """
    order = preference(revision)
    deprecated = frozenset(revision.deprecated)
    taken = next((name for name in order if name in served and name in own), None)
    verdicts = []
    for name in order:
        if name == taken:
            better = "the best that charter, node and configuration allow"
            reason = f"{better}, though it is deprecated" if name in deprecated else better
        elif name not in served:
            reason = NOT_SERVED
        elif name not in own:
            reason = why_not_own.get(name, NOT_OWN)
        elif name in deprecated:
            reason = f"it is deprecated, and there is {taken}"
        else:
            reason = f"the charter prefers {taken}"
        verdicts.append(Verdict(name, name == taken, reason))
    foreign = dict.fromkeys([*served, *sorted(own)])
    verdicts += [Verdict(name, False, NOT_ALLOWED) for name in foreign if name not in order]
    return Agreement(taken, tuple(verdicts))


class Standing(IntEnum):
    """What has become of a suite that is in use with a node, from harmless to final."""

    GOOD = 0
    """It is the one that would be chosen now."""
    SUPERSEDED = 1
    """Another would be chosen: nothing new begins with it, and what stands may end by itself."""
    FORBIDDEN = 2
    """It is not to be used, or not with this node: what stands ends soon."""


def standing(revision: Revision, served: Sequence[str] | None, own: Collection[str], suite: str) -> Standing:
    """What has become of a suite in use.

    :param served: the suites of the node's label; None if the node is not known any more.
    :param own: as of :func:`agree`.
    :param suite: the one in use.
    """
    if served is None or suite not in revision.suites or suite not in own:
        return Standing.FORBIDDEN
    return Standing.GOOD if agree(revision, served, own).suite == suite else Standing.SUPERSEDED
