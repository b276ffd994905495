"""A node's secrets on disk: its identity's key and its prekeys, each in a file of its own.

One file per prekey, so that an expired one is erased by removing it. Python can't wipe what was in memory,
and a file system may keep old blocks: who needs more encrypts the disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field

from port17.errors import ConfigError, RecordError
from port17.records.identity import Identity
from port17.records.prekey import PREKEY_CAP, PrekeyRecord
from port17.records.record import DriverName, Record
from port17.records.scheme import IdentityScheme, SigningKey
from port17.wire.suite import CipherSuite, KemKey

IDENTITY_FILE = "identity.key"
PREKEY_SUFFIX = ".prekey"
PRIVATE_CAP = 16 * 1024
"""Longest private key at rest, bytes: seeds have 32 to 128, expanded post-quantum keys under 5000."""
FILE_CAP = PRIVATE_CAP + PREKEY_CAP + 256
"""Longest key file, bytes: a private key, a prekey record and the field names."""
FILE_MODE = 0o600
FOLDER_MODE = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits that nobody but the owner may have."""

R = TypeVar("R", bound=Record)


class _IdentityFile(Record):
    scheme: DriverName
    private: Annotated[bytes, Field(max_length=PRIVATE_CAP, repr=False)]


class _PrekeyFile(Record):
    record: PrekeyRecord
    private: Annotated[bytes, Field(max_length=PRIVATE_CAP, repr=False)]


class Keyring:
    """An identity, its signing key and its prekeys.

    :param folder: where they are kept.
    :param prekeys: (suite name, slot) to the public record and the key.
    """

    def __init__(
        self,
        folder: Path,
        scheme: IdentityScheme,
        signing_key: SigningKey,
        prekeys: Mapping[tuple[str, int], tuple[PrekeyRecord, KemKey]],
        suites: Mapping[str, CipherSuite],
    ) -> None:
        self.folder = folder
        self.scheme = scheme
        self.signing_key = signing_key
        self.identity = Identity.made(scheme=scheme.name, public=signing_key.public)
        self.prekeys = dict(prekeys)
        self._suites = dict(suites)

    def __repr__(self) -> str:
        return f"Keyring({self.identity.node_id}, {len(self.prekeys)} prekeys)"

    @classmethod
    def create(
        cls,
        folder: Path,
        scheme: IdentityScheme,
        suites: Iterable[CipherSuite],
        network_id: bytes,
        first_slot: int,
        slots: int,
        lifetime: int,
        *,
        overlap: int = 0,
    ) -> Self:
        """A new identity and its first prekeys, saved.

        :param folder: made if it doesn't exist; must not hold an identity.
        :param first_slot: Unix time divided by ``lifetime``.
        :param slots: how many slots to make keys for, one per suite and slot.
        :param lifetime: seconds of a slot.
        :param overlap: seconds for which a prekey is good after its slot.
        :raises ConfigError: there is an identity already, or the folder can't be written.
        """
        if (folder / IDENTITY_FILE).exists():
            raise ConfigError(
                f"{folder / IDENTITY_FILE} exists already",
                cure="Choose another folder, or remove the file if nobody is to know this node again.",
            )
        keyring = cls(folder, scheme, scheme.generate(), {}, {suite.name: suite for suite in suites})
        keyring.stock(network_id, first_slot, slots, lifetime, overlap=overlap)
        keyring.save()
        return keyring

    @classmethod
    def load(
        cls,
        folder: Path,
        schemes: Mapping[str, IdentityScheme],
        suites: Mapping[str, CipherSuite],
        network_id: bytes,
    ) -> Self:
        """What :meth:`save` wrote. Prekeys of suites that are not given stay on disk, unread.

        :raises ConfigError: a file can't be read, others may read it, or it holds no such key.
        """
        file = folder / IDENTITY_FILE
        held = _parsed(_IdentityFile, file, _read(file))
        scheme = schemes.get(held.scheme)
        if scheme is None:
            raise ConfigError(
                f"the identity scheme {held.scheme} of {file} is not allowed or not installed",
                cure="Install the distribution that brings the scheme, or make a new identity.",
            )
        try:
            signing_key = scheme.load_private(held.private)
        except ValueError:
            raise _unusable(file) from None  # a cause could show the key
        keyring = cls(folder, scheme, signing_key, {}, suites)
        for prekey_file in sorted(folder.glob(f"*{PREKEY_SUFFIX}")):
            keyring._load_prekey(prekey_file, network_id)
        return keyring

    def _load_prekey(self, file: Path, network_id: bytes) -> None:
        held = _parsed(_PrekeyFile, file, _read(file))
        record = held.record
        if (record.network_id, record.fingerprint) != (network_id, self.identity.fingerprint):
            raise ConfigError(
                f"{file} belongs to another node or another network",
                cure="Remove it, or choose another folder.",
            )
        suite = self._suites.get(record.suite)
        if suite is None:
            return
        try:
            key = suite.load_private(held.private)
        except ValueError:
            raise _unusable(file) from None
        if key.public != record.public:
            raise _unusable(file)
        self.prekeys[record.suite, record.slot] = record, key

    def stock(
        self, network_id: bytes, first_slot: int, slots: int, lifetime: int, *, overlap: int = 0
    ) -> list[PrekeyRecord]:
        """Makes the prekeys that are missing in a span of slots. Not saved.

        A slot that has a key keeps it: two records for one slot are an equivocation, and ban the node.

        :returns: the records that are new.
        """
        fresh: list[PrekeyRecord] = []
        for suite in self._suites.values():
            for slot in range(first_slot, first_slot + slots):
                if (suite.name, slot) in self.prekeys:
                    continue
                key = suite.generate()
                record = PrekeyRecord.made(
                    network_id=network_id,
                    fingerprint=self.identity.fingerprint,
                    suite=suite.name,
                    slot=slot,
                    expiry=(slot + 1) * lifetime + overlap,
                    public=key.public,
                )
                self.prekeys[suite.name, slot] = record, key
                fresh.append(record)
        return fresh

    def records(self) -> list[PrekeyRecord]:
        """The public halves, by suite and slot."""
        return [self.prekeys[place][0] for place in sorted(self.prekeys)]

    def save(self) -> None:
        """Writes what is not on disk yet; files that others can't read, each whole or not at all.

        :raises ConfigError: the folder can't be written.
        """
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            file = self.folder / IDENTITY_FILE
            if not file.exists():
                private = self.scheme.private_bytes(self.signing_key)
                _write(file, _IdentityFile(scheme=self.scheme.name, private=private).to_cbor())
            for place, (record, key) in self.prekeys.items():
                file = self._prekey_file(*place)
                if not file.exists():
                    private = self._suites[record.suite].private_bytes(key.private)
                    _write(file, _PrekeyFile(record=record, private=private).to_cbor())
        except OSError as error:
            raise ConfigError(
                f"keys can't be written to {self.folder}: {error.strerror}",
                cure="Choose a folder that you may write to.",
            ) from error

    def burn(self, now: float) -> list[PrekeyRecord]:
        """Erases every prekey that has expired, in memory and on disk.

        :param now: Unix time, seconds.
        :returns: the records whose keys are gone.
        :raises ConfigError: a file can't be removed; the key is gone from memory all the same.
        """
        expired = [place for place, (record, _) in self.prekeys.items() if record.expiry <= now]
        burnt = [self.prekeys.pop(place)[0] for place in expired]
        for place in expired:
            file = self._prekey_file(*place)
            try:
                _erase(file)
            except OSError as error:
                raise ConfigError(
                    f"the expired key {file} can't be erased: {error.strerror}", cure=f"Run: rm {file}"
                ) from error
        return burnt

    def _prekey_file(self, suite: str, slot: int) -> Path:
        return self.folder / f"{suite}.{slot}{PREKEY_SUFFIX}"


