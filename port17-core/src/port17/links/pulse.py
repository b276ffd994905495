"""When the peer of a link is asked for a sign of life, and when it is taken for gone.

It knows no clock and sends nothing: the crane asks it, every second or so.
"""

from __future__ import annotations

from enum import Enum, auto
from random import Random, SystemRandom
from typing import Final

PING_AFTER_S: Final = 2.0
"""Seconds without a block after which a PING is due."""
DEAD_AFTER_S: Final = 7.0
"""Seconds without a block after which a link is lost: programs learn of it within 10 s."""
QUIET_PING_S: Final = (600.0, 900.0)
"""Least and most seconds of silence before a PING while nobody waits for anything. A client keeps its links
all day, and a PING and its PONG are 8 KiB; racks are compared every ten minutes: a sign of life, too."""

_random: Final = SystemRandom()


class Sign(Enum):
    """What is to be done."""

    NOTHING = auto()
    PING = auto()
    LOST = auto()


class Pulse:
    """Of one end of one link."""

    def __init__(self, now_s: float, *, sparing: bool, rng: Random = _random) -> None:
        """
        :param now_s: any clock, seconds; the link begins, and a PING has just been sent.
        :param sparing: one end is a client, so that nobody else relies on the link while it is quiet.
        """
        self._sparing = sparing
        self._rng = rng
        self._in_use = True
        self._since_s = now_s
        """Since when somebody relies on an answer."""
        self._asked_s = now_s
        self._pause_s = rng.uniform(*QUIET_PING_S)

    def look(self, now_s: float, heard_s: float, *, in_use: bool) -> Sign:
        """What is due now.

        :param heard_s: when a block last came, by the same clock.
        :param in_use: a circuit uses the link beside those that only keep bottles current.
        """
        if in_use and not self._in_use:
            # Its first cell has just gone out. That nothing was heard before says nothing: nobody had asked.
            self._since_s = now_s
        self._in_use = in_use
        if in_use or not self._sparing:
            silent_s = now_s - max(heard_s, self._since_s)
            if silent_s > DEAD_AFTER_S:
                return Sign.LOST
            # At the first look, too: whoever begins to use it is not to wait for a peer that is gone.
            due = silent_s > PING_AFTER_S or (now_s == self._since_s and heard_s < now_s - PING_AFTER_S)
        else:
            if heard_s < self._asked_s < now_s - DEAD_AFTER_S:
                return Sign.LOST
            due = now_s - max(heard_s, self._asked_s) > self._pause_s
        if not due:
            return Sign.NOTHING
        self._asked_s = now_s
        self._pause_s = self._rng.uniform(*QUIET_PING_S)
        return Sign.PING
