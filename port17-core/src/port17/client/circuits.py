"""The client's circuits: one per isolation key and destination host, reused while young, built on demand.

Which route each takes is the navigator's to say; what has just failed is set aside for a while.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, TypeAlias

import anyio

from port17.client.entries import Entries
from port17.client.failures import Failures
from port17.errors import NetworkError, NoRoute
from port17.links.batch import BATCH
from port17.links.spare_keys import SpareKeys
from port17.navigator.policy import Policies, Request, Route
from port17.navigator.route import Survey
from port17.network import KnownNetwork
from port17.wire.circuit import Circuit
from port17.wire.pace import StepTerms
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

HOPS = 3
"""Nodes of a route: the mission's least."""
CIRCUITS_CAP = 256
"""Most circuits at once: each costs its relays a grant of queue room. Past it the longest unused ends."""
YOUNG_S = 600.0
"""Seconds for which a circuit takes new connections, as Tor does: long enough to be cheap, short enough that
what one exit sees of a user stays little."""
UNUSED_S = 120.0
"""Seconds without a connection after which a circuit ends."""
TIDY_S = 5.0
"""Seconds between looks at unused circuits."""
TEND_S = 1.0
"""Seconds between looks at steps that are due by time: half of the shortest that can be asked for."""
SURVEY_S = 30.0
"""Seconds for which one survey of the chart is used: prekeys expire by the hour."""
Key: TypeAlias = tuple[bytes, str]
"""Isolation key and destination host: what may share a circuit."""

_log = logging.getLogger(__name__)
_random = SystemRandom()


@dataclass(eq=False)
class Built:
    """A circuit, its route, and what it is used for."""

    ident: int
    route: Route
    circuit: Circuit
    key: Key
    made_s: float
    used_s: float
    waiting: anyio.Event = field(default_factory=anyio.Event)
    """Set once the circuit is confirmed or over."""

    def takes(self, request: Request, now_s: float) -> bool:
        """Whether a new connection may use it."""
        node = self.route.exit
        return (
            self.circuit.closed is None
            and now_s - self.made_s < YOUNG_S
            and not self.circuit.last.mux.full
            and node.exit is not None
            and node.exit.allows(request.host, request.port)
            and (node.plain_text or not request.plain_text)
        )


