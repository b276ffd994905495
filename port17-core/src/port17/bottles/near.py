"""The nodes that a route can begin with at one node: those within two of its lanes, which both ends name."""

from __future__ import annotations

import math
from typing import Final

from port17.bottles.rack import BottleStore
from port17.records.bottle import Bottle

LANES: Final = 2
"""Lanes from the first hop of a route to its last, where routes have three hops."""
RENEW_S: Final = 30.0
"""How long what was found is good for, seconds: to look costs some hundred bottles read."""


class Near:
    """See the module."""

    def __init__(self, rack: BottleStore) -> None:
        self._rack = rack
        self._found: frozenset[bytes] = frozenset()
        self._until_s = -math.inf

    def nodes(self, centre: bytes, now_s: float) -> frozenset[bytes]:
        """Fingerprints of those near, as they were at most :data:`RENEW_S` ago.

        :param centre: fingerprint of the node itself, which is among them.
        """
        if now_s >= self._until_s:
            self._found = self._look(centre)
            self._until_s = now_s + RENEW_S
        return self._found

    def _look(self, centre: bytes) -> frozenset[bytes]:
        found = {centre}
        edge = [centre]
        read: dict[bytes, Bottle | None] = {}

        def lanes(fingerprint: bytes) -> list[bytes]:
            if fingerprint not in read:
                read[fingerprint] = self._rack.get(fingerprint)
            bottle = read[fingerprint]
            return [] if bottle is None else [lane.fingerprint for lane in bottle.contents.lanes]

        for _ in range(LANES):
            beyond: dict[bytes, None] = {}
            for one in edge:
                beyond.update((other, None) for other in lanes(one) if one in lanes(other))
            edge = [one for one in beyond if one not in found]
            found.update(edge)
        return frozenset(found)
