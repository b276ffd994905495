"""The child processes of a test network: started together, watched, and ended for certain."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from port17.config.source import ENV_PREFIX
from port17.errors import NetworkError

READY_S = 60.0
"""How long a child may take until it is ready, seconds: far beyond what a loaded machine needs."""
READY_CAP = 64 * 1024
"""Longest ready line, bytes."""
GRACE_S = 2.0
"""How long children may take to end in order, seconds; those that hang are then killed. The whole must end
within five."""
REAP_S = 2.0
"""How long the kernel may take to report killed children, seconds."""
LOG_TAIL_LINES = 5
"""Lines of a dead child's log that its error shows."""

PROGRAM = (sys.executable, "-P", "-m", "port17_cli")
"""This program again; -P, so that a stray module in the working directory is not taken for one of ours."""


@dataclass
class Child:
    """One process.

    :param name: for messages and the log's name.
    :param log: where its standard error goes.
    :param ready: what it said when it was ready.
    """

    name: str
    log: Path
    process: anyio.abc.Process
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)  # Popen.send_signal would reap it behind the event loop

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join(f"  | {line}" for line in lines)


class Crew:
    """All children; an async context whose end is theirs, whatever state they are in.

    Each runs in a session of its own, so that a terminal's Ctrl-C reaches only the foreground process, and
    reads a pipe whose end tells it that the foreground process is gone, even by SIGKILL.

    :param logs: directory for ``NAME.log``.
    :param program: what is started, before each child's own arguments.
    """

    def __init__(self, logs: Path, program: Sequence[str] = PROGRAM) -> None:
        self.logs = logs
        self.program = tuple(program)
        self.children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.end()

    async def start(self, name: str, arguments: Sequence[str]) -> Child:
        """Start ``port17`` with arguments and wait until it prints that it is ready.

        :raises NetworkError: it ended first, or took too long.
        """
        log = self.logs / f"{name}.log"
        command = [*self.program, *arguments, "--json", "--while-stdin"]
        with log.open("ab") as errors:
            process = await anyio.open_process(
                command, stdin=PIPE, stdout=PIPE, stderr=errors, start_new_session=True, env=_environment()
            )
        child = Child(name, log, process)
        self.children.append(child)
        assert process.stdout is not None
        try:
            with anyio.fail_after(READY_S):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", READY_CAP)
            child.ready = json.loads(line)
        except TimeoutError:
            raise NetworkError(f"{name} was not ready within {READY_S:g} s.", cure=f"See {log}.") from None
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, ValueError):
            raise NetworkError(f"{name} could not start:\n{child.tail()}", cure=f"See {log}.") from None
        return child

    async def watch(self, report: Callable[[Child], None]) -> None:
        """Report each child that ends, until cancelled."""

        async def await_end(child: Child) -> None:
            await child.process.wait()
            report(child)

        async with anyio.create_task_group() as tasks:
            for child in self.children:
                tasks.start_soon(await_end, child)

    async def end(self) -> None:
        """End every child: in order if it can, by SIGKILL if it hangs or is stopped."""
        for child in self.children:
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)  # a stopped process gets no other signal but SIGKILL
        await self._wait(GRACE_S)
        for child in self.children:
            child.signal(signal.SIGKILL)
        await self._wait(REAP_S)
        for child in self.children:
            for stream in (child.process.stdin, child.process.stdout):
                if stream is not None:
                    await stream.aclose()

    async def _wait(self, limit: float) -> None:
        with anyio.move_on_after(limit):
            for child in self.children:
                await child.process.wait()


def _environment() -> dict[str, str]:
    """Ours without ``PORT17_*``: those are the user's own node's or client's, and would be every child's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
