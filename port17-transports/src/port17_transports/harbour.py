"""Where ships that came in wait for their node: the listener of every transport here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

import anyio

from port17 import Listener, Ship

BERTHS = 64
"""Ships that wait for the node to take them in; more wait where the transport lets them."""


class Harbour(Listener, AsyncIterator[Ship]):
    """A listener, and the iterator over its ships; open while its context is.

    An iterator and no generator: leaving a loop over ships needs no clearing up.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._arrived, self._arriving = anyio.create_memory_object_stream[Ship](BERTHS)

    @property
    def address(self) -> str:
        """The address to advertise."""
        return self._address

    def ships(self) -> AsyncIterator[Ship]:
        """Incoming ships until the listener is closed."""
        return self

    def __aiter__(self) -> Harbour:
        return self

    async def __anext__(self) -> Ship:
        try:
            return await self._arriving.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None

    async def berth(self, ship: Ship) -> bool:
        """Let a ship in; waits while there is no room.

        :returns: False if the harbour is closed; the ship is then still the caller's.
        """
        try:
            await self._arrived.send(ship)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return False
        return True

    async def __aenter__(self) -> Harbour:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._arrived.close()
        with anyio.CancelScope(shield=True):  # A ship that nobody will take in is told so, whatever happens.
            async for ship in self:
                await ship.aclose()
        self._arriving.close()
