"""Peers with all the right keys that send whatever they like: it costs them a circuit or their link."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import PeerViolation
from port17.wire.block import BODY_SIZE, PAYLOAD_SIZE, Command
from port17.wire.circuit import Circuit
from port17.wire.conveyor import Conveyor
from port17.wire.frame import FRAME_HEAD, Frame, encode, encode_operation
from port17.wire.leg import FIRST_CREDIT
from port17.wire.ratchet import RatchetFrame
from port17.wire.reasons import Reason
from port17.wire.setup import make

from .ratchet_thief import copied
from .wire_forger import Cell, Forger, called_forger, forger
from .wire_network import Host, Net, network
from .wire_suites import TOY

garbage = st.binary(max_size=60)
frame = st.one_of(
    st.builds(
        lambda ident, kind, data: FRAME_HEAD.pack(ident, kind, len(data)) + data,
        st.integers(0, 4),
        st.integers(0, 9),
        garbage,
    ),
    st.builds(
        lambda ident, name, data: encode(ident, Frame.OPEN, encode_operation(name, data)),
        st.integers(0, 6),
        st.sampled_from(["HOP", "TEST", "", "NOBODY"]),
        garbage,
    ),
    st.builds(
        lambda kind, epoch, one, two: encode(0, Frame.RATCHET, RatchetFrame(kind, epoch, one, two).encode()),
        st.integers(0, 2),
        st.integers(0, 3),
        st.binary(min_size=32, max_size=32),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(lambda size: encode(1, Frame.DATA, bytes(size)), st.integers(1, 3000)),
    garbage,
)
payload = st.lists(frame, max_size=5).map(lambda frames: b"".join(frames)[:PAYLOAD_SIZE])
flags = st.sampled_from([1, 1, 1, 0, 2])
commands = st.sampled_from([Command.RELAY, Command.RELAY, Command.EARLY])


class Node:
    """A node between a hostile client and an honest neighbour, with an honest client beside."""

    def __init__(self) -> None:
        self.net = Net([TOY, TOY])
        self.wire = self.net.chain()
        self.host, self.next = self.net.hosts
        self.host.on_operation = self._operate
        self.peer = forger(self.host)
        self.circuits: dict[int, Circuit] = {}
        self.sent = 0
        self.ident = -1
        self.honest = self.net.circuit(self.wire)
        self.near, self.far = self.net.converse(self.honest)

    def _operate(self, conveyor: Conveyor, name: str, data: bytes) -> None:
        if name == "NOBODY":
            conveyor.reset(Reason.UNKNOWN_OPERATION)
        else:
            conveyor.accept(data)

    def write(self, ident: int, command: int, body: bytes = b"", **header: Any) -> None:
        self.sent += 1
        self.peer.write(ident, command, body, **header)

    def set_up(self) -> None:
        self.ident += 2
        self.circuits[self.ident] = Circuit(
            network(), [self.host.public], [TOY.generate()], self.net.budget, self.net.clock.wall_s
        )
        self.write(self.ident, Command.SETUP, self.circuits[self.ident]._setup)

    def relay(self, place: int, command: int, payload: bytes, flag: int) -> None:
        if not self.circuits:
            return
        ident = list(self.circuits)[place % len(self.circuits)]
        onion = self.circuits[ident]._onion
        onion.payload[:] = payload.ljust(PAYLOAD_SIZE, b"\0")
        onion._layer[-1] = flag
        body = bytearray(BODY_SIZE)
        onion.seal(0, memoryview(body))
        self.write(ident, command, bytes(body))

    def hop(self, place: int, data: bytes, good: bool) -> None:
        content, _ = make(network(), self.next.public, TOY.generate(), self.net.clock.wall_s)
        setup = content if good else (data + content)[: len(content)]
        operation = encode_operation("HOP", self.next.fingerprint + setup)
        self.relay(place, Command.EARLY, encode(1 + place, Frame.OPEN, operation), 1)


def held(host: Host) -> tuple[int, int]:
    """Grants and bytes of windows that a node's circuits hold, counted one by one."""
    links = {leg.link for relay in host.relays for leg in (relay.previous, relay.next) if leg is not None}
    grants = sum(leg.window for link in links for leg in link._legs.values())
    return grants, sum(c._window for c in host.conveyors if not c.ended or c.received)


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_a_hostile_client_costs_nobody_but_itself(data: st.DataObject) -> None:
    node = Node()
    node.set_up()
    got = 0
    try:
        for _ in range(data.draw(st.integers(1, 25), label="moves")):
            move = data.draw(st.sampled_from(["setup", "relay", "relay", "relay", "hop", "cell", "read"]))
            place = data.draw(st.integers(0, 3), label="place")
            if move == "setup":
                node.set_up()
            elif move == "relay":
                node.relay(
                    place,
                    data.draw(commands),
                    data.draw(payload),
                    data.draw(st.sampled_from([1, 1, 1, 0, 2])),
                )
            elif move == "hop":
                node.hop(place, data.draw(garbage), data.draw(st.booleans()))
            elif move == "cell":
                node.write(
                    data.draw(st.integers(0, 8)),
                    data.draw(st.integers(0, 6)),
                    data.draw(garbage),
                    credit=data.draw(st.sampled_from([0, 1, 65_535])),
                )
                node.ident = max(node.ident, node.peer.link._peer_id | 1)
            else:
                got += len(node.peer.read())
            node.net.pump()
    except PeerViolation:
        node.peer.link.lost(Reason.LINK_LOST)
    else:
        got += len(node.peer.read(256))
    # What comes out is of the size of what went in.
    assert got <= 3 * node.sent + 5
    node.net.pump()
    assert [wire.error for wire in node.net.wires] == [None, None]
    assert held(node.host) == (node.host.grants.used, node.host.budget.used)
    # Nobody else has noticed.
    node.near.send(b"still here")
    node.net.pump()
    assert node.far.take() == b"still here"
    node.peer.link.lost(Reason.LINK_LOST)
    node.net.pump()
    for conveyor in node.host.conveyors:
        conveyor.take()
    assert len(node.host.relays) == len(node.next.relays) == 1
    assert node.host.grants.used == 2 * FIRST_CREDIT
    assert node.host.budget.used == 0


