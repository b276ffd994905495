"""A link's two ends: blocks, headers, ids, and what a hostile peer can cost whom."""

from __future__ import annotations

import os

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
from port17.wire.control_cells import RECENT, URGENT_CAP
from port17.wire.handshake import Initiator, respond
from port17.wire.leg import FIRST_CREDIT, Leg
from port17.wire.link import Link
from port17.wire.message import TOKEN, LinkMessage
from port17.wire.quota import Budget
from port17.wire.reasons import Reason
from port17.wire.suite import KemKey

from .wire_forger import called_forger, forger
from .wire_network import Net, network, pull, verify
from .wire_quiet import Client, Quiet, carry, one_node, opened, quiet_pair, setup_for
from .wire_suites import SUITES, TOY


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
    sending, receiving = here.keys.send, there.keys.receive
    assert receiving is not None
    for chain in (sending, receiving):
        chain.cells_per_step = chain.left = 5
    carry(here, there)
    assert sending.steps == receiving.steps == 4
    assert len(circuits[0].got) == 20


class Ending(Quiet):
    """Cannot be answered any more, which shows only when it is its turn."""

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        raise PeerViolation("the peer's key is unusable")


def test_what_a_round_gives_rise_to_goes_out_with_it() -> None:
    here, there, circuits = quiet_pair()
    ended, idle = opened(here, Quiet(1)), opened(here, Quiet(1))
    carry(here, there)
    ended.circuit = Ending()
    idle.drained(idle.window // 2)
    ended.wake()
    idle.wake()
    assert carry(here, there) == 2
    assert circuits[0].ended is Reason.PROTOCOL
    assert not here.pending


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
        grants=host.grants,
        wake=lambda: None,
        on_setup=host.setup,
    )
    far.expect_final(there.session)
    far.receive(early, 0.0)
    assert host.conveyors[0].take() == b"early"
    here = dial.finish(flight, verify)
    near.confirm(here.session, 0.0)
    carry(near, far)
    carry(far, near)
    assert far.keys.receive is there.session.forward
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
    assert peer.link.control.round_trip_s == 0
    peer.link.control.ping(net.clock.now_s)
    net.clock.pass_s(0.25)
    token = TOKEN.unpack_from(peer.read()[0].body)[1]
    peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, token))
    assert peer.link.control.round_trip_s == pytest.approx(0.25)


def test_round_trips_of_late_follow_the_line_and_nobody_answers_before_he_is_asked() -> None:
    net, _, peer = one_node()

    def ping(takes_s: float) -> None:
        peer.link.control.ping(net.clock.now_s)
        net.clock.pass_s(takes_s)
        token = TOKEN.unpack_from(peer.read()[0].body)[1]
        for pong in (token, token):  # of which the second answers nothing any more
            peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, pong))

    for takes_s in (0.5, 0.25, 0.75):
        ping(takes_s)
    assert peer.link.control.recent_round_trip_s == pytest.approx(0.25)
    for _ in range(RECENT):
        ping(1.5)
    assert peer.link.control.recent_round_trip_s == pytest.approx(1.5)
    assert peer.link.control.round_trip_s == pytest.approx(0.25)
    peer.link.control.ping(net.clock.now_s)
    sent_us = int(net.clock.now_s * 1e6)
    for guess in range(sent_us - 100, sent_us + 100):  # what the token once was made of
        peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, guess))
    assert peer.link.control.recent_round_trip_s == pytest.approx(1.5)


def test_refusals_that_nobody_reads_end_the_link_and_are_bounded() -> None:
    _, host, peer = one_node()
    for number in range(URGENT_CAP + 100):
        assert peer.link.failure == "" or number > URGENT_CAP
        peer.write(2 * number + 1, Command.SETUP, b"garbage")
    assert peer.link.failure
    assert len(peer.link.control) <= URGENT_CAP
    assert (host.grants.used, host.relays) == (0, [])


def test_circuits_that_come_and_go_leave_nothing_at_a_link_that_nobody_reads() -> None:
    _, host, peer = one_node()
    content = [setup_for(host) for _ in range(300)]
    for number, setup in enumerate(content):
        peer.write(2 * number + 1, Command.SETUP, setup)
        peer.write(2 * number + 1, Command.DESTROY)
    link = peer.link
    assert (link.legs, host.grants.used, host.relays) == (0, 0, [])
    assert max(len(link._round), len(link._returns), len(link.control), len(link._fresh)) < 10


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
