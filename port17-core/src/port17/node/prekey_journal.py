"""What an identity has ever committed to: a slot never gets a second prekey, a number never a second payload.

Either would be an equivocation and ban the node, even if the first one was lost by accident.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

from pydantic import BeforeValidator, Field

from port17.errors import ConfigError, RecordError
from port17.node import key_file
from port17.records.bottle import SLOTS_CAP, SUITES_CAP
from port17.records.record import LAX, DriverName, Hash, Record, Sequence64, UnixSecond

JOURNAL_FILE = "prekeys.journal"
ENTRIES_CAP = 4096
"""Most commitments in force: eight suites' slots of a minute each, for some hours ahead."""
FILE_CAP = 1024 * 1024
"""Longest journal, bytes: each entry has some 120."""
RANGES_CAP = 16
"""Most ranges of spent slots per suite: a prekey lifetime that changes begins another, far from the last."""
NAMES_CAP = 4 * SUITES_CAP
"""Most suites ever served by one identity."""


class Entry(NamedTuple):
    """A commitment that may be out.

    :param expiry: Unix second from which on the key is not used.
    :param commitment: hash of the prekey record.
    """

    suite: DriverName
    slot: Sequence64
    expiry: UnixSecond
    commitment: Hash


def _row(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return value


class Range(NamedTuple):
    """Slots in a row, both ends among them."""

    first: Sequence64
    last: Sequence64


Ranges: TypeAlias = Annotated[
    tuple[Annotated[Range, BeforeValidator(_row)], ...], Field(max_length=RANGES_CAP), LAX
]


class _File(Record):
    fingerprint: Hash
    entries: Annotated[
        tuple[Annotated[Entry, BeforeValidator(_row)], ...], Field(max_length=ENTRIES_CAP), LAX
    ] = ()
    spent: Annotated[dict[DriverName, Ranges], Field(default_factory=dict, max_length=NAMES_CAP)]
    unknown_until: UnixSecond = 0
    label: Sequence64 = 0
    contents: Sequence64 = 0
    written: UnixSecond = 0


class PrekeyJournal:
    """The commitments of one identity, and the numbers that it has signed.

    :ivar entries: (suite, slot) to what was committed to and has not expired.
    :ivar spent: suite to the slots whose prekeys have expired, in order; none is ever used again, even if the
        clock is set back. Ranges, since a slot's number depends on the prekey lifetime: a longer one makes
        them smaller, and one that was the last need not be the highest.
    :ivar unknown_until: what was committed to before this Unix second is not known; 0 if all is.
    """

    def __init__(self, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        self.entries: dict[tuple[str, int], Entry] = {}
        self.spent: dict[str, tuple[Range, ...]] = {}
        self.unknown_until = 0
        self._signed = 0, 0

    @classmethod
    def read(cls, folder: Path) -> PrekeyJournal | None:
        """The journal of a folder; None if there is none yet. One that was put back from a backup does not
        know what was committed to in between.

        :raises ConfigError: it can't be read, or is damaged.
        """
        file = folder / JOURNAL_FILE
        if not file.exists():
            return None
        try:
            held = _File.from_cbor(key_file.read(file, FILE_CAP), cap=FILE_CAP)
        except RecordError as error:
            raise ConfigError(
                f"{file}: {error.message}",
                cure="Restore it from a backup, or give the node a new identity: `port17 identity rotate`.",
            ) from error
        journal = cls(held.fingerprint)
        journal.entries = {(entry.suite, entry.slot): entry for entry in held.entries}
        journal.spent = dict(held.spent)
        journal.unknown_until = held.unknown_until
        placed_s = key_file.placed_s(file)
        if key_file.is_put_back(placed_s, held.written):
            journal.unknown_until = max(held.unknown_until, int(placed_s))
        journal._signed = held.label, held.contents
        return journal

    def write(self, folder: Path) -> None:
        """:raises OSError: it can't be written."""
        value = _File.made(
            fingerprint=self.fingerprint,
            entries=[self.entries[place] for place in sorted(self.entries)],
            spent=self.spent,
            unknown_until=self.unknown_until,
            label=self._signed[0],
            contents=self._signed[1],
            written=int(time.time()),
        )
        key_file.write(folder / JOURNAL_FILE, value.to_cbor())

    @property
    def signed(self) -> tuple[int, int]:
        """The last numbers of a label and of contents that were signed, or may have been; 0 for none."""
        label, contents = self._signed
        return max(label, self.unknown_until), max(contents, self.unknown_until)

    def sign(self, sequence: tuple[int, int]) -> None:
        """Keep the numbers of a bottle that is about to be published."""
        label, contents = self._signed
        self._signed = max(label, sequence[0]), max(contents, sequence[1])

    def taken(self, suite: str, slot: int, lifetime: int) -> bool:
        """True if a record for this slot was published, or may have been.

        :param lifetime: seconds of a slot.
        """
        if (suite, slot) in self.entries or self.is_spent(suite, slot):
            return True
        # A bottle names so many slots, its own day's the first.
        return bool(self.unknown_until) and slot < self.unknown_until // lifetime + SLOTS_CAP

    def note(self, entry: Entry) -> None:
        """Keep a commitment; the first for a slot stands."""
        if not self.is_spent(entry.suite, entry.slot):
            self.entries.setdefault((entry.suite, entry.slot), entry)

    def expire(self, now: float) -> bool:
        """Forget what has expired, but for the slots that it was for.

        :param now: Unix time, seconds.
        :returns: whether anything has changed.
        """
        expired = [entry for entry in self.entries.values() if entry.expiry <= now]
        for entry in expired:
            del self.entries[entry.suite, entry.slot]
            self.spent[entry.suite] = _with(self.spent.get(entry.suite, ()), entry.slot)
        return bool(expired)

    def is_spent(self, suite: str, slot: int) -> bool:
        """True if this slot's prekey has expired."""
        return any(one.first <= slot <= one.last for one in self.spent.get(suite, ()))


def _with(ranges: tuple[Range, ...], slot: int) -> tuple[Range, ...]:
    """Ranges and one slot more, in order; if they become too many, those that lie closest are joined."""
    joined: list[Range] = []
    for one in sorted((*ranges, Range(slot, slot))):
        if joined and one.first <= joined[-1].last + 1:
            one = Range(joined[-1].first, max(one.last, joined.pop().last))
        joined.append(one)
    while len(joined) > RANGES_CAP:
        at = min(range(1, len(joined)), key=lambda i: joined[i].first - joined[i - 1].last)
        joined[at - 1 : at + 1] = [Range(joined[at - 1].first, joined[at].last)]
    return tuple(joined)
