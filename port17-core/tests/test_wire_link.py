"""A link's two ends: blocks, ids, credits, whose turn it is, and what a hostile peer can cost whom."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import PeerViolation
from port17.wire.block import (
    BLOCK_SIZE,
    BODY_SIZE,
    CIRCUIT_ID_CAP,
    CREDIT_CAP,
    LINK_CIRCUIT,
    SETUP_SIZE,
    Command,
)
from port17.wire.circuit import Circuit
from port17.wire.handshake import Initiator, respond
from port17.wire.leg import CREDIT_MAX, FIRST_CREDIT, Leg
from port17.wire.link import TOKEN, URGENT_CAP, Link, LinkMessage
from port17.wire.quota import Budget, TokenBucket
from port17.wire.ratchet import Session
from port17.wire.reasons import Reason
from port17.wire.setup import make
from port17.wire.suite import KemKey

from .wire_network import SUITES, TOY, Forger, Host, Net, called_forger, forger, network, pull, verify

MIB = 1 << 20
TURN_MOST = 16
"""Cells that one circuit may send while another waits: 0.4 ms of a fast link."""


class Quiet:
    """A circuit's end that counts, and says what a test gives it."""

    def __init__(self, say: int = 0) -> None:
        self.say = say
        self.begun = False
        self.got: list[int] = []
        self.ended: Reason | None = None

    def deliver(self, leg: Leg, command: int) -> None:
        self.got.append(command)

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        out[:] = bytes(BODY_SIZE)
        if not self.begun:
            self.begun = True
            return Command.SETUP
        if not self.say:
            return None
        self.say -= 1
        return Command.RELAY

    def pending(self, leg: Leg) -> bool:
        return not self.begun or self.say > 0

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        self.ended = reason


def quiet_pair(
    wake: Callable[[], None] = lambda: None, grants: tuple[Budget, Budget] | None = None
) -> tuple[Link, Link, list[Quiet]]:
    """Two links that trust each other, and the circuits that were set up at the responder."""
    ours, theirs = (Session(TOY, b"k" * 32, b"") for _ in range(2))
    circuits: list[Quiet] = []

    def setup(leg: Leg, content: bytes) -> Quiet:
        circuits.append(Quiet())
        circuits[-1].begun = True
        return circuits[-1]

    budgets = grants or (Budget(1 << 20), Budget(1 << 20))
    return (
        Link(
            initiator=True,
            send=ours.forward,
            receive=ours.backward,
            forged=TOY.forged,
            grants=budgets[0],
            wake=wake,
            on_setup=setup,
        ),
        Link(
            initiator=False,
            send=theirs.backward,
            receive=theirs.forward,
            forged=TOY.forged,
            grants=budgets[1],
            wake=wake,
            on_setup=setup,
        ),
        circuits,
    )


def opened(link: Link, circuit: Quiet) -> Leg:
    leg = link.open(circuit)
    assert leg is not None
    leg.wake()
    return leg


def carry(source: Link, sink: Link, blocks: int = 64) -> int:
    """One pull's worth; the blocks carried."""
    data = pull(source, 0.0, blocks)
    sink.receive(data, 0.0)
    return len(data) // BLOCK_SIZE


def setup_for(host: Host) -> bytes:
    return make(network(), host.public, TOY.generate(), host.clock.wall_s)[0]


def one_node() -> tuple[Net, Host, Forger]:
    net = Net([TOY])
    return net, net.hosts[0], forger(net.hosts[0])


class Client:
    """A client's circuit of one hop behind a forger: its cells are right, their number is the test's."""

    def __init__(self, net: Net, peer: Forger, ident: int) -> None:
        self.peer, self.ident = peer, ident
        host = net.hosts[0]
        self.circuit = Circuit(network(), [host.public], [TOY.generate()], net.budget, net.clock.wall_s)
        self._body = bytearray(BODY_SIZE)
        peer.write(ident, Command.SETUP, self.circuit._setup)

    def relay(self, payload: bytes = b"", *, credit: int = 0) -> None:
        onion = self.circuit._onion
        onion.payload[:] = payload.ljust(len(onion.payload), b"\0")
        onion.seal(0, memoryview(self._body))
        self.peer.write(self.ident, Command.RELAY, bytes(self._body), credit=credit)


