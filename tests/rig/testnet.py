"""``port17 testnet up`` as a context: real processes, what their state file says, and questions to them."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio

from port17 import control
from rig.patience import until

PROGRAM = (sys.executable, "-P", "-m", "port17_cli")
"""``port17`` by this interpreter, whatever the search path; -P: no stray module here stands in for ours."""
READY_S = 90.0
"""How long a network may take until its first fetch works, seconds."""
SETTLE_S = 60.0
"""How long its lanes may take to stand and to be known, seconds."""
END_S = 8.0
"""How long it may take to end, seconds: the promise is 5, the rest is for a loaded machine to notice."""
ASK_S = 30.0
"""How long a running process may take to answer, seconds."""


class Testnet:
    """A test network; it runs while the context is open.

    :param directory: for its files; a subdirectory of a short path, since control sockets lie there.
    :param options: more arguments of ``testnet up``.
    """

    __test__ = False  # its name misleads pytest

    def __init__(
        self,
        directory: Path,
        nodes: int = 5,
        options: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self._command = [*PROGRAM, "testnet", "up", "--dir", str(directory), "--nodes", str(nodes), *options]
        self._errors = directory.with_suffix(".err")

    def __enter__(self) -> Self:
        """:raises RuntimeError: no fetch through it worked in time, or it ended."""
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            line = read_line(self.process, READY_S)
            if line.strip() != "ready":
                raise RuntimeError(f"no test network: {line!r} {self._errors.read_text()}")
            self.state: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> float:
        """End all of its processes; the seconds that took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
        return time.monotonic() - begun

    def settle(self) -> None:
        """Wait until each node has a lane to every other and the client knows of all lanes, in a network that
        is so small that this comes about: who begins before may find that too many nodes are set aside."""
        names = [node["name"] for node in self.state["nodes"]]

        def stand() -> bool:
            return all(self.ask("status", of=name)["lanes"]["standing"] >= len(names) - 1 for name in names)

        until(stand, "all lanes stand", SETTLE_S)
        lanes = len(names) * (len(names) - 1) // 2
        until(
            lambda: self.ask("status")["nodes"]["lanes"] >= lanes, "the client knows of all lanes", SETTLE_S
        )

    @property
    def socks(self) -> tuple[str, int]:
        """Where its client listens."""
        host, _, port = self.state["client"]["socks"].rpartition(":")
        return host, int(port)

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, the client's first."""
        return {
            "client": self.state["client"]["pid"],
            **{node["name"]: node["pid"] for node in self.state["nodes"]},
        }

    def ask(
        self, verb: str, args: dict[str, Any] | None = None, of: str = "client", timeout: float = ASK_S
    ) -> dict[str, Any]:
        """Ask one of its processes by its control socket.

        :param of: ``client`` or a node's name.
        """
        paths = {node["name"]: node["control"] for node in self.state["nodes"]}
        path = Path(paths.get(of) or self.state["client"]["control"])
        return anyio.run(control.ask, path, verb, args, timeout)

    def circuits(self) -> dict[int, list[str]]:
        """The client's open circuits that connections have used: names of the nodes by the circuit's id."""
        return {
            circuit["id"]: [hop["name"] for hop in circuit["hops"]]
            for circuit in self.ask("circuits")["circuits"]
            if not circuit["spare"]
        }


def read_line(process: subprocess.Popen[str], limit: float) -> str:
    """The first line of a process's output; empty if it ended, or took longer than the limit in seconds."""
    assert process.stdout is not None
    line = ""
    deadline = time.monotonic() + limit
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith("\n") and selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(process.stdout.fileno(), 1)
            if not piece:
                break
            line += piece.decode()
    return line


def resident(pid: int) -> int:
    """Resident memory of a process, bytes."""
    return _status(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most resident memory that a process had since :func:`forget_peak`, bytes."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Count the peak anew from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)
