"""The file of an identity: public half and predecessors in clear, the private key as it is or locked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from port17.errors import ConfigError, PassphraseError, PluginError, RecordError
from port17.node import key_file
from port17.node.key_lock import USUAL_WORK, Lock, Work
from port17.records import cbor
from port17.records.framing import framed
from port17.records.identity import Identity
from port17.records.record import Record
from port17.records.scheme import IdentityScheme, SigningKey
from port17.records.succession import PREDECESSORS_CAP, Predecessor, Predecessors
from port17.wire.suite import TAG_SIZE, CipherSuite

IDENTITY_FILE = "identity.key"
PRIVATE_CAP = 16 * 1024
"""Longest private key at rest, bytes: seeds have 32 to 128, expanded post-quantum keys under 5000."""
FILE_CAP = 64 * 1024
"""Longest file of an identity, bytes: a private key, and four identities with their signatures."""

Passphrase = Callable[[], bytes]
"""Asks for the passphrase; called only for a key that is locked, and at most once per key."""
FindSuite = Callable[[str], CipherSuite]
"""The installed cipher suite of a name; raises PluginError without."""


@dataclass(frozen=True)
class Locker:
    """How to lock identities.

    :param suite: the cipher suite whose AEAD is to hold the key.
    :param work: what a guess is to cost.
    """

    passphrase: bytes = field(repr=False)
    suite: CipherSuite
    work: Work = USUAL_WORK


class IdentityFile(Record):
    """An identity at rest.

    :param predecessors: what its label is to say of the identities whose place it has taken.
    :param lock: how ``private`` is locked; None is not at all.
    :param private: the private key, or the box that holds it.
    """

    identity: Identity
    predecessors: Predecessors = ()
    lock: Lock | None = None
    private: Annotated[bytes, Field(max_length=PRIVATE_CAP + TAG_SIZE, repr=False)]

    @classmethod
    def plain(cls, scheme: IdentityScheme, key: SigningKey, predecessors: Sequence[Predecessor] = ()) -> Self:
        """An identity whose key is protected by its file's permissions alone.

        :param predecessors: the newest first; those beyond the cap are left out.
        """
        return cls.made(
            identity={"scheme": scheme.name, "public": key.public},
            predecessors=[one.to_value() for one in predecessors[:PREDECESSORS_CAP]],
            private=scheme.private_bytes(key),
        )

    @classmethod
    def read(cls, file: Path) -> Self:
        """The identity of a file; of its key nothing is known yet.

        :raises ConfigError: it can't be read, others may touch it, or it holds no identity.
        """
        try:
            return cls.from_cbor(key_file.read(file, FILE_CAP), cap=FILE_CAP)
        except RecordError as error:
            raise ConfigError(f"{file}: {error.message}", cure="Restore the file from a backup.") from error

    def locked(self, locker: Locker) -> Self:
        """The same identity under a passphrase; this one is not under any."""
        lock = Lock.fresh(locker.suite, locker.work)
        fields = {**self.to_value(), "lock": lock.to_value()}
        box = lock.seal(self.private, locker.passphrase, locker.suite, _header(fields))
        return type(self).made(**{**fields, "private": box})

    def unlocked(self, private: bytes) -> Self:
        """The same identity without a passphrase.

        :param private: its private key.
        """
        return type(self).made(**{**self.to_value(), "lock": None, "private": private})

    def secret(self, name: str, passphrase: Passphrase | None, find_suite: FindSuite) -> bytes:
        """The private key.

        :param name: what to call the file in errors.
        :param passphrase: None if nobody can be asked.
        :raises PassphraseError: the key is locked, and the passphrase is missing or wrong.
        :raises ConfigError: the key is locked with a cipher suite that is not installed.
        """
        if self.lock is None:
            return self.private
        try:
            suite = find_suite(self.lock.suite)
        except PluginError as error:
            raise ConfigError(
                f"{name} is locked with {self.lock.suite}, which can't be used: {error.message}",
                cure="Install the distribution that brings the suite.",
            ) from error
        if passphrase is None:
            raise PassphraseError(
                f"{name} is locked with a passphrase",
                cure="Run it at a terminal, give --passphrase-fd, or set identity.passphrase_file.",
            )
        try:
            return self.lock.open(self.private, passphrase(), suite, _header(self.to_value()))
        except PassphraseError as error:
            raise PassphraseError(f"{name}: {error.message}", cure=error.cure) from None

    def signing_key(self, name: str, scheme: IdentityScheme, private: bytes) -> SigningKey:
        """The key pair of a private key.

        :raises ConfigError: it is none, or not this identity's.
        """
        try:
            key = scheme.load_private(private)
        except ValueError:
            key = None  # a cause could show the key
        if key is None or Identity.made(scheme=scheme.name, public=key.public) != self.identity:
            raise ConfigError(
                f"{name} holds no usable key", cure="Restore the file from a backup, or remove it."
            )
        return key

    def scheme(self, name: str, schemes: Mapping[str, IdentityScheme]) -> IdentityScheme:
        """The identity's scheme.

        :raises ConfigError: it is not among those given.
        """
        scheme = schemes.get(self.identity.scheme)
        if scheme is None:
            raise ConfigError(
                f"the identity scheme {self.identity.scheme} of {name} is not allowed or not installed",
                cure="Install the distribution that brings it, or take another: `port17 identity rotate`.",
            )
        return scheme


def _header(fields: Mapping[str, object]) -> bytes:
    """Everything of the file but the box, unambiguous."""
    clear = {name: value for name, value in fields.items() if name != "private"}
    return framed("locked identity", cbor.encode(clear))