class Circuits:
    """All circuits of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        entries: Entries,
        policies: Callable[[], Policies],
        transports: list[str],
        budget: Budget,
        spare_keys: SpareKeys,
        steps: StepTerms,
    ) -> None:
        """
        :param transports: names of those that the client has.
        :param budget: bytes of all conveyors' windows.
        :param spare_keys: ratchet keys made ahead.
        :param steps: when the circuits' keys step.
        """
        self._network = network
        self._entries = entries
        self._policies = policies
        self._transports = transports
        self._budget = budget
        self._failures = Failures()
        self._spare_keys = spare_keys
        self._steps = steps
        self._all: dict[int, Built] = {}
        self._by_key: dict[Key, Built] = {}
        self._building: dict[Key, anyio.Lock] = {}
        self._idents = itertools.count(1)
        self._survey: tuple[float, int, Survey] | None = None

    def __iter__(self) -> Any:
        return iter(list(self._all.values()))

    async def get(self, request: Request) -> Built:
        """A circuit for a request: one in use that it may share, or a new one.

        :raises NoRoute: no route satisfies request and policies.
        :raises NetworkError: the entry node cannot be reached.
        """
        key = (request.isolation, request.host)
        built = self._by_key.get(key)
        if built is not None and built.takes(request, anyio.current_time()):
            built.used_s = anyio.current_time()
            return built
        lock = self._building.setdefault(key, anyio.Lock())
        try:
            async with lock:
                now_s = anyio.current_time()
                built = self._by_key.get(key)
                if built is None or not built.takes(request, now_s):
                    built = self._by_key[key] = await self.build(request)
                built.used_s = now_s
                return built
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._building.pop(key, None)

    async def build(self, request: Request) -> Built:
        """A new circuit over a route for the request. Everything may be sent on it at once.

        :raises NoRoute: as of :meth:`get`.
        :raises NetworkError: as of :meth:`get`.
        """
        route = self._draw(request)
        keys: list[ResponderKey] = []
        for node in route.nodes:
            responder = self._network.responder(node)
            if responder is None:
                self._failures.node(node.fingerprint, anyio.current_time())
                raise NetworkError(f"{node.name} has no prekey that can be used now")
            keys.append(responder)
        try:
            crane = await self._entries.crane(route.entry)
        except NetworkError:
            self._failures.node(route.entry.fingerprint, anyio.current_time())
            raise
        ratchet_keys = [self._spare_keys.take(key.suite) for key in keys]
        circuit = Circuit(
            self._network.transcript(),
            keys,
            ratchet_keys,
            self._budget,
            self._network.wall(),
            steps=self._steps,
            now_s=anyio.current_time(),
        )
        leg = crane.link.open(circuit)
        if leg is None or crane.lost:
            raise NetworkError("the entry link takes no more circuits")
        now_s = anyio.current_time()
        key = (request.isolation, request.host)
        built = Built(next(self._idents), route, circuit, key, now_s, now_s)
        circuit.on_closed = lambda: self._closed(built)
        circuit.on_confirmed = built.waiting.set
        self._all[built.ident] = built
        with BATCH:
            circuit.begin(leg)
        return built

    def end(self, built: Built) -> None:
        """End a circuit that nobody needs."""
        built.circuit.close(Reason.DONE)

    async def tend(self) -> None:
        """Let the circuits' keys step by time, until cancelled."""
        while True:
            await anyio.sleep(TEND_S)
            now_s = anyio.current_time()
            for built in list(self._all.values()):
                built.circuit.tend(now_s)

    async def tidy(self) -> None:
        """End what is unused, until cancelled."""
        while True:
            await anyio.sleep(TIDY_S)
            now_s = anyio.current_time()
            unused = sorted(
                (b for b in self._all.values() if not b.circuit.last.mux.conveyors), key=lambda b: b.used_s
            )
            surplus = len(self._all) - CIRCUITS_CAP
            for place, built in enumerate(unused):
                if place < surplus or now_s - built.used_s > UNUSED_S or now_s - built.made_s > YOUNG_S:
                    self.end(built)

    def _draw(self, request: Request) -> Route:
        now_s = anyio.current_time()
        try:
            return self._surveyed(now_s).draw(request, _random)
        except NoRoute:
            if not self._failures.forget_all():
                raise
        # What had just failed may be all there is.
        return self._surveyed(now_s).draw(request, _random)

    def _surveyed(self, now_s: float) -> Survey:
        version = self._failures.version(now_s)
        if self._survey is None or now_s - self._survey[0] > SURVEY_S or self._survey[1] != version:
            survey = Survey(
                self._network.chart(),
                self._policies(),
                HOPS,
                transports=self._transports,
                avoid=self._failures.nodes,
                avoid_lanes=self._failures.lanes,
            )
            self._survey = (now_s, version, survey)
        return self._survey[2]

    def _closed(self, built: Built) -> None:
        built.waiting.set()
        self._all.pop(built.ident, None)
        if self._by_key.get(built.key) is built:
            del self._by_key[built.key]
        now_s = anyio.current_time()
        edge = built.circuit.lost_edge
        nodes = built.route.nodes
        if edge is not None:
            self._failures.lane(nodes[edge].fingerprint, nodes[edge + 1].fingerprint, now_s)
        elif built.circuit.closed is not Reason.DONE and built.circuit.confirmed_s is None:
            self._failures.node(built.route.entry.fingerprint, now_s)
        if built.circuit.closed is not Reason.DONE:
            _log.info("a circuit ended: %s", built.circuit.closed.name if built.circuit.closed else "?")
