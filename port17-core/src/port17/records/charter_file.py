"""The charter of one process: what its file says, and the newest that was ever seen of that network.

The newest is kept in a folder of the process's own, so that an older file brings nothing back, not even with
a restart. When to look again is left to whoever owns the process.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

from port17.errors import ConfigError, RecordError
from port17.records.charter import Charter
from port17.records.file_mark import FileMark, mark
from port17.records.scheme import IdentityScheme, usable

MEMORY_SUFFIX = ".charter"
"""What the newest charter that was seen is named by, behind the start of its network's id."""
MEMORY_NAME_SIZE = 8
"""Bytes of the network id in that name: enough that no two networks of one process meet by chance."""
FOLDER_MODE = 0o700
_MEMORY = re.compile(rf"[0-9a-f]{{{2 * MEMORY_NAME_SIZE}}}{re.escape(MEMORY_SUFFIX)}")

_log = logging.getLogger(__name__)


class CharterFile:
    """See the module."""

    def __init__(self, path: Path, memory: Path, schemes: Mapping[str, IdentityScheme]) -> None:
        """
        :param path: the file that people replace.
        :param memory: the process's own folder; made if it doesn't exist.
        :param schemes: every identity scheme that is installed: any may have signed.
        """
        self._path = path
        self._memory = memory
        self._schemes = schemes
        self._seen: FileMark | None = None

    def load(self) -> Charter:
        """The charter to begin with: the file's, or the newest that was seen if that says more.

        :raises ConfigError: the file can't be read, or it is of another network than what was seen.
        :raises RecordError: it holds no valid charter.
        """
        charter, news = self._read()
        if news:
            self.remember(charter)
        return charter

    def read(self) -> Charter:
        """The same for who only looks, like a command beside the process: nothing is written.

        :raises ConfigError: as of :meth:`load`.
        :raises RecordError: as of :meth:`load`.
        """
        return self._read()[0]

    def _read(self) -> tuple[Charter, bool]:
        """The charter, and whether it says more than was remembered."""
        self._seen = self._mark()
        charter = Charter.load(self._path, self._schemes)
        self._refuse_stranger(charter)
        known = self._remembered(charter.network_id)
        try:
            news = known is None or self._adds(charter, known)
        except RecordError as error:
            if known is None:
                raise
            newest = known.revisions[-1].revision.seq
            _log.error(
                "the charter %s is refused: %s; revision %d stays in force. %s",
                self._path,
                error.message,
                newest,
                error.cure,
            )
            return known, False
        return charter, news

    def look(self, held: Charter) -> Charter | None:
        """What a changed file says, if that adds to the charter that is held.

        :returns: None if there is nothing new.
        :raises ConfigError: it can't be read.
        :raises RecordError: it is damaged, older, forked or another network's. A file that is wrong raises
            once, not again until it changes.
        """
        found = self._mark()
        if found is None or found == self._seen:
            return None  # a file that is replaced is missing for a moment, and says nothing by that
        self._seen = found
        charter = Charter.load(self._path, self._schemes)
        try:
            return charter if self._adds(charter, held) else None
        except RecordError as error:
            raise RecordError(f"{self._path}: {error.message}", cure=error.cure) from error

    def _adds(self, charter: Charter, held: Charter) -> bool:
        """As :meth:`Charter.adds_to`; what a broken scheme signs adds nothing.

        :raises RecordError: as there, or too few of those who signed have keys of another scheme.
        """
        if not charter.adds_to(held):
            return False
        keys = charter.genesis.update_keys
        for signed in charter.revisions[len(held.revisions) :]:
            signers = [keys[index].scheme for index, _ in signed.signatures]
            sound = usable(signers, self._schemes)
            if sum(name in sound for name in signers) < charter.genesis.threshold:
                raise RecordError(
                    f"its revision {signed.revision.seq} is signed with a scheme that is broken",
                    cure="Ask who holds the update keys for one that others sign, or for another network.",
                )
        return True

    def remember(self, charter: Charter) -> None:
        """Keep the newest charter that was seen; a folder that can't be written is logged."""
        file = self._memory_of(charter.network_id)
        try:
            self._memory.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            charter.dump(file)
        except (OSError, ConfigError) as error:
            _log.warning(
                "the newest charter cannot be remembered in %s (%s): after a restart, an older one would be"
                " believed. Let this process write there.",
                self._memory,
                type(error).__name__,
            )

    def _refuse_stranger(self, charter: Charter) -> None:
        """A process belongs to the first network that it has seen: whoever can replace its charter takes it
        nowhere else.

        :raises ConfigError: it belongs to another one.
        """
        memory = self._memory_of(charter.network_id).name
        try:
            seen = sorted(name for name in os.listdir(self._memory) if _MEMORY.fullmatch(name))
        except OSError:
            return  # there is none yet, or it is not for us to read
        if seen and memory not in seen:
            raise ConfigError(
                f"{self._path} is the charter of the network {charter.genesis.name} (id {_short(memory)}...),"
                f" and {self._memory} belongs to another network (id {_short(seen[0])}...)",
                cure="Put the right charter back. For another network, name another folder as `state`.",
            )

    def _remembered(self, network_id: bytes) -> Charter | None:
        file = self._memory_of(network_id)
        try:
            if not file.exists():
                return None
            known = Charter.load(file, self._schemes)
        except (ConfigError, OSError) as error:
            _log.warning("what was seen of the charter before is unusable: %s", error)
            return None
        return known if known.network_id == network_id else None

    def _memory_of(self, network_id: bytes) -> Path:
        return self._memory / f"{network_id[:MEMORY_NAME_SIZE].hex()}{MEMORY_SUFFIX}"

    def _mark(self) -> FileMark | None:
        try:
            return mark(self._path.stat())
        except OSError:
            return None


def _short(memory: str) -> str:
    """The start of a network's id, as the name of what was seen of it says it."""
    return memory.removesuffix(MEMORY_SUFFIX)
