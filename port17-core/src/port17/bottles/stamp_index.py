"""What the rack holds, in short and in memory: the numbers by which two racks are compared.

It is filled from the store once and then told of every change; digests of buckets are worked out when they
are asked for, and again only when something in the bucket has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from operator import itemgetter

from port17.bottles.intake import LOCAL
from port17.bottles.rack import BottleStore
from port17.bottles.sync import BUCKETS, DIGEST_SIZE, NO_DIGEST, Held
from port17.bottles.sync_codec import pack_held
from port17.records.bottle import Bottle
from port17.records.framing import digest


class Detail(Enum):
    """How closely racks are compared."""

    PREKEYS = "prekeys"
    """As nodes do, who hold every prekey record."""
    CONTENTS = "contents"
    LABELS = "labels"


@dataclass(slots=True)
class Entry:
    """One node.

    :param whole: every prekey record that the contents commit to is there. Of what was read from the store
        that is assumed.
    :param local: its bottle is for the local network alone.
    :param label_at: serial of the news that brought the label; 0 if it was there before.
    :param records_at: the same for prekey records, by commitment, of those alone that came later.
    :param records_with: the contents, by sequence, with which each record was seen first: who was whole with
        older ones lacks it.
    :param read: it was read from the store, and which records it had is not known.
    """

    label_seq: int
    contents_seq: int
    whole: bool
    local: bool
    label_at: int = 0
    records_at: dict[bytes, int] = field(default_factory=dict)
    records_with: dict[bytes, int] = field(default_factory=dict)
    read: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What is new in an entry.

    :param records: commitments of the prekey records that are.
    """

    label: bool
    contents: bool
    records: frozenset[bytes]


