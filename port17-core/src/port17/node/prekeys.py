"""An identity's prekeys, in memory and each in a file of its own, so that one is erased by removing its file.

What is dead is told from what is damaged: the first is erased, whatever suite it was for; the second is said.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from port17.errors import ConfigError, RecordError
from port17.node import key_file
from port17.node.identity_file import PRIVATE_CAP
from port17.node.prekey_journal import JOURNAL_FILE, Entry, PrekeyJournal
from port17.records.bottle import PREKEY_AHEAD_CAP_S, SLOTS_CAP, Slot
from port17.records.prekey import PREKEY_CAP, PrekeyRecord
from port17.records.record import Record
from port17.wire.suite import CipherSuite, KemKey

PREKEY_SUFFIX = ".prekey"
FILE_CAP = PRIVATE_CAP + PREKEY_CAP + 256
"""Longest file of a prekey, bytes: a private key, a prekey record and the field names."""

Place = tuple[str, int]
"""Suite and slot."""

_log = logging.getLogger(__name__)


class _PrekeyFile(Record):
    record: PrekeyRecord
    private: Annotated[bytes, Field(max_length=PRIVATE_CAP, repr=False)]


class _Dead(Exception):
    """A file holds no key that will ever be used again."""


class Prekeys:
    """The prekeys of one identity in one network.

    :param fingerprint: the identity's.
    :param dead: fingerprints of its predecessors, whose prekeys are of no use to anybody.
    :param suites: those served.
    :ivar held: (suite, slot) to the public record and the key.
    """

    def __init__(
        self,
        folder: Path,
        network_id: bytes,
        fingerprint: bytes,
        dead: Collection[bytes],
        suites: Mapping[str, CipherSuite],
    ) -> None:
        self.held: dict[Place, tuple[PrekeyRecord, KemKey]] = {}
        self._folder = folder
        self._network_id = network_id
        self._fingerprint = fingerprint
        self._dead = frozenset(dead)
        self._served = dict(suites)
        self._known = dict(suites)  # and those that were served: their keys live until they expire
        self._journal = PrekeyJournal(fingerprint)
        self._expiries: dict[str, int] = {}
        """By file name, of what was read once: files never change."""

    def __repr__(self) -> str:
        return f"Prekeys({len(self.held)} held)"

    @property
    def unknown_until(self) -> int:
        """As of :class:`~port17.node.prekey_journal.PrekeyJournal`."""
        return self._journal.unknown_until

    def load(self, now: float | None) -> None:
        """What is on disk for the suites served.

        :param now: Unix time, seconds; what has expired is passed over, whatever state it is in. None takes
            all.
        :raises ConfigError: a key that may be in force is damaged, another's, or can be read by others.
        """
        self._journal = self._read_journal()
        for file in self._files():
            self._take(file, now)

    def serve(self, suites: Mapping[str, CipherSuite], now: float | None) -> None:
        """Serve other suites from now on, with the keys for them that are on disk, also new ones.

        A key that can't be used is named in the log and passed over: what runs goes on.

        :param suites: by name. The keys of those no longer among them stay until they expire.
        """
        self._served = dict(suites)
        self._known |= suites
        try:
            self._journal = self._read_journal()
        except ConfigError as error:
            _log.error("%s", error)
        for file in self._files():
            try:
                self._take(file, now)
            except ConfigError as error:
                _log.error("%s", error)

    def stock(
        self, network_id: bytes, first_slot: int, slots: int, lifetime: int, overlap: int
    ) -> list[PrekeyRecord]:
        """Makes the prekeys that are missing in a span of slots, or where every one of these may have been
        published before, that of the next slot. In force once they are saved.

        :returns: the records that are new.
        """
        fresh: list[PrekeyRecord] = []
        span = range(first_slot, first_slot + slots)
        for suite in self._served.values():
            wanted = [slot for slot in span if self._free(suite, slot, lifetime)]
            if slots and not wanted and not self._has(suite, first_slot):
                wanted = self._later(
                    suite, span.stop, lifetime, first_slot * lifetime + PREKEY_AHEAD_CAP_S - overlap
                )
            try:
                for slot in wanted:
                    fresh.append(self._make(network_id, suite, slot, (slot + 1) * lifetime + overlap))
            except Exception as fault:  # noqa: BLE001 - a plugin's: the other suites' keys are made all the same
                _log.error("the cipher suite %s makes no prekeys: %s", suite.name, type(fault).__name__)
        return fresh

    def _has(self, suite: CipherSuite, first_slot: int) -> bool:
        return any(name == suite.name and slot >= first_slot for name, slot in self.held)

    def _later(self, suite: CipherSuite, first_slot: int, lifetime: int, until: int) -> list[int]:
        """The first slot that is certainly free, for an identity that was restored: others hold prekeys of it
        whose keys are lost, until they see one that is not.

        :param until: Unix second until which a prekey may live.
        """
        if not self._journal.unknown_until:
            return []
        slots = range(first_slot, min(first_slot + SLOTS_CAP, until // lifetime))
        return [slot for slot in slots if self._free(suite, slot, lifetime)][:1]

    def _free(self, suite: CipherSuite, slot: int, lifetime: int) -> bool:
        """Whether a slot has no prekey, here or anywhere."""
        place = suite.name, slot
        if place in self.held or self._file(place).exists():
            return False
        if self._journal.taken(*place, lifetime):
            _log.warning(
                "slot %d of %s stays without a prekey: another may have been published", slot, suite.name
            )
            return False
        return True

    def _make(self, network_id: bytes, suite: CipherSuite, slot: int, expiry: int) -> PrekeyRecord:
        key = suite.generate()
        record = PrekeyRecord.made(
            network_id=network_id,
            fingerprint=self._fingerprint,
            suite=suite.name,
            slot=slot,
            expiry=expiry,
            public=key.public,
        )
        self.held[suite.name, slot] = record, key
        return record

    def save(self) -> None:
        """Writes what is not on disk yet: keys first, then the journal. Only then may they be published.

        A key that another process has made for the same slot in the meantime takes the place of ours. To be
        called by who holds the folder's lock.

        :raises OSError: the folder can't be written.
        :raises ConfigError: what lies there can't be used.
        """
        journal = self._journal = self._read_journal()
        before = len(journal.entries)
        for place in sorted(self.held):
            self._save(place)
        if len(journal.entries) != before:
            journal.write(self._folder)

    def _save(self, place: Place) -> None:
        record, key = self.held[place]
        file = self._file(place)
        there = file.exists()
        committed = self._journal.entries.get(place)
        ours = file.name in self._expiries or (committed is not None and committed.commitment == record.hash)
        if not ours and (there or committed is not None):
            del self.held[place]
            if there:
                self._take(file, None)
            return
        if not there:
            private = self._known[record.suite].private_bytes(key.private)
            key_file.write(file, _PrekeyFile(record=record, private=private).to_cbor())
        self._expiries[file.name] = record.expiry
        self._journal.note(_entry(record))

    def committed(self, slots: Mapping[str, Iterable[Slot]]) -> None:
        """What a bottle says that this identity has published: these slots never get other keys.

        :raises OSError: the folder can't be written.
        """
        journal = self._read_journal()
        before = len(journal.entries)
        for suite, named in slots.items():
            for slot in named:
                journal.note(Entry(suite, slot.slot, slot.expiry, slot.commitment))
        if len(journal.entries) != before:
            journal.write(self._folder)
        self._journal = journal

    def journal(self) -> PrekeyJournal:
        """What is on disk of this identity's commitments. To be called by who holds the folder's lock.

        :raises ConfigError: it can't be read, is damaged or another's.
        """
        self._journal = self._read_journal()
        return self._journal

    def burn(self, now: float) -> list[PrekeyRecord]:
        """Erases what has expired, of whatever suite, and what a process that died has left behind.

        To be called by who holds the folder's lock.

        :param now: Unix time, seconds.
        :returns: the records whose keys are gone from memory.
        :raises ConfigError: a file can't be erased; all the others are, and memory is.
        """
        expired = [place for place, (record, _) in self.held.items() if record.expiry <= now]
        burnt = [self.held.pop(place)[0] for place in expired]
        failed = [self._erase(file) for file in key_file.leftovers(self._folder, PREKEY_SUFFIX)]
        failed += [self._erase(file) for file in self._files() if self._is_dead(file, now)]
        failed.append(self._expire_journal(now))
        for error in failed:
            if error is not None:
                raise error
        return burnt

    def _expire_journal(self, now: float) -> ConfigError | None:
        try:
            journal = self._read_journal()
            changed = journal.expire(now)
            if changed:
                journal.write(self._folder)
            self._journal = journal
        except ConfigError as error:
            return error
        except OSError as error:
            return ConfigError(
                f"{self._folder / JOURNAL_FILE} can't be written: {error.strerror}",
                cure="Make the folder writable for whom the node runs as.",
            )
        return None

    def _erase(self, file: Path) -> ConfigError | None:
        try:
            key_file.erase(file)
        except OSError as error:
            return ConfigError(
                f"the expired key {file} can't be erased: {error.strerror}", cure=f"Run: rm {file}"
            )
        self._expiries.pop(file.name, None)
        return None

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"*{PREKEY_SUFFIX}"))

    def _file(self, place: Place) -> Path:
        suite, slot = place
        return self._folder / f"{suite}.{slot}{PREKEY_SUFFIX}"

    def _read_journal(self) -> PrekeyJournal:
        """The journal on disk; a fresh one if there is none, or only a predecessor's."""
        journal = PrekeyJournal.read(self._folder)
        if journal is None or journal.fingerprint in self._dead:
            return PrekeyJournal(self._fingerprint)
        if journal.fingerprint != self._fingerprint:
            raise ConfigError(
                f"{self._folder / JOURNAL_FILE} belongs to another node",
                cure="If the identity has been rotated, restart the node; or else choose another folder.",
            )
        return journal

    def _take(self, file: Path, now: float | None) -> None:
        """Hold the key of a file, if its suite is served and it is not dead."""
        try:
            parsed = self._parse(file, now)
        except _Dead:
            return
        record = parsed.record
        self._expiries[file.name] = record.expiry
        suite = self._served.get(record.suite)
        if suite is None or (record.suite, record.slot) in self.held:
            return
        try:
            key = suite.load_private(parsed.private)
        except ValueError:
            raise _unusable(file) from None  # a cause could show the key
        if key.public != record.public:
            raise _unusable(file)
        self.held[record.suite, record.slot] = record, key
        # An older version kept no journal.
        self._journal.note(_entry(record))

    def _is_dead(self, file: Path, now: float) -> bool:
        known = self._expiries.get(file.name)
        if known is not None:
            return known <= now
        try:
            self._expiries[file.name] = self._parse(file, now).record.expiry
        except _Dead:
            return True
        except ConfigError:
            return False  # said when it was loaded; nothing is erased that somebody may want to look at
        return False

    def _parse(self, file: Path, now: float | None) -> _PrekeyFile:
        """A prekey's file, if it may be in force.

        :raises _Dead: it has expired, belonged to a predecessor, or was erased but for its name.
        :raises ConfigError: it may be in force, and can't be used.
        """
        try:
            data, mode = key_file.peek(file, FILE_CAP)
            parsed = _PrekeyFile.from_cbor(data, cap=FILE_CAP)
        except ConfigError as error:
            if self._died(file, now):
                _log.warning("%s is damaged, and has expired: it is of no more use", file)
                raise _Dead from None
            if not isinstance(error, RecordError):
                raise
            if not any(data):
                _log.warning("%s holds nothing: its slot stays without a key", file)
                raise _Dead from None
            key_file.check(file, mode)
            raise ConfigError(f"{file}: {error.message}", cure="Restore the file from a backup.") from error
        record = parsed.record
        if record.fingerprint in self._dead or (now is not None and record.expiry <= now):
            raise _Dead
        key_file.check(file, mode)
        if (record.network_id, record.fingerprint) != (self._network_id, self._fingerprint):
            raise ConfigError(
                f"{file} belongs to another node or another network",
                cure="Remove it, or choose another folder.",
            )
        return parsed

    def _died(self, file: Path, now: float | None) -> bool:
        """Whether the journal says that what a file of this name held has expired."""
        suite, _, slot = file.name.removesuffix(PREKEY_SUFFIX).rpartition(".")
        if not (slot.isascii() and slot.isdigit()) or now is None:
            return False
        place = suite, int(slot)
        entry = self._journal.entries.get(place)
        return self._journal.is_spent(*place) or (entry is not None and entry.expiry <= now)


def list_prekeys(folder: Path) -> list[PrekeyRecord]:
    """The public halves of all prekeys in a folder, whoever's and of whatever suite, expired or not.

    :raises ConfigError: one can't be read, or others may read it.
    """
    found = []
    for file in sorted(folder.glob(f"*{PREKEY_SUFFIX}")):
        try:
            found.append(_PrekeyFile.from_cbor(key_file.read(file, FILE_CAP), cap=FILE_CAP).record)
        except RecordError as error:
            _log.warning("%s holds no prekey: %s", file, error.message)
    return found


def _entry(record: PrekeyRecord) -> Entry:
    return Entry(record.suite, record.slot, record.expiry, record.hash)


def _unusable(file: Path) -> ConfigError:
    return ConfigError(f"{file} holds no usable key", cure="Restore the file from a backup, or remove it.")
