"""What the user keeps in files, taken over as it changes: the charter, and the folder of bottles.

When to look is :mod:`port17.watching`'s to say, what follows from what is found the network's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread

from port17.bottles.folder import BottleFolder, Sight, look
from port17.bottles.gossip import Gossip
from port17.bottles.gossip_events import Event, Noted
from port17.bottles.intake import Intake
from port17.bottles.notices import NoticeFolder, Notices, read_notices
from port17.bottles.validation import Terms
from port17.config.settings import ClientConfig, NodeConfig
from port17.errors import ConfigError, RecordError
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17.records.charter_file import CharterFile

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """Whoever is told what files say; :class:`port17.network.KnownNetwork` is."""

    intake: Intake
    gossip: Gossip
    handed: frozenset[bytes]

    @property
    def charter(self) -> Charter:
        """The newest that is known."""

    def amend(self, charter: Charter) -> None:
        """The charter has more revisions than before."""

    def terms(self) -> Terms:
        """What bottles are judged by now."""

    def forget(self, fingerprint: bytes) -> None:
        """Drop what is held of a node."""


class NetworkFiles:
    """The files of one process."""

    def __init__(self, charter_file: CharterFile, bottles: Path, reader: Reader) -> None:
        """:param bottles: the folder of bottles; may not be there."""
        self._charter_file = charter_file
        self._reader = reader
        self._folder = BottleFolder(bottles, reader.gossip.take, reader.forget)
        self._notices = NoticeFolder(bottles, reader.gossip.convict, reader.gossip.consider)
        self._complaint = ""

    @classmethod
    def of(cls, config: NodeConfig | ClientConfig, charter_file: CharterFile, reader: Reader) -> NetworkFiles:
        """Those that a configuration names, read for the first time.

        :raises ConfigError: the folder of bottles can't be read.
        """
        files = cls(charter_file, config.bottles, reader)
        try:
            files._take(*files._look()(), now_s=0.0)  # before any clock that runs
        except OSError as error:
            raise ConfigError(
                f"the folder of bottles {config.bottles} can't be read: {error.strerror}",
                cure="Name the folder in the configuration, as `bottles`.",
            ) from error
        return files

    async def look_again(self) -> None:
        """Take over what has changed. What is wrong is logged once, and what is held stays."""
        await self._look_for_charter()
        schemes = self._reader.terms().schemes.keys()
        try:
            sight, notices = await anyio.to_thread.run_sync(self._look())
        except OSError as error:
            complaint = f"the folder of bottles {self._folder.path} can't be read: {error.strerror}"
            if complaint != self._complaint:
                self._complaint = complaint
                _log.warning("%s; what was read stays", complaint)
            return
        self._complaint = ""
        # What was verified under other schemes is verified again at the next look.
        if self._reader.terms().schemes.keys() == schemes:
            self._take(sight, notices, anyio.current_time())

    async def _look_for_charter(self) -> None:
        file, reader = self._charter_file, self._reader
        present = reader.charter.revisions[-1].revision.seq
        try:
            charter = await anyio.to_thread.run_sync(file.look, reader.charter)
        except ConfigError as error:
            _log.error("a charter is refused: %s; revision %d stays. %s", error.message, present, error.cure)
            return
        if charter is None:
            return
        await anyio.to_thread.run_sync(file.remember, charter)
        schemes = reader.terms().schemes.keys()
        reader.amend(charter)
        if reader.terms().schemes.keys() != schemes:
            self._folder.forget()
        newest = charter.revisions[-1].revision
        _log.info("the charter has a revision %d, from Unix second %d on", newest.seq, newest.not_before)

    def _look(self) -> Callable[[], tuple[Sight, Notices]]:
        """What a thread can do by itself."""
        terms, known = self._reader.terms(), self._folder.known(time.monotonic())
        path, noticed, intake = self._folder.path, self._notices.known, self._reader.intake

        def verify(bottle: Bottle) -> None:
            refusal = intake.refusal(bottle, terms)
            if refusal is not None:
                raise RecordError(refusal.text)

        return lambda: (look(path, known, verify), read_notices(path, noticed))

    def _take(self, sight: Sight, notices: Notices, now_s: float) -> None:
        self._notices.take(notices, now_s)
        for problem in self._folder.take(sight, now_s):
            _log.warning("a bottle is refused: %s", problem)
        self._reader.handed = self._folder.handed

    def told(self, event: Event) -> None:
        """Keep what others have to know, and we after a restart."""
        if isinstance(event, Noted):
            self._notices.keep(self._reader.intake.bans)