def _read(file: Path) -> bytes:
    """The bytes of a key file that nobody but its owner can read."""
    try:
        with open(file, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(FILE_CAP + 1)
    except OSError as error:
        raise ConfigError(
            f"the key {file} can't be read: {error.strerror}",
            cure="Make the node's keys with `port17 node init`, or check the file's owner.",
        ) from error
    if mode & OTHERS:
        raise ConfigError(
            f"the key {file} can be read by others (mode {stat.S_IMODE(mode):04o})",
            cure=f"Run: chmod 600 {file}",
        )
    return data


def _parsed(model: type[R], file: Path, data: bytes) -> R:
    try:
        return model.from_cbor(data, cap=FILE_CAP)
    except RecordError as error:
        raise ConfigError(f"{file}: {error.message}", cure="Restore the file from a backup.") from error


def _unusable(file: Path) -> ConfigError:
    return ConfigError(f"{file} holds no usable key", cure="Restore the file from a backup, or remove it.")


def _write(file: Path, data: bytes) -> None:
    fresh = file.with_suffix(".new")
    with suppress(FileNotFoundError):
        fresh.unlink()  # of a process that died in between; O_EXCL refuses what anybody else put there
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with open(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)


def _erase(file: Path) -> None:
    """Overwrites and removes; on copy-on-write storage only the removal counts."""
    with suppress(FileNotFoundError):
        with open(file, "r+b") as stream:
            stream.write(bytes(os.fstat(stream.fileno()).st_size))
            stream.flush()
            os.fsync(stream.fileno())
        file.unlink()
