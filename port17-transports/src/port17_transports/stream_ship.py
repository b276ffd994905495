"""A TCP ship over a plain non-blocking socket, on any event loop."""

from __future__ import annotations

import socket

import anyio

from port17 import RECEIVE_SIZE, BytesLike, Ship, TcpStream


class StreamShip(Ship):
    """A TCP ship on any event loop.

    :param sock: connected and tuned; owned by the ship from here on.
    :param remote: the peer's ``HOST:PORT``.
    """

    def __init__(self, sock: socket.socket, remote: str) -> None:
        self._stream = TcpStream(sock)
        self._remote = remote

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""
        return await self._stream.receive(max_bytes)

    async def send(self, data: BytesLike) -> None:
        """All of the data. A send cut short by cancellation breaks the ship: who knows where it stopped?"""
        try:
            await self._stream.send(data)
        except anyio.get_cancelled_exc_class():
            await self.aclose()
            raise

    def send_now(self, data: BytesLike) -> int:
        """As much as the kernel takes at once."""
        return self._stream.send_now(data)

    async def aclose(self) -> None:
        """End the connection at once."""
        await self._stream.aclose()

    @property
    def socket(self) -> socket.socket:
        """The socket beneath, for its options."""
        return self._stream.beneath

    @property
    def remote(self) -> str:
        """The peer's ``HOST:PORT``."""
        return self._remote
