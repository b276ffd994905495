"""Replacing lanes by cheaper ones, slowly: now and then one is tried beside the one that it may replace, and
after both were measured the dearer one goes."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Final

from port17.node.backoff import STEADY_S
from port17.node.diversity import Level
from port17.node.lane_book import Choice, LaneBook
from port17.node.lane_cost import LaneCost
from port17.node.lane_draw import LaneDraw

CHOICE_OF: Final = 3
"""Candidates of which the cheapest is taken. Of more it would be always the same few nodes; and whoever makes
his nodes look cheap would win more."""
PERIOD_S: Final = 900.0
"""Seconds between two trials; drawn from half to one and a half. Each costs two nodes two changes of
contents, which everybody hears of."""
WORTH: Final = 0.75
"""A lane is tried in the place of another if it promises to cost less than this part of it."""
TRIAL_S: Final = 30.0
"""Seconds for which both stand: some measurements."""


class LaneTrial:
    """The trials of one node, one at a time. Only lanes that were taken for cheap are ever replaced: what was
    drawn from all stays so."""

    def __init__(self, book: LaneBook, draw: LaneDraw, cost: LaneCost, rng: random.Random) -> None:
        self._book = book
        self._draw = draw
        self._cost = cost
        self._rng = rng
        self._next_s = math.inf
        self._tried: tuple[bytes, bytes, float] | None = None
        """Who is tried in whose place, and since when both stand (infinite before)."""

    def plan(self, now_s: float) -> None:
        """From now on, the next trial is due after a period."""
        self._next_s = now_s + PERIOD_S * self._rng.uniform(0.5, 1.5)

    def cheapest(self, drawn: Iterable[tuple[bytes, Level]]) -> tuple[bytes, Level]:
        """Of those that were drawn, at least one."""
        found = list(drawn)
        return found[0] if len(found) == 1 else min(found, key=lambda one: self._cost.of(one[0]))

    @property
    def spare(self) -> int:
        """How many lanes stand or are being made in others' places."""
        return int(self._tried is not None)

    def begin(self, now_s: float, target: int) -> tuple[bytes, Level] | None:
        """Who is to be tried now.

        :param target: lanes that the node sees to; with fewer there are no trials.
        """
        if now_s < self._next_s:
            return None
        self.plan(now_s)
        near = [
            peer
            for peer, held in sorted(self._book.standing.items())
            if held.choice is Choice.NEAR and now_s - held.since_s >= STEADY_S
        ]
        busy = len(self._book.standing) < target or self._book.dialling or self._tried is not None
        if busy or not near or self._book.level is not Level.STRICT:
            return None
        drawn = self._draw.draw(CHOICE_OF, target, now_s)
        if not drawn:
            return None
        dearest = max(near, key=self._cost.of)
        peer, level = self.cheapest(drawn)
        if self._cost.of(peer) >= WORTH * self._cost.of(dearest):
            return None
        self._tried = (peer, dearest, math.inf)
        return peer, level

    def stands(self, peer: bytes, now_s: float) -> None:
        """A lane stands; perhaps the one that is tried."""
        if self._tried is not None and self._tried[0] == peer:
            self._tried = (peer, self._tried[1], now_s)

    def loser(self, now_s: float) -> bytes | None:
        """Whose lane is to be retired now, the old one's or the new one's."""
        if self._tried is None:
            return None
        new, old, since_s = self._tried
        if new not in self._book or old not in self._book.standing:
            self._tried = None  # one is gone, and the other stays
        elif now_s >= since_s + TRIAL_S:  # as due_s is reckoned, to the last bit
            self._tried = None
            return old if self._cost.of(new) < self._cost.of(old) else new
        return None

    @property
    def due_s(self) -> float:
        """When there is something to do."""
        return self._next_s if self._tried is None else self._tried[2] + TRIAL_S
