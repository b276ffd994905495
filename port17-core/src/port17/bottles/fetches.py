"""Who is asked for which bottle: of several sources that have what is lacked one at a time, and the next one
when the first does not give it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from port17.bottles.gossip_events import Key
from port17.bottles.stamp_index import StampIndex
from port17.bottles.sync import WANTS_CAP, Held

CLAIMS_CAP: Final = 16_384
"""Most nodes that one source may claim to have news of before we have asked it, some 8 MiB. What it claims
beyond that is found at the next comparison."""
FETCHES_CAP: Final = 65_536
"""Most nodes that are lacked at once, of all sources."""
BATCHES: Final = 2
"""Questions under way to one source: it is sending one answer while the next question travels."""
PATIENCE_S: Final = 20.0
"""Seconds without a bottle after which a source that was asked is not waited for: a slow link brings one in
that time."""
DISAPPOINTMENTS: Final = 3
"""Times that a source may let us wait in vain; then what it claims to have counts for nothing."""
FORGIVEN_S: Final = 600.0
"""Seconds after the last of them for which it counts for nothing: until the next comparison. Links stall."""
ROOM_AGAIN_S: Final = 1.0
"""Seconds after which is asked for unknown nodes again that there was no room for."""
REFUSED_CAP: Final = 8192
"""Most nodes of which it is remembered that their bottle was not taken."""
REFUSED_S: Final = 3600.0
"""How long that is remembered, seconds: whoever claims to have the same bottle is not asked for it."""


@dataclass(slots=True)
class _Lack:
    """A node of which others have something newer.

    :param claims: what each says that it has.
    :param asked: who has been asked, and has not answered.
    """

    claims: dict[Key, Held] = field(default_factory=dict)
    asked: Key | None = None


@dataclass(slots=True)
class _Asked:
    """What is under way with one source.

    :param queue: what it claims, and has not been asked for; in the order of its claims.
    :param batches: what it has been asked for, the oldest question first.
    :param since_s: when it was asked, or last gave something.
    :param idle: nothing in the queue is to be asked for: others have been asked, or there is no room.
    :param again_s: when there may be room again.
    """

    whole: bool
    queue: dict[bytes, None] = field(default_factory=dict)
    batches: deque[dict[bytes, None]] = field(default_factory=deque)
    since_s: float = 0.0
    disappointments: int = 0
    disappointed_s: float = -math.inf
    overflowed: bool = False
    idle: bool = False
    again_s: float = math.inf

    def is_disappointing(self, now_s: float) -> bool:
        """Whether its word counts for nothing."""
        return self.disappointments >= DISAPPOINTMENTS and now_s < self.disappointed_s + FORGIVEN_S


class Fetches:
    """See the module."""

    def __init__(self, index: StampIndex) -> None:
        self.released = False
        """Something was not given that others claim to have; set back by whoever asks them."""
        self._index = index
        self._lacks: dict[bytes, _Lack] = {}
        self._sources: dict[Key, _Asked] = {}
        self._refused: dict[bytes, tuple[Held, float]] = {}

    def begin(self, key: Key, *, whole: bool) -> None:
        """A source can be asked from now on.

        :param whole: prekey records are asked for too.
        """
        self._sources[key] = _Asked(whole)

    def gone(self, key: Key) -> None:
        """It can't any more: others are asked for what it was."""
        source = self._sources.get(key)
        if source is not None:
            for batch in source.batches:
                self._release(key, batch)
            for fingerprint in list(source.queue):
                self._unclaim(key, fingerprint)
            del self._sources[key]

    # -- what is claimed -----------------------------------------------------------------------------
    def refused(self, claim: Held, now_s: float) -> bool:
        """Whether what is claimed was refused lately."""
        refused, until_s = self._refused.get(claim.fingerprint, (None, -math.inf))
        return refused is not None and now_s < until_s and _covers(refused, claim)

    def claim(self, key: Key, claim: Held, now_s: float) -> bool:
        """A source says that it has something.

        :returns: False if it is not worth asking for.
        """
        source = self._sources[key]
        if source.is_disappointing(now_s) or self.refused(claim, now_s):
            return False
        if not self._lacks_now(key, claim):
            return False
        fingerprint = claim.fingerprint
        lack = self._lacks.get(fingerprint)
        if len(source.queue) >= CLAIMS_CAP or (lack is None and len(self._lacks) >= FETCHES_CAP):
            source.overflowed = True
            return False
        if lack is None:
            lack = self._lacks[fingerprint] = _Lack()
        lack.claims[key] = claim
        if lack.asked != key:
            source.queue[fingerprint] = None
            source.idle = False
        return True

    def seek(self, fingerprint: bytes, but: Key, now_s: float) -> None:
        """A source has given a node's bottle: if prekey records of it are missing, others may have them."""
        entry = self._index.get(fingerprint)
        if entry is not None and not entry.whole:
            for key in self._sources:
                if key != but:
                    self.claim(key, Held(fingerprint, entry.label_seq, entry.contents_seq, True), now_s)

    def overflowed(self, key: Key) -> bool:
        """Whether a source has claimed more than was remembered; says so once."""
        source = self._sources[key]
        said, source.overflowed = source.overflowed, False
        return said

    def open(self, key: Key) -> bool:
        """Whether something that a source claims has not been asked for, or not come."""
        source = self._sources[key]
        for fingerprint in list(source.queue):
            if self._lacks_now(key, self._lacks[fingerprint].claims[key]):
                break
            self._unclaim(key, fingerprint)  # it has come from somebody else
        return bool(source.queue or source.batches)

    # -- what is asked for ---------------------------------------------------------------------------
    def next(self, key: Key, now_s: float, room: Callable[[], float]) -> tuple[Held, ...]:
        """What to ask a source for now; empty if nothing.

        :param room: how many unknown nodes it may bring.
        """
        source = self._sources[key]
        if not source.queue or len(source.batches) >= BATCHES:
            return ()
        left = room() - sum(
            self._index.get(fingerprint) is None for batch in source.batches for fingerprint in batch
        )
        batch: dict[bytes, Held] = {}
        for fingerprint in list(source.queue):
            if len(batch) >= WANTS_CAP:
                break
            lack = self._lacks.get(fingerprint)
            if lack is None or not self._lacks_now(key, lack.claims[key]):
                del source.queue[fingerprint]
                self._unclaim(key, fingerprint)
                continue
            if lack.asked is not None:
                continue  # somebody else has been asked; if he does not give it, we come back
            entry = self._index.get(fingerprint)
            if entry is None and left < 1:
                source.again_s = now_s + ROOM_AGAIN_S
                continue
            left -= entry is None
            batch[fingerprint] = (
                Held(fingerprint, 0, 0, False)
                if entry is None
                else Held(fingerprint, entry.label_seq, entry.contents_seq, entry.whole)
            )
        for fingerprint in batch:
            del source.queue[fingerprint]
            self._lacks[fingerprint].asked = key
        source.idle = not batch
        if batch:
            if not any(source.batches):
                source.since_s = now_s
            source.batches.append(dict.fromkeys(batch))
        return tuple(batch.values())

    def doubt(self, key: Key, fingerprint: bytes, now_s: float) -> Held:
        """What to ask a source for to see all that it holds of a node."""
        source = self._sources[key]
        if not any(source.batches):
            source.since_s = now_s
        source.batches.append({fingerprint: None})
        return Held(fingerprint, 0, 0, False)

    def waits(self, key: Key) -> bool:
        """Whether :meth:`next` may have something."""
        source = self._sources[key]
        return bool(source.queue) and len(source.batches) < BATCHES and not source.idle

    # -- what comes ----------------------------------------------------------------------------------
    def asked(self, key: Key, fingerprint: bytes) -> bool:
        """Whether a source has been asked for a node."""
        source = self._sources[key]
        return any(fingerprint in batch for batch in source.batches)

    def came(self, key: Key, fingerprint: bytes, now_s: float) -> None:
        """A source has given something about a node, whatever has become of it."""
        source = self._sources[key]
        source.since_s = now_s
        for batch in source.batches:
            if fingerprint in batch:
                batch.pop(fingerprint)
                self._end(key, fingerprint)
                break

    def given(self, key: Key, now_s: float) -> bool:
        """A source says that it has answered the oldest question.

        :returns: False if there was none.
        """
        source = self._sources[key]
        if not source.batches:
            return False
        source.since_s = now_s
        self._release(key, source.batches.popleft())
        return True

    def refuse(self, held: Held, now_s: float) -> None:
        """A bottle was not taken, though its node has signed it: it is not to be asked for again soon. Of a
        forged one that is not to be said, or its numbers would keep the true ones out."""
        self._refused.pop(held.fingerprint, None)
        while len(self._refused) >= REFUSED_CAP:
            self._refused.pop(next(iter(self._refused)))
        self._refused[held.fingerprint] = held, now_s + REFUSED_S

    # -- time ----------------------------------------------------------------------------------------
    def late_s(self, key: Key) -> float:
        """When a source will have been waited for in vain."""
        source = self._sources[key]
        return source.since_s + PATIENCE_S if any(source.batches) else math.inf

    def again_s(self, key: Key) -> float:
        """When a source may be asked for what there was no room for; infinite if that is nothing."""
        return self._sources[key].again_s

    def look_again(self, key: Key, now_s: float) -> None:
        """There may be room now."""
        source = self._sources[key]
        if now_s >= source.again_s:
            source.idle, source.again_s = False, math.inf

    def give_up(self, key: Key, now_s: float) -> bool:
        """Ask others for what a source has not given in time; False if there is still time."""
        if now_s < self.late_s(key):
            return False
        source = self._sources[key]
        if now_s >= source.disappointed_s + FORGIVEN_S:
            source.disappointments = 0
        source.disappointments += 1
        source.disappointed_s = now_s
        for batch in source.batches:
            self._release(key, batch)
            batch.clear()  # the answer's end may still come
        if source.is_disappointing(now_s):
            for fingerprint in list(source.queue):
                self._unclaim(key, fingerprint)
        return True

    # -- the inside ----------------------------------------------------------------------------------
    def _lacks_now(self, key: Key, claim: Held) -> bool:
        entry = self._index.get(claim.fingerprint)
        if entry is None:
            return True
        if claim.label_seq > entry.label_seq or claim.contents_seq > entry.contents_seq:
            return True
        missing = self._sources[key].whole and claim.whole and not entry.whole
        return missing and claim.contents_seq == entry.contents_seq

    def _release(self, key: Key, batch: dict[bytes, None]) -> None:
        for fingerprint in batch:
            self._end(key, fingerprint)

    def _end(self, key: Key, fingerprint: bytes) -> None:
        """A source has given what it gives."""
        lack = self._lacks.get(fingerprint)
        if lack is not None and lack.asked == key:
            lack.asked = None
            for other in lack.claims:
                self._sources[other].idle = False
        self._unclaim(key, fingerprint)

    def _unclaim(self, key: Key, fingerprint: bytes) -> None:
        self._sources[key].queue.pop(fingerprint, None)
        lack = self._lacks.get(fingerprint)
        if lack is None:
            return
        lack.claims.pop(key, None)
        if not lack.claims:
            del self._lacks[fingerprint]
        elif lack.asked is None:
            self.released = True


def _covers(one: Held, other: Held) -> bool:
    return one.label_seq >= other.label_seq and one.contents_seq >= other.contents_seq
