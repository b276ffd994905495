"""One process at a time runs on a node's state: two would know half of each other's replays, and sign one
number twice.

Commands beside a running node don't take it: what they write has locks of its own.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from port17.errors import ConfigError

FILE = "lock"
"""Holds the pid of the process that runs on the state. It stays when that ends: the lock on it counts."""
PID_CAP = 32
"""Most bytes of it that are read."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Run on a state while the context is open.

    :raises ConfigError: another process does, or the folder can't be used.
    """
    try:
        descriptor = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the node's state in {folder} can't be used: {error.strerror}",
            cure="Make the node with `port17 node init`, or set `state` to its folder.",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(descriptor, PID_CAP, 0).decode("ascii", "replace").strip()
            raise ConfigError(
                f"process {pid} runs a node on the state in {folder}",
                cure="End it first; another node needs a state of its own.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
