"""A program's stream through the tunnel: waits or doesn't with early data, and tries another route while
nothing was said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio

from port17.client.built import Built
from port17.errors import ConveyorReset
from port17.links.stream import ConveyorStream
from port17.records.framing import BytesLike
from port17.wire.conveyor import Conveyor

TRIES = 6
"""Routes tried for one connection: with a third of all lanes dead, all of them fail once in a thousand."""

Reopen: TypeAlias = Callable[[], Awaitable[tuple[Built, Conveyor]]]
"""The same operation once more, on another circuit."""


class OpenedStream(ConveyorStream):
    """A conveyor that a program's connection uses."""

    def __init__(self, built: Built, conveyor: Conveyor, early: bool, reopen: Reopen) -> None:
        """
        :param early: data may go before the destination has answered; it can then not be tried again.
        """
        super().__init__(conveyor)
        self._built = built
        self._early = early
        self._reopen = reopen
        self._sent = False
        self._answered = anyio.Event()
        self._reopened = anyio.Event()
        """Not set while another route is tried: what is said now belongs on it."""
        self._reopened.set()

    async def send(self, data: BytesLike) -> None:
        """See :meth:`ConveyorStream.send`; without early data, waits until the destination has accepted."""
        await self._may_send()
        self._sent = True
        await super().send(data)

    async def send_eof(self) -> None:
        """See :meth:`ConveyorStream.send_eof`."""
        await self._may_send()
        self._sent = True
        await super().send_eof()

    async def _may_send(self) -> None:
        if not self._early:
            await self._answered.wait()
        await self._reopened.wait()

    async def accepted(self) -> None:
        """See :meth:`ConveyorStream.accepted`; a circuit that fails before is replaced.

        :raises NetworkError: no other route could be had.
        """
        for remaining in range(TRIES - 1, -1, -1):
            try:
                await super().accepted()
                break
            except ConveyorReset:
                # Only the tunnel's own failures: what the exit says about the destination is final.
                if self._built.circuit.closed is None or self._sent or not remaining:
                    raise
            self._reopened = anyio.Event()
            self._built, conveyor = await self._reopen()
            self.attach(conveyor)
            self._reopened.set()
        self._answered.set()