class StampIndex:
    """See the module."""

    def __init__(self, rack: BottleStore) -> None:
        self._rack = rack
        self._buckets: list[dict[bytes, Entry]] = [{} for _ in range(BUCKETS)]
        self._digests: dict[tuple[Detail, bool], list[bytes | None]] = {}
        self._hidden: frozenset[bytes] = frozenset()
        self._count = 0
        self.reload()

    def reload(self) -> list[bytes]:
        """Look at the whole store again, in case that somebody else has changed it.

        :returns: fingerprints of the nodes that are no longer there.
        """
        there = {one.fingerprint: one for one in self._rack.namings()}
        gone = [fingerprint for fingerprint in self if fingerprint not in there]
        for fingerprint in gone:
            self.drop(fingerprint)
        for fingerprint, one in there.items():
            held = self.get(fingerprint)
            if held is None or (held.label_seq, held.contents_seq) != (one.label_seq, one.contents_seq):
                self._put(
                    fingerprint, Entry(one.label_seq, one.contents_seq, True, one.flavour == LOCAL, read=True)
                )
        return gone

    # -- one node ------------------------------------------------------------------------------------
    def get(self, fingerprint: bytes) -> Entry | None:
        """What is held of a node."""
        return self._buckets[fingerprint[0]].get(fingerprint)

    def shown(self, fingerprint: bytes, local: bool) -> Entry | None:
        """The same, if a follower is to know of it.

        :param local: local bottles are for him too.
        """
        held = self.get(fingerprint)
        return None if held is None or fingerprint in self._hidden or (held.local and not local) else held

    def covers(self, held: Held) -> bool:
        """Whether nothing is lacked of what somebody holds."""
        entry = self.get(held.fingerprint)
        if entry is None or entry.label_seq < held.label_seq or entry.contents_seq < held.contents_seq:
            return False
        return entry.contents_seq > held.contents_seq or entry.whole or not held.whole

    def put(self, bottle: Bottle) -> Change | None:
        """Note what the store now holds of a node.

        :returns: None if nothing of it is new.
        """
        there = {record.hash for record in bottle.bundle}
        fresh = Entry(*bottle.sequence, is_whole(bottle), bottle.label.flavour == LOCAL)
        held = self.get(bottle.fingerprint)
        if held is None:
            self._put(bottle.fingerprint, fresh)
            fresh.records_at = dict.fromkeys(sorted(there), 0)
            fresh.records_with = dict.fromkeys(there, fresh.contents_seq)
            return Change(True, True, frozenset(there))
        # The first change after a start is not to carry every record to everybody; one that is new with it is
        # found by comparing.
        known = dict.fromkeys(there, 0) if held.read else held.records_at
        change = Change(
            fresh.label_seq != held.label_seq,
            fresh.contents_seq != held.contents_seq,
            frozenset(there - known.keys()),
        )
        fresh.label_at = held.label_at
        fresh.records_at = {one: known.get(one, 0) for one in sorted(there)}
        since = dict.fromkeys(there, held.contents_seq) if held.read else held.records_with
        fresh.records_with = {one: since.get(one, fresh.contents_seq) for one in there}
        self._put(bottle.fingerprint, fresh)
        news = change.label or change.contents or (fresh.whole and not held.whole)
        return change if news else None

    def drop(self, fingerprint: bytes) -> bool:
        """Forget a node; False if it was not known."""
        if self._buckets[fingerprint[0]].pop(fingerprint, None) is None:
            return False
        self._count -= 1
        self._stale(fingerprint[0])
        return True

    def hide(self, fingerprints: Iterable[bytes]) -> None:
        """Say of which nodes nobody is told, though they are held."""
        hidden = frozenset(fingerprints)
        for fingerprint in hidden ^ self._hidden:
            self._stale(fingerprint[0])
        self._hidden = hidden

    # -- comparing -----------------------------------------------------------------------------------
    def digests(self, detail: Detail, local: bool) -> tuple[bytes, ...]:
        """One digest for each bucket."""
        view = self._digests.setdefault((detail, local), [None] * BUCKETS)
        for number, known in enumerate(view):
            if known is None:
                view[number] = self._digest(number, detail, local)
        return tuple(one or NO_DIGEST for one in view)

    def bucket(self, number: int, local: bool) -> list[Held]:
        """What a bucket holds, by rising fingerprint."""
        return [
            Held(fingerprint, held.label_seq, held.contents_seq, held.whole)
            for fingerprint, held in sorted(self._buckets[number].items(), key=itemgetter(0))
            if fingerprint not in self._hidden and (local or not held.local)
        ]

    def _digest(self, number: int, detail: Detail, local: bool) -> bytes:
        rows = [_reduced(held, detail) for held in self.bucket(number, local)]
        return digest("sync bucket", b"".join(map(pack_held, rows)))[:DIGEST_SIZE] if rows else NO_DIGEST

    def older(self, contents_seq: int) -> list[bytes]:
        """The nodes whose contents are older than a Unix second, by rising fingerprint."""
        return [
            fingerprint
            for bucket in self._buckets
            for fingerprint, held in sorted(bucket.items(), key=itemgetter(0))
            if held.contents_seq < contents_seq
        ]

    def __iter__(self) -> Iterator[bytes]:
        """Fingerprints, rising."""
        return iter([fingerprint for bucket in self._buckets for fingerprint in sorted(bucket)])

    def __len__(self) -> int:
        return self._count

    def _put(self, fingerprint: bytes, entry: Entry) -> None:
        bucket = self._buckets[fingerprint[0]]
        self._count += fingerprint not in bucket
        bucket[fingerprint] = entry
        self._stale(fingerprint[0])

    def _stale(self, number: int) -> None:
        for view in self._digests.values():
            view[number] = None


def _reduced(held: Held, detail: Detail) -> Held:
    """What of a stamp counts for a comparison."""
    match detail:
        case Detail.PREKEYS:
            return held
        case Detail.CONTENTS:
            return held._replace(whole=False)
        case Detail.LABELS:
            return held._replace(contents_seq=0, whole=False)


def is_whole(bottle: Bottle) -> bool:
    """Whether every prekey record that the contents commit to is with them."""
    there = {record.hash for record in bottle.bundle}
    return all(slot.commitment in there for slots in bottle.contents.slots.values() for slot in slots)
