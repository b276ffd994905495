"""Makes a client's circuits: a route is drawn, its prekeys are had, its entry is called, and all of it leaves
in one flight. What circuits are for is not said here.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence

import anyio

from port17.client.build_pace import BuildPace
from port17.client.built import Built
from port17.client.draws import Draws
from port17.client.entries import Entries
from port17.client.guard_keeper import GuardKeeper
from port17.client.prekeys import Prekeys
from port17.errors import HandshakeFailed, NetworkError
from port17.links.batch import BATCH
from port17.links.spare_keys import SpareKeys
from port17.navigator.agreement import Standing
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Request, Route
from port17.network import KnownNetwork
from port17.wire import kem
from port17.wire.circuit import Circuit
from port17.wire.pace import StepTerms
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

_log = logging.getLogger(__name__)


class Builder:
    """Makes circuits for one client."""

    def __init__(
        self,
        network: KnownNetwork,
        keeper: GuardKeeper,
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
        self._keeper = keeper
        self._entries = entries
        self._prekeys = prekeys
        self._draws = draws
        self._budget = budget
        self._spare_keys = spare_keys
        self._steps = steps
        self._idents = itertools.count(1)
        self.pace = BuildPace()
        self.on_built: Callable[[Built], None] = lambda built: None
        """Called with each circuit before its first cell is sent."""
        self.on_closed: Callable[[Built], None] = lambda built: None
        self.on_slow: Callable[[Built], None] = lambda built: None
        """Called with one that is confirmed, and took unusually long for that."""
        self.on_missing: Callable[[ChartNode], None] = lambda node: None
        """Called with a node of which no prekey is to be had."""

    async def build(self, request: Request) -> Built:
        """A new circuit over a route for the request. Everything may be sent on it at once.

        :raises NoRoute: no route satisfies request and policies.
        :raises Unreachable: no guard answers.
        :raises NetworkError: the entry node cannot be reached.
        """
        await self._keeper.reachable()
        await self.pace.turn()
        drawn_from = self._network.chart()
        route = self._draws.draw(request, self._entries.standing, anyio.current_time())
        keys = await self._keys(route)
        try:
            crane = await self._entries.crane(route.entry)
        except NetworkError:
            self._draws.failures.node(route.entry.fingerprint, anyio.current_time())
            raise
        chart = self._network.chart()
        for key in keys:
            good = self._network.standing(key.fingerprint, key.suite.name) is Standing.GOOD
            if key.fingerprint not in chart.nodes or not good:
                raise NetworkError("the network has changed while a circuit was made")
        # Who was called for seconds may by now be elsewhere, or of another group.
        if chart is not drawn_from and not self._draws.allows(route, request, anyio.current_time()):
            raise NetworkError("the network has changed so that a route is not allowed any more")
        circuit = self._circuit(keys)
        leg = crane.link.open(circuit)
        if leg is None or crane.lost:
            raise NetworkError("the entry link takes no more circuits")
        now_s = anyio.current_time()
        built = Built(next(self._idents), route, circuit, crane, request, route.exit, now_s, now_s)
        circuit.on_closed = lambda: self._closed(built)
        circuit.on_confirmed = lambda: self._confirmed(built)
        self.on_built(built)
        with BATCH:
            circuit.begin(leg)
        return built

    def _circuit(self, keys: Sequence[ResponderKey]) -> Circuit:
        """
        :raises NetworkError: a prekey or a suite is unusable.
        """
        try:
            ratchet_keys = [self._spare_keys.take(key.suite) for key in keys]
            return Circuit(
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

    async def _keys(self, route: Route) -> list[ResponderKey]:
        """How to address a route's nodes.

        :raises NetworkError: one of them has no prekey that may be used.
        """
        keys: list[ResponderKey] = []
        for node, key in zip(route.nodes, await self._prekeys.keys(route.nodes), strict=True):
            if key is None:
                self._draws.failures.node(node.fingerprint, anyio.current_time())
                self.on_missing(node)
                raise NetworkError(
                    f"{node.name} has no prekey that can be used now and that sources agree on"
                )
            keys.append(key)
        return keys

    def _set_aside_unusable(self, keys: Sequence[ResponderKey]) -> None:
        """Keys are checked when a bottle is taken in; what passed and is none all the same ends no route but
        this one."""
        for key in keys:
            try:
                kem.encapsulate(key.suite, key.public)
            except kem.UnusableKey:
                self._draws.failures.node(key.fingerprint, anyio.current_time())

    # -- what becomes of them -------------------------------------------------------------------------
    @property
    def patience_s(self) -> float:
        """Seconds that a circuit may take to stand before it is given up."""
        return self._draws.timings.patience_s

    def give_up(self, built: Built) -> None:
        """A circuit does not stand in time. Between the last node that has answered and the first that has
        not, something is amiss."""
        confirmed = [hop.confirmed for hop in built.circuit.hops]
        if confirmed[0] and False in confirmed:
            built.circuit.lost_edge = confirmed.index(False) - 1
        built.circuit.close(Reason.GENERIC)

    def _confirmed(self, built: Built) -> None:
        built.waiting.set()
        self._keeper.proven()
        self._draws.failures.worked(built.route, anyio.current_time())
        if self._draws.timings.stands(built):
            self.on_slow(built)

    def _closed(self, built: Built) -> None:
        built.waiting.set()
        now_s = anyio.current_time()
        edge = built.circuit.lost_edge
        nodes = built.route.nodes
        if edge is not None:
            self._draws.failures.lane(nodes[edge].fingerprint, nodes[edge + 1].fingerprint, now_s)
        elif built.circuit.closed is not Reason.DONE and built.circuit.confirmed_s is None:
            self._draws.failures.node(built.route.entry.fingerprint, now_s)
        if built.circuit.closed is not Reason.DONE:
            _log.info("a circuit ended: %s", built.circuit.closed.name if built.circuit.closed else "?")
        self.on_closed(built)
