"""A circuit at its nodes: when it may grow, what a node says of its next hop, and what ends it."""

from __future__ import annotations

import pytest

from port17.errors import PeerViolation
from port17.wire.block import MAX_HOPS, SETUP_SIZE, Command
from port17.wire.circuit import EARLY_LEAST
from port17.wire.frame import Frame, encode, encode_operation
from port17.wire.handshake import FINGERPRINT_SIZE
from port17.wire.leg import FIRST_CREDIT
from port17.wire.reasons import Reason
from port17.wire.relay import EARLY_CAP, HOP_TRIES
from port17.wire.setup import make

from .wire_bench import Bench
from .wire_network import Host, Net, network
from .wire_suites import TOY


def hop_to(bench: Bench, host: Host, ident: int, *, spoil: bytes = b"") -> bytes:
    """A payload that extends the circuit to a node."""
    content, _ = make(network(), host.public, TOY.generate(), bench.clock.wall_s)
    return encode(ident, Frame.OPEN, encode_operation("HOP", host.fingerprint + content) + spoil)


def alone(*others: int) -> tuple[Bench, list[Host]]:
    """A circuit of one hop, which has lanes to some nodes that the circuit does not know of."""
    bench = Bench([TOY])
    bench.settle()
    return bench, [Host(number, TOY, bench.clock) for number in others]


def refused(bench: Bench, conveyor: int) -> Reason | None:
    """Read what the hop says, and with what reason it refuses a conveyor of ours."""
    found: list[Reason] = []
    head = encode(conveyor, Frame.RESET, b"\0\0")
    link = bench.edges[0].near_link
    while (cell := bench.take(0, False)) is not None:
        link.body[:] = cell[1]
        _, payload = bench.circuit._onion.open(link.body)
        if bytes(payload[: len(head) - 2]) == head[:-2]:
            found.append(Reason(int.from_bytes(payload[len(head) - 2 : len(head)], "big")))
    return found[-1] if found else None


# -- the client's flight ----------------------------------------------------------------------------------
@pytest.mark.parametrize("count", range(1, MAX_HOPS + 1))
@pytest.mark.parametrize("room", [1, 2, 64])
def test_a_circuit_stands_after_one_flight_each_way(count: int, room: int) -> None:
    """However few blocks the ship takes at once, and so whatever is answered in the midst of it."""
    for _ in range(8):
        net = Net([TOY] * count)
        wire = net.chain()
        wire.there.room = room * 4096
        circuit = net.circuit(wire)
        near, far = net.converse(circuit, data=b"first data")
        assert circuit.closed is None
        assert far.take() == b"first data"
        assert near.accepted
        assert all(hop.confirmed for hop in circuit.hops)


@pytest.mark.parametrize("count", range(1, MAX_HOPS + 1))
def test_the_whole_flight_leaves_before_any_answer(count: int) -> None:
    bench = Bench([TOY] * count)
    conveyor = bench.circuit.last.mux.open("TUNNEL", b"", 0.0)
    conveyor.send(b"first data")
    for edge in range(count):
        while bench.carry(edge, True):
            pass
    assert bench.hosts[-1].conveyors[0].take() == b"first data"
    assert not any(hop.confirmed for hop in bench.circuit.hops)


def test_how_many_cells_are_marked_early_tells_no_length() -> None:
    seen: dict[int, set[int]] = {}
    for count in range(1, MAX_HOPS + 1):
        for _ in range(60):
            bench = Bench([TOY] * count)
            bench.circuit.last.mux.open("TUNNEL", b"", 0.0).send(bytes(40_000))
            commands = []
            while (cell := bench.take(0, True)) is not None and len(commands) < 13:
                commands.append(cell[0])
            early = commands.count(Command.EARLY)
            assert commands == [
                Command.SETUP,
                *[Command.EARLY] * early,
                *[Command.RELAY] * (len(commands) - early - 1),
            ]
            seen.setdefault(count, set()).add(early)
    assert all(counts == set(range(EARLY_LEAST, EARLY_CAP + 1)) for counts in seen.values())