# -- blocks -------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(1, 3 * BLOCK_SIZE), max_size=40), cells=st.integers(1, 30))
def test_a_stream_may_be_cut_anywhere(cuts: list[int], cells: int) -> None:
    here, there, circuits = quiet_pair()
    opened(here, Quiet(cells))
    rest = pull(here)
    # One buffer for all that comes, as a ship uses it: nothing of it may be kept.
    buffer = bytearray(3 * BLOCK_SIZE)
    for cut in cuts:
        piece, rest = rest[:cut], rest[cut:]
        buffer[: len(piece)] = piece
        there.receive(memoryview(buffer)[: len(piece)], 0.0)
        buffer[:] = bytes(len(buffer))
    there.receive(rest, 0.0)
    assert circuits[0].got == [Command.RELAY] * cells


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
@settings(deadline=None, max_examples=30)
@given(place=st.integers(0, 8 * 3 * BLOCK_SIZE - 1))
def test_any_flipped_bit_costs_the_link(suite: object, place: int) -> None:
    here, there, circuits = quiet_pair()
    opened(here, Quiet(2))
    data = bytearray(pull(here, blocks=3))
    assert len(data) == 3 * BLOCK_SIZE
    data[place // 8] ^= 1 << place % 8
    with pytest.raises(PeerViolation):
        there.receive(bytes(data), 0.0)
    whole = place // (8 * BLOCK_SIZE)
    assert (len(circuits), sum(len(c.got) for c in circuits)) == (min(whole, 1), max(whole - 1, 0))


@pytest.mark.parametrize("crime", ["replay", "loss", "swap"])
def test_replay_loss_and_reordering_cost_the_link(crime: str) -> None:
    here, there, _ = quiet_pair()
    opened(here, Quiet(3))
    data = pull(here, blocks=4)
    first, second, third, _ = (data[at : at + BLOCK_SIZE] for at in range(0, len(data), BLOCK_SIZE))
    there.receive(first, 0.0)
    with pytest.raises(PeerViolation):
        there.receive({"replay": first, "loss": third, "swap": third + second}[crime], 0.0)


def test_link_keys_step() -> None:
    here, there, circuits = quiet_pair()
    opened(here, Quiet(20))
    here._send.cells_per_step = here._send.left = there._receive.left = 5  # type: ignore[union-attr]
    there._receive.cells_per_step = 5  # type: ignore[union-attr]
    carry(here, there)
    assert here._send.steps == there._receive.steps == 4  # type: ignore[union-attr]
    assert len(circuits[0].got) == 20


def test_an_idle_link_is_silent() -> None:
    here, _, _ = quiet_pair()
    assert not here.pending
    assert pull(here) == b""


# -- early keys ---------------------------------------------------------------------------------------
def test_cells_may_follow_the_first_flight_at_once() -> None:
    net = Net([TOY])
    host = net.hosts[0]
    dial = Initiator(network(), host.public, net.clock.wall_s)
    near = Link(
        initiator=True,
        send=dial.early,
        receive=None,
        forged=TOY.forged,
        grants=net.client_grants,
        wake=lambda: None,
        on_setup=None,
    )
    circuit = Circuit(network(), [host.public], [TOY.generate()], net.budget, net.clock.wall_s)
    conveyor = circuit.last.mux.open("TEST", b"", 0.0)
    conveyor.send(b"early")
    leg = near.open(circuit)
    assert leg is not None
    circuit.begin(leg)
    early = pull(near)
    assert early

    flight, there = respond(
        network(), host.signer, [host.prekey], host.link_replays, verify, dial.flight, net.clock.wall_s
    )
    far = Link(
        initiator=False,
        send=there.session.backward,
        receive=there.early,
        forged=TOY.forged,
        grants=host.grants,
        wake=lambda: None,
        on_setup=host.setup,
    )
    far.expect_final(there.session.forward)
    far.receive(early, 0.0)
    assert host.conveyors[0].take() == b"early"
    here = dial.finish(flight, verify)
    near.confirm(here.session.forward, here.session.backward)
    carry(near, far)
    carry(far, near)
    assert far._receive is there.session.forward
    assert conveyor.accepted
    conveyor.send(b"late")
    carry(near, far)
    assert host.conveyors[0].take() == b"late"


def test_early_keys_end_once_and_only_an_initiator_ends_them() -> None:
    net, _, peer = one_node()
    for side in (peer, called_forger(net)):
        with pytest.raises(PeerViolation):
            side.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.END_EARLY, 0))


