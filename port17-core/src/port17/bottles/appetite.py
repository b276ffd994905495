"""How much a client of a large network fetches of what changes: by the day a bounded number of bytes, the
nodes first that its routes can begin with.
"""

from __future__ import annotations

import math
from typing import Final

from port17.bottles.gossip_events import Key
from port17.bottles.stamp_index import StampIndex
from port17.bottles.sync import Held

RATE: Final = 60.0
"""Bytes of contents per second that are fetched in the long run: 5.2 MB a day."""
BURST: Final = 2 * 1024 * 1024
"""The same at once: what changed in a night offline."""
EXPECTED_SIZE: Final = 1024.0
"""Bytes of one node's contents, until some have come."""
MEMORY: Final = 64
"""Of so many contents the usual size is reckoned."""
FAR_AGE_S: Final = 2 * 24 * 3600
"""Age, seconds, at which contents of nodes that no route begins with are fetched anew."""
FAR_LOOK_S: Final = 600.0
"""Seconds between two looks for such."""
FAR_AGAIN_S: Final = 12 * 3600.0
"""Seconds after which is asked again for the contents of a node of which there was nothing newer."""
WAITING_CAP: Final = 16_384
"""Most nodes whose newer contents wait to be fetched."""
CRUMB_S: Final = 30.0
"""Seconds between two questions, while something waits: one for some nodes, not one for each."""


class Appetite:
    """Of one process, for all its sources."""

    def __init__(self, index: StampIndex) -> None:
        self._index = index
        self._level = float(BURST)
        self._size = EXPECTED_SIZE
        self._then_s = -math.inf
        self._ask_s = 0.0
        self._look_s = -math.inf
        self._waiting: dict[bytes, tuple[Key, Held]] = {}
        self._probed: dict[bytes, float] = {}

    def due_s(self, following: bool) -> float:
        """When :meth:`morsels` has something, or looks for something.

        :param following: there are sources that tell only of near nodes.
        """
        look_s = self._look_s if following else math.inf
        return min(look_s, self.ask_s)

    @property
    def ask_s(self) -> float:
        """When something that waits may be asked for."""
        return self._ask_s if self._waiting else math.inf

    def announce(self, key: Key, held: Held) -> None:
        """A source has newer contents of a near node."""
        if held.fingerprint in self._waiting or len(self._waiting) < WAITING_CAP:
            self._waiting[held.fingerprint] = key, held

    def ate(self, size: int) -> None:
        """Contents have come, with or without having been asked for."""
        self._size += (size - self._size) / MEMORY

    def gone(self, key: Key) -> None:
        """A source can be asked no longer."""
        for fingerprint in [one for one, (of, _) in self._waiting.items() if of == key]:
            del self._waiting[fingerprint]

    def morsels(self, keys: list[Key], now_s: float, wall_s: float) -> list[tuple[Key, Held]]:
        """What to ask whom for now.

        :param keys: the sources that tell only of near nodes.
        :param wall_s: Unix time, seconds.
        """
        if self._then_s > -math.inf:
            self._level = min(BURST, self._level + (now_s - self._then_s) * RATE)
        self._then_s = now_s
        if keys and now_s >= self._look_s:
            self._look_s = now_s + FAR_LOOK_S
            self._look(keys, now_s, wall_s)
        asked: list[tuple[Key, Held]] = []
        if self._waiting and now_s >= self._ask_s:
            self._ask_s = now_s + CRUMB_S
            while self._waiting and self._level >= self._size:
                fingerprint = next(iter(self._waiting))
                asked.append(self._waiting.pop(fingerprint))
                self._level -= self._size
        return asked

    def _look(self, keys: list[Key], now_s: float, wall_s: float) -> None:
        """Whatever is old and far is asked of one source after the other."""
        self._probed = {one: at_s for one, at_s in self._probed.items() if at_s + FAR_AGAIN_S > now_s}
        old = [one for one in self._index.older(int(wall_s) - FAR_AGE_S) if one not in self._probed]
        for at, fingerprint in enumerate(old):
            entry = self._index.get(fingerprint)
            if entry is not None and fingerprint not in self._waiting:
                # Whatever is newer than what is held is wanted; which number it has is not known.
                held = Held(fingerprint, entry.label_seq, entry.contents_seq + 1, False)
                self.announce(keys[at % len(keys)], held)
                self._probed[fingerprint] = now_s
