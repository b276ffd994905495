"""Drives a node's manager: tells it what happens, wakes it in time, and has its commands carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import anyio

from port17.asking import Bell
from port17.node.commands import Command, Stop
from port17.node.manager import Manager, State

GATHER_S = 0.01
"""Seconds for which what happens is gathered before it is decided about: bottles come by the hundred."""

FAULT_S = 1.0
"""Seconds after which the manager is asked again when it has failed."""

_log = logging.getLogger(__name__)


class Driver:
    """The manager as the rest of the shell sees it. Every input may have commands follow, soon after."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._news = Bell()
        self.stopped = anyio.Event()
        """The manager has said that everything is to end."""

    # -- inputs ------------------------------------------------------------------------------------
    def start(self) -> None:
        """See :meth:`Manager.start`."""
        self._manager.start(anyio.current_time())
        self._news.ring()

    def pin(self, pinned: Iterable[bytes]) -> None:
        """See :meth:`Manager.pin`."""
        self._manager.pin(pinned)
        self._news.ring()

    def introduced(self, peer: bytes) -> None:
        """See :meth:`Manager.introduced`."""
        self._manager.introduced(peer, anyio.current_time())
        self._news.ring()

    def failed(self, peer: bytes, *, refused: bool = False) -> None:
        """See :meth:`Manager.failed`."""
        self._manager.failed(peer, anyio.current_time(), refused=refused)
        self._news.ring()

    def asked(self, peer: bytes, address: str) -> str:
        """See :meth:`Manager.asked`."""
        return self._manager.asked(peer, anyio.current_time(), address=address)

    def stands(self, peer: bytes, *, ours: bool) -> None:
        """See :meth:`Manager.stands`."""
        self._manager.stands(peer, anyio.current_time(), ours=ours)
        self._news.ring()

    def lost(self, peer: bytes) -> None:
        """See :meth:`Manager.lost`."""
        self._manager.lost(peer, anyio.current_time())
        self._news.ring()

    def unfollowed(self, peer: bytes) -> None:
        """See :meth:`Manager.unfollowed`."""
        self._manager.unfollowed(peer, anyio.current_time())
        self._news.ring()

    def retires(self, peer: bytes) -> None:
        """See :meth:`Manager.retires`."""
        self._manager.retires(peer, anyio.current_time())
        self._news.ring()

    def learned(self, fingerprint: bytes | None) -> None:
        """See :meth:`Manager.learned`."""
        try:
            self._manager.learned(fingerprint, anyio.current_time())
        except Exception as fault:  # noqa: BLE001 - what somebody says of himself must not end whoever heard it
            _complain(fault)
        self._news.ring()

    def measured(self, peer: bytes, round_trip_s: float, capacity: int) -> None:
        """See :meth:`Manager.measured`."""
        self._manager.measured(peer, round_trip_s, capacity)

    def loaded(self, permille: int) -> None:
        """See :meth:`Manager.loaded`."""
        self._manager.loaded(permille)
        self._news.ring()

    def leave(self) -> None:
        """See :meth:`Manager.leave`."""
        self._manager.leave(anyio.current_time())
        self._news.ring()

    def drained(self) -> None:
        """See :meth:`Manager.drained`."""
        self._manager.drained(anyio.current_time())
        self._news.ring()

    # -- what it says --------------------------------------------------------------------------------
    @property
    def state(self) -> State:
        """Where the node stands in its life."""
        return self._manager.state

    @property
    def load(self) -> int:
        """See :attr:`Manager.load`."""
        return self._manager.load

    def status(self) -> dict[str, object]:
        """See :meth:`Manager.status`."""
        return self._manager.status()

    async def run(self, obey: Callable[[Command], None]) -> None:
        """Have commands carried out until the node has left.

        :param obey: begins what a command says, and takes no time.
        """
        while True:
            try:
                commands = self._manager.wake(anyio.current_time())
            except Exception as fault:  # noqa: BLE001 - as above
                _complain(fault)
                await anyio.sleep(FAULT_S)
                continue
            for command in commands:
                if isinstance(command, Stop):
                    self.stopped.set()
                    return
                obey(command)
            with anyio.CancelScope(deadline=self._manager.due_s):
                await self._news.wait()
            await anyio.sleep(GATHER_S)


def _complain(fault: Exception) -> None:
    _log.error("the manager has failed: %s", type(fault).__name__)
    _log.debug("traceback", exc_info=fault)
