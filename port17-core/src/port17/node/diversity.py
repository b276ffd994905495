"""How many lanes of a node may go to one hand: to one group, and to one area of the internet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from port17.node.candidates import Candidates

SHARE: Final = 4
"""One in so many of the lanes that a node sees to may go to one mark (group or area)."""
LEAST: Final = 2
"""Lanes that any mark may have, however few there are: with one, a lane could not be replaced in time."""
ENOUGH: Final = 2
"""A mark is limited where so many times as many others can be called as lanes are wanted: in a smaller
network the limit would cost more lanes than it saves."""


class Level(IntEnum):
    """How much of the limit holds. It gives way only to who has asked everybody else in vain."""

    STRICT = 0
    WIDER = 1
    """Twice the share."""
    OPEN = 2
    """No limit."""


def limit(target: int, level: Level) -> float:
    """Most lanes of one mark.

    :param target: lanes that the node sees to.
    """
    if level is Level.OPEN:
        return math.inf
    return max(LEAST, math.ceil(target * (1 + level) / SHARE))


class Diversity:
    """The marks of all lanes of one node, also of those that are being made."""

    def __init__(self, known: Candidates) -> None:
        self._known = known
        self._marks: dict[bytes, frozenset[str]] = {}
        self._count: Counter[str] = Counter()

    def add(self, peer: bytes, marks: Iterable[str]) -> None:
        """A lane with these marks is being made."""
        self.drop(peer)
        self._marks[peer] = frozenset(marks)
        self._count.update(self._marks[peer])

    def drop(self, peer: bytes) -> None:
        """It is no more, or will not be."""
        self._count.subtract(self._marks.pop(peer, ()))
        if len(self._count) > 2 * sum(map(len, self._marks.values())) + 64:
            self._count = +self._count  # marks of which there is nothing left

    def fits(self, marks: Iterable[str], target: int, level: Level) -> bool:
        """One more with these marks keeps the limit."""
        most = limit(target, level)
        return all(self._count[mark] < most or self._known.without(mark) < ENOUGH * target for mark in marks)
