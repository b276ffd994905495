"""A TCP ship on asyncio that hands over what comes straight from the event loop's callback.

Waiting in a task costs two more rounds of the loop for every receive, which on small cells is more than the
cell. Elsewhere :class:`~port17_transports.stream_ship.StreamShip` serves, of which this is one.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NoReturn

import anyio

from port17 import RECEIVE_SIZE, BytesLike
from port17_transports.stream_ship import StreamShip

_BUFFER = memoryview(bytearray(RECEIVE_SIZE))
"""Where every ship's bytes come in: they are taken before the next callback, and it stays in the cache."""


class AsyncioShip(StreamShip):
    """One connection on asyncio.

    :param sock: connected and tuned; owned by the ship from here on.
    :param remote: the peer's ``HOST:PORT``.
    """

    def __init__(self, sock: socket.socket, remote: str) -> None:
        super().__init__(sock, remote)
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[NoReturn] | None = None

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""
        if self._over is not None:
            raise anyio.BusyResourceError("receiving from")
        return await super().receive(max_bytes)

    async def pump(self, take: Callable[[BytesLike], None]) -> NoReturn:
        """See :meth:`port17.Ship.pump`; one read a callback, so that every ship has its turn."""
        if self._over is not None:
            raise anyio.BusyResourceError("receiving from")
        sock = self.socket
        if sock.fileno() < 0:
            raise anyio.ClosedResourceError

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
                self._end_pump(broken)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the pump
                self._end_pump(error)

        over: asyncio.Future[NoReturn] = self._loop.create_future()
        self._over = over
        self._loop.add_reader(sock, readable)
        try:
            await over
        finally:
            self._end_pump(None)
            self._over = None
            if over.done() and not over.cancelled():
                over.exception()  # Seen, also if a cancellation came first.

    def _end_pump(self, error: Exception | None) -> None:
        """Stop watching the socket, and tell whoever awaits the pump."""
        over, sock = self._over, self.socket
        if over is None:
            return
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
        if error is not None and not over.done():
            over.set_exception(error)

    async def aclose(self) -> None:
        """End the connection at once."""
        # First of all: a descriptor that the loop goes on watching is deaf when another ship gets its number.
        self._end_pump(anyio.ClosedResourceError())
        await super().aclose()


def on_asyncio() -> bool:
    """Whether the calling task is asyncio's own."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