# -- headers ------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=150)
@given(
    ident=st.one_of(st.integers(0, 9), st.integers(0, CIRCUIT_ID_CAP)),
    command=st.one_of(st.integers(0, 7), st.integers(0, 255)),
    zero=st.sampled_from([0, 0, 0, 1, 255]),
    credit=st.sampled_from([0, 1, CREDIT_CAP]),
    body=st.binary(max_size=40),
)
def test_any_cell_is_taken_or_costs_circuit_or_link(
    ident: int, command: int, zero: int, credit: int, body: bytes
) -> None:
    _, host, peer = one_node()
    for number in (1, 3, 5):
        peer.write(number, Command.SETUP, setup_for(host))
    peer.write(3, Command.DESTROY)
    known, dead = (1, 5), (3,)
    allowed = (
        zero == 0
        and command <= Command.LINK
        and (
            (command == Command.PADDING and ident in (0, *known, *dead))
            or (command == Command.SETUP and ident > 5 and ident % 2)
            or (command in (Command.EARLY, Command.RELAY, Command.DESTROY) and ident in (*known, *dead))
            or (command == Command.LINK and ident == 0 and len(body) and body[0] in (2, 3))
        )
    )
    if ident in (2, 4) and not zero and command in (0, 2, 3, 4):
        allowed = True  # an id that nobody gave: not told apart from a dead one
    if not allowed:
        with pytest.raises(PeerViolation):
            peer.write(ident, command, body, zero=zero, credit=credit)
        return
    peer.write(ident, command, body, zero=zero, credit=credit)
    ends = command in (Command.EARLY, Command.RELAY, Command.DESTROY) and ident in known
    assert peer.link.legs == 2 - ends
    assert host.grants.used == peer.link.legs * FIRST_CREDIT


@pytest.mark.parametrize("kind", [0, 4, 5, 255])
def test_an_unknown_link_message_costs_the_link(kind: int) -> None:
    _, _, peer = one_node()
    with pytest.raises(PeerViolation):
        peer.write(LINK_CIRCUIT, Command.LINK, bytes([kind]))


@pytest.mark.parametrize("ident", [0, 1, 2, 4, CIRCUIT_ID_CAP])
def test_a_client_refuses_setup(ident: int) -> None:
    peer = called_forger(Net([TOY]))
    with pytest.raises(PeerViolation):
        peer.write(ident, Command.SETUP)


def test_ids_of_a_peer_are_of_its_parity_and_only_grow() -> None:
    _, host, _ = one_node()
    for good, bad in (((1, 3), 3), ((1, 9), 7), ((1,), 2), ((), 0), ((CIRCUIT_ID_CAP,), 1)):
        peer = forger(host)
        for ident in good:
            peer.write(ident, Command.SETUP, setup_for(host))
        assert peer.link.legs == len(good)
        with pytest.raises(PeerViolation):
            peer.write(bad, Command.SETUP, setup_for(host))


def test_ids_of_ours_are_odd_or_even_and_only_grow_and_end() -> None:
    here, there, _ = quiet_pair()
    assert [opened(here, Quiet()).ident for _ in range(3)] == [1, 3, 5]
    assert [opened(there, Quiet()).ident for _ in range(3)] == [2, 4, 6]
    here._own_id = CIRCUIT_ID_CAP - 2
    assert opened(here, Quiet()).ident == CIRCUIT_ID_CAP
    assert here.open(Quiet()) is None


def test_cells_for_dead_ids_are_dropped_in_silence() -> None:
    net, host, peer = one_node()
    client = Client(net, peer, 1)
    peer.read()
    peer.write(1, Command.DESTROY)
    for command in (Command.RELAY, Command.EARLY, Command.PADDING, Command.DESTROY) * 50:
        peer.write(1, command, os.urandom(BODY_SIZE), credit=7)
    assert peer.read() == []
    assert host.grants.used == 0
    assert client.ident not in peer.link._legs


def test_a_destroy_before_the_setup_went_out_is_never_sent() -> None:
    here, there, circuits = quiet_pair()
    for _ in range(3):
        opened(here, Quiet()).destroy(Reason.DONE)
    assert carry(here, there) == 0
    late = opened(here, Quiet())
    carry(here, there)
    late.destroy(Reason.DONE)
    carry(here, there)
    assert [circuit.ended for circuit in circuits] == [Reason.GENERIC]


