"""The book of a node's lanes: which stand, are being made, or were granted, and why each is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from port17.node.candidates import Candidates
from port17.node.diversity import Diversity, Level


class Choice(StrEnum):
    """Why there is a lane with somebody."""

    PINNED = "pinned"
    """The operator wants it."""
    RANDOM = "random"
    """We drew it from all."""
    NEAR = "near"
    """We took the cheapest of some."""
    EXTRA = "extra"
    """We drew it because others began too few with us."""
    THEIRS = "theirs"
    """The other end began it."""


@dataclass(slots=True)
class Held:
    """A lane in the book.

    :param since_s: when it got to where it is.
    :param level: the limit that our choice of it needed.
    """

    choice: Choice
    since_s: float
    level: Level = Level.STRICT


class LaneBook:
    """The lanes of one node. A peer is in one of the three places at most."""

    def __init__(self, known: Candidates) -> None:
        self.standing: dict[bytes, Held] = {}
        self.dialling: dict[bytes, Held] = {}
        self.granted: dict[bytes, Held] = {}
        """Lanes that others asked for, until they stand."""
        self.diversity = Diversity(known)
        self._known = known

    def __contains__(self, peer: bytes) -> bool:
        return peer in self.standing or peer in self.dialling or peer in self.granted

    def __len__(self) -> int:
        return len(self.standing) + len(self.dialling) + len(self.granted)

    def __iter__(self) -> Iterator[tuple[bytes, Held]]:
        for place in (self.standing, self.dialling, self.granted):
            yield from place.items()

    @property
    def level(self) -> Level:
        """The widest limit that our own choices needed. Whoever had to go beyond the strict one lives where
        it can't be kept, and grants others as much."""
        return max((held.level for _, held in self), default=Level.STRICT)

    def count(self) -> Counter[Choice]:
        """How many lanes there are, by why."""
        return Counter(held.choice for _, held in self)

    def begin(self, peer: bytes, choice: Choice, now_s: float, level: Level = Level.STRICT) -> None:
        """A lane is dialled."""
        self.dialling[peer] = Held(choice, now_s, level)
        self.diversity.add(peer, self._marks(peer))

    def grant(self, peer: bytes, choice: Choice, now_s: float, marks: Iterable[str]) -> None:
        """A lane is granted. If we were dialling it, it stays our choice.

        :param marks: beside those that its bottle shows.
        """
        held = self.dialling.pop(peer, None) or Held(choice, now_s)
        held.since_s = now_s
        self.granted[peer] = held
        self.diversity.add(peer, {*marks, *self._marks(peer)})

    def stand(self, peer: bytes, choice: Choice, now_s: float) -> None:
        """A lane stands.

        :param choice: why, if the book knows of nothing that led to it.
        """
        held = self.dialling.pop(peer, None) or self.granted.pop(peer, None)
        if held is None:
            held = Held(choice, now_s)
            self.diversity.add(peer, self._marks(peer))
        held.since_s = now_s
        self.standing[peer] = held

    def drop(self, peer: bytes) -> Held | None:
        """It is no lane any more, and none is being made.

        :returns: what it was, if it stood.
        """
        self.dialling.pop(peer, None)
        self.granted.pop(peer, None)
        self.diversity.drop(peer)
        return self.standing.pop(peer, None)

    def _marks(self, peer: bytes) -> frozenset[str]:
        candidate = self._known.get(peer)
        return frozenset() if candidate is None else candidate.marks