@settings(deadline=None, max_examples=120)
@given(st.data())
def test_a_hostile_node_costs_a_client_its_circuit_or_its_link(data: st.DataObject) -> None:
    """The client's entry is hostile, has honest keys, and answers as it likes from every hop."""
    net = Net([TOY] * 2)
    peer = called_forger(net)
    wire = net.call(net.hosts[0])
    honest = net.circuit(wire, net.hosts[:1])
    near, far = net.converse(honest)
    circuits = []
    for _ in range(2):
        circuit = Circuit(
            network(),
            [host.public for host in net.hosts],
            [TOY.generate() for _ in net.hosts],
            net.budget,
            net.clock.wall_s,
        )
        leg = peer.link.open(circuit)
        assert leg is not None
        circuit.begin(leg)
        conveyor = circuit.last.mux.open("TEST", b"", 0.0)
        conveyor.send(b"x" * 5000)
        circuits.append(circuit)
    ends = [_take_in(net, circuit) for circuit in circuits]
    cells: list[Cell] = peer.read()
    try:
        for _ in range(data.draw(st.integers(1, 25), label="moves")):
            place = data.draw(st.integers(0, 1))
            move = data.draw(st.sampled_from(["say", "say", "say", "cell", "read"]))
            if move == "say":
                body = _say(ends[place], data.draw(st.integers(0, 1)), data.draw(payload))
                peer.write(2 * place + 1, data.draw(commands), body)
            elif move == "cell":
                peer.write(
                    data.draw(st.integers(0, 6)),
                    data.draw(st.integers(0, 6)),
                    data.draw(garbage),
                    credit=data.draw(st.sampled_from([0, 1, 65_535])),
                )
            else:
                cells += peer.read()
            net.pump()
    except PeerViolation:
        peer.link.lost(Reason.LINK_LOST)
    near.send(b"still here")
    net.pump()
    assert far.take() == b"still here"
    assert wire.error is None
    assert honest.closed is None
    peer.link.lost(Reason.LINK_LOST)
    assert all(circuit.closed is not None for circuit in circuits)
    for circuit in circuits:
        for hop in circuit.hops:
            assert not hop.mux.pending


def _take_in(net: Net, circuit: Circuit) -> list[Any]:
    """What the hops of a hostile route know: their sessions' backward chains."""
    return [copied(hop.session.backward) for hop in circuit.hops]


def _say(chains: list[Any], hop: int, payload: bytes) -> bytes:
    """What a hop says, sealed by every hop on the way to the client."""
    layer = bytes(68) + payload.ljust(PAYLOAD_SIZE, b"\0") + b"\1"
    body = bytearray(BODY_SIZE)
    chains[hop].seal(layer, body)
    for index in range(hop - 1, -1, -1):
        passed = bytearray(BODY_SIZE)
        chains[index].seal(bytes(body[17:]) + b"\0", passed)
        body = passed
    return bytes(body)


def test_the_fuzzers_own_sealing_is_right() -> None:
    """Else it would try nothing but forged cells."""
    net = Net([TOY] * 2)
    peer: Forger = called_forger(net)
    circuit = Circuit(
        network(), [h.public for h in net.hosts], [TOY.generate()] * 2, net.budget, net.clock.wall_s
    )
    leg = peer.link.open(circuit)
    assert leg is not None
    circuit.begin(leg)
    conveyor = circuit.last.mux.open("TEST", b"", 0.0)
    chains = _take_in(net, circuit)
    peer.read()
    for hop, data in ((1, encode(1, Frame.ACCEPT, b"yes")), (0, b""), (1, encode(1, Frame.DATA, b"data"))):
        peer.write(1, Command.RELAY, _say(chains, hop, data))
    assert circuit.closed is None
    assert (conveyor.accepted_data, conveyor.take()) == (b"yes", b"data")