def test_a_client_that_gives_up_at_once_costs_no_lane() -> None:
    """SETUP, HOP and DESTROY in one batch: the relay's leg onward ends before anything went out on it."""
    net = Net()
    wire = net.chain()
    net.pump()
    for _ in range(3):
        circuit = net.circuit(wire)
        batch = pull(wire.near)
        circuit.close(Reason.DONE)
        wire.far.receive(batch + pull(wire.near), 0.0)
        net.pump()
    assert [w.error for w in net.wires] == [None] * 3
    circuit = net.circuit(wire)
    net.converse(circuit)


@pytest.mark.parametrize("value", [*Reason, 999])
def test_a_peer_cannot_say_what_only_we_can_mean(value: int) -> None:
    net = Net([TOY])
    peer = called_forger(net)
    circuit = Quiet()
    opened(peer.link, circuit)
    peer.read()
    peer.write(1, Command.DESTROY, value.to_bytes(2, "big"))
    assert circuit.ended is not None
    assert circuit.ended not in (Reason.DONE, Reason.LINK_LOST)
    if value in list(Reason) and value not in (Reason.DONE, Reason.LINK_LOST):
        assert circuit.ended == value


# -- credits ------------------------------------------------------------------------------------------
def test_a_cell_beyond_its_credit_destroys_that_circuit_alone() -> None:
    net, host, peer = one_node()
    one, other = Client(net, peer, 1), Client(net, peer, 3)
    for _ in range(FIRST_CREDIT):
        one.relay()
    assert peer.link.legs == 2
    one.relay()
    assert peer.link.legs == 1
    other.relay()
    cells = peer.read()
    assert [c.ident for c in cells if c.command == Command.DESTROY] == [1]
    assert host.grants.used == FIRST_CREDIT
    assert len(host.relays) == 1


def test_credit_comes_back_as_cells_leave_the_queue() -> None:
    net, host, peer = one_node()
    client = Client(net, peer, 1)
    peer.read()
    credit = FIRST_CREDIT
    for _ in range(40):
        net.clock.pass_s(1)
        for _ in range(credit):
            client.relay()
        credit = sum(cell.credit for cell in peer.read() if cell.ident == 1)
        assert credit == FIRST_CREDIT
    assert host.grants.used == FIRST_CREDIT


def test_credit_is_not_returned_for_cells_that_still_wait() -> None:
    net = Net([TOY, TOY])
    wire = net.chain(room=8 * BLOCK_SIZE)
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    lane = net.wires[0]
    lane.there.stopped = True
    near.send(bytes(MIB))
    net.pump()
    leg = next(iter(wire.far._legs.values()))
    waiting = len(net.hosts[0].relays[0]._onward)
    assert waiting
    assert leg.allowance + waiting + leg.owed == leg.window
    assert waiting <= leg.window <= CREDIT_MAX
    lane.there.stopped = False
    got = b""
    for _ in range(1000):
        net.pump()
        piece = far.take()
        far.consumed(len(piece), net.clock.now_s)
        got += piece
    assert len(got) == MIB


@pytest.mark.parametrize(
    ("grants", "most"), [(1 << 20, CREDIT_MAX), (512, 256), (FIRST_CREDIT, FIRST_CREDIT)]
)
def test_windows_grow_with_the_drain_and_stay_within_the_budget(grants: int, most: int) -> None:
    net = Net([TOY])
    net.hosts[0].grants = net.client_grants = Budget(grants)
    net.hosts[0].grants = Budget(grants)
    wire = net.chain()
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    for way, (source, sink) in enumerate(((near, far), (far, near))):
        for _ in range(60):
            source.send(bytes(300_000))
            net.pump()
            while piece := sink.take():
                sink.consumed(len(piece), net.clock.now_s)
                net.pump()
        link = wire.near if way else wire.far
        leg = next(iter(link._legs.values()))
        assert leg.window == most
        assert link.grants.used == leg.window
        assert leg.allowance <= leg.window


def test_slow_drains_do_not_grow_a_window() -> None:
    net = Net([TOY])
    wire = net.chain()
    near, far = net.converse(net.circuit(wire))
    for _ in range(100):
        near.send(bytes(100_000))
        net.clock.pass_s(1)
        net.pump()
        piece = far.take()
        far.consumed(len(piece), net.clock.now_s)
    assert next(iter(wire.far._legs.values())).window == FIRST_CREDIT