def test_a_relay_passes_the_mark_on() -> None:
    bench = Bench([TOY] * 3)
    bench.circuit.last.mux.open("TUNNEL", b"", 0.0).send(bytes(60_000))
    commands: list[int] = []
    while (cell := bench.take(0, True)) is not None:
        bench.give(0, True, *cell)
    while (cell := bench.take(1, True)) is not None:
        commands.append(cell[0])
        bench.give(1, True, *cell)
    assert commands[0] == Command.SETUP
    assert EARLY_LEAST - 1 <= commands.count(Command.EARLY) <= EARLY_CAP - 1
    assert commands.count(Command.RELAY) > 3


# -- HOP ------------------------------------------------------------------------------------------------
def test_a_hop_is_obeyed_in_early_cells_alone() -> None:
    bench, (host,) = alone(5)
    bench.hosts[0].lanes[host.fingerprint] = bench.edges[0].near_link  # type: ignore[assignment]
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.RELAY, bench.say(0, hop_to(bench, host, 1))[1])
    assert bench.relays[0].next is None


def test_the_ninth_early_cell_ends_the_circuit() -> None:
    bench, _ = alone()
    used = bench.relays[0]._early
    for _ in range(EARLY_CAP - used):
        bench.give(0, True, Command.EARLY, bench.say(0, b"")[1])
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, b"")[1])


def test_the_ninth_early_cell_ends_it_also_on_its_way_onward() -> None:
    bench = Bench([TOY] * 2)
    bench.settle()
    with pytest.raises(PeerViolation):
        for _ in range(EARLY_CAP + 1):
            bench.give(0, True, Command.EARLY, bench.say(1, b"")[1])
    assert len(bench.relays[0]._onward) < EARLY_CAP


def test_a_hop_while_extended_ends_the_circuit() -> None:
    bench = Bench([TOY] * 2)
    bench.settle()
    third = Host(5, TOY, bench.clock)
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, third, 9))[1])


@pytest.mark.parametrize("size", [0, 1, FINGERPRINT_SIZE, FINGERPRINT_SIZE + SETUP_SIZE - 1])
def test_a_hop_of_another_size_ends_the_circuit(size: int) -> None:
    bench, _ = alone()
    payload = encode(1, Frame.OPEN, encode_operation("HOP", bytes(size)))
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, payload)[1])
    bench, (host,) = alone(5)
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, host, 1, spoil=b"x"))[1])


def test_after_a_refused_hop_cells_are_counted_and_dropped_until_another() -> None:
    bench, (host, *strangers) = alone(5, 6, 7)
    relay = bench.relays[0]
    relay._early = 0
    bench.hosts[0].lanes[host.fingerprint] = bench.edges[0].near_link  # type: ignore[assignment]
    # Before any HOP, what is for nobody ends the circuit: see the onion's tests.
    for ident, stranger in enumerate(strangers, 1):
        bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, stranger, ident))[1])
        assert refused(bench, ident) == Reason.NO_LANE
        before, owed = relay.dropped, bench.edges[0].far.owed  # type: ignore[union-attr]
        for _ in range(5):
            bench.give(0, True, Command.RELAY, passed_on(bench))
        assert relay.dropped == before + 5
        assert bench.edges[0].far.owed == owed + 5  # type: ignore[union-attr]
    bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, host, 3))[1])
    assert relay.next is not None
    bench.give(0, True, Command.RELAY, passed_on(bench))
    assert relay.dropped == 10
    assert len(relay._onward) == 1


def passed_on(bench: Bench) -> bytes:
    """A cell that the only hop is to pass on."""
    layer = bytearray(4056)
    body = bytearray(4072)
    bench.circuit.hops[0].session.forward.seal(layer, body)
    return bytes(body)


def test_a_node_tries_three_hops_of_one_circuit() -> None:
    bench, strangers = alone(5, 6, 7, 8)
    relay = bench.relays[0]
    relay._early = 0
    for ident in range(1, HOP_TRIES + 1):
        bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, strangers[ident - 1], ident))[1])
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, hop_to(bench, strangers[3], 4))[1])


def test_a_hop_conveyor_takes_no_data_and_holds_no_window() -> None:
    bench = Bench([TOY] * 2)
    bench.settle()
    assert [host.budget.used for host in bench.hosts] == [0, 0]
    assert bench.budget.used == 0
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.RELAY, bench.say(0, encode(1, Frame.DATA, b"x"))[1])


