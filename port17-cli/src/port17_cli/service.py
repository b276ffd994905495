"""Runs a node or a client in the foreground until a signal, or the end of its standard input, ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.abc

from port17.errors import Port17Error
from port17_cli import loop, output

if TYPE_CHECKING:
    from port17.plugins.loader import Registry

ORPHAN_GRACE_S = 3.0
"""How long a process whose parent is gone may take to end in order, seconds: within the five that a test
network promises."""

Settings = TypeVar("Settings", contravariant=True)
_orphaned = threading.Event()
"""Whoever started this process is gone: there is no time to end it in order."""


class Service(Protocol[Settings]):
    """``port17.client.tunnel.run``, for one."""

    def __call__(
        self,
        config: Settings,
        registry: Registry,
        *,
        task_status: anyio.abc.TaskStatus[dict[str, Any]],
    ) -> Awaitable[None]: ...


class Leaving(Protocol[Settings]):
    """``port17.node.running.run``: a service that others have to be told the end of."""

    def __call__(
        self,
        config: Settings,
        registry: Registry,
        *,
        leave: anyio.Event,
        task_status: anyio.abc.TaskStatus[dict[str, Any]],
    ) -> Awaitable[None]: ...


def run(
    service: Service[Settings],
    config: Settings,
    registry: Registry,
    announce: Callable[[dict[str, Any]], str],
    *,
    while_stdin: bool,
) -> None:
    """Run a service until SIGINT or SIGTERM.

    :param announce: makes the line that is printed when it is ready.
    :param while_stdin: end it too when standard input ends, so that it never outlives who started it.
    """
    if while_stdin:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    loop.run(_run, service, config, registry, announce, None)


def run_until_left(
    service: Leaving[Settings],
    config: Settings,
    registry: Registry,
    announce: Callable[[dict[str, Any]], str],
    *,
    while_stdin: bool,
) -> None:
    """The same of a service that takes its time to leave: the first signal asks it to, the second ends it."""
    if while_stdin:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    loop.run(_run_leaving, service, config, registry, announce)


async def _run_leaving(
    service: Leaving[Settings],
    config: Settings,
    registry: Registry,
    announce: Callable[[dict[str, Any]], str],
) -> None:
    leave = anyio.Event()

    async def serve(
        config: Settings, registry: Registry, *, task_status: anyio.abc.TaskStatus[dict[str, Any]]
    ) -> None:
        await service(config, registry, leave=leave, task_status=task_status)

    await _run(serve, config, registry, announce, leave)


async def _run(
    service: Service[Settings],
    config: Settings,
    registry: Registry,
    announce: Callable[[dict[str, Any]], str],
    leave: anyio.Event | None,
) -> None:
    ready: dict[str, Any] | None = None

    async def serve(*, task_status: anyio.abc.TaskStatus[dict[str, Any]]) -> None:
        await service(config, registry, task_status=task_status)
        if leave is None or not leave.is_set():
            raise Port17Error("It ended by itself.")
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def end_on_signal() -> None:
                async for _ in signals:
                    if ready is None or leave is None or leave.is_set() or _orphaned.is_set():
                        tasks.cancel_scope.cancel()
                        return
                    leave.set()

            tasks.start_soon(end_on_signal)
            ready = await tasks.start(serve)
            print(announce(ready), flush=True)
            await anyio.sleep_forever()


def ready_line(schema: str, *, json: bool) -> Callable[[dict[str, Any]], str]:
    """What a service prints when it is ready: a document of a schema, or words."""

    def announce(ready: dict[str, Any]) -> str:
        values = {"pid": os.getpid(), **ready}
        if json:
            return output.document(schema, values)
        said = [f"{name} {value}" for name, value in output.flat(values) if value not in ("", [])]
        return "ready: " + ", ".join(said)

    return announce


def _end_with_stdin() -> None:
    try:
        while os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 4096):
            continue
    finally:  # an unreadable standard input has ended too
        _orphaned.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_GRACE_S)
        os._exit(1)
