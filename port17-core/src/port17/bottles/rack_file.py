"""The file that a SQLite rack keeps: whose it is, its schema's version, and what is wrong with it.

Opening is here, with every way in which it can fail; what is written into the tables is the rack's business.
No file is ever deleted or overwritten: a damaged one is moved aside, any other that can't be used stays.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from port17.errors import ConfigError

Synchronous: TypeAlias = Literal["normal", "full"]

APPLICATION_ID = 0x50313752
"""``P17R``, in the file's header: tells a rack from any other database."""
MAGIC = b"SQLite format 3\0"
"""How every database of SQLite's begins."""
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE rack (network_id BLOB NOT NULL)",
        """CREATE TABLE bottles (
            id INTEGER PRIMARY KEY,
            fingerprint BLOB NOT NULL UNIQUE,
            label_seq INTEGER NOT NULL,
            contents_seq INTEGER NOT NULL,
            name TEXT NOT NULL COLLATE NOCASE,
            since INTEGER NOT NULL,
            "group" TEXT NOT NULL,
            flavour TEXT NOT NULL,
            succeeds INTEGER NOT NULL,
            received REAL NOT NULL,
            distrust TEXT NOT NULL,
            label BLOB NOT NULL,
            contents BLOB NOT NULL,
            bundle BLOB NOT NULL
        )""",
        # Stamps and names are read from it without touching a row, which lies among kilobytes of its bottle.
        "CREATE INDEX stamps ON bottles (fingerprint, label_seq, contents_seq, name, since, flavour)",
        "CREATE INDEX names ON bottles (name, fingerprint)",
        "CREATE INDEX successors ON bottles (id) WHERE succeeds",
    ),
    # Few are distrusted, and a chart asks for them each time.
    ("CREATE INDEX distrusted ON bottles (fingerprint, distrust) WHERE distrust != ''",),
)
"""What makes each version of the schema of the one before; the first, of an empty file."""
WAIT_S = 1.0
"""How long a file that another process has open is waited for, seconds: one that is being stopped lets go
by then."""
CACHE_KIB = 8 * 1024
"""Most memory for the file's pages, KiB: the index over 100,000 fingerprints fits."""
JOURNAL_LIMIT = 16 * 1024 * 1024
"""What a write-ahead log is cut back to once it was written over, bytes: one batch may make it longer."""
FILE_MODE, FOLDER_MODE = 0o600, 0o700
"""Others need not see which network this is, and when what came."""
DAMAGED = "damaged"
JOURNALS = ("-wal", "-journal", "-shm")
"""What SQLite keeps beside a file, and what goes with it."""

_UNREACHABLE = frozenset(
    (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH)
)