def test_credit_adds_up_to_a_most() -> None:
    net = Net([TOY])
    peer = called_forger(net)
    leg = opened(peer.link, Quiet(100))
    for _ in range(5):
        peer.write(1, Command.PADDING, credit=CREDIT_CAP)
    assert leg.credit == CREDIT_CAP
    assert len(peer.read(128)) == 101


def test_destroy_link_and_padding_cells_are_free() -> None:
    net, _, peer = one_node()
    client = Client(net, peer, 1)
    for _ in range(3 * FIRST_CREDIT):
        peer.write(1, Command.PADDING, os.urandom(BODY_SIZE))
        peer.write(LINK_CIRCUIT, Command.PADDING)
        peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PING, 5))
    for _ in range(FIRST_CREDIT):
        client.relay()
    assert peer.link.legs == 1


def test_setup_is_refused_when_the_grants_are_spent() -> None:
    net = Net([TOY], grants=3 * FIRST_CREDIT + 5)
    host = net.hosts[0]
    peer = forger(host)
    for ident in (1, 3, 5, 7):
        peer.write(ident, Command.SETUP, setup_for(host))
    refused = [cell for cell in peer.read() if cell.command == Command.DESTROY]
    assert [(cell.ident, cell.body[:2]) for cell in refused] == [(7, Reason.RESOURCES.to_bytes(2, "big"))]
    assert (peer.link.legs, host.grants.left) == (3, 5)
    peer.write(1, Command.DESTROY)
    peer.write(9, Command.SETUP, setup_for(host))
    assert not [cell for cell in peer.read() if cell.command == Command.DESTROY]
    assert peer.link.open(Quiet()) is None


def test_everything_is_given_back_however_circuits_end() -> None:
    net = Net()
    wire = net.chain()
    circuits = [net.circuit(wire) for _ in range(6)]
    pairs = [net.converse(circuit) for circuit in circuits]
    for near, far in pairs:
        near.send(bytes(500_000))
        far.send(bytes(500_000))
    for turn in range(50):
        net.pump()
        for near, far in pairs:
            for end in (near, far):
                piece = end.take() if turn < 45 else b""
                end.consumed(len(piece), net.clock.now_s)
    circuits[0].close(Reason.DONE)
    net.hosts[2].relays[1].end(Reason.RESOURCES)
    net.hosts[1].relays[2].end(Reason.RESOURCES)
    net.hosts[0].relays[3].end(Reason.RESOURCES)
    pairs[4][0].reset(Reason.DONE)
    net.pump()
    assert sum(circuit.closed is None for circuit in circuits) == 2
    net.wires[1].lose()
    net.pump()
    wire.lose()
    net.pump()
    for host in net.hosts:
        assert host.relays == []
        assert host.grants.used == 0
    assert net.client_grants.used == 0
    assert all(circuit.closed is not None for circuit in circuits)
    for near, far in pairs:
        near.take()
        far.take()
    assert [budget.used for budget in (net.budget, *(host.budget for host in net.hosts))] == [0] * 4


def test_a_lost_link_ends_its_circuits_and_opens_none() -> None:
    here, there, circuits = quiet_pair()
    ours = [Quiet() for _ in range(3)]
    for circuit in ours:
        opened(here, circuit)
    carry(here, there)
    for link in (here, there):
        link.lost(Reason.LINK_LOST)
        assert (link.legs, link.grants.used, link.pending) == (0, 0, False)
        assert link.open(Quiet()) is None
    assert [circuit.ended for circuit in (*ours, *circuits)] == [Reason.LINK_LOST] * 6


# -- whose turn it is -----------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [2, 3, 7])
def test_busy_circuits_share_a_link_alike(count: int) -> None:
    here, _, _ = quiet_pair()
    legs = [opened(here, Quiet(10_000)) for _ in range(count)]
    for leg in legs:
        leg.credit = CREDIT_CAP
    sent: Counter[int] = Counter()
    for _ in range(30):
        pull(here)
        sent = Counter({leg.ident: CREDIT_CAP - leg.credit for leg in legs})
        assert max(sent.values()) - min(sent.values()) <= TURN_MOST
    assert sum(sent.values()) == 30 * 64 - count


