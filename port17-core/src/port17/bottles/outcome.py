"""What can become of a bottle that has come, and how often each has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from port17.bottles.verdict import Ruling, Verdict
from port17.records.bottle import Bottle


class Why(StrEnum):
    """Why a bottle was dropped; what it is counted under."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    FORGED = "forged"
    """Not signed by the node for this network, or its parts contradict each other."""
    FUTURE = "future"
    """Signed later than clocks may differ."""
    OBSOLETE = "obsolete"
    """What is held is newer."""
    EXPIRED = "expired"
    """Signed so long ago that its node counts as gone."""
    EQUIVOCATED = "equivocated"
    """It says something else under a number that was used before."""
    BANNED = "banned"
    """The node has done so at some time."""
    BLOCKED = "blocked"
    """By moderators."""
    STRAY = "stray"
    """A local bottle that has left its local network."""
    NAME = "name"
    """The PortName is new to the node, and another's."""
    REFUSED = "refused"
    """A validator rejected it, for a reason of its own."""
    FULL = "full"
    """The rack keeps no more nodes."""
    BUSY = "busy"
    """Whoever sent it has sent too many strangers; later it may come again."""

    @classmethod
    def of(cls, verdict: Verdict, otherwise: Why) -> Why:
        """What a validator's objection is counted under, if it says so itself."""
        return cls(verdict.kind) if verdict.kind in {str(why) for why in cls} else otherwise


class Part(StrEnum):
    """What of a node was news."""

    NODE = "node"
    LABEL = "label"
    CONTENTS = "contents"
    PREKEYS = "prekeys"
    """Keys that what is held had committed to already."""


@dataclass(frozen=True, slots=True)
class Stored:
    """It is in the rack.

    :param part: the most that was new.
    """

    bottle: Bottle
    part: Part


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The rack holds it already."""


@dataclass(frozen=True, slots=True)
class Distrusted:
    """It is in the rack, and no route uses it.

    :param part: the most that was new.
    :param reason: for people.
    """

    bottle: Bottle
    part: Part
    reason: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """It is dropped, and not passed on.

    :param text: the same for people, with whose bottle it is as far as that is known.
    """

    why: Why
    text: str


def aborted(bottle: Bottle, why: Why, text: str) -> Aborted:
    """A bottle that could be read is dropped."""
    return Aborted(why, f"the bottle of {bottle.node_id}: {text}")


def settled(bottle: Bottle, part: Part, verdict: Verdict) -> Stored | Distrusted:
    """A bottle is in the rack, and believed or not."""
    if verdict.ruling is Ruling.ACCEPT:
        return Stored(bottle, part)
    return Distrusted(bottle, part, "; ".join(verdict.reasons))


Outcome: TypeAlias = Stored | Unchanged | Distrusted | Aborted


class Tally:
    """How often each outcome was; a bounded number of keys."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, outcome: Outcome) -> None:
        """One more."""
        self.counts[key(outcome)] += 1


def key(outcome: Outcome) -> str:
    """What an outcome is counted under: its kind, and where there are several, which."""
    kind = type(outcome).__name__.lower()
    match outcome:
        case Stored(part=part):
            return f"{kind}.{part}"
        case Aborted(why=why):
            return f"{kind}.{why}"
        case _:
            return kind
