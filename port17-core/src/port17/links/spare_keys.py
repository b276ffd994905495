"""Ratchet keys made ahead of their use, so that no key generation delays a set-up."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

import anyio
import anyio.lowlevel

from port17.wire.suite import CipherSuite, KemKey

SPARE_KEYS = 8
"""Keys that lie ready per suite: a few circuits' at once. Each is two kilobytes and used once."""
QUIET_S = 0.02
"""Seconds after a key was taken before new ones are made: the cells of the set-up it was for go first."""

_log = logging.getLogger(__name__)


class SpareKeys:
    """A small stock per suite."""

    def __init__(self, suites: Iterable[CipherSuite]) -> None:
        self._suites = tuple(suites)
        self._keys: dict[str, deque[KemKey]] = {suite.name: deque() for suite in self._suites}
        self._taken = anyio.Event()

    def serve(self, suites: Iterable[CipherSuite]) -> None:
        """Keep keys ready for these suites from now on; those of others are dropped."""
        self._suites = tuple(suites)
        self._keys = {suite.name: self._keys.get(suite.name, deque()) for suite in self._suites}
        self._taken.set()

    def take(self, suite: CipherSuite) -> KemKey:
        """A fresh key; made now if none lies ready."""
        self._taken.set()
        keys = self._keys.get(suite.name)
        return keys.popleft() if keys else suite.generate()

    async def restock(self) -> None:
        """Keep the stock full, until cancelled. A suite that fails gets none: whoever needs a key of it then
        fails, and nobody else."""
        while True:
            self._taken = anyio.Event()
            for suite in self._suites:
                try:
                    await self._fill(suite)
                except Exception as fault:  # noqa: BLE001 - a plugin's
                    _log.error("the cipher suite %s makes no keys: %s", suite.name, type(fault).__name__)
            await self._taken.wait()
            await anyio.sleep(QUIET_S)

    async def _fill(self, suite: CipherSuite) -> None:
        keys = self._keys.get(suite.name, deque())  # another list may be in force by now
        while len(keys) < SPARE_KEYS:
            keys.append(suite.generate())
            await anyio.lowlevel.checkpoint()
