"""Proofs, marks and moderators' lists of one source: which of them it is asked for, and how many of them are
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from port17.bottles.holdings import Holdings, mark_id, order_of
from port17.bottles.sync import IDS_CAP, Fetch, Notice, Said
from port17.records.mark import SignedMark
from port17.records.moderation import SignedModeration
from port17.records.proof import Proof
from port17.wire.quota import TokenBucket

BURST: Final = 1024
"""Proofs and marks that a source may send at once without being asked."""
RATE: Final = 4.0
"""The same per second later. Each costs a verification or two; what is beyond is found by comparing."""
NAMED_CAP: Final = 16_384
"""Most proofs and marks of one source that are lacked at a time, some 3 MiB."""


class Tidings:
    """See the module."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._named: dict[Notice, dict[bytes, None]] = {kind: {} for kind in Notice}
        """What the source has and we lack."""
        self._awaited: dict[tuple[Notice, bytes], None] = {}
        """What of it the source has been asked for."""
        self._unasked = TokenBucket(RATE, BURST)

    def compared(self) -> None:
        """The source has said all; what it was asked for before does not come any more."""
        self._awaited.clear()

    def named(self, kind: Notice, ids: tuple[bytes, ...]) -> None:
        """The source has these. Marks may be about and by nodes whose bottles are still on their way."""
        for name in ids:
            new = kind is Notice.MARK or self._holdings.lacks(kind, name)
            if new and sum(map(len, self._named.values())) < NAMED_CAP:
                self._named[kind][name] = None

    def waits(self, *, nodes: bool) -> bool:
        """Whether :meth:`next` may have something.

        :param nodes: the source is still asked for bottles. Without them marks are worth nothing.
        """
        if len(self._awaited) >= IDS_CAP:
            return False
        return any(names for kind, names in self._named.items() if not (nodes and kind is Notice.MARK))

    def next(self, *, nodes: bool) -> Fetch | None:
        """What to ask for."""
        while self.waits(nodes=nodes):
            kind, names = next(
                (kind, names)
                for kind, names in self._named.items()
                if names and not (nodes and kind is Notice.MARK)
            )
            ids = list(islice(names, IDS_CAP))
            for name in ids:
                del names[name]
            ids = [name for name in ids if self._holdings.lacks(kind, name)]
            if ids:
                self._awaited.update(dict.fromkeys((kind, name) for name in ids))
                return Fetch(kind, tuple(ids))
        return None

    def take(self, said: Said, now_s: float) -> None:
        """One has come.

        :raises RecordError: it is wrong.
        """
        holdings = self._holdings
        if said.kind == Notice.PROOF:
            proof = Proof.parse(said.data)
            name = proof.fingerprint
            if self._wanted(Notice.PROOF, name, lambda: holdings.lacks(Notice.PROOF, name), now_s):
                holdings.convict(proof)
        elif said.kind == Notice.MARK:
            mark = SignedMark.parse(said.data)
            name = mark_id(mark)
            if self._wanted(Notice.MARK, name, lambda: holdings.lacks(Notice.MARK, name), now_s):
                holdings.attest(mark, now_s)
        else:
            offered = SignedModeration.parse(said.data)
            if order_of(offered) > holdings.order and self._unasked.take(now_s):
                holdings.consider(offered)

    def _wanted(self, kind: Notice, name: bytes, lacked: Callable[[], bool], now_s: float) -> bool:
        """Whether to look at it; what was asked for costs the source nothing."""
        asked = (kind, name) in self._awaited
        self._awaited.pop((kind, name), None)
        return lacked() and (asked or self._unasked.take(now_s))
