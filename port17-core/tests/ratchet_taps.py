"""A network's circuit whose cells are counted where they pass, by nobody who knows a key."""

from __future__ import annotations

from collections.abc import Callable

from port17.records.framing import BytesLike
from port17.wire.block import Command
from port17.wire.circuit import Circuit
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.pace import JITTER_LEAST, JITTER_MOST, StepTerms
from port17.wire.ratchet import RATCHET_HEAD
from port17.wire.reasons import Reason
from port17.wire.relay import Relay

from .ratchet_talk import Account
from .ratchet_watch import BACKWARD, FORWARD, frame_of_payload
from .wire_network import Clock, Host, Net

CARRYING = (Command.EARLY, Command.RELAY)


class Tap:
    """Stands between a leg and the circuit's end that it leads to."""

    def __init__(self, inner: CircuitEnd) -> None:
        self.inner = inner

    def deliver(self, leg: Leg, command: int) -> None:
        self.inner.deliver(leg, command)

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        return self.inner.pull(leg, out)

    def pending(self, leg: Leg) -> bool:
        return self.inner.pending(leg)

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        self.inner.destroyed(leg, reason)


class NodeTap(Tap):
    """At a node, on the leg that the circuit came by: all cells of its session with the client pass here."""

    def __init__(self, relay: Relay, cells_per_step: int) -> None:
        super().__init__(relay)
        self.relay = relay
        self.accounts = {way: Account(cells_per_step) for way in (FORWARD, BACKWARD)}
        take: Callable[[memoryview, float], memoryview | None] = relay.mux.take

        def heard(payload: memoryview, now_s: float) -> memoryview | None:
            if frame_of_payload(payload):
                self.accounts[FORWARD].turn()
            return take(payload, now_s)

        relay.mux.take = heard  # type: ignore[method-assign]

    def deliver(self, leg: Leg, command: int) -> None:
        self.accounts[FORWARD].cell()
        self.inner.deliver(leg, command)

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        due = self.relay._ratchet.due
        command = self.inner.pull(leg, out)
        if command in CARRYING:
            self.accounts[BACKWARD].cell()
            if due and not self.relay._ratchet.due:
                self.accounts[BACKWARD].turn()
        return command


class ClientTap(Tap):
    """At the client: use, and for each hop when the last step was answered and the next one began."""

    def __init__(self, circuit: Circuit, terms: StepTerms, clock: Clock) -> None:
        super().__init__(circuit)
        self.circuit = circuit
        self._terms = terms
        self._clock = clock
        self._cells = [0] * len(circuit.hops)
        """Per hop, cells to and from it alone that carry no step."""
        seal, opened = circuit._onion.seal, circuit._onion.open

        def sealed(hop: int, out: BytesLike) -> None:
            self._cells[hop] += not frame_of_payload(circuit._onion.payload)
            seal(hop, out)

        def came(body: BytesLike) -> tuple[int, memoryview]:
            hop, payload = opened(body)
            self._cells[hop] += not frame_of_payload(payload)
            return hop, payload

        circuit._onion.seal = sealed  # type: ignore[method-assign]
        circuit._onion.open = came  # type: ignore[method-assign]
        self.answered: dict[int, tuple[int, float]] = {}
        """Per hop, cells that had crossed it and the time when its last answer came."""
        self.asked: dict[int, int] = dict.fromkeys(range(len(circuit.hops)), 0)
        """Per hop, requests that went out."""
        for index, hop in enumerate(circuit.hops):
            take: Callable[[memoryview, float], memoryview | None] = hop.mux.take
            hop.mux.take = self._listener(index, take)  # type: ignore[method-assign]

    def _listener(
        self, index: int, take: Callable[[memoryview, float], memoryview | None]
    ) -> Callable[[memoryview, float], memoryview | None]:
        def heard(payload: memoryview, now_s: float) -> memoryview | None:
            frame = frame_of_payload(payload)
            if frame:
                _, epoch = RATCHET_HEAD.unpack_from(frame)
                assert epoch == self.asked[index], "not the answer to what was asked"
                self.answered[index] = self.crossed(index), self._clock.now_s
            return take(payload, now_s)

        return heard

    def crossed(self, index: int) -> int:
        """Cells to and from a hop and those behind it."""
        return sum(self._cells[index:])

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        command = self.inner.pull(leg, out)
        if command in CARRYING:
            for index, hop in enumerate(self.circuit.hops):
                if hop.ratchet.epoch > self.asked[index]:
                    self._asked(index)
        return command

    def _asked(self, index: int) -> None:
        """A request went out: one at a time, and neither too early by cells nor by the clock."""
        self.asked[index] += 1
        assert self.asked[index] == self.circuit.hops[index].ratchet.epoch
        cells, when_s = self.answered.pop(index)  # a step that was not answered has none
        if self.asked[index] > 1:
            assert (
                self.crossed(index) - cells >= int(JITTER_LEAST * self._terms.step_cells)
                or self._clock.now_s - when_s >= JITTER_LEAST * self._terms.step_s
            )

    def late(self) -> list[int]:
        """The hops whose next step should have begun by now, all being at rest: by cells, at the latest."""
        most = JITTER_MOST * self._terms.step_cells
        return [
            index
            for index in self.asked
            if index not in self.answered or self.crossed(index) - self.answered[index][0] > most
        ]


class Tapped:
    """One circuit over a network's links, which are new."""

    def __init__(self, net: Net, terms: StepTerms) -> None:
        self.nodes: list[NodeTap | None] = [None] * len(net.hosts)
        for index, host in enumerate(net.hosts):
            self._tap(index, host, terms.cells_per_step)
        self.circuit = net.circuit(net.chain(), steps=terms)
        leg = self.circuit._leg
        assert leg is not None
        self.client = ClientTap(self.circuit, terms, net.clock)
        leg.circuit = self.client

    def _tap(self, index: int, host: Host, cells_per_step: int) -> None:
        def setup(leg: Leg, content: bytes) -> CircuitEnd:
            relay = Host.setup(host, leg, content)
            assert isinstance(relay, Relay)
            tap = self.nodes[index] = NodeTap(relay, cells_per_step)
            return tap

        host.setup = setup  # type: ignore[method-assign]

    def check(self) -> None:
        """At rest: both ends of every session stand where the cells and frames that passed say, and alike."""
        assert not self.client.late()
        for index, (hop, tap) in enumerate(zip(self.circuit.hops, self.nodes, strict=True)):
            assert tap is not None
            relay, asked = tap.relay, self.client.asked[index]
            assert asked == hop.ratchet.epoch == relay._ratchet.epoch >= 1
            assert not hop.ratchet.waiting
            for way, ours, theirs, turns in (
                (FORWARD, hop.session.forward, relay.session.forward, asked),
                (BACKWARD, hop.session.backward, relay.session.backward, asked + 1),
            ):
                account = tap.accounts[way]
                assert account.turns == turns
                for chain in (ours, theirs):
                    assert (chain.counter, chain.steps, chain.rekeys, chain.cells_per_step - chain.left) == (
                        account.cells,
                        account.steps,
                        account.turns,
                        account.since,
                    )
                assert (ours._root, ours._chain_key) == (theirs._root, theirs._chain_key)
