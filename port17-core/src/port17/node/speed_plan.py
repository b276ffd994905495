"""When a node measures which lane's capacity, and whose request to measure it serves.

It decides, and moves no byte: that is :mod:`~port17.node.speedtest`'s. docs/measuring.md says what all this
costs at most, and what lying about it wins.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from typing import Final

from port17.node.backoff import STEADY_S
from port17.wire.quota import TokenBucket
from port17.wire.reasons import Reason

BURST: Final = 4 * 1024 * 1024
"""Bytes of a measurement: a third of a second at 100 Mbit/s. A stream's window is as large after six round
trips, so that the later half of them comes as quickly as the line lets it."""
PATIENCE_S: Final = 3.0
"""Most seconds of a measurement: a line of 10 Mbit/s, which needs them, is held up no longer."""
AGAIN_S: Final = 6 * 3600.0
"""Seconds until a lane is measured again, drawn from half to one and a half: lines change with the time of
day."""
RETRY_S: Final = 1200.0
"""Seconds until a measurement that came to nothing is tried again, drawn in the same way."""
APART_S: Final = 150.0
"""Least seconds between a node's own measurements: 24 in an hour, so that the 128 lanes that contents can
name take six hours."""
PER_PEER_S, PER_PEER_BURST = 3 * 3600.0, 2.0
"""Seconds between measurements that one node is served, the least that an honest one waits, and how many at
once: one that has started anew has forgotten what it measured."""
SERVED_S, SERVED_BURST = 150.0, 4.0
"""Seconds between measurements that are served to all together, in the mean, and how many behind each other:
what :data:`APART_S` makes of 128 honest lanes, however many names somebody has."""
QUIET: Final = 64 * 1024
"""Bytes per second below which a lane counts as idle: half a megabit, more than its upkeep, and less than
anybody who waits for something."""
BUSY: Final = 500
"""Permille of load from which on a node neither measures nor serves."""
PEERS_CAP: Final = 1024
"""Most nodes that are remembered here: eight times as many as may be neighbours, so that a lane that comes
and goes is still the same lane."""
LEAST_S: Final = 0.02
"""Least time that counts, seconds: what a busy processor may take to look at what has come. So no line counts
as quicker than 840 Mbit/s by its later half."""


class SpeedPlan:
    """Of one node."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._due: dict[bytes, float] = {}
        """When a lane is to be measured, of those that stand and of some that did."""
        self._standing: frozenset[bytes] = frozenset()
        self._next_s = -math.inf
        """Not before is anything measured."""
        self._at_work = False
        """A measurement is being made or served."""
        self._peers: dict[bytes, TokenBucket] = {}
        self._all = TokenBucket(1 / SERVED_S, SERVED_BURST)
        self.measured = 0
        """Measurements of ours that gave a result."""
        self.served = 0
        """Measurements of others that were served."""

    # -- our own -----------------------------------------------------------------------------------
    def look(self, standing: Collection[bytes], now_s: float) -> None:
        """These lanes stand now. A new one is measured once it is a little old: most that end, end sooner."""
        self._standing = frozenset(standing)
        for peer in standing:
            if peer not in self._due:
                while len(self._due) >= PEERS_CAP:
                    del self._due[next(iter(self._due))]
                self._due[peer] = now_s + STEADY_S * self._rng.uniform(1.0, 2.0)

    def next(self, now_s: float, idle: Collection[bytes]) -> bytes | None:
        """Whose lane is to be measured now; :meth:`begin` is to follow, and :meth:`end`.

        :param idle: nodes on lanes to whom nothing else is under way.
        """
        if self._at_work or now_s < self._next_s:
            return None
        due = [(due_s, peer) for peer, due_s in self._due.items() if peer in self._standing and peer in idle]
        due_s, peer = min(due, default=(math.inf, b""))
        return peer if due_s <= now_s else None

    def begin(self, now_s: float) -> None:
        """A measurement of ours begins."""
        self._at_work = True
        self._next_s = now_s + APART_S

    def end(self, peer: bytes, now_s: float, *, came: bool, measured: bool) -> None:
        """It is over.

        :param came: something came over the line: not soon again, whatever it was worth.
        :param measured: it was worth something.
        """
        self._at_work = False
        self.measured += measured
        self._due[peer] = now_s + (AGAIN_S if came else RETRY_S) * self._rng.uniform(0.5, 1.5)

    # -- others' -----------------------------------------------------------------------------------
    def serve(self, peer: bytes, now_s: float, *, idle: bool) -> Reason | None:
        """A node asks to be served; :meth:`served_it` is to follow if it is.

        :param idle: nothing else is under way on its lane.
        :returns: why not; None serves it.
        """
        if self._at_work or not idle:
            return Reason.RESOURCES
        bucket = self._peers.pop(peer, None) or TokenBucket(1 / PER_PEER_S, PER_PEER_BURST)
        while len(self._peers) >= PEERS_CAP:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = bucket  # at the end: who has long asked nothing goes first
        if bucket.level(now_s) < 1 or not self._all.take(now_s):
            return Reason.RATE
        bucket.take(now_s)
        self._at_work = True
        self.served += 1
        return None

    def served_it(self) -> None:
        """What was served is over."""
        self._at_work = False


def rate(begun_s: float, half: int, half_s: float, got: int, now_s: float, *, burst: int = BURST) -> int:
    """What a line carries by what has come over it, bytes per second; 0 if nothing has.

    Only what came counts, which the sender can't make more, and the time until it came. The first half opens
    the windows; of a line so slow that it did not come whole, everything counts.

    :param begun_s: when it was asked for, seconds.
    :param half: bytes that had come at ``half_s``; 0 if not half of all had.
    :param got: bytes that had come at ``now_s``.
    """
    if half and got - half >= burst // 4:
        size, took_s = got - half, now_s - half_s
    else:
        size, took_s = got, now_s - begun_s
    return int(size / max(took_s, LEAST_S))
