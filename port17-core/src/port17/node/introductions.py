"""Introducing a node: to whom it shows its bottle first, so that others can know it when it calls them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from port17.node.backoff import Backoff
from port17.node.candidates import Candidates

WANTED: Final = 2
"""Nodes that a newcomer introduces itself to, of different groups and areas: one alone could keep it from the
network, or show it only what it likes."""
ENOUGH_S: Final = 10.0
"""Seconds after which one will do: the others may be gone."""
FIRST_S, MOST_S = 0.5, 30.0
"""Seconds before somebody is asked again who did not answer, at first and at most: the nodes of a new network
start together, and one of them is the first."""


class Introductions:
    """To whom one node has introduced itself, and to whom it is about to."""

    def __init__(
        self, own: bytes, known: Candidates, objection: Callable[[bytes], str], rng: random.Random
    ) -> None:
        self._own = own
        self._known = known
        self._objection = objection
        self._rng = rng
        self._backoff = Backoff(rng, first_s=FIRST_S, most_s=MOST_S)
        self._done: dict[bytes, frozenset[str]] = {}
        self._pending: dict[bytes, frozenset[str]] = {}
        self._begun_s = 0.0
        self._again_s: float | None = None
        """When somebody may be asked again, if nobody else is left."""

    def begin(self, now_s: float) -> None:
        """Introduce the node, or do so again: those who knew it may have forgotten it."""
        self._done.clear()
        self._begun_s = now_s

    def introduced(self, peer: bytes) -> None:
        """Somebody knows us now."""
        self._done[peer] = self._pending.pop(peer, frozenset())

    def failed(self, peer: bytes, now_s: float) -> bool:
        """Somebody was not to be had.

        :returns: False if no introduction to it was under way.
        """
        if self._pending.pop(peer, None) is None:
            return False
        self._backoff.failed(peer, now_s)
        return True

    def __len__(self) -> int:
        """How many know us."""
        return len(self._done)

    def ask(self, peer: bytes) -> bool:
        """Introduce the node to somebody in particular; False if that is under way."""
        if peer in self._pending or peer not in self._known:
            return False
        self._pending[peer] = self._marks(peer)
        return True

    def suffice(self, now_s: float) -> bool:
        """We are known well enough to be taken for a node."""
        if len(self._done) >= WANTED or (self._done and now_s >= self._begun_s + ENOUGH_S):
            return True
        return bool(self._done) and not self._pending and not any(map(self._would_do, self._known.choosable))

    def tend(self, now_s: float) -> list[bytes]:
        """To whom the node is to be introduced now."""
        begun: list[bytes] = []
        self._again_s = None
        while len(self._done) + len(self._pending) < WANTED:
            seen = frozenset().union(*self._done.values(), *self._pending.values())
            order = self._rng.sample(self._known.choosable, len(self._known.choosable))
            # Of other groups and areas first, and of these who has signed lately.
            order.sort(key=lambda peer: (bool(self._marks(peer) & seen), not self._known.is_fresh(peer)))
            ready = (one for one in order if self._backoff.is_ready(one, now_s) and self._would_do(one))
            peer = next(ready, None)
            if peer is None:
                self._again_s = self._backoff.next_s(now_s)
                break
            self._pending[peer] = self._marks(peer)
            begun.append(peer)
        return begun

    @property
    def due_s(self) -> float | None:
        """When time alone changes something, while the introduction goes on."""
        moments = [self._begun_s + ENOUGH_S] if self._done else []
        if self._again_s is not None:
            moments.append(self._again_s)
        return min(moments, default=None)

    def _would_do(self, peer: bytes) -> bool:
        return (
            peer != self._own
            and peer not in self._done
            and peer not in self._pending
            and not self._objection(peer)
        )

    def _marks(self, peer: bytes) -> frozenset[str]:
        candidate = self._known.get(peer)
        return frozenset() if candidate is None else candidate.marks
