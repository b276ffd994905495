"""How much a client of a large network fetches of what changes: by the day a bounded number of bytes, the
nodes first that its routes can begin with.
"""

from __future__ import annotations

import math
from typing import Final

from port17.bottles.gossip_events import Key
from port17.bottles.stamp_index import StampIndex
from port17.bottles.sync import Held

RATE: Final = 32.0
"""Bytes of contents per second that are fetched in the long run: 2.8 MB a day. With what is said about them,
and in whole cells, a client's day in a network of 10,000 stays below 10 MB."""
BURST: Final = 256 * 1024
"""The same at once: who comes back after a night learns anew of the nodes that it uses."""
EXPECTED_SIZE: Final = 1024.0
"""Bytes of one node's contents, until some have come."""
MEMORY: Final = 64
"""Of so many contents the usual size is reckoned."""
FAR_AGE_S: Final = 2 * 24 * 3600
"""Age, seconds, at which contents of nodes that no route begins with are fetched anew."""
FAR_LOOK_S: Final = 3600.0
"""Seconds between two looks for such."""
FAR_TURN: Final = 2
"""Of so many contents that are fetched one is of a far node, while such wait too: enough that none of 10,000
is forgotten for being old."""
FAR_AGAIN_S: Final = 12 * 3600.0
"""Seconds after which is asked again for the contents of a node of which there was nothing newer."""
WAITING_CAP: Final = 16_384
"""Most nodes whose newer contents wait to be fetched."""
CRUMB_S: Final = 1800.0
"""Seconds between two questions to a source, while something waits and the source says nothing by itself."""


class Appetite:
    """Of one process, for all its sources."""

    def __init__(self, index: StampIndex) -> None:
        self._index = index
        self._level = float(BURST)
        self._size = EXPECTED_SIZE
        self._then_s = -math.inf
        self._ask_s: dict[Key, float] = {}
        """When each source may be asked next."""
        self._look_s = -math.inf
        self._near: dict[bytes, tuple[Key, Held]] = {}
        self._far: dict[bytes, tuple[Key, Held]] = {}
        self._turn = 0
        self._probed: dict[bytes, float] = {}

    def due_s(self, following: bool) -> float:
        """When :meth:`morsels` has something, or looks for something.

        :param following: there are sources that tell only of near nodes.
        """
        return min(self._look_s if following else math.inf, self.ask_s)

    @property
    def ask_s(self) -> float:
        """When something that waits may be asked for."""
        return min(self._ask_s.values(), default=math.inf)

    def announce(self, key: Key, held: Held) -> None:
        """A source has newer contents of a near node."""
        if held.fingerprint in self._near or len(self._near) < WAITING_CAP:
            self._near[held.fingerprint] = key, held
            # It has just spoken, so that cells and keys are under way to it all the same.
            self._ask_s[key] = -math.inf

    def ate(self, size: int) -> None:
        """Contents have come, with or without having been asked for."""
        self._size += (size - self._size) / MEMORY

    def gone(self, key: Key) -> None:
        """A source can be asked no longer."""
        self._ask_s.pop(key, None)
        for waiting in (self._near, self._far):
            for fingerprint in [one for one, (of, _) in waiting.items() if of == key]:
                del waiting[fingerprint]

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
        due = {key for key, at_s in self._ask_s.items() if now_s >= at_s}
        if not due:
            return []
        near, far = (
            [one for one, (of, _) in waiting.items() if of in due] for waiting in (self._near, self._far)
        )
        near.reverse()
        far.reverse()
        asked: list[tuple[Key, Held]] = []
        while (near or far) and self._level >= self._size:
            self._turn += 1
            if far and (not near or self._turn % FAR_TURN == 0):
                asked.append(self._far.pop(far.pop()))
            else:
                asked.append(self._near.pop(near.pop()))
            self._level -= self._size
        left = {of for waiting in (self._near, self._far) for of, _ in waiting.values()}
        for key in due:
            if key in left:
                self._ask_s[key] = now_s + CRUMB_S
            else:
                del self._ask_s[key]
        return asked

    def _look(self, keys: list[Key], now_s: float, wall_s: float) -> None:
        """Whatever is old and far is asked of one source after the other."""
        self._probed = {one: at_s for one, at_s in self._probed.items() if at_s + FAR_AGAIN_S > now_s}
        old = self._index.older(int(wall_s) - FAR_AGE_S)
        for at, fingerprint in enumerate(one for one in old if one not in self._probed):
            entry = self._index.get(fingerprint)
            if entry is None or fingerprint in self._near or len(self._far) >= WAITING_CAP:
                continue
            # Whatever is newer than what is held is wanted; which number it has is not known.
            key = keys[at % len(keys)]
            self._far[fingerprint] = key, Held(fingerprint, entry.label_seq, entry.contents_seq + 1, False)
            self._ask_s.setdefault(key, now_s + CRUMB_S)
            self._probed[fingerprint] = now_s