class RackFile:
    """An open rack file.

    The process has it for itself: a second one is refused, and SQLite needs no shared memory.

    The log is written ahead (WAL), so a process that is killed at any moment loses no call that has returned,
    and leaves no call half done. When the *machine* dies, ``normal`` may lose the calls of the last half
    minute, by which a kernel has written everything, since only checkpoints wait for the disk; but the file
    stays whole, and what was lost comes again with the gossip, like the news of an hour offline. ``full``
    waits for the disk at each call, and loses none.
    """

    def __init__(self, path: Path, network_id: bytes, synchronous: Synchronous = "normal") -> None:
        """
        :param path: made, with its folder, if there is none.
        :param network_id: whose bottles it holds.
        :raises ConfigError: it can't be used; says why, and what to do.
        """
        self.path = path
        self._lost: ConfigError | None = None
        """Set once the file has turned out to be damaged, and is no longer open."""
        self._make()
        self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
        try:
            with self._told():
                self._prepare(network_id, synchronous)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Let go of the file; everything is in it then, and no log beside it."""
        self._db.close()

    # -- use -------------------------------------------------------------------------------------------
    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """All rows of a query.

        :raises ConfigError: the file can't be read.
        """
        with self._told():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done in it is there afterwards, or nothing is.

        :raises ConfigError: the file can't be written.
        """
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has SQLite roll back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # -- opening ---------------------------------------------------------------------------------------
    def _make(self) -> None:
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            # SQLite gives the files beside it the same mode.
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE), "rb") as file:
                start = file.read(len(MAGIC))
        except OSError as error:
            raise self._unreachable(error.strerror) from error
        # SQLite takes a file of a few bytes for an empty one, and would write over it. With a journal beside
        # it, it was being made when the machine died.
        if start not in (b"", MAGIC) and not self.path.with_name(f"{self.path.name}-journal").exists():
            raise self._foreign()

    def _prepare(self, network_id: bytes, synchronous: Synchronous) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._identify()
        # Only now: this writes.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {synchronous}")
        self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._db.execute(f"PRAGMA journal_size_limit = {JOURNAL_LIMIT}")
        self._migrate(network_id)
        if self._db.execute("SELECT network_id FROM rack").fetchall() != [(network_id,)]:
            raise ConfigError(
                f"the rack {self.path} holds another network's bottles",
                cure="Give each network a state folder of its own, or move the file away.",
            )

    def _identify(self) -> None:
        application = self._number("application_id")
        if application == 0 and not self._db.execute("SELECT 1 FROM sqlite_master").fetchall():
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        elif application != APPLICATION_ID:
            raise self._foreign()

    def _migrate(self, network_id: bytes) -> None:
        version = self._number("user_version")
        if version > len(MIGRATIONS):
            raise ConfigError(
                f"the rack {self.path} was written by a newer Port17 (its version is {version}, ours"
                f" {len(MIGRATIONS)})",
                cure="Install that Port17, or move the file away: the network brings its bottles again.",
            )
        for step in range(version, len(MIGRATIONS)):
            # Each with its number in one: a process that is killed in between goes on from there.
            with self.transaction() as db:
                for statement in MIGRATIONS[step]:
                    db.execute(statement)
                if step == 0:
                    db.execute("INSERT INTO rack VALUES (?)", (network_id,))
                db.execute(f"PRAGMA user_version = {step + 1}")

    def _number(self, pragma: str) -> int:
        return int(self._db.execute(f"PRAGMA {pragma}").fetchone()[0])

    # -- what can be wrong -----------------------------------------------------------------------------
    @contextmanager
    def _told(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        if self._lost is not None:
            raise ConfigError(self._lost.message, cure=self._lost.cure)
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a bug of ours, not the file's
        except sqlite3.Error as error:
            # The lower byte is the kind; the rest tells more of it.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            raise self._problem(code, error) from error

    def _problem(self, code: int, error: sqlite3.Error) -> ConfigError:
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return ConfigError(
                f"another process has the rack {self.path} open",
                cure="Stop it, or give each node and client a state folder of its own.",
            )
        if code == sqlite3.SQLITE_NOTADB:
            return self._foreign()
        if code == sqlite3.SQLITE_CORRUPT:
            self._lost = self._damaged(error)
            return self._lost
        if code in _UNREACHABLE:
            return self._unreachable(str(error))
        if code == sqlite3.SQLITE_FULL:
            return ConfigError(
                f"the rack {self.path} can't be written: the disk is full", cure="Make room on that disk."
            )
        return ConfigError(
            f"the rack {self.path} can't be read or written: {error}", cure="Check the disk and the folder."
        )

    def _unreachable(self, why: str | None) -> ConfigError:
        return ConfigError(
            f"the rack {self.path} can't be opened: {why}",
            cure="Check the path and the permissions of the file and its folder.",
        )

    def _foreign(self) -> ConfigError:
        return ConfigError(
            f"the file {self.path} is not a rack of bottles, and is left as it is",
            cure="Move it away, or name another file as the rack's path.",
        )

    def _damaged(self, error: sqlite3.Error) -> ConfigError:
        """Moves the file aside, so that the next start is a good one."""
        self._db.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{DAMAGED}-{number}")).exists():
            number += 1
        try:
            for suffix in ("", *JOURNALS):
                beside = self.path.with_name(self.path.name + suffix)
                if beside.exists():
                    beside.rename(aside.with_name(aside.name + suffix))
        except OSError as failure:
            return ConfigError(
                f"the rack {self.path} is damaged ({error}), and can't be moved aside: {failure.strerror}",
                cure="Move it away and start again: the network brings its bottles again.",
            )
        return ConfigError(
            f"the rack {self.path} is damaged ({error}); it was moved to {aside}",
            cure="Start again: the network brings its bottles again. Check the disk, too.",
        )
