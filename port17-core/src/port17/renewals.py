"""When it is thought over what new bottles mean for others: soon, for no more than a share of the time."""

from __future__ import annotations

import time
from typing import Final

from port17.wire.quota import TokenBucket

SHARE: Final = 0.05
"""Most of this process's time that goes into it: bottles come by the thousand when a node joins a large
network."""
AT_ONCE_BURST: Final = 32
"""Bans and departures that are thought over at once: whoever publishes nodes only to convict them has no more
of this process's time than others."""
AT_ONCE_RATE: Final = 0.1
"""The same per second, later."""
FREE_S: Final = 0.005
"""Seconds below which a renewal need not wait: in a small network everything is obeyed at once."""


class Renewals:
    """By the system's clock that nobody sets."""

    def __init__(self) -> None:
        self.stale = False
        """Something has changed since the last one."""
        self._due_s = 0.0
        self._at_once = TokenBucket(AT_ONCE_RATE, AT_ONCE_BURST)

    @property
    def due(self) -> bool:
        """Whether it is time for one."""
        return self.stale and time.monotonic() >= self._due_s

    def ask(self) -> None:
        """Something has changed."""
        self.stale = True

    def press(self, *, trusted: bool = False) -> None:
        """Something has changed that is obeyed at once, as often as anybody may cause that.

        :param trusted: not just anybody can cause it.
        """
        self.stale = True
        if trusted or self._at_once.take(time.monotonic()):
            self._due_s = 0.0

    def done(self, begun_s: float) -> None:
        """One is over that began then."""
        self.stale = False
        took_s = time.monotonic() - begun_s
        if took_s > FREE_S:
            self._due_s = begun_s + took_s / SHARE
