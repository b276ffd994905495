"""A node's secrets: its identity, the key that signs for it, and its prekeys. Where they lie is a folder.

How each lies there is the business of :mod:`~port17.node.identity_file` and :mod:`~port17.node.prekeys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from port17.errors import ConfigError, PluginError
from port17.node import key_file
from port17.node.identity_file import IDENTITY_FILE, FindSuite, IdentityFile, Locker, Passphrase
from port17.node.prekey_journal import JOURNAL_FILE, PrekeyJournal
from port17.node.prekeys import PREKEY_SUFFIX, Place, Prekeys
from port17.records.bottle import Slot
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.scheme import IdentityScheme, SigningKey
from port17.records.succession import hand_over
from port17.wire.suite import CipherSuite, KemKey


class Keyring:
    """An identity, its signing key and its prekeys.

    :param folder: where they are kept.
    :param held: the identity as it lies there, or is to.
    :param network_id: the network that the prekeys are for.
    :param suites: those served.
    :ivar predecessors: what the label is to say of the identities whose place this one has taken.
    """

    def __init__(
        self,
        folder: Path,
        held: IdentityFile,
        scheme: IdentityScheme,
        signing_key: SigningKey,
        network_id: bytes,
        suites: Mapping[str, CipherSuite],
    ) -> None:
        self.folder = folder
        self.scheme = scheme
        self.signing_key = signing_key
        self.identity = held.identity
        self.predecessors = held.predecessors
        self._held = held
        self._prekeys = Prekeys(
            folder,
            network_id,
            self.identity.fingerprint,
            {one.identity.fingerprint for one in held.predecessors},
            suites,
        )

    def __repr__(self) -> str:
        return f"Keyring({self.identity.node_id}, {len(self.prekeys)} prekeys)"

    @property
    def unknown_until(self) -> int:
        """The Unix second until which it is not known what was done with these keys: when they were put back
        from a backup, or 0."""
        return self._prekeys.unknown_until

    @property
    def prekeys(self) -> dict[Place, tuple[PrekeyRecord, KemKey]]:
        """(suite name, slot) to the public record and the key."""
        return self._prekeys.held

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
        locker: Locker | None = None,
    ) -> Self:
        """A new identity and its first prekeys, saved.

        :param folder: made if it doesn't exist; must not hold an identity.
        :param first_slot: Unix time divided by ``lifetime``.
        :param slots: how many slots to make keys for, one per suite and slot.
        :param lifetime: seconds of a slot.
        :param overlap: seconds for which a prekey is good after its slot.
        :param locker: locks the identity; None leaves it to its file's permissions.
        :raises ConfigError: there is an identity already, or the folder can't be written.
        """
        refuse_identity(folder)
        signing_key = scheme.generate()
        served = {suite.name: suite for suite in suites}
        held = IdentityFile.plain(scheme, signing_key)
        if locker is not None:
            held = held.locked(locker)
        keyring = cls(folder, held, scheme, signing_key, network_id, served)
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
        *,
        passphrase: Passphrase | None = None,
        find_suite: FindSuite | None = None,
        now: float | None = None,
    ) -> Self:
        """What :meth:`save` wrote. Prekeys of suites that are not given stay on disk.

        :param passphrase: asked if the identity is locked.
        :param find_suite: the installed suite of a name, for a locked identity; where it is not given, one of
            ``suites``. The charter has no say in it: it allows suites for what crosses the network.
        :param now: Unix time, seconds. Prekeys that have expired are not loaded and, damaged or not, keep
            nothing from being used; None takes all.
        :raises ConfigError: a file can't be read, others may read it, or it holds no such key.
        :raises PassphraseError: the identity is locked, and the passphrase is missing or wrong.
        """
        file = folder / IDENTITY_FILE
        held = IdentityFile.read(file)
        scheme = held.scheme(str(file), schemes)
        private = held.secret(str(file), passphrase, find_suite or _among(suites))
        signing_key = held.signing_key(str(file), scheme, private)
        keyring = cls(folder, held, scheme, signing_key, network_id, suites)
        keyring._prekeys.load(now)
        return keyring

    def serve(self, suites: Mapping[str, CipherSuite], now: float | None = None) -> None:
        """Serve these suites from now on, with the keys for them that are on disk.

        Keys of suites no longer served stay until they expire. A key that can't be used is named in the log.

        :param suites: by name.
        :param now: Unix time, seconds; what has expired is not loaded.
        """
        self._prekeys.serve(suites, now)

    def stock(
        self, network_id: bytes, first_slot: int, slots: int, lifetime: int, *, overlap: int = 0
    ) -> list[PrekeyRecord]:
        """Makes the prekeys that are missing in a span of slots. In force once :meth:`save` has returned.

        A slot never gets a second key, not even if the first was lost: two records for one slot are an
        equivocation, and ban the node.

        :returns: the records that are new.
        """
        return self._prekeys.stock(network_id, first_slot, slots, lifetime, overlap)

    def records(self) -> list[PrekeyRecord]:
        """The public halves, by suite and slot. To be published only after :meth:`save`."""
        return [self.prekeys[place][0] for place in sorted(self.prekeys)]

    def save(self) -> None:
        """Writes what is not on disk yet; files that others can't read, each whole or not at all.

        Another process may have made keys for the same slots in the meantime: theirs stand then, and ours are
        dropped.

        :raises ConfigError: the folder can't be written, or holds what isn't this identity's.
        """
        with _writing(self.folder):
            file = self.folder / IDENTITY_FILE
            if not file.exists():
                key_file.write(file, self._held.to_cbor())
            self._prekeys.save()

    def committed(self, slots: Mapping[str, Iterable[Slot]]) -> None:
        """What this identity's bottle says that it has published: those slots never get other keys.

        Known already, unless the folder was restored from a backup.

        :param slots: by suite, as contents have them.
        :raises ConfigError: the folder can't be written.
        """
        with _writing(self.folder):
            self._prekeys.committed(slots)

    @contextmanager
    def signing(self) -> Iterator[PrekeyJournal]:
        """Alone with the journal of what this identity has signed, as it is on disk.

        Two processes that sign for one identity, say a node and a command about it, do it one after the
        other, and neither a number that the other has used. What is signed goes into the journal before
        anybody gets it. The keyring's other methods must not be called meanwhile.

        :raises ConfigError: the folder can't be written, or the journal is damaged or another identity's.
        """
        with _writing(self.folder):
            yield self._prekeys.journal()

    def burn(self, now: float) -> list[PrekeyRecord]:
        """Erases every prekey that has expired, in memory and on disk, also of suites that are not served.

        :param now: Unix time, seconds.
        :returns: the records whose keys are gone from memory.
        :raises ConfigError: a file can't be erased; all the others are, and memory is.
        """
        with _writing(self.folder):
            for file in key_file.leftovers(self.folder, IDENTITY_FILE):
                key_file.erase(file)
            return self._prekeys.burn(now)

    def succeed(
        self,
        scheme: IdentityScheme,
        suites: Mapping[str, CipherSuite],
        network_id: bytes,
        *,
        locker: Locker | None = None,
    ) -> Keyring:
        """A new identity in the place of this one, which hands over to it and is erased from disk.

        The prekeys of the old one are erased by the new one's :meth:`burn`; a process that runs under the old
        one goes on with what it has in memory.

        :param locker: locks the new identity; None leaves it to its file's permissions.
        :returns: the new identity's keyring, without prekeys.
        :raises ConfigError: the folder can't be written; nothing has changed then.
        """
        signing_key = scheme.generate()
        successor = Identity.made(scheme=scheme.name, public=signing_key.public)
        word = hand_over(network_id, self.scheme, self.signing_key, successor)
        held = IdentityFile.plain(scheme, signing_key, (word, *self.predecessors))
        if locker is not None:
            held = held.locked(locker)
        with _writing(self.folder):
            key_file.replace(self.folder / IDENTITY_FILE, held.to_cbor())
        return Keyring(self.folder, held, scheme, signing_key, network_id, suites)


def restore(folder: Path, held: IdentityFile, now: float, *, unused: bool) -> None:
    """Puts an identity from a backup into a folder that has none.

    :param now: Unix time, seconds. Slots that the identity may have published before get no new keys.
    :param unused: it has never published any.
    :raises ConfigError: there is an identity already, or the folder can't be written.
    """
    refuse_identity(folder)
    with _writing(folder):
        if not unused:
            journal = PrekeyJournal(held.identity.fingerprint)
            journal.unknown_until = int(now)
            journal.write(folder)  # before the identity: a crash in between must not make it look unused
        key_file.write(folder / IDENTITY_FILE, held.to_cbor())


def rewrite(folder: Path, held: IdentityFile) -> None:
    """Puts the same identity, otherwise locked, into the place of what a folder has; that is overwritten.

    :raises ConfigError: the folder can't be written.
    """
    with _writing(folder):
        key_file.replace(folder / IDENTITY_FILE, held.to_cbor())


def refuse_identity(folder: Path) -> None:
    """:raises ConfigError: a folder holds an identity, or what is left of one."""
    if (folder / IDENTITY_FILE).exists():
        raise ConfigError(
            f"{folder / IDENTITY_FILE} exists already",
            cure="Choose another folder, or remove the file if nobody is to know this node again.",
        )
    if (folder / JOURNAL_FILE).exists() or any(folder.glob(f"*{PREKEY_SUFFIX}")):
        raise ConfigError(
            f"{folder} holds prekeys of an identity that is not there",
            cure="Choose another folder, or restore that identity from a backup.",
        )


def _among(suites: Mapping[str, CipherSuite]) -> FindSuite:
    def find(name: str) -> CipherSuite:
        if name not in suites:
            raise PluginError("it is not among those at hand")
        return suites[name]

    return find


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=key_file.FOLDER_MODE, parents=True, exist_ok=True)
        with key_file.locked(folder):
            yield
    except OSError as error:
        raise ConfigError(
            f"keys can't be written to {folder}: {error.strerror}",
            cure="Choose a folder that you may write to.",
        ) from error
