"""The transport contract: how ships are made.

A ship is a connection between two nodes (or a client and a node): ordered, reliable bytes. What travels
in it already looks random and is framed in whole blocks; a transport moves bytes and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, NoReturn

from pydantic import BaseModel, ConfigDict

from port17.records.framing import BytesLike

RECEIVE_SIZE = 256 * 1024
"""Bytes asked of a ship at once: 64 blocks, so that the cost of a call is shared by many cells."""


class Ship(ABC):
    """One connection.

    Errors are anyio's in every transport: :class:`anyio.EndOfStream` when the peer ended it in order,
    :class:`anyio.BrokenResourceError` when it broke, :class:`anyio.ClosedResourceError` when it was
    closed on this side, :class:`anyio.BusyResourceError` when two tasks do the same thing at once.
    """

    @abstractmethod
    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""

    @abstractmethod
    async def send(self, data: BytesLike) -> None:
        """All of the data, with backpressure. The ship is done with the buffer when this returns."""

    async def pump(self, take: Callable[[BytesLike], None]) -> NoReturn:
        """Hand over everything that comes, until the ship ends or ``take`` raises.

        A driver that can call ``take`` straight from its event loop saves two rounds of it for every cell
        that travels alone.

        :param take: called with what came; it is done with the buffer when it returns.
        :raises Exception: what :meth:`receive` or ``take`` raises.
        """
        while True:
            take(await self.receive())

    def send_now(self, data: BytesLike) -> int:
        """Send as much as can be sent without waiting.

        :param data: not kept. No :meth:`send` is under way.
        :returns: bytes sent. 0 is always a good answer: the rest is given to :meth:`send`.
        :raises Exception: what :meth:`send` raises.
        """
        return 0

    @abstractmethod
    async def aclose(self) -> None:
        """End the connection at once; what was not yet sent may be lost. Never raises."""

    @property
    @abstractmethod
    def remote(self) -> str:
        """The peer's address, for people with the right to see it; never logged by default."""


async def receive_exactly(ship: Ship, size: int) -> bytes:
    """So many bytes.

    :raises anyio.EndOfStream: or what else :meth:`Ship.receive` raises; it ended before.
    """
    data = b""
    while len(data) < size:
        data += await ship.receive(size - len(data))
    return data


class Listener(ABC):
    """Takes ships in."""

    @property
    @abstractmethod
    def address(self) -> str:
        """The address to advertise, with the port that was really bound."""

    @abstractmethod
    def ships(self) -> AsyncIterator[Ship]:
        """Incoming ships until the listener is closed. One bad connection never ends it."""


class Transport(ABC):
    """A driver of entry-point group ``port17.transports``; its entry point's name is ``name``.

    An address is a string of the transport's own form; the core only passes it on.
    """

    name: ClassVar[str]
    resolves: ClassVar[bool] = True
    """A host name in an address is asked for in the domain name system. Where it must be judged what that
    leads to, it is dialled by number."""

    class Config(BaseModel):
        """The transport's own options, from ``[transports.NAME]``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    def check_address(self, address: str) -> None:
        """:raises ValueError: the address is not of this transport's form; says what is."""

    @abstractmethod
    async def dial(self, address: str) -> Ship:
        """A ship to the address.

        :raises OSError: it cannot be reached. The caller sets the time limit.
        """

    @abstractmethod
    def listen(self, address: str) -> AbstractAsyncContextManager[Listener]:
        """Listen while the context is open.

        :raises OSError: the address cannot be bound.
        """
