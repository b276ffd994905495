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


class Service(Protocol[Settings]):
    """``port17.node.node.run`` or ``port17.client.tunnel.run``."""

    def __call__(
        self,
        config: Settings,
        registry: Registry,
        *,
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
    loop.run(_run, service, config, registry, announce)


async def _run(
    service: Service[Settings],
    config: Settings,
    registry: Registry,
    announce: Callable[[dict[str, Any]], str],
) -> None:
    async def serve(*, task_status: anyio.abc.TaskStatus[dict[str, Any]]) -> None:
        await service(config, registry, task_status=task_status)
        raise Port17Error("It ended by itself.")

    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def end_on_signal() -> None:
                async for _ in signals:
                    tasks.cancel_scope.cancel()
                    return

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
        return "ready: " + ", ".join(f"{name} {value}" for name, value in output.flat(values))

    return announce


def _end_with_stdin() -> None:
    try:
        while os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 4096):
            continue
    finally:  # an unreadable standard input has ended too
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_GRACE_S)
        os._exit(1)