@pytest.mark.parametrize("busy", [1, 5, 20])
def test_a_new_cell_waits_for_one_turn_of_each_other_at_most(busy: int) -> None:
    here, _, _ = quiet_pair()
    for leg in [opened(here, Quiet(100_000)) for _ in range(busy)]:
        leg.credit = CREDIT_CAP
    pull(here, blocks=3 * busy * TURN_MOST)
    late = Quiet(1)
    late.begun = True
    leg = opened(here, late)
    pull(here, blocks=busy * TURN_MOST + 1)
    assert late.say == 0
    assert leg.credit == FIRST_CREDIT - 1


def test_one_circuit_with_many_conveyors_gets_no_more_than_another() -> None:
    net = Net([TOY])
    wire = net.chain()
    greedy, modest = net.circuit(wire), net.circuit(wire)
    many = [net.converse(greedy) for _ in range(10)]
    one = net.converse(modest)
    wire.back.room = 4 * BLOCK_SIZE
    ends = [*many, one]
    for _ in range(1500):
        for near, far in ends:
            if far.waiting < 100_000:
                far.send(bytes(100_000))
            wire.move(net.clock)
            near.consumed(len(near.take()), net.clock.now_s)
    share = modest.last.mux.got / (modest.last.mux.got + greedy.last.mux.got)
    assert 0.45 < share < 0.55


def test_credit_comes_back_while_another_circuit_fills_the_link() -> None:
    """One downloads as fast as the link goes, the other uploads: neither stands still."""
    net = Net([TOY])
    wire = net.chain()
    loads, uploads = net.circuit(wire), net.circuit(wire)
    down, up = net.converse(loads), net.converse(uploads)
    moved = []
    for turn in range(500):
        while down[1].waiting < MIB:
            down[1].send(bytes(MIB))
        if turn >= 250 and up[0].waiting < MIB:
            up[0].send(bytes(MIB))
        wire.move(net.clock)
        for end in (down[0], up[1]):
            end.consumed(len(end.take()), net.clock.now_s)
        moved.append((loads.last.mux.got, net.hosts[0].relays[1].mux.got))
    window = next(iter(wire.near._legs.values())).window
    assert window > 64
    for before, after in ((300, 400), (400, 499)):
        assert moved[after][0] - moved[before][0] > 5 * MIB
        assert moved[after][1] - moved[before][1] > 5 * MIB


# -- floods ---------------------------------------------------------------------------------------------
def test_a_thousand_pings_are_one_answer() -> None:
    _, _, peer = one_node()
    for number in range(1000):
        peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PING, number))
    cells = peer.read()
    assert [cell.body[: TOKEN.size] for cell in cells] == [TOKEN.pack(LinkMessage.PONG, 999)]


def test_an_answer_that_was_not_asked_for_tells_no_round_trip() -> None:
    net, _, peer = one_node()
    net.clock.pass_s(10_000)
    for token in (0, 1, 2**64 - 1):
        peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, token))
    assert peer.link.round_trip_s == 0
    peer.link.ping(net.clock.now_s)
    net.clock.pass_s(0.25)
    token = TOKEN.unpack_from(peer.read()[0].body)[1]
    peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, token))
    assert peer.link.round_trip_s == pytest.approx(0.25)


def test_refusals_that_nobody_reads_end_the_link_and_are_bounded() -> None:
    _, host, peer = one_node()
    for number in range(URGENT_CAP + 100):
        assert peer.link.failure == "" or number > URGENT_CAP
        peer.write(2 * number + 1, Command.SETUP, b"garbage")
    assert peer.link.failure
    assert len(peer.link._urgent) <= URGENT_CAP
    assert (host.grants.used, host.relays) == (0, [])


def test_circuits_that_come_and_go_leave_nothing_at_a_link_that_nobody_reads() -> None:
    _, host, peer = one_node()
    content = [setup_for(host) for _ in range(300)]
    for number, setup in enumerate(content):
        peer.write(2 * number + 1, Command.SETUP, setup)
        peer.write(2 * number + 1, Command.DESTROY)
    link = peer.link
    assert (link.legs, host.grants.used, host.relays) == (0, 0, [])
    assert max(len(link._round), len(link._returns), len(link._urgent), len(link._fresh)) < 10


