"""The client's links: one crane to each entry node in use, made when a route begins there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import anyio
from anyio.abc import TaskGroup

from port17.dialling import Turnover, call
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
from port17.navigator.agreement import Standing
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork

_log = logging.getLogger(__name__)


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
                crane = await call(node.fingerprint, self._network, self._transports, self._terms)
                self._cranes[node.fingerprint] = crane
                self._running.add(crane)
                self._tasks.start_soon(self._run, node.fingerprint, crane)
            return crane

    def tend(self, now_s: float) -> None:
        """End the cranes under a suite that is not the right one any more, once nothing uses them.

        :param now_s: the event loop's clock.
        """
        for crane in list(self._running):
            if self._turnover.is_over(crane, now_s, replaced=True):
                _log.info("the link to an entry node under %s is ended", crane.suite)
                if self._cranes.get(crane.peer or b"") is crane:
                    del self._cranes[crane.peer or b""]
                crane.end()

    async def _run(self, fingerprint: bytes, crane: Crane) -> None:
        try:
            await crane.run()
        finally:
            self._running.discard(crane)
            if self._cranes.get(fingerprint) is crane:
                del self._cranes[fingerprint]
