"""The marks that are held, to be passed on: the newest of each node about each other, and not too many.

What they are worth is not said here: whoever calls :meth:`Marks.take` has verified the mark, and found that
its author was to check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from port17.records.framing import digest
from port17.records.mark import SignedMark

MARK_LIFE_S: Final = 24 * 3600
"""How long a mark holds after its signing, seconds: whoever still finds nobody says so anew."""
MARK_RENEWAL_S: Final = MARK_LIFE_S // 2
"""Age at which a mark that still holds is signed anew, seconds: the next one arrives before it ends."""
MARKS_CAP: Final = 8192
"""Most marks held: under 4 MiB with Ed25519, under 32 MiB where signatures are post-quantum."""
ABOUT_CAP: Final = 32
"""Most marks about one node: twice as many as have a say at any time."""


class Marks:
    """Held marks of one network."""

    def __init__(self) -> None:
        self._held: dict[bytes, dict[bytes, SignedMark]] = {}
        """By the node that they are about, then by author."""
        self._by: dict[bytes, int] = {}
        """How many each author has."""
        self._size = 0
        self._digest: bytes | None = None

    def take(self, mark: SignedMark) -> bool:
        """Keep a verified mark.

        :returns: False if it is not news, or there is no room; then it is not passed on either.
        """
        said = mark.mark
        about = self._held.get(said.about, {})
        held = about.get(said.by)
        if held is not None and held.order >= mark.order:
            return False
        if held is None and (len(about) >= ABOUT_CAP or not self._make_room(said.by)):
            return False
        if held is None:
            self._size += 1
            self._by[said.by] = self._by.get(said.by, 0) + 1
        self._held.setdefault(said.about, {})[said.by] = mark
        self._digest = None
        return True

    def get(self, about: bytes, by: bytes) -> SignedMark | None:
        """What one node says of another."""
        return self._held.get(about, {}).get(by)

    def about(self, fingerprint: bytes) -> tuple[SignedMark, ...]:
        """What is said of one node, by rising fingerprint of who says it."""
        held = self._held.get(fingerprint, {})
        return tuple(held[by] for by in sorted(held))

    def reclaim(self, about: bytes, claim: bytes) -> None:
        """Drop what speaks of other addresses than those that are advertised now."""
        for by, held in list(self._held.get(about, {}).items()):
            if held.mark.claim != claim:
                self._drop(about, by)

    def forget(self, fingerprint: bytes) -> None:
        """A node has gone: nothing is said of it any more, nor by it."""
        for by in list(self._held.get(fingerprint, {})):
            self._drop(fingerprint, by)
        if fingerprint in self._by:
            for about in [one for one, held in self._held.items() if fingerprint in held]:
                self._drop(about, fingerprint)

    def expire(self, now_s: float) -> frozenset[bytes]:
        """Drop what has ended.

        :param now_s: Unix time, seconds.
        :returns: fingerprints of the nodes of which less is said than before.
        """
        old = [
            (about, by)
            for about, held in self._held.items()
            for by, mark in held.items()
            if mark.mark.seq + MARK_LIFE_S <= now_s
        ]
        for about, by in old:
            self._drop(about, by)
        return frozenset(about for about, _ in old)

    @property
    def digest(self) -> bytes:
        """The same for the same marks, whatever their signatures. 32 bytes."""
        if self._digest is None:
            self._digest = digest("marks", *(held.envelope.payload for held in self))
        return self._digest

    def __iter__(self) -> Iterator[SignedMark]:
        """All of them, in the same order everywhere."""
        return iter([held for about in sorted(self._held) for held in self.about(about)])

    def __len__(self) -> int:
        return self._size

    def _make_room(self, by: bytes) -> bool:
        """Whether there is room for one more of an author. Who has said most gives way: nobody can silence
        others by talking."""
        if self._size < MARKS_CAP:
            return True
        loudest = max(self._by, key=lambda one: (self._by[one], one))
        if self._by.get(by, 0) + 1 >= self._by[loudest]:
            return False
        oldest = min(
            (held[loudest] for held in self._held.values() if loudest in held), key=lambda mark: mark.order
        )
        self._drop(oldest.mark.about, loudest)
        return True

    def _drop(self, about: bytes, by: bytes) -> None:
        held = self._held[about]
        del held[by]
        if not held:
            del self._held[about]
        self._by[by] -= 1
        if not self._by[by]:
            del self._by[by]
        self._size -= 1
        self._digest = None
