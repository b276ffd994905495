"""Machines on wires of their own: network namespaces joined by veth pairs, with ``ip netns``.

Needs root, or what comes down to it; :func:`refusal` says whether it can be done here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

_TRIAL = f"p17-trial-{os.getpid()}"


def refusal() -> str:
    """Why no namespaces can be made here; empty if they can."""
    if shutil.which("ip") is None:
        return "there is no command `ip` (package iproute2)"
    for words in (
        ["netns", "add", _TRIAL],
        ["-n", _TRIAL, "link", "add", "one", "type", "veth", "peer", "name", "two"],
    ):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            subprocess.run(["ip", "netns", "del", _TRIAL], capture_output=True)
            return f"`ip {' '.join(words)}` is not permitted: {done.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", _TRIAL], capture_output=True)
    return ""


class Machines:
    """Some machines; they are gone with the context, and so are their processes.

    :param names: the machines', a letter or two each.
    """

    def __init__(self, *names: str) -> None:
        self._spaces = {name: f"p17-{os.getpid()}-{name}" for name in names}
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        for name, space in self._spaces.items():
            _ip("netns", "add", space)
            self.ip(name, "link", "set", "lo", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        for space in self._spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True)

    def ip(self, name: str, *words: str) -> None:
        """One ``ip`` command on a machine."""
        _ip("-n", self._spaces[name], *words)

    def wire(self, one: str, other: str, *, ipv4: str = "", ipv6: bool = True) -> None:
        """Join two machines. The interface of each is named after both, e.g. ``ab`` on a and ``ba`` on b.

        :param ipv4: the first three numbers of the wire's network, e.g. ``10.77.1``; the first machine gets
            .1 there and the other .2. Empty gives no IPv4 addresses.
        :param ipv6: whether they get link-local addresses, ``fe80::1`` and ``fe80::2``.
        """
        ends = ((one, f"{one}{other}", 1), (other, f"{other}{one}", 2))
        (_, near, _), (_, far, _) = ends
        self.ip(
            one,
            *("link", "add", near, "type", "veth", "peer", "name", far, "netns", self._spaces[other]),
        )
        for name, link, number in ends:
            self.ip(name, "link", "set", "dev", link, "addrgenmode", "none")
            self.ip(name, "link", "set", link, "up")
            if ipv4:
                self.ip(name, "addr", "add", f"{ipv4}.{number}/24", "dev", link)
            if ipv6:
                self.ip(name, "addr", "add", f"fe80::{number}/64", "dev", link, "nodad")

    def run(self, name: str, *words: str) -> str:
        """A program on a machine, to its end; what it says."""
        done = subprocess.run(self.at(name, *words), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def start(self, name: str, *words: str, log: IO[Any]) -> subprocess.Popen[str]:
        """A program on a machine that goes on."""
        process = subprocess.Popen(self.at(name, *words), stdout=subprocess.PIPE, stderr=log, text=True)
        self._processes.append(process)
        return process

    def at(self, name: str, *words: str) -> list[str]:
        """How a program is started on a machine."""
        return ["ip", "netns", "exec", self._spaces[name], *words]


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


def text_of(log: Path) -> str:
    """The end of a process's log, for a failure."""
    return log.read_text()[-3000:]
