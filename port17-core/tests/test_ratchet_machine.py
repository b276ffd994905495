"""Circuits over real links, whose keys step all the time, against the simplest model of what they are for.

The model: what was sent to a hop and by a hop is a list each way, and arrives as sent; steps are counted
where cells pass. Everything is delayed as the machine likes, and links are lost under it.
"""

from __future__ import annotations

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from port17.wire.block import BLOCK_SIZE
from port17.wire.conveyor import Conveyor
from port17.wire.link_ratchet import LinkInitiator
from port17.wire.pace import StepTerms

from .ratchet_taps import Tapped
from .wire_network import Net
from .wire_suites import TOY

STEP_CELLS, STEP_S = 257, 2.0
"""The least that a configuration may ask for."""
LARGE = 300_000


class Circuits(RuleBasedStateMachine):
    """One circuit at a time, and the next one when a link was lost."""

    @initialize(count=st.integers(1, 5), cells_per_step=st.sampled_from([1, 2, 3, 128]))
    def begin(self, count: int, cells_per_step: int) -> None:
        self.net = Net([TOY] * count)
        self.terms = StepTerms(cells_per_step, STEP_CELLS, STEP_S)
        self.net.link_steps = self.terms
        self.numbers = 0
        self._connect()

    def _connect(self) -> None:
        """A new circuit over new links."""
        net = self.net
        net.wires.clear()
        for host in net.hosts:
            host.relays.clear()
        self.far: dict[int, Conveyor] = {}
        for index, host in enumerate(net.hosts):
            host.on_operation = lambda conveyor, name, data, index=index: self._opened(index, conveyor)
        self.tapped = tapped = Tapped(net, self.terms)
        hops = range(len(net.hosts))
        self.near = [tapped.circuit.hops[hop].mux.open("TEST", b"", net.clock.now_s) for hop in hops]
        self.sent: dict[tuple[int, bool], bytearray] = {
            (hop, way): bytearray() for hop in hops for way in (True, False)
        }
        self.got = {place: bytearray() for place in self.sent}

    def _opened(self, index: int, conveyor: Conveyor) -> None:
        self.far[index] = conveyor
        conveyor.accept()

    # -- what programs do ---------------------------------------------------------------------------
    @rule(hop=st.integers(0, 4), way=st.booleans(), size=st.sampled_from([1, 5000, LARGE]))
    def speak(self, hop: int, way: bool, size: int) -> None:
        """The client to any hop, or any hop to the client."""
        hop %= len(self.near)
        end = self.near[hop] if way else self.far.get(hop)
        if end is not None:
            self.numbers += 1
            piece = (self.numbers % 251).to_bytes(1, "big") * size
            end.send(piece)
            self.sent[hop, way] += piece

    # -- what links do --------------------------------------------------------------------------------
    @rule(wire=st.integers(0, 4), way=st.booleans(), blocks=st.integers(1, 40))
    def leave(self, wire: int, way: bool, blocks: int) -> None:
        wires = self.net.wires
        ours = wires[wire % len(wires)]
        pipe = ours.there if way else ours.back
        pipe.room = pipe.size + blocks * BLOCK_SIZE
        pipe.fill(self.net.clock.now_s)

    @rule(wire=st.integers(0, 4), way=st.booleans(), times=st.integers(1, 4))
    def arrive(self, wire: int, way: bool, times: int) -> None:
        wires = self.net.wires
        ours = wires[wire % len(wires)]
        for _ in range(times):
            (ours.there if way else ours.back).drain(self.net.clock.now_s)
        self._take()

    @rule(rounds=st.integers(1, 30))
    def everything_moves(self, rounds: int) -> None:
        self._open_pipes()
        for _ in range(rounds):
            for wire in self.net.wires:
                wire.move(self.net.clock)
            self._take()

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.5]))
    def time_passes(self, seconds: float) -> None:
        self.net.clock.pass_s(seconds)
        self._tend()

    def _tend(self) -> None:
        now_s = self.net.clock.now_s
        for wire in self.net.wires:
            wire.near.tend(now_s)
            wire.far.tend(now_s)
        self.tapped.circuit.tend(now_s)

    @precondition(lambda self: self.numbers > 1)
    @rule(wire=st.integers(0, 4))
    def a_link_is_lost(self, wire: int) -> None:
        self.numbers = 0
        wires = self.net.wires
        wires[wire % len(wires)].lose()
        self._settle()
        assert self.tapped.circuit.closed is not None
        self.what_arrives_was_sent()
        event("a link was lost")
        self._connect()

    def _open_pipes(self) -> None:
        for wire in self.net.wires:
            for pipe in (wire.there, wire.back):
                pipe.room = 1 << 40

    def _take(self) -> None:
        now_s = self.net.clock.now_s
        for (hop, way), got in self.got.items():
            end = self.far.get(hop) if way else self.near[hop]
            if end is not None:
                piece = end.take()
                end.consumed(len(piece), now_s)
                got += piece

    def _settle(self) -> None:
        self._open_pipes()
        for _ in range(10_000):
            moved = [wire.move(self.net.clock) for wire in self.net.wires]
            self._take()
            if not any(moved):
                return
        raise AssertionError("it does not come to rest")

    # -- what must be ---------------------------------------------------------------------------------
    @invariant()
    def what_arrives_was_sent(self) -> None:
        for place, got in self.got.items():
            assert self.sent[place].startswith(got)

    @invariant()
    def one_step_at_most_is_outstanding(self) -> None:
        for index, hop in enumerate(self.tapped.circuit.hops):
            tap = self.tapped.nodes[index]
            if tap is not None:
                assert 0 <= hop.ratchet.epoch - tap.relay._ratchet.epoch <= 1

    @invariant()
    def no_honest_circuit_ends(self) -> None:
        assert self.tapped.circuit.closed is None
        assert all(wire.error is None and not wire.near.failure for wire in self.net.wires)

    def teardown(self) -> None:
        if not hasattr(self, "tapped"):
            return
        self._settle()
        self.no_honest_circuit_ends()
        assert self.got == self.sent
        self.tapped.check()
        self._check_links()
        # A step more with everybody, for it is time and there was use.
        before = [hop.ratchet.epoch for hop in self.tapped.circuit.hops]
        for hop in range(len(self.near)):
            self.speak(hop, True, 1)
            self.speak(hop, False, 1)
        self._settle()
        self.net.clock.pass_s(2 * STEP_S)
        self._tend()
        self._settle()
        assert self.got == self.sent
        self.tapped.check()
        links = self._check_links()
        after = [hop.ratchet.epoch for hop in self.tapped.circuit.hops]
        assert all(then > earlier for then, earlier in zip(after, before, strict=True))
        event(f"steps: {min(sum(after) // len(after), 9)} a hop, {min(sum(links) // len(links), 9)} a link")

    def _check_links(self) -> list[int]:
        """Both ends of every link stand alike; the epochs of all."""
        epochs = []
        for wire in self.net.wires:
            ours, theirs = wire.near.keys.session, wire.far.keys.session
            assert ours is not None
            assert theirs is not None
            ratchet = wire.near.keys._ratchet
            assert isinstance(ratchet, LinkInitiator)
            epoch = ratchet._ratchet.epoch
            for near, far, turns in (
                (ours.forward, theirs.forward, epoch),
                (ours.backward, theirs.backward, epoch + 1),
            ):
                assert near.rekeys == far.rekeys == turns >= 1
                assert (near.counter, near.steps, near._chain_key) == (far.counter, far.steps, far._chain_key)
            epochs.append(epoch)
        return epochs


Circuits.TestCase.settings = settings(deadline=None, max_examples=25, stateful_step_count=40)
TestCircuits = Circuits.TestCase