def test_a_node_that_has_no_grant_left_says_so() -> None:
    net = Net([TOY] * 2)
    wire = net.chain()
    net.pump()
    lane = net.wires[0]
    host = net.hosts[0]
    assert host.grants.take(host.grants.left - FIRST_CREDIT)
    circuit = net.circuit(wire)
    net.pump()
    assert circuit.closed == Reason.RESOURCES
    assert circuit.lost_edge == 0
    assert (lane.near.legs, lane.error) == (0, None)


def test_a_next_hop_without_a_lane_is_reported_as_that() -> None:
    net = Net([TOY] * 3)
    wire = net.chain()
    net.pump()
    net.hosts[1].lanes.clear()
    circuit = net.circuit(wire)
    net.pump()
    assert circuit.closed == Reason.NO_LANE
    assert circuit.lost_edge == 1
    # The circuit went with it, everywhere.
    assert all(host.relays == [] for host in net.hosts)
    assert all(host.grants.used == 0 for host in net.hosts)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_lane_is_reported_by_the_hop_before_it(lost: int) -> None:
    net = Net([TOY] * 3)
    wire = net.chain()
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    near.send(bytes(30_000))
    net.wires[lost].lose()
    net.pump()
    assert circuit.closed == Reason.NEXT_HOP_LOST
    assert circuit.lost_edge == lost
    assert near.reset_reason == Reason.NEXT_HOP_LOST
    assert far.reset_reason is not None
    assert all(host.relays == [] for host in net.hosts)


def test_the_clients_own_link_lost_is_told_apart() -> None:
    net = Net([TOY] * 3)
    wire = net.chain()
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    wire.lose()
    net.pump()
    assert circuit.closed == Reason.LINK_LOST
    assert circuit.lost_edge is None
    assert far.reset_reason is not None
    assert near.reset_reason == Reason.LINK_LOST


@pytest.mark.parametrize("reason", [Reason.DONE, Reason.POLICY, Reason.PROTOCOL])
def test_a_relayed_destroy_says_nothing_more(reason: Reason) -> None:
    net = Net([TOY] * 3)
    wire = net.chain()
    circuit = net.circuit(wire)
    _, far = net.converse(circuit)
    told: list[Reason] = []
    relay = net.hosts[2].relays[0]
    destroyed = relay.destroyed
    relay.destroyed = lambda leg, why: (told.append(why), destroyed(leg, why))  # type: ignore[method-assign,assignment,func-returns-value]
    circuit.close(reason)
    net.pump()
    assert told == [Reason.GENERIC]
    assert far.reset_reason == Reason.GENERIC


@pytest.mark.parametrize("hop", [0, 1, 2])
def test_a_circuit_that_a_node_ends_is_over_everywhere(hop: int) -> None:
    net = Net([TOY] * 3)
    wire = net.chain()
    circuit, other = net.circuit(wire), net.circuit(wire)
    net.pump()
    net.hosts[hop].relays[0].end(Reason.RESOURCES)
    net.pump()
    assert circuit.closed == (Reason.RESOURCES if hop == 0 else Reason.NEXT_HOP_LOST)
    assert circuit.lost_edge == (None if hop == 0 else hop - 1)
    assert other.closed is None
    assert [len(host.relays) for host in net.hosts] == [1, 1, 1]
    net.converse(other)


def test_backward_cells_are_never_early() -> None:
    bench = Bench([TOY] * 2)
    bench.converse(1)
    for edge, hop in ((0, 0), (1, 1)):
        _, body = bench.answer(hop, b"")
        with pytest.raises(PeerViolation):
            bench.give(edge, False, Command.EARLY, body)


def test_a_frame_for_another_hops_conveyor_ends_the_circuit() -> None:
    bench = Bench([TOY] * 3)
    bench.settle()
    mux = bench.circuit.hops[2].mux
    for _ in range(3):
        mux.open("TEST", b"", 0.0)
    bench.settle()
    with pytest.raises(PeerViolation):
        bench.give(0, False, *bench.answer(0, encode(3, Frame.DATA, b"not yours to say")))
    assert not any(conveyor.received for conveyor in mux.conveyors.values())


