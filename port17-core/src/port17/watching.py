"""Keeps a running process's knowledge of its network current, and tells those who act on changes."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from port17.network import KnownNetwork

LOOK_S = 2.0
"""Seconds between looks at the charter's file and the folder of bottles: some stats, and a change that is put
there is in force everywhere within the ten seconds that `charter amend` gives it."""
BATCH_S = 0.1
"""Seconds for which what gossip brings is gathered before it is passed on: bottles come by the hundred."""

_log = logging.getLogger(__name__)


class Watch:
    """Looks at files and clock, and hears what gossip brings. A file is read when it has changed, or at once
    on SIGHUP."""

    def __init__(self, network: KnownNetwork) -> None:
        self._network = network
        self._due = anyio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._told = network.version

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this whenever something has changed; it takes no time."""
        self._listeners.append(listener)

    def start(self, tasks: TaskGroup) -> None:
        """Begin."""
        tasks.start_soon(self._look)
        tasks.start_soon(self._follow)
        # Signals are the main thread's alone; who runs us elsewhere has the files looked at all the same.
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            tasks.start_soon(self._obey)

    async def _look(self) -> None:
        while True:
            # What the clock brings comes to all at once: lanes are made anew before many circuits use them.
            with anyio.move_on_after(min(LOOK_S, self._network.until_change_s())):
                await self._due.wait()
            self._due = anyio.Event()
            try:
                await self._network.look_again()
            except Exception as fault:  # noqa: BLE001 - a plugin's scheme or validator: it may not end a process
                _log.error("charter and bottles could not be looked at: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
            self._pass_on()

    async def _follow(self) -> None:
        while True:
            await self._network.changes()
            await anyio.sleep(BATCH_S)
            self._pass_on()

    def _pass_on(self) -> None:
        version = self._network.version
        if version == self._told:
            return
        self._told = version
        for listener in self._listeners:
            listener()

    async def _obey(self) -> None:
        with anyio.open_signal_receiver(signal.SIGHUP) as signals:
            async for _ in signals:
                _log.info("looking at charter and bottles again")
                self._due.set()
