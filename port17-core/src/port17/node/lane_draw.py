"""Drawing nodes to have a lane with: evenly from all that may be called and keep the lanes diverse."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from typing import Final

from port17.node.backoff import Backoff
from port17.node.candidates import Candidates
from port17.node.diversity import Level
from port17.node.lane_book import LaneBook

DRAWS: Final = 24
"""Candidates that are drawn before all are looked at: enough where more than one in four will do."""


class LaneDraw:
    """Draws for one node."""

    def __init__(
        self,
        own: bytes,
        known: Candidates,
        book: LaneBook,
        backoff: Backoff,
        objection: Callable[[bytes], str],
        rng: random.Random,
    ) -> None:
        """
        :param own: the node's fingerprint, which is never drawn.
        :param objection: why a node is not to be a neighbour; empty if it may.
        """
        self._own = own
        self._known = known
        self._book = book
        self._backoff = backoff
        self._objection = objection
        self._rng = rng

    def draw(self, wanted: int, target: int, now_s: float) -> list[tuple[bytes, Level]]:
        """Different nodes that may be called now.

        :param wanted: how many at most.
        :param target: lanes that the node sees to, of which marks have their share.
        :returns: each with the limit that it needed.
        """
        pool, level = self._known.choosable, self._book.level
        found: dict[bytes, Level] = {}
        for _ in range(DRAWS if pool else 0):
            peer = pool[self._rng.randrange(len(pool))]
            if peer in found or not self._known.is_fresh(peer):
                continue
            if self.is_eligible(peer, target, level, now_s):
                found[peer] = level
                if len(found) == wanted:
                    return list(found.items())
        return list(found.items()) or self._search(wanted, target, now_s)

    def _search(self, wanted: int, target: int, now_s: float) -> list[tuple[bytes, Level]]:
        """The same among all, when drawing has found nobody.

        The limit gives way if everybody within it has a lane with us already, or would not have one. It does
        not if they only don't answer: or whoever cuts us off for a while could be our only neighbour later.
        """
        order = self._rng.sample(self._known.choosable, len(self._known.choosable))
        order.sort(key=self._known.is_fresh, reverse=True)
        for level in Level:
            if level < self._book.level:
                continue
            # No more than are needed: an objection may have to be read from disk.
            fits = islice((one for one in order if self.is_eligible(one, target, level, now_s)), wanted)
            found = [(peer, level) for peer in fits]
            if found:
                return found
            hopeful = any(
                not self._backoff.has_refused(peer, now_s) and self._would_do(peer, target, level)
                for peer in order
            )
            if hopeful or len(self._book) >= target:
                break
        return []

    def is_eligible(self, peer: bytes, target: int, level: Level, now_s: float) -> bool:
        """It may be called now."""
        return self._backoff.is_ready(peer, now_s) and self._would_do(peer, target, level)

    def _would_do(self, peer: bytes, target: int, level: Level) -> bool:
        """It may be called, unless it is to be left alone for now."""
        candidate = self._known.get(peer)
        return (
            peer != self._own
            and candidate is not None
            and candidate.dialable
            and not candidate.offline
            and peer not in self._book
            and self._book.diversity.fits(candidate.marks, target, level)
            and not self._objection(peer)
        )