def test_cells_of_a_lost_next_hop_are_credited_to_nobody() -> None:
    """The new next hop must not be granted what the old one sent."""
    net = Net([TOY] * 3)
    wire = net.chain(room=4 * 4096)
    circuit = net.circuit(wire)
    _, far = net.converse(circuit)
    wire.back.stopped = True
    far.send(bytes(400_000))
    net.pump()
    relay = net.hosts[0].relays[0]
    waiting = len(relay._homeward)
    assert waiting > 5
    net.wires[0].lose()
    stand_in = Host(9, TOY, net.clock)
    net.call(stand_in, net.hosts[0])
    relay.next = net.hosts[0].lanes[stand_in.fingerprint].open(relay)
    assert relay.next is not None
    wire.back.stopped = False
    circuit.closed = Reason.DONE  # its conveyors end; the cells still come
    net.pump()
    assert relay._homeward == type(relay._homeward)()
    assert relay.next.owed == 0
    assert relay.next.allowance == relay.next.window


def test_credit_for_cells_that_lost_their_next_hop_comes_back() -> None:
    bench = Bench([TOY] * 2)
    near, _ = bench.converse(1)
    near.send(bytes(20_000))
    while bench.carry(0, True):
        pass
    relay = bench.relays[0]
    waiting, owed = len(relay._onward), bench.edges[0].far.owed  # type: ignore[union-attr]
    assert waiting > 3
    assert relay.next is not None
    relay.destroyed(relay.next, Reason.LINK_LOST)
    assert bench.edges[0].far.owed == owed + waiting  # type: ignore[union-attr]
    # What comes yet is counted and dropped.
    bench.give(0, True, Command.RELAY, passed_on(bench))
    assert relay.dropped == 1


def test_what_waits_longest_is_known_for_each_direction() -> None:
    net = Net([TOY] * 2)
    wire = net.chain(room=4 * 4096)
    circuit = net.circuit(wire)
    near, far = net.converse(circuit)
    relay = net.hosts[0].relays[0]
    assert relay.waiting_since() is None
    net.wires[0].there.stopped = True
    near.send(bytes(100_000))
    net.pump()
    stuck_s = relay.waiting_since()
    assert stuck_s is not None
    for _ in range(5):
        net.clock.pass_s(1)
        far.send(bytes(4000))
        net.pump()
        assert near.take()
        assert relay.waiting_since() == stuck_s


def test_a_circuit_over_one_link_there_and_back_ends_with_it() -> None:
    """A route may come back over the lane that it went by; a lost lane then ends both of its legs."""
    net = Net([TOY] * 2)
    wire = net.chain()
    one, two = net.hosts
    circuit = net.circuit(wire, [one, two, one, two])
    net.converse(circuit)
    assert net.wires[0].near.legs == 3
    net.wires[0].lose()
    net.pump()
    assert circuit.closed == Reason.NEXT_HOP_LOST
    assert one.relays == two.relays == []
    assert one.grants.used == two.grants.used == 0


# -- rings ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("both", [False, True], ids=["one way round", "both ways round"])
def test_full_buffers_in_a_ring_of_honest_relays_make_progress(both: bool) -> None:
    """Pipes small and full: were a ship left unread for a circuit's sake, all would stand still."""
    net = Net([TOY] * 3)
    room = 16 * 4096
    one, two, three = net.hosts
    for caller, host in ((one, two), (two, three), (three, one)):
        net.call(host, caller, room)
    around = {one: [one, two, three], two: [two, three, one], three: [three, one, two]}
    streams = []
    for entry, route in around.items():
        wire = net.call(entry, None, room)
        for way in (route, [route[0], route[2], route[1]]) if both else (route,):
            for _ in range(3):
                circuit = net.circuit(wire, way)
                before = len(way[-1].conveyors)
                near = circuit.last.mux.open("TEST", b"", net.clock.now_s)
                net.pump()
                assert len(way[-1].conveyors) == before + 1
                streams.append((near, way[-1].conveyors[-1]))
    total = 200_000
    for near, far in streams:
        near.send(bytes(total))
        far.send(bytes(total))
    got = [0] * (2 * len(streams))
    for turn in range(2000):
        for wire in net.wires:
            wire.move(net.clock)
        if turn % 50 == 0:
            # Readers are far slower than the links, so that everything stands full meanwhile.
            for index, pair in enumerate(streams):
                for side, end in enumerate(pair):
                    piece = end.take()
                    end.consumed(len(piece), net.clock.now_s)
                    got[2 * index + side] += len(piece)
    assert [wire.error for wire in net.wires] == [None] * len(net.wires)
    assert got == [total] * len(got)
