"""The directory of a test network: taken by one process at a time, cleared of what an earlier one left."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from port17.control import PATH_CAP
from port17.errors import ConfigError

LOCK = "testnet.lock"
"""Holds the pid of the process that runs the network, and marks the directory as a test network's."""
STATE = "state.json"
OURS = (
    STATE,
    "testnet.charter",
    "bootstrap-nodes.json",
    "places.toml",
    "nodes",
    "client",
    "*.log",
    "*.sock",
    "*.key",
)
"""What a test network makes in its directory, and therefore removes."""
LONGEST_SOCKET = "n000.sock"
"""The longest name of a control socket there."""


class Workplace:
    """A test network's directory, held while the context is open.

    :param directory: made if it is not there; if it is, it must be empty or an earlier test network's.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.sockets = self.directory
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """:raises ConfigError: a running network or somebody's files are there."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            strangers = [path for path in self.directory.iterdir() if path.name != LOCK]
            if strangers and not (self.directory / LOCK).exists():
                raise ConfigError(
                    f"{self.directory} is not empty and no test network's.",
                    cure="Give --dir a directory that is empty or does not exist.",
                )
            self._lock = os.open(self.directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"{self.directory} cannot be used: {error.strerror}.", cure="Give another --dir."
            ) from error
        try:
            self._take()
            self._clear()
        except BaseException:
            os.close(self._lock)
            raise
        if len(os.fsencode(self.directory / LONGEST_SOCKET)) > PATH_CAP:
            self.sockets = Path(tempfile.mkdtemp(prefix="port17-"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.sockets != self.directory:
            shutil.rmtree(self.sockets, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)

    def write_state(self, state: dict[str, Any]) -> None:
        """Write ``state.json``, whole or not at all."""
        fresh = self.directory / f".{STATE}"
        fresh.write_text(json.dumps(state, indent=1) + "\n")
        fresh.replace(self.directory / STATE)

    def _take(self) -> None:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            raise ConfigError(
                f"{self.directory} is in use by a running test network (process {pid}).",
                cure="End it, or give another --dir.",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _clear(self) -> None:
        for pattern in OURS:
            for path in self.directory.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
