"""A TCP ship on asyncio that hands over what comes straight from the event loop's callback.

Waiting in a task costs two more rounds of the loop for every receive, which on small cells is more than the
cell. Elsewhere :class:`~port17_transports.tcp.StreamShip` serves, of which this is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn

import anyio

from port17 import RECEIVE_SIZE, BytesLike
from port17_transports.stream_ship import StreamShip

_BUFFER = memoryview(bytearray(RECEIVE_SIZE))
"""Where every ship's bytes come in: they are taken before the next callback, and it stays in the cache."""


class AsyncioShip(StreamShip):
    """One connection on asyncio."""

    async def pump(self, take: Callable[[BytesLike], None]) -> NoReturn:
        """See :meth:`port17.Ship.pump`; one read a callback, so that every ship has its turn."""
        loop, sock = asyncio.get_running_loop(), self.socket
        over: asyncio.Future[NoReturn] = loop.create_future()

        def readable() -> None:
            try:
                size = sock.recv_into(_BUFFER)
                if not size:
                    raise anyio.EndOfStream
                take(_BUFFER[:size])
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                broken = anyio.BrokenResourceError(error.strerror)
                broken.__cause__ = error
                end(broken)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the pump
                end(error)

        def end(error: Exception) -> None:
            loop.remove_reader(sock)
            if not over.done():
                over.set_exception(error)

        loop.add_reader(sock, readable)
        try:
            await over
        finally:
            if sock.fileno() >= 0:
                loop.remove_reader(sock)


def on_asyncio() -> bool:
    """Whether the calling task is asyncio's own."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
