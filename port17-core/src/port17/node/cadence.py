"""When a node signs its contents anew: soon after they have changed, seldom while they keep changing, and
now and then as a sign of life."""

from __future__ import annotations

import random
from typing import Final

SETTLE_S: Final = 1.0
"""Seconds between a change and the contents that tell of it: changes come in groups."""
GAP_LEAST_S, GAP_MOST_S = 2.0, 60.0
"""Seconds between two signings, at first and at most: doubled while changes keep coming. The least is more
than one since the second of signing is the sequence; the most is less than for how long a lane that was
retired is still obeyed, so that nobody is led to one that is gone."""
QUIET: Final = 2
"""Gaps without a change after which the gap is the least again."""
SIGN_OF_LIFE_S: Final = 3600.0
"""Most seconds between two signings; each is drawn from three quarters to the whole."""


class Cadence:
    """When the next signing is due."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._gap_s = GAP_LEAST_S
        self._signed_s: float | None = None
        self._life_s = SIGN_OF_LIFE_S
        self._changed_s: float | None = None

    def start(self, now_s: float) -> None:
        """What the node begins with is signed."""
        self._signed_s = now_s
        self._draw()

    def look(self, now_s: float, *, changed: bool) -> None:
        """Whether there is something to tell that was not told."""
        if not changed:
            self._changed_s = None
        elif self._changed_s is None:
            self._changed_s = now_s

    @property
    def due_s(self) -> float | None:
        """When to sign; None before the start."""
        if self._signed_s is None:
            return None
        if self._changed_s is not None:
            return max(self._changed_s + SETTLE_S, self._signed_s + self._gap_s)
        return self._signed_s + self._life_s

    def signed(self, now_s: float) -> None:
        """It is signed."""
        if self._changed_s is not None and self._signed_s is not None:
            quiet = self._changed_s - self._signed_s >= QUIET * self._gap_s
            self._gap_s = GAP_LEAST_S if quiet else min(GAP_MOST_S, 2 * self._gap_s)
        self._changed_s = None
        self._signed_s = now_s
        self._draw()

    def _draw(self) -> None:
        self._life_s = SIGN_OF_LIFE_S * self._rng.uniform(0.75, 1.0)
