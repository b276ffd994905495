"""Which program of this machine is at the other end of a local connection, where the system tells: on Linux,
of the user's own programs, by what ``/proc`` says.

It is for the user's own rules, not a proof: a program can run another's file.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Final

PROC: Final = Path("/proc")
TABLE_CAP: Final = 16 * 1024 * 1024
"""Longest table of connections that is read, bytes: a hundred thousand connections."""
PROCESSES_CAP: Final = 8192
"""Most processes looked at."""
DESCRIPTORS_CAP: Final = 65_536
"""Most open files looked at of one process."""
KEPT: Final = 32
"""Processes that are looked at first, since they were found before."""


class Programs:
    """Finds programs. Its calls take some milliseconds and may be made in a thread."""

    def __init__(self, proc: Path = PROC) -> None:
        """:param proc: where the system says what it knows of processes."""
        self._proc = proc
        self._found: OrderedDict[str, None] = OrderedDict()

    def of(self, sock: socket.socket) -> str:
        """The path of the program at the other end; empty if it cannot be told.

        :param sock: a TCP connection that was accepted.
        """
        if not sys.platform.startswith("linux"):
            return ""
        try:
            return self.of_pair(sock.getpeername(), sock.getsockname())
        except (OSError, ValueError):
            return ""

    def of_pair(self, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> str:
        """The same by addresses.

        :param theirs: host and port of the program's end.
        :param ours: of ours.
        :raises OSError: the system does not tell.
        """
        inode = self._inode(theirs, ours)
        if inode is None:
            return ""
        wanted = f"socket:[{inode}]"
        for pid in self._processes():
            if self._has(pid, wanted):
                self._found[pid] = None
                self._found.move_to_end(pid)
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
                return os.readlink(self._proc / pid / "exe").removesuffix(" (deleted)")
        return ""

    def _inode(self, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> str | None:
        """What the system calls the socket of the program's end."""
        wanted = [_hex(*theirs[:2]), _hex(*ours[:2])]
        for table in ("net/tcp", "net/tcp6"):
            with suppress(FileNotFoundError), (self._proc / table).open("rb") as stream:
                for line in stream.read(TABLE_CAP).splitlines()[1:]:
                    fields = line.decode("ascii", "replace").split()
                    if len(fields) > 9 and list(map(_short, fields[1:3])) == wanted:
                        return fields[9]
        return None

    def _processes(self) -> Iterator[str]:
        known = list(reversed(self._found))
        yield from known
        with os.scandir(self._proc) as entries:
            for entry in islice(entries, PROCESSES_CAP):
                if entry.name.isdigit() and entry.name not in known:
                    yield entry.name

    def _has(self, pid: str, wanted: str) -> bool:
        try:
            with os.scandir(self._proc / pid / "fd") as descriptors:
                for descriptor in islice(descriptors, DESCRIPTORS_CAP):
                    with suppress(OSError):  # it was closed meanwhile
                        if os.readlink(descriptor.path) == wanted:
                            return True
        except OSError:
            return False  # it is over, or another user's
        return False


def _hex(host: str, port: int) -> str:
    """An address as the kernel's tables have it: words in the machine's own order of bytes."""
    ip = ip_address(host.partition("%")[0])
    return _short(f"{_words(ip.packed)}:{port:04X}")


def _words(packed: bytes) -> str:
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


_MAPPED: Final = _words(IPv6Address("::ffff:0:0").packed)[:24]
"""How the table of IPv6 begins an address of IPv4."""


def _short(text: str) -> str:
    return text[24:] if text.startswith(_MAPPED) and len(text) > len(_MAPPED) + 8 else text
