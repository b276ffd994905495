"""Whom a node leaves alone for a while: who did not answer, would not have it, or comes and goes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 1.0
"""Seconds before somebody is called again who did not answer once; doubled every further time, and drawn from
half to the whole, so that the neighbours of a node that comes back don't call all at once."""
REFUSED: Final = 10
"""So many times as long after a refusal: who has no room won't have any in a second."""
MOST_S: Final = 300.0
"""Most seconds before somebody is called again: one call in five minutes costs nobody anything."""
ALIVE_S: Final = 15.0
"""Seconds after a failure from which on fresh contents let a node be called again: it lives. Not at once, or
whoever signs every second could have himself called every second."""
STEADY_S: Final = 300.0
"""Seconds after which a lane has stood long enough for its loss to be no sign of flapping."""
FLAPS: Final = 3
"""Failures in a row from which on a node is not granted what it asks for either: a restart or two are
honest."""
HELD_CAP: Final = 4096
"""Most nodes that are remembered; the ones that may be called the soonest are forgotten. We call some a
second, so that they are minutes' worth."""


@dataclass(slots=True)
class _Rest:
    failures: int
    since_s: float
    until_s: float
    refused: bool


class Backoff:
    """Who is not to be called before when."""

    def __init__(self, rng: random.Random, *, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._rng = rng
        self._first_s = first_s
        self._most_s = most_s
        self._held: dict[bytes, _Rest] = {}

    def failed(self, peer: bytes, now_s: float, *, refused: bool = False) -> None:
        """It did not answer, or a lane with it did not last.

        :param refused: it lives, and would not have us.
        """
        held = self._held.get(peer)
        # Who has been left alone for as long again as he had to be starts afresh.
        forgiven = held is None or now_s - held.until_s > max(STEADY_S, held.until_s - held.since_s)
        failures = 1 if held is None or forgiven else held.failures + 1
        first_s = self._first_s * (REFUSED if refused else 1)
        wait_s = min(self._most_s, first_s * 2.0 ** min(failures - 1, 30)) * self._rng.uniform(0.5, 1.0)
        self._hold(peer, _Rest(failures, now_s, now_s + wait_s, refused))

    def rest(self, peer: bytes, now_s: float, seconds: float) -> None:
        """Nothing is wrong with it, but it is not wanted again soon."""
        self._hold(peer, _Rest(0, now_s, now_s + seconds, True))

    def alive(self, peer: bytes, now_s: float) -> None:
        """It has signed something: if it did not answer, it might now."""
        held = self._held.get(peer)
        if held is not None and not held.refused:
            held.until_s = min(held.until_s, max(now_s, held.since_s + ALIVE_S))

    def left(self, peer: bytes) -> None:
        """It is away; when it is back, that it was not wanted before is no reason any more."""
        held = self._held.get(peer)
        if held is not None and held.refused:
            del self._held[peer]

    def steady(self, peer: bytes) -> None:
        """A lane with it has lasted: what was before is forgotten."""
        self._held.pop(peer, None)

    def is_ready(self, peer: bytes, now_s: float) -> bool:
        """It may be called."""
        held = self._held.get(peer)
        return held is None or held.until_s <= now_s

    def has_refused(self, peer: bytes, now_s: float) -> bool:
        """It is left alone because it would not have us, or we it."""
        held = self._held.get(peer)
        return held is not None and held.refused and held.until_s > now_s

    def flaps(self, peer: bytes, now_s: float) -> bool:
        """It comes and goes, and is to stay away for a while."""
        held = self._held.get(peer)
        return held is not None and not held.refused and held.failures >= FLAPS and held.until_s > now_s

    def until_s(self, peer: bytes) -> float:
        """From when on it may be called."""
        held = self._held.get(peer)
        return -math.inf if held is None else held.until_s

    def unanswered(self, now_s: float) -> list[bytes]:
        """Who did not answer the last time, and may be called again, in the order of fingerprints."""
        return sorted(peer for peer, held in self._held.items() if not held.refused and held.until_s <= now_s)

    def next_s(self, now_s: float) -> float | None:
        """When the next one may be called again."""
        return min((held.until_s for held in self._held.values() if held.until_s > now_s), default=None)

    def _hold(self, peer: bytes, rest: _Rest) -> None:
        self._held[peer] = rest
        if len(self._held) > HELD_CAP:
            soonest = sorted(self._held, key=lambda one: (self._held[one].until_s, one))
            for one in soonest[: HELD_CAP // 2]:
                del self._held[one]
