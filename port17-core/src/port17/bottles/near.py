"""The nodes that a route can begin with at one node: those within two of its lanes, which both ends name."""

from __future__ import annotations

import math
from typing import Final

from port17.bottles.rack import BottleStore
from port17.bottles.stamp_index import StampIndex

LANES: Final = 2
"""Lanes from the first hop of a route to its last, where routes have three hops."""
RENEW_S: Final = 30.0
"""How long what was found is good for, seconds."""
READ_CAP: Final = 96
"""Most bottles read at once, each up to a millisecond: in a large network, and where neighbours list whom
they like, there are hundreds. The rest is read soon."""
SOON_S: Final = 0.5
"""Seconds until the rest is read."""
REMEMBERED_CAP: Final = 16_384
"""Most nodes whose lanes are remembered, some 12 MiB; they change with their contents only."""


class Near:
    """See the module."""

    def __init__(self, rack: BottleStore, index: StampIndex) -> None:
        self._rack = rack
        self._index = index
        self._lanes: dict[bytes, tuple[int, tuple[bytes, ...]]] = {}
        """What each node's contents list, and their sequence."""
        self._left = 0
        """Bottles that may still be read in this look."""
        self._found: frozenset[bytes] = frozenset()
        self._until_s = -math.inf

    def nodes(self, centre: bytes, now_s: float) -> frozenset[bytes]:
        """Fingerprints of those near, as they were at most :data:`RENEW_S` ago.

        :param centre: fingerprint of the node itself, which is among them.
        """
        if now_s >= self._until_s:
            self._left = READ_CAP
            self._found = self._look(centre)
            self._until_s = now_s + (RENEW_S if self._left >= 0 else SOON_S)
        return self._found

    def _look(self, centre: bytes) -> frozenset[bytes]:
        found = {centre}
        edge = [centre]
        for _ in range(LANES):
            beyond: dict[bytes, None] = {}
            for one in edge:
                there = self._listed(one)
                beyond.update((other, None) for other in there if one in self._listed(other))
            edge = [one for one in beyond if one not in found]
            found.update(edge)
        return frozenset(found)

    def _listed(self, fingerprint: bytes) -> tuple[bytes, ...]:
        """The lanes that a node's contents list; none if they are not read yet."""
        entry = self._index.get(fingerprint)
        if entry is None:
            return ()
        seq, listed = self._lanes.get(fingerprint, (-1, tuple[bytes, ...]()))
        if seq != entry.contents_seq:
            self._left -= 1
            if self._left < 0:
                return listed  # of before
            bottle = self._rack.get(fingerprint)
            lanes = bottle.contents.lanes if bottle is not None else ()
            listed = tuple(lane.fingerprint for lane in lanes)
            while len(self._lanes) >= REMEMBERED_CAP:
                del self._lanes[next(iter(self._lanes))]
            self._lanes[fingerprint] = entry.contents_seq, listed
        return listed
