"""One circuit carried by hand from hop to hop, so that a test can alter, lose or repeat each cell."""

from __future__ import annotations

from collections.abc import Sequence

from port17.wire.block import BODY_SIZE, CELL_SIZE, HEADER, LAYER_OVERHEAD, SETUP_SIZE, Command
from port17.wire.circuit import Circuit
from port17.wire.conveyor import Conveyor
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.pace import StepTerms
from port17.wire.quota import Budget
from port17.wire.ratchet import CELLS_PER_STEP
from port17.wire.reasons import Reason
from port17.wire.relay import Relay
from port17.wire.suite import CipherSuite, KemKey

from .wire_network import MOVES_CAP, WALL_S, Clock, Host, network


class BenchLink:
    """Stands where a link does: holds the body of one cell, and seals nothing."""

    def __init__(self, edge: Edge, clock: Clock) -> None:
        self._edge = edge
        self._clock = clock
        self._cell = bytearray(CELL_SIZE + 1)
        view = memoryview(self._cell)
        self.body = view[HEADER.size : CELL_SIZE]
        self.passed_on = view[HEADER.size + LAYER_OVERHEAD :]
        self.round_trip_s = 0.0
        self.grants = Budget(1 << 20)
        self.destroyed_for: Reason | None = None
        """Why the circuit was ended from this end."""

    @property
    def now_s(self) -> float:
        """The shell's clock."""
        return self._clock.now_s

    def open(self, circuit: CircuitEnd) -> Leg:
        """The leg of a relay's next hop."""
        self._edge.near = self.leg(circuit)
        return self._edge.near

    def leg(self, circuit: CircuitEnd) -> Leg:
        """A leg whose link this stands for."""
        return Leg(self, 1, circuit, known=True)  # type: ignore[arg-type]

    def schedule(self, leg: Leg) -> None:
        """The bench asks everybody anyhow."""

    def schedule_return(self, leg: Leg) -> None:
        """Nobody waits for credit here; ``leg.owed`` counts what is due."""

    def send_destroy(self, ident: int, reason: Reason) -> None:
        """Remember why."""
        self.destroyed_for = reason

    def drop(self, leg: Leg) -> None:
        """A leg is over."""
        leg.closed = True


class Edge:
    """Between the client and the first hop, or a hop and the next."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self.host = host
        self.near_link = BenchLink(self, clock)
        self.far_link = BenchLink(self, clock)
        self.near: Leg | None = None
        self.far: Leg | None = None
        self.setup: bytes | None = None
        """The body of the SETUP cell that crossed it."""


class Bench:
    """A client's circuit over some hops; edge ``i`` leads to hop ``i``, and every body on it is seen."""

    def __init__(
        self,
        suites: Sequence[CipherSuite],
        *,
        cells_per_step: int = CELLS_PER_STEP,
        steps: StepTerms | None = None,
        ratchet_keys: Sequence[KemKey] | None = None,
    ) -> None:
        self.clock = Clock()
        self.hosts = [Host(index, suite, self.clock) for index, suite in enumerate(suites)]
        self.edges = [Edge(host, self.clock) for host in self.hosts]
        for host, edge in zip(self.hosts, self.edges[1:], strict=False):
            host.lanes[edge.host.fingerprint] = edge.near_link  # type: ignore[assignment]
        self.budget = Budget(1 << 30)
        self.circuit = Circuit(
            network(),
            [host.public for host in self.hosts],
            ratchet_keys or [suite.generate() for suite in suites],
            self.budget,
            WALL_S,
            steps=steps or StepTerms(cells_per_step),
            now_s=self.clock.now_s,
        )
        self.circuit.begin(self.edges[0].near_link.open(self.circuit))

    @property
    def relays(self) -> list[Relay]:
        """The circuit's part at each hop that is set up."""
        return [host.relays[0] for host in self.hosts if host.relays]

    def take(self, edge: int, forward: bool) -> tuple[int, bytes] | None:
        """The next cell onto an edge, if there is one."""
        leg = self.edges[edge].near if forward else self.edges[edge].far
        if leg is None or leg.closed:
            return None
        body = bytearray(BODY_SIZE)
        command = leg.circuit.pull(leg, memoryview(body))
        return None if command is None else (command, bytes(body))

    def give(self, edge: int, forward: bool, command: int, body: bytes) -> None:
        """Hand a cell to the other end of an edge.

        :raises PeerViolation: it was refused.
        """
        at = self.edges[edge]
        if command == Command.SETUP:
            assert at.far is None
            at.setup = body
            leg = at.far_link.leg(self.circuit)
            leg.circuit = at.host.setup(leg, body[:SETUP_SIZE])
            at.far = leg
            return
        end = at.far if forward else at.near
        assert end is not None
        end.link.body[:] = body
        end.circuit.deliver(end, command)

    def carry(self, edge: int, forward: bool) -> bytes | None:
        """Carry one cell over one edge; its body, None if there was none."""
        cell = self.take(edge, forward)
        if cell is None:
            return None
        self.give(edge, forward, *cell)
        return cell[1]

    def settle(self) -> None:
        """Carry until nothing is left to carry."""
        for _ in range(MOVES_CAP):
            carried = 0
            for forward in (True, False):
                for edge in self._order(forward):
                    while self.carry(edge, forward) is not None:
                        carried += 1
            if not carried:
                return
        raise AssertionError("the circuit does not come to rest")

    def _order(self, forward: bool) -> list[int]:
        places = range(len(self.edges))
        return list(places if forward else reversed(places))

    def say(self, hop: int, payload: bytes) -> tuple[Command, bytes]:
        """A cell to a hop with a payload of the test's making, sealed as the client seals; at edge 0."""
        body = bytearray(BODY_SIZE)
        onion = self.circuit._onion
        onion.payload[:] = payload.ljust(len(onion.payload), b"\0")
        onion.seal(hop, memoryview(body))
        return Command.RELAY, bytes(body)

    def answer(self, hop: int, payload: bytes) -> tuple[Command, bytes]:
        """The same from a hop, as the hop seals; at its edge."""
        relay = self.relays[hop]
        scratch, chain = relay._scratch, relay._backward
        scratch.payload[:] = payload.ljust(len(scratch.payload), b"\0")
        body = bytearray(BODY_SIZE)
        chain.seal(scratch.spoken, body)
        return Command.RELAY, bytes(body)

    def converse(self, hop: int) -> tuple[Conveyor, Conveyor]:
        """A conveyor to a hop: (the client's end, the hop's)."""
        host = self.hosts[hop]
        before = len(host.conveyors)
        near = self.circuit.hops[hop].mux.open("TEST", b"", self.clock.now_s)
        self.settle()
        assert near.accepted
        assert len(host.conveyors) == before + 1
        return near, host.conveyors[-1]
