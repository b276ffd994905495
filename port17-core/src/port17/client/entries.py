"""The client's links: one crane to each entry node in use, made when a route begins there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import anyio
from anyio.abc import TaskGroup

from port17.dialling import call
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
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
        self._calling: dict[bytes, anyio.Lock] = {}

    def __len__(self) -> int:
        return len(self._cranes)

    def __iter__(self) -> Iterator[Crane]:
        return iter(list(self._cranes.values()))

    async def crane(self, node: ChartNode) -> Crane:
        """The crane to an entry node; called now if there is none. Cells may go out at once.

        :raises NetworkError: it cannot be reached.
        """
        async with self._calling.setdefault(node.fingerprint, anyio.Lock()):
            crane = self._cranes.get(node.fingerprint)
            if crane is None or crane.lost:
                crane = await call(node, self._network, self._transports, self._terms)
                self._cranes[node.fingerprint] = crane
                self._tasks.start_soon(self._run, node.fingerprint, crane)
            return crane

    async def _run(self, fingerprint: bytes, crane: Crane) -> None:
        try:
            await crane.run()
        finally:
            if self._cranes.get(fingerprint) is crane:
                del self._cranes[fingerprint]