def test_ending_many_circuits_at_once_costs_no_honest_lane() -> None:
    here, there, circuits = quiet_pair(grants=(Budget(1 << 30), Budget(1 << 30)))
    legs = [opened(here, Quiet()) for _ in range(URGENT_CAP + 500)]
    while carry(here, there):
        pass
    for leg in legs:
        leg.destroy(Reason.GENERIC)
    assert here.failure == ""
    while carry(here, there):
        pass
    assert len(circuits) == len(legs)
    assert {circuit.ended for circuit in circuits} == {Reason.GENERIC}


@pytest.mark.parametrize("hop", [0, 1, 2])
def test_an_unusable_ratchet_key_costs_its_circuit_and_no_link(hop: int) -> None:
    net = Net()
    wire = net.chain()
    other = net.circuit(wire)
    net.pump()
    keys = [TOY.generate() for _ in range(3)]
    keys[hop] = KemKey(keys[hop].private, bytes(32))
    circuit = net.circuit(wire, ratchet_keys=keys)
    net.pump()
    assert [w.error for w in net.wires] == [None] * 3
    assert circuit.closed is not None
    assert other.closed is None
    net.converse(other)


@pytest.mark.parametrize("hop", [0, 1, 2])
def test_an_unusable_answer_costs_its_circuit_and_no_link(hop: int) -> None:
    net = Net()
    wire = net.chain()
    other = net.circuit(wire)
    net.pump()
    true = net.hosts[hop].suite

    class Spoils(type(TOY)):  # type: ignore[misc]
        def generate(self) -> KemKey:
            return KemKey(super().generate().private, bytes(32))

    circuit = net.circuit(wire)
    net.hosts[hop].suite = true
    own = net.hosts[hop].find

    def find(name: str, slot: int) -> object:
        found = own(name, slot)
        if found is None:
            return None
        import dataclasses

        return dataclasses.replace(found, suite=Spoils())

    net.hosts[hop].find = find  # type: ignore[method-assign,assignment]
    net.pump()
    assert [w.error for w in net.wires] == [None] * 3
    assert circuit.closed is not None
    assert other.closed is None
    net.converse(other)


# -- quotas ---------------------------------------------------------------------------------------------
@settings(max_examples=100)
@given(
    rate=st.floats(0.1, 100),
    burst=st.floats(1, 50),
    waits=st.lists(st.floats(0, 3), min_size=1, max_size=100),
)
def test_a_bucket_gives_no_more_than_its_rate_and_burst(
    rate: float, burst: float, waits: list[float]
) -> None:
    bucket, now_s, taken = TokenBucket(rate, burst), 100.0, 0
    for wait_s in waits:
        now_s += wait_s
        taken += bucket.take(now_s)
        assert taken <= burst + rate * sum(waits) + 1e-6
    assert bucket.take(now_s + 1 + 1 / rate)


def test_a_bucket_saves_up_no_more_than_its_burst() -> None:
    bucket = TokenBucket(10, 5)
    assert [bucket.take(1.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(1_000_000.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.take(1_000_000.25) for _ in range(3)] == [True] * 2 + [False]


@given(st.lists(st.tuples(st.sampled_from(["take", "spare"]), st.integers(0, 60)), max_size=50))
def test_a_budget_is_never_overdrawn_and_growth_leaves_half(moves: list[tuple[str, int]]) -> None:
    budget, held = Budget(100), []
    for kind, amount in moves:
        before = budget.used
        took = budget.take(amount) if kind == "take" else budget.take_spare(amount)
        fits = before + amount <= (100 if kind == "take" else 50)
        assert took == fits
        held += [amount] * took
        assert budget.used == sum(held) <= 100
        assert budget.left == 100 - budget.used
    for amount in held:
        budget.give(amount)
    assert budget.used == 0


def test_setup_content_is_what_a_setup_cell_begins_with() -> None:
    net = Net([TOY])
    peer = called_forger(net)
    circuit = Circuit(network(), [net.hosts[0].public], [TOY.generate()], net.budget, net.clock.wall_s)
    leg = peer.link.open(circuit)
    assert leg is not None
    content = circuit._setup
    circuit.begin(leg)
    cell = peer.read()[0]
    assert (cell.ident, cell.command) == (1, Command.SETUP)
    assert cell.body == content + bytes(BODY_SIZE - SETUP_SIZE)
