"""How often a session's asymmetric steps come: when its initiator starts one, how many its responder takes.

By volume and by time of use, jittered, so that steps tell nobody how much crossed since when. What a step
does is :mod:`port17.wire.ratchet`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from port17.errors import PeerViolation
from port17.wire.block import BODY_SIZE
from port17.wire.quota import TokenBucket
from port17.wire.ratchet import CELLS_PER_STEP

MIB = 1 << 20
STEP_MIB = 64
"""Mebibytes of use, both directions together, between asymmetric steps: a fraction of a second at full speed,
at some 0.2 % of its cost."""
STEP_S = 60.0
"""Seconds between asymmetric steps of a session in use."""
JITTER_LEAST, JITTER_MOST = 0.5, 1.5
"""Bounds of the factor that each session draws anew for each step, evenly."""
STEP_MIB_FLOOR, STEP_S_FLOOR = 1, 2.0
"""Least that can be asked for: with the jitter's least factor, what responders put up with."""
ANSWER_S = 120.0
"""Seconds that a step may stay unanswered. A responder answers at once; the rest is for queues of a slow
line. Past it the keys would grow old unseen, so the session ends."""
STEPS_PER_S, STEPS_BURST = 1.0, 3.0
"""Steps that the responder of a session answers, per second and at once: each costs it some 0.5 ms for one
cell of the initiator's. An honest one asks for two in a row at most, the first of a session and one that is
due."""
CELLS_PER_ANSWER = 128
"""Cells of use that entitle to one more: half a mebibyte, which costs the responder several milliseconds."""
NEVER = sys.maxsize
"""A mark that no count reaches."""

_random = SystemRandom()


@dataclass(frozen=True)
class StepTerms:
    """When sessions step.

    :param cells_per_step: cells between symmetric steps; the circuit's client chooses.
    :param step_cells: cells of use between asymmetric steps, before jitter.
    :param step_s: seconds of use between them, before jitter.
    """

    cells_per_step: int = CELLS_PER_STEP
    step_cells: int = STEP_MIB * MIB // BODY_SIZE
    step_s: float = STEP_S


USUAL = StepTerms()
"""The terms where nobody says others."""


class Pace:
    """When the initiator of one session starts its next asymmetric step.

    The first is not this class's to say: it belongs to the set-up.
    """

    __slots__ = ("_asked_s", "_due_s", "_terms", "_uniform", "_used", "answered_s", "mark")

    def __init__(
        self, terms: StepTerms, now_s: float, uniform: Callable[[float, float], float] = _random.uniform
    ) -> None:
        """A session was set up: its responder's first answer is outstanding.

        :param uniform: draws a factor between two bounds.
        """
        self._terms = terms
        self._uniform = uniform
        self._asked_s: float | None = now_s
        self._used = 0
        self._due_s = 0.0
        self.answered_s: float | None = None
        """When the last step was completed; None before the first."""
        self.mark = NEVER
        """Cells of use at which a step is due whatever the time."""

    def asked(self, now_s: float) -> None:
        """A step was started."""
        self._asked_s = now_s
        self.mark = NEVER

    def answered(self, used: int, now_s: float) -> None:
        """The step that was outstanding is complete.

        :param used: cells of use so far.
        """
        self._asked_s = None
        self._used = used
        self.answered_s = now_s
        draw, terms = self._uniform, self._terms
        self.mark = used + max(1, int(terms.step_cells * draw(JITTER_LEAST, JITTER_MOST)))
        self._due_s = now_s + terms.step_s * draw(JITTER_LEAST, JITTER_MOST)

    def due(self, used: int, now_s: float) -> bool:
        """A step is to be started now. Never while one is outstanding, nor without use since the last."""
        return self._asked_s is None and (used >= self.mark or (used > self._used and now_s >= self._due_s))

    def overdue(self, now_s: float) -> bool:
        """The step that is outstanding will not be answered any more."""
        return self._asked_s is not None and now_s - self._asked_s > ANSWER_S


class Patience:
    """How many steps the responder of one session answers."""

    __slots__ = ("_bucket", "_cells")

    def __init__(self) -> None:
        self._bucket = TokenBucket(STEPS_PER_S, STEPS_BURST)
        self._cells = 0

    def admit(self, cells: int, now_s: float) -> None:
        """A step was asked for.

        :param cells: cells of both directions so far.
        :raises PeerViolation: they come too often, for the time and for the use.
        """
        self._bucket.put((cells - self._cells) / CELLS_PER_ANSWER)
        self._cells = cells
        if not self._bucket.take(now_s):
            raise PeerViolation("ratchet steps come too often")
