"""The client's links: one crane to each entry node in use, made when a route begins there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from port17.dialling import Turnover, call
from port17.errors import NetworkError
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
from port17.navigator.agreement import Standing
from port17.navigator.chart import ChartNode, Fingerprint
from port17.network import KnownNetwork

UNUSED_S: Final = 60.0
"""Seconds without a circuit after which a link to a node that is no guard in use ends."""

_log = logging.getLogger(__name__)


class Reached(Protocol):
    """Who wants to know which nodes answer; :class:`~port17.client.guard_keeper.GuardKeeper` does."""

    def stood(self, fingerprint: Fingerprint) -> None:
        """A link to a node stands."""

    def failed(self, fingerprint: Fingerprint) -> None:
        """A node did not answer a call."""

    def lost(self, fingerprint: Fingerprint) -> None:
        """A link that stood is lost."""


class Entries:
    """Cranes by entry node."""

    def __init__(
        self, network: KnownNetwork, transports: Mapping[str, Transport], terms: Terms, tasks: TaskGroup
    ) -> None:
        """:param tasks: where the cranes run."""
        self._network = network
        self._transports = transports
        self._terms = terms
        self._tasks = tasks
        self._cranes: dict[bytes, Crane] = {}
        """What new circuits use."""
        self._running: set[Crane] = set()
        """These, and those that others have taken the place of."""
        self._calling: dict[bytes, anyio.Lock] = {}
        self._turnover = Turnover(network)
        self._used_s: dict[Crane, float] = {}
        """When a circuit was last seen on a link."""
        self.reached: Reached | None = None

    def __len__(self) -> int:
        return len(self._cranes)

    def __iter__(self) -> Iterator[Crane]:
        return iter(list(self._running))

    @property
    def standing(self) -> frozenset[bytes]:
        """The nodes that new circuits can begin at without a call."""
        return frozenset(
            fingerprint
            for fingerprint, crane in self._cranes.items()
            if crane.standing.is_set() and not crane.lost and self._turnover.standing(crane) is Standing.GOOD
        )

    async def crane(self, node: ChartNode) -> Crane:
        """The crane to an entry node; called now if there is none, or none under the suite to use with it.
        Cells may go out at once.

        :raises NetworkError: it cannot be reached.
        """
        async with self._calling.setdefault(node.fingerprint, anyio.Lock()):
            crane = self._cranes.get(node.fingerprint)
            if crane is None or crane.lost or self._turnover.standing(crane) is not Standing.GOOD:
                try:
                    crane = await call(node.fingerprint, self._network, self._transports, self._terms)
                except NetworkError:
                    self._tell(node.fingerprint, stands=False)
                    raise
                self._cranes[node.fingerprint] = crane
                self._running.add(crane)
                self._tasks.start_soon(self._run, node.fingerprint, crane)
            return crane

    def tend(self, now_s: float, keep: Collection[Fingerprint] = ()) -> None:
        """End the cranes under a suite that is not the right one any more, once nothing uses them; and those
        that nothing uses for a while.

        :param now_s: the event loop's clock.
        :param keep: nodes whose links stay whether they are used or not.
        """
        for crane in list(self._running):
            peer = crane.peer or b""
            if self._turnover.is_over(crane, now_s, replaced=True):
                _log.info("the link to an entry node under %s is ended", crane.suite)
            elif crane.link.legs or peer in keep or now_s - self._used_s.setdefault(crane, now_s) < UNUSED_S:
                if crane.link.legs:
                    self._used_s[crane] = now_s
                continue
            if self._cranes.get(peer) is crane:
                del self._cranes[peer]
            crane.end()

    def end_all(self) -> None:
        """End every crane: none of them leads anywhere any more."""
        self._cranes.clear()
        for crane in list(self._running):
            crane.end()

    async def _run(self, fingerprint: bytes, crane: Crane) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._await_standing, fingerprint, crane)
                await crane.run()
                tasks.cancel_scope.cancel()
        finally:
            self._running.discard(crane)
            self._used_s.pop(crane, None)
            if self._cranes.get(fingerprint) is crane:
                del self._cranes[fingerprint]
                if not crane.standing.is_set():
                    self._tell(fingerprint, stands=False)
                elif self.reached is not None:
                    self.reached.lost(fingerprint)

    async def _await_standing(self, fingerprint: bytes, crane: Crane) -> None:
        await crane.standing.wait()
        self._tell(fingerprint, stands=True)

    def _tell(self, fingerprint: bytes, *, stands: bool) -> None:
        if self.reached is not None:
            (self.reached.stood if stands else self.reached.failed)(fingerprint)
