"""A TCP ship on asyncio, below anyio: the event loop's own callbacks in place of waiting for a descriptor.

Waiting through anyio registers and forgets the descriptor at the selector for every single receive, which
on small cells costs more than the cell. Elsewhere the ship over :class:`port17.links.tcp.TcpStream` serves.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import cast

import anyio

from port17 import RECEIVE_SIZE, BytesLike, Ship

HIGH_WATER = RECEIVE_SIZE
"""Bytes unread above which the loop stops reading: one more read of as much may come on top."""
LOW_WATER = HIGH_WATER // 2
"""Bytes unread at which it goes on."""
TURN = RECEIVE_SIZE
"""Bytes moved without waiting after which everybody else gets a turn. Giving one each time would cost a
single cell a whole round of the event loop more than the call itself."""


class AsyncioShip(asyncio.Protocol, Ship):
    """One connection; made by :func:`board`."""

    _transport: asyncio.Transport

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._reading = True
        self._ended = False
        self._closed = False
        self._error: Exception | None = None
        self._full = False
        self._received = 0
        self._sent = 0
        self._receiver: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")

    # -- called by the event loop -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast(asyncio.Transport, transport)
        # A send returns once the kernel has all of it: what waits here is out of the fair queue's reach.
        self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and self._reading:
            self._reading = False
            self._transport.pause_reading()
        _wake(self._receiver)

    def eof_received(self) -> bool:
        """The peer has ended it; what is on its way out may still go."""
        self._ended = True
        _wake(self._receiver)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._error = exc if exc is not None else ConnectionResetError("the connection is over")
        _wake(self._receiver)
        _wake(self._sender)

    def pause_writing(self) -> None:
        """The kernel takes no more."""
        self._full = True

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        self._full = False
        _wake(self._sender)

    # -- the ship ---------------------------------------------------------------------------------

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""
        with self._receiving:
            if self._received >= TURN:
                self._received = 0
                await asyncio.sleep(0)
            while not (self._chunks or self._ended or self._error or self._closed):
                self._receiver = self._loop.create_future()
                try:
                    await self._receiver
                finally:
                    self._receiver = None
                self._received = 0
            if self._closed:
                raise anyio.ClosedResourceError
            if self._chunks:
                return self._take(max_bytes)
            if self._ended:
                raise anyio.EndOfStream
            raise anyio.BrokenResourceError from self._error

    def _take(self, max_bytes: int) -> bytes:
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._held -= len(chunk)
        self._received += len(chunk)
        if not self._reading and self._held <= LOW_WATER and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()
        return chunk

    async def send(self, data: BytesLike) -> None:
        """All of the data. A send cut short by cancellation breaks the ship: who knows where it stopped?"""
        with self._sending:
            self._check_sendable()
            self._transport.write(data)
            self._sent += len(data)
            try:
                if self._sent >= TURN:
                    self._sent = 0
                    await asyncio.sleep(0)
                while self._full and not self._error and not self._closed:
                    self._sender = self._loop.create_future()
                    try:
                        await self._sender
                    finally:
                        self._sender = None
            except asyncio.CancelledError:
                await self.aclose()
                raise
            self._check_sendable()

    def _check_sendable(self) -> None:
        if self._closed:
            raise anyio.ClosedResourceError
        if self._error is not None or self._transport.is_closing():
            raise anyio.BrokenResourceError from self._error

    async def aclose(self) -> None:
        """End the connection at once."""
        self._closed = True
        self._transport.abort()
        _wake(self._receiver)
        _wake(self._sender)

    @property
    def socket(self) -> socket.socket:
        """The socket beneath, for its options."""
        return cast(socket.socket, self._transport.get_extra_info("socket"))

    @property
    def remote(self) -> str:
        """The peer's ``HOST:PORT``."""
        return self._remote


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def on_asyncio() -> bool:
    """Whether the calling task is asyncio's own."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


async def board(sock: socket.socket, remote: str) -> AsyncioShip:
    """The ship of a connected socket, which it owns from here on.

    :param remote: the peer's ``HOST:PORT``.
    """
    loop = asyncio.get_running_loop()
    try:
        _, ship = await loop.create_connection(lambda: AsyncioShip(remote), sock=sock)
    except BaseException:
        sock.close()
        raise
    return ship
