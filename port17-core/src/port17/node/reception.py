"""Where a node's ships come in: listening, and answering who calls, within bounds."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sized
from typing import Final

import anyio
from anyio.abc import TaskGroup

from port17.links.crane import Crane
from port17.links.transport import Listener, Ship

CALLS_CAP: Final = 1024
"""Most ships at once that have not yet proved a handshake: 8 KiB and a descriptor each."""
LINKS_CAP: Final = 8192
"""Most links at once: each costs some 400 KiB when it is busy, and a descriptor."""


class Reception:
    """All callers of one node."""

    def __init__(
        self,
        answer: Callable[[Ship], Awaitable[Crane | None]],
        take: Callable[[Crane, str], Awaitable[None]],
        links: Sized,
        tasks: TaskGroup,
    ) -> None:
        """
        :param answer: the node's end of the handshake.
        :param take: owns a link until it is lost: crane, and the address that it comes from.
        :param links: those that there are.
        """
        self._answer = answer
        self._take = take
        self._links = links
        self._tasks = tasks
        self._calls: set[anyio.CancelScope] = set()

    async def listen(self, listener: Listener) -> None:
        """Answer whoever comes, until the listener ends."""
        async for ship in listener.ships():
            if len(self._links) >= LINKS_CAP:
                await ship.aclose()
                continue
            if len(self._calls) >= CALLS_CAP:
                # Not the newcomer: a thousand callers who say nothing must not keep out whoever means it. A
                # handshake takes milliseconds, so that one of a thousand drawn is hardly ever it.
                victim = random.choice(tuple(self._calls))
                self._calls.discard(victim)
                victim.cancel()
            self._tasks.start_soon(self._receive, ship)

    async def _receive(self, ship: Ship) -> None:
        crane = None
        with anyio.CancelScope() as call:
            self._calls.add(call)
            try:
                crane = await self._answer(ship)
            finally:
                self._calls.discard(call)
        if call.cancelled_caught:
            await ship.aclose()
        if crane is not None:
            await self._take(crane, ship.remote)
