"""Whether this machine has slept: links that stood before are gone then, though nobody has said so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio

SLEPT_S: Final = 20.0
"""Seconds asleep after which links count as gone: the other end gives one up that is in use after seven."""


def running_s() -> float:
    """Seconds by a clock that goes on while the machine sleeps; where there is none, by the wall's."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boottime is None else time.clock_gettime(boottime)


class Sleep:
    """Compares a clock that stands still while the machine sleeps with one that does not."""

    def __init__(self, running: Callable[[], float] = running_s) -> None:
        """:param running: seconds by a clock that never stands still."""
        self._running = running
        self._apart_s = self._difference()

    def look(self) -> bool:
        """Whether the machine has slept since the last look."""
        before, self._apart_s = self._apart_s, self._difference()
        return self._apart_s - before > SLEPT_S

    def _difference(self) -> float:
        return self._running() - anyio.current_time()
