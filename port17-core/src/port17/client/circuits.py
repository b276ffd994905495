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

from port17.client.draws import Draws
from port17.client.entries import Entries
from port17.client.prekeys import Prekeys
from port17.errors import HandshakeFailed, NetworkError
from port17.links.batch import BATCH
from port17.links.crane import Crane
from port17.links.spare_keys import SpareKeys
from port17.navigator.agreement import Standing
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.policy import Request, Route
from port17.network import KnownNetwork
from port17.wire import kem
from port17.wire.circuit import Circuit
from port17.wire.pace import StepTerms
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

CIRCUITS_CAP = 256
"""Most circuits at once: each costs its relays a grant of queue room. Past it the longest unused ends."""
YOUNG_S = 600.0
"""Seconds for which a circuit takes new connections, as Tor does: long enough to be cheap, short enough that
what one exit sees of a user stays little."""
UNUSED_S = 120.0
"""Seconds without a connection after which a circuit ends."""
TIDY_S = 5.0
"""Seconds between looks at unused circuits."""
ENDING_S = 0.5
"""The same while circuits are on their way out: they end when the last connection on them does."""
REPLACE_S = (0.2, 1.0)
"""Least and most seconds between circuits that are made in the place of others."""
TEND_S = 1.0
"""Seconds between looks at steps that are due by time: half of the shortest that can be asked for."""
SETTLE_S = 10.0
"""Seconds after which nodes have made their lanes anew when the choice of suites has changed. A circuit from
that time may go over a lane of before, and so takes no new connections once they are over."""
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
    crane: Crane
    """The link that it begins with."""
    request: Request
    """What it was made for."""
    exit: ChartNode
    """Its last node, as the chart has it now."""
    made_s: float
    used_s: float
    standing: Standing = Standing.GOOD
    """What has become of its suites: of its nodes and of its link, the worst."""
    since_s: float = 0.0
    """When that began."""
    provisional: bool = False
    """It may go over lanes that are on their way out."""
    waiting: anyio.Event = field(default_factory=anyio.Event)
    """Set once the circuit is confirmed or over."""

    @property
    def key(self) -> Key:
        """What may share it."""
        return self.request.isolation, self.request.host

    def takes(self, request: Request, now_s: float) -> bool:
        """Whether a new connection may use it."""
        node = self.exit
        return (
            self.circuit.closed is None
            and self.standing is Standing.GOOD
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
        prekeys: Prekeys,
        draws: Draws,
        budget: Budget,
        spare_keys: SpareKeys,
        steps: StepTerms,
    ) -> None:
        """
        :param budget: bytes of all conveyors' windows.
        :param spare_keys: ratchet keys made ahead.
        :param steps: when the circuits' keys step.
        """
        self._network = network
        self._entries = entries
        self._prekeys = prekeys
        self._budget = budget
        self._draws = draws
        self._failures = draws.failures
        self._spare_keys = spare_keys
        self._steps = steps
        self._all: dict[int, Built] = {}
        self._by_key: dict[Key, Built] = {}
        self._building: dict[Key, anyio.Lock] = {}
        self._idents = itertools.count(1)
        self._judged = network.version
        """What all circuits were last judged by."""
        self._choice = tuple(network.suites)
        self._unsettled_s: float | None = None
        """When the choice of suites has last changed; None once nodes have done what follows from it."""
        self._news = anyio.Event()
        """Set when there is something to tidy."""
        self.on_missing: Callable[[ChartNode], None] = lambda node: None
        """Called with a node of which no prekey is to be had."""

    def __iter__(self) -> Any:
        return iter(list(self._all.values()))

    async def get(self, request: Request) -> Built:
        """A circuit for a request: one in use that it may share, or a new one.

        :raises NoRoute: no route satisfies request and policies.
        :raises NetworkError: the entry node cannot be reached.
        """
        self._judge_all()
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
        self._judge_all()
        route = self._draws.draw(request, self._entries.standing, anyio.current_time())
        keys = await self._keys(route)
        try:
            crane = await self._entries.crane(route.entry)
        except NetworkError:
            self._failures.node(route.entry.fingerprint, anyio.current_time())
            raise
        chart = self._network.chart()
        for key in keys:
            good = self._network.standing(key.fingerprint, key.suite.name) is Standing.GOOD
            if key.fingerprint not in chart.nodes or not good:
                raise NetworkError("the network has changed while a circuit was made")
        try:
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
        except HandshakeFailed:
            self._set_aside_unusable(keys)
            raise
        except Exception as fault:  # a plugin's suite: it may cost this circuit
            _log.error("no circuit is made: a cipher suite fails: %s", type(fault).__name__)
            raise NetworkError("a cipher suite of the route fails here") from fault
        leg = crane.link.open(circuit)
        if leg is None or crane.lost:
            raise NetworkError("the entry link takes no more circuits")
        now_s = anyio.current_time()
        built = Built(next(self._idents), route, circuit, crane, request, route.exit, now_s, now_s)
        circuit.on_closed = lambda: self._closed(built)
        circuit.on_confirmed = built.waiting.set
        self._all[built.ident] = built
        with BATCH:
            circuit.begin(leg)
        return built

    async def _keys(self, route: Route) -> list[ResponderKey]:
        """How to address a route's nodes.

        :raises NetworkError: one of them has no prekey that may be used.
        """
        keys: list[ResponderKey] = []
        for node, key in zip(route.nodes, await self._prekeys.keys(route.nodes), strict=True):
            if key is None:
                self._failures.node(node.fingerprint, anyio.current_time())
                self.on_missing(node)
                raise NetworkError(
                    f"{node.name} has no prekey that can be used now and that sources agree on"
                )
            keys.append(key)
        return keys

    def _set_aside_unusable(self, keys: list[ResponderKey]) -> None:
        """Keys are checked when a bottle is taken in; what passed and is none all the same ends no route but
        this one."""
        for key in keys:
            try:
                kem.encapsulate(key.suite, key.public)
            except kem.UnusableKey:
                self._failures.node(key.fingerprint, anyio.current_time())

    def end(self, built: Built) -> None:
        """End a circuit that nobody needs."""
        built.circuit.close(Reason.DONE)

    async def tend(self) -> None:
        """Let the circuits' keys step by time, until cancelled."""
        while True:
            await anyio.sleep(TEND_S)
            now_s = anyio.current_time()
            for built in list(self._all.values()):
                try:
                    built.circuit.tend(now_s)
                except Exception as fault:  # noqa: BLE001 - a plugin's suite: it may cost this circuit
                    _log.error("a circuit was ended by a fault: %s", type(fault).__name__)
                    self.end(built)

    def changed(self) -> None:
        """Charter, clock or bottles have changed."""
        self._news.set()

    async def tidy(self) -> None:
        """End what is unused, and what is not to be used any more, until cancelled."""
        while True:
            ending = any(built.standing is not Standing.GOOD for built in self._all.values())
            with anyio.move_on_after(ENDING_S if ending else TIDY_S):
                await self._news.wait()
            self._news = anyio.Event()
            self._judge_all()
            now_s = anyio.current_time()
            self._end_superseded(now_s)
            self._entries.tend(now_s)
            unused = sorted(
                (b for b in self._all.values() if not b.circuit.last.mux.conveyors), key=lambda b: b.used_s
            )
            surplus = len(self._all) - CIRCUITS_CAP
            for place, built in enumerate(unused):
                if place < surplus or now_s - built.used_s > UNUSED_S or now_s - built.made_s > YOUNG_S:
                    self.end(built)

    async def replace(self) -> None:
        """While circuits that connections use are on their way out, have others ready for new connections,
        until cancelled."""
        while True:
            await anyio.sleep(_random.uniform(*REPLACE_S))
            self._judge_all()
            for built in self._by_key.values():
                if built.standing is not Standing.GOOD and built.circuit.last.mux.conveyors:
                    break
            else:
                continue
            try:
                # One at a time, and at random moments: not all of a client's circuits are made at once.
                await self.get(built.request)
            except NetworkError as error:
                _log.debug("a circuit could not be replaced: %s", error.message)

    def _judge_all(self) -> None:
        """Judge every circuit by what holds now, if that is not what it was judged by."""
        version, now_s = self._network.version, anyio.current_time()
        settled = self._unsettled_s is not None and now_s >= self._unsettled_s + SETTLE_S
        if version == self._judged and not settled:
            return
        if settled:
            self._unsettled_s = None
            for built in self._all.values():
                built.provisional = True
        choice = tuple(self._network.suites)
        if choice != self._choice:
            self._choice, self._unsettled_s = choice, now_s
        self._judged = version
        chart = self._network.chart()
        for built in self._all.values():
            standing = self._standing(built, chart)
            if standing is not built.standing:
                built.standing, built.since_s = standing, now_s
            built.exit = chart.nodes.get(built.route.exit.fingerprint, built.exit)
        self._news.set()

    def _standing(self, built: Built, chart: Chart) -> Standing:
        pairs = zip(built.route.nodes, built.circuit.hops, strict=True)
        used = [(node.fingerprint, hop.key.suite.name) for node, hop in pairs]
        used.append((built.route.entry.fingerprint, built.crane.suite))
        standing = max(self._network.standing(*each) for each in used)
        if built.provisional or any(fingerprint not in chart.nodes for fingerprint, _ in used):
            standing = max(standing, Standing.SUPERSEDED)
        return standing

    def _end_superseded(self, now_s: float) -> None:
        """End circuits that no new connection may use: at once if none does, and where the suite is not
        allowed any more, after the grace whatever uses it."""
        for built in list(self._all.values()):
            if built.standing is Standing.GOOD:
                continue
            if not built.circuit.last.mux.conveyors:
                self.end(built)
            elif built.standing is Standing.FORBIDDEN and now_s - built.since_s >= self._network.grace_s:
                _log.warning("a circuit is ended with what uses it: its cipher suite is not allowed any more")
                built.circuit.close(Reason.GENERIC)

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
