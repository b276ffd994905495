"""How fast a client makes circuits: never a storm, whatever fails, wakes up or is asked for at once."""

from __future__ import annotations

from typing import Final

import anyio

from port17.wire.quota import TokenBucket

BUILDS_BURST: Final = 128
"""Circuits made at once at most: a browser that opens all of its windows asks for some hundred hosts."""
BUILDS_PER_S: Final = 16.0
"""Circuits a second beyond that. Each costs three nodes a millisecond of work, and this client three."""
OWN_SHARE: Final = 0.5
"""Share of the burst that is left to programs: what the client makes of its own accord waits."""


class BuildPace:
    """Turns at making circuits."""

    def __init__(self) -> None:
        self._bucket = TokenBucket(BUILDS_PER_S, BUILDS_BURST)
        self._turn = anyio.Lock()

    async def turn(self) -> None:
        """Wait for a turn; first come, first served."""
        if not self._turn.locked() and self._bucket.take(anyio.current_time()):
            return
        async with self._turn:
            await anyio.sleep(self._bucket.wait_s(anyio.current_time()))
            self._bucket.take(anyio.current_time())

    @property
    def idle(self) -> bool:
        """Whether what nobody waits for may be made now."""
        return self._bucket.level(anyio.current_time()) >= BUILDS_BURST * OWN_SHARE
