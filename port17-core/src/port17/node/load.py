"""How much of what it can do a node does, as its contents say it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from port17.records.bottle import LOAD_CAP

LOOK_S: Final = 10.0
"""Seconds between looks."""
WEIGHT: Final = 0.2
"""Of a look in the average: some five of them tell, so that a burst is no load."""


class ProcessorShare:
    """What share of one processor's time this process has used since it was last asked."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, used: Callable[[], float] = time.process_time
    ) -> None:
        self._clock, self._used = clock, used
        self._before = clock(), used()

    def __call__(self) -> float:
        """Between 0 and 1."""
        now = self._clock(), self._used()
        passed_s, used_s = now[0] - self._before[0], now[1] - self._before[1]
        self._before = now
        return min(1.0, used_s / passed_s) if passed_s > 0 else 0.0


class Load:
    """A running average of the scarcest of some shares."""

    def __init__(self, shares: Iterable[Callable[[], float]]) -> None:
        """:param shares: each gives what is used of something, between 0 and 1."""
        self._shares = tuple(shares)
        self._average = 0.0

    def look(self) -> int:
        """In permille, in steps of 50: the world need not know it finer."""
        highest = max(share() for share in self._shares)
        self._average += WEIGHT * (highest - self._average)
        return min(LOAD_CAP, round(self._average * 20) * 50)
