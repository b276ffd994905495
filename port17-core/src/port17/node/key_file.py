"""Files that hold keys: read only if nobody else can, written whole or not at all, erased before removal.

What is in them is for others to know. Python can't wipe what was in memory, and a file system may keep old
blocks: who needs more encrypts the disk.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from port17.errors import ConfigError
from port17.records.regular_file import read_with_mode

FILE_MODE = 0o600
FOLDER_MODE = 0o700
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""Permission bits that nobody but the owner may have."""
FRESH = ".new"
"""Behind the name of a file that is being written."""
GONE = ".gone"
"""Behind the name of a file that is being erased."""
PLACED_S = 10.0
"""Seconds that a file may take from being made to having its name, on a disk that is busy."""


def read(file: Path, cap: int) -> bytes:
    """The bytes of a file that nobody but its owner can touch; at most one more than ``cap``.

    :raises ConfigError: it can't be read, or others may read or write it.
    """
    data, mode = peek(file, cap)
    check(file, mode)
    return data


def peek(file: Path, cap: int) -> tuple[bytes, int]:
    """The bytes of a file and its mode, whoever may touch it; for files that hold nothing of value any more.

    :raises ConfigError: it can't be read.
    """
    try:
        return read_with_mode(file, cap)
    except OSError as error:
        raise ConfigError(
            f"the key {file} can't be read: {error.strerror}",
            cure="Check its name and owner. `port17 node init` and `port17 identity new` make keys.",
        ) from error


def check(file: Path, mode: int) -> None:
    """:raises ConfigError: somebody but the owner may touch the file."""
    if mode & OTHERS:
        raise ConfigError(
            f"the key {file} can be read by others (mode {stat.S_IMODE(mode):04o})",
            cure=f"Run: chmod 600 {file}",
        )


def write(file: Path, data: bytes) -> None:
    """Writes a file; it is there whole or not at all, also if the power fails. One writer at a time, in a
    folder of ours: what is there of this name with :data:`FRESH` behind it goes.

    :raises OSError: it can't be written.
    """
    fresh = file.with_name(file.name + FRESH)
    with suppress(FileNotFoundError):
        fresh.unlink()  # of a process that died in between; O_EXCL refuses what anybody else put there
    _write_new(fresh, data, FILE_MODE)
    fresh.replace(file)
    sync(file.parent)


def placed_s(file: Path) -> float:
    """The Unix time at which a file got its content and its name, which nobody can set.

    :raises OSError: it is not there.
    """
    return file.stat().st_ctime


def is_put_back(placed_s: float, written_s: float) -> bool:
    """Whether a file was put back, from a backup say, after it had been written: what was done since then is
    not in it. A change of owner or mode looks the same. A whole disk that is set back in time shows nothing.

    :param placed_s: of :func:`placed_s`.
    :param written_s: Unix time of its writing, as it says itself; 0 if it doesn't.
    """
    return written_s > 0 and placed_s > written_s + PLACED_S


def create(file: Path, data: bytes, mode: int = FILE_MODE) -> None:
    """Writes a file where there is none, and nothing beside it: for folders that are not ours.

    :param mode: its permissions, less what the process never gives.
    :raises OSError: something is there already, also a link to nothing; or it can't be written, and is not.
    """
    _write_new(file, data, mode)
    sync(file.parent)


def _write_new(file: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        file.unlink(missing_ok=True)
        raise


def replace(file: Path, data: bytes) -> None:
    """Writes a file as :func:`write` does, then overwrites what was in it before.

    :raises OSError: it can't be written; or it is written, and the old one could not be overwritten.
    """
    with open(file, "r+b") as old:
        write(file, data)
        _overwrite(old.fileno())


def erase(file: Path) -> None:
    """Overwrites and removes; on copy-on-write storage only the removal counts.

    Renamed first: a file that is half overwritten must not pass for a damaged key after a crash.

    :raises OSError: it can't be.
    """
    with suppress(FileNotFoundError):
        descriptor = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        try:
            gone = file if file.name.endswith(GONE) else file.with_name(file.name + GONE)
            file.rename(gone)
            _overwrite(descriptor)
        finally:
            os.close(descriptor)
        gone.unlink()


def leftovers(folder: Path, suffix: str) -> list[Path]:
    """What a process that died left half written or half erased, of the files whose names end so."""
    return sorted(file for end in (FRESH, GONE) for file in folder.glob(f"*{suffix}{end}"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in a folder, among those who ask: a node and the commands about it write there both.

    :raises OSError: the folder can't be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int) -> None:
    os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
    os.fsync(descriptor)


def sync(folder: Path) -> None:
    """Waits until a folder's entries are on the disk: a name is there only once its folder is.

    :raises OSError: they can't be written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
