"""The product's client makes a circuit over three of the reference's nodes, each with another suite.

From flight 1 to steps of every session and of the link.
"""

from __future__ import annotations

import itertools
from collections import deque

from interop import (
    CELLS_PER_STEP,
    CIRCUIT,
    MINUTE,
    NETWORK,
    NOW_S,
    WALL_S,
    Identity,
    Side,
    pulled,
    sign,
    verify,
)
from reference import frames, handshake, link, onion, setup
from reference.frames import ACCEPT, DATA, OPEN, SESSION
from reference.link import Cell
from reference.ratchet import REQUEST, RESPONSE, Direction

from port17.wire.circuit import Circuit
from port17.wire.conveyor import nothing
from port17.wire.handshake import Initiator
from port17.wire.link import Link
from port17.wire.pace import StepTerms
from port17.wire.quota import Budget

ROUNDS = 8
"""Conveyors to each hop: enough cells for a step more wherever the jitter puts it."""


class ReferenceNode:
    """A node of the reference's on one circuit. The node behind it is at hand, without a lane between."""

    def __init__(self, index: int) -> None:
        self.identity = Identity(index)
        self.next: ReferenceNode | None = None
        self.behind: dict[bytes, ReferenceNode] = {}
        self.session: Side | None = None
        self.cells_per_step = 0
        self.opened: list[bytes] = []

    def open(self, content: bytes) -> list[bytes]:
        """SETUP came; what goes back."""
        hop = self.identity.hop
        ciphertext = setup.ciphertext_of(hop, content)
        secret = hop.suite.kem.decapsulate(self.identity.seed, ciphertext)
        stamp, peer, self.cells_per_step = setup.open_box(hop, content, secret)
        assert stamp == MINUTE
        ways = setup.directions(hop, ciphertext, secret, content, self.cells_per_step)
        self.session = Side(hop.suite, *ways, peer=peer)
        return [self._answer_step()]

    def _answer_step(self) -> bytes:
        assert self.session is not None
        frame, secret = self.session.frame(RESPONSE)
        body = onion.backward_say(self.session.backward, frames.payload((SESSION, frames.RATCHET, frame)))
        self.session.backward.turn(secret, frame)
        return body

    def take(self, body: bytes) -> list[bytes]:
        """A body came forward; what goes back."""
        assert self.session is not None
        for_us, rest = onion.forward_open(self.session.forward, body)
        if not for_us:
            assert self.next is not None
            return self._pass_on(self.next.take(rest))
        back = []
        for conveyor, kind, data in frames.unpack(rest):
            if kind == frames.RATCHET:
                self.session.epoch += 1
                self.session.take(REQUEST, data)
                back.append(self._answer_step())
            elif kind == OPEN and data.startswith(b"\3HOP"):
                self.next = self.behind[data[4:36]]
                back += self._pass_on(self.next.open(data[36:]))
            elif kind == OPEN:
                self.opened.append(data)
                said = frames.payload((conveyor, ACCEPT, b""), (conveyor, DATA, b"heard"))
                back.append(onion.backward_say(self.session.backward, said))
        return back

    def _pass_on(self, bodies: list[bytes]) -> list[bytes]:
        assert self.session is not None
        return [onion.backward_relay(self.session.backward, body) for body in bodies]


class ReferenceEnd:
    """The reference's end of the product's link."""

    def __init__(self, node: ReferenceNode, flight: bytes) -> None:
        self.node = node
        to = node.identity.responder
        suite = to.suite
        ciphertext = handshake.unmask(to, flight)
        secret = suite.kem.decapsulate(node.identity.seed, ciphertext)
        hello = handshake.open_flight_one(to, flight, secret)
        first = handshake.first(to, hello.revision, ciphertext, hello.ephemeral, b"")
        early = handshake.early_key(suite, first, handshake.key_one(to, ciphertext, secret))
        second_secret, second = suite.kem.encapsulate(hello.ephemeral)
        transcript = handshake.transcript(suite, first, second)
        signature = sign(to.fingerprint, handshake.responder_signs(suite, transcript))
        self.reply = handshake.make_flight_two(suite, 2, early, second, signature)
        self._early: Direction | None = handshake.early_chain(suite, early)
        self.side = Side(suite, *handshake.final_chains(suite, transcript, early, second_secret))
        self.commands: list[int] = []

    def hear(self, block: bytes) -> list[bytes]:
        """A block came; the blocks that answer it."""
        cell = link.open_block(self._early or self.side.forward, block)
        if cell.command in (link.SETUP, link.EARLY, link.RELAY):
            self.commands.append(cell.command)
            back = self.node.open(cell.body[: setup.SIZE]) if cell.command == link.SETUP else None
            bodies = self.node.take(cell.body) if back is None else back
            return [self._send(Cell(CIRCUIT, link.RELAY, 1, body)) for body in bodies]
        if cell.command != link.LINK:
            return []
        if cell.body[0] == link.PING:
            return [self._send(link.pong(int.from_bytes(cell.body[1:9], "big")))]
        if cell.body[0] == link.END_EARLY:
            assert self._early is not None
            self._early = None
            self.side.peer = cell.body[9 : 9 + self.side.suite.kem.public_size]
        else:
            self.side.epoch += 1
            self.side.take(REQUEST, link.ratchet_of(cell))
        frame, secret = self.side.frame(RESPONSE)
        block = self._send(link.ratchet(frame))
        self.side.backward.turn(secret, frame)
        return [block]

    def _send(self, cell: Cell) -> bytes:
        return link.seal_block(self.side.backward, cell)


def test_the_products_client_over_the_references_nodes() -> None:
    nodes = [ReferenceNode(index) for index in range(3)]
    for near, far in itertools.pairwise(nodes):
        near.behind[far.identity.fingerprint] = far
    known = [node.identity.known for node in nodes]
    dial = Initiator(NETWORK, known[0], WALL_S)
    end = ReferenceEnd(nodes[0], dial.flight)
    client = Link(
        initiator=True, send=dial.early, receive=None, grants=Budget(1 << 16), wake=nothing, on_setup=None
    )
    steps = StepTerms(CELLS_PER_STEP, step_cells=6, step_s=1e6)
    keys = [key.suite.generate() for key in known]
    circuit = Circuit(NETWORK, known, keys, Budget(1 << 30), WALL_S, steps=steps, now_s=NOW_S)
    leg = client.open(circuit)
    assert leg is not None
    circuit.begin(leg)
    early = circuit.last.mux.open("TEST", b"early", NOW_S)

    # The first flight, under early keys; its answers can be opened once flight 2 has come.
    waiting: deque[bytes] = deque()
    for block in pulled(client):
        waiting.extend(end.hear(block))
    assert end.commands == [link.SETUP, link.EARLY, link.EARLY, link.EARLY]
    assert nodes[2].opened == [b"\4TESTearly"]
    established = dial.finish(end.reply, verify)
    client.confirm(established.session, NOW_S, StepTerms(step_cells=10, step_s=1e6))

    def settle() -> None:
        while True:
            for block in pulled(client):
                waiting.extend(end.hear(block))
            if not waiting:
                return
            client.receive(waiting.popleft(), NOW_S)

    settle()
    assert circuit.closed is None
    assert early.accepted
    assert all(hop.confirmed for hop in circuit.hops)
    assert all(node.cells_per_step == CELLS_PER_STEP for node in nodes)
    for number in range(ROUNDS):
        for hop, node in zip(circuit.hops, nodes, strict=True):
            conveyor = hop.mux.open("TEST", b"%d" % number, NOW_S)
            settle()
            assert node.opened[-1] == b"\4TEST%d" % number
            assert conveyor.accepted
    for hop, node in zip(circuit.hops, nodes, strict=True):
        assert node.session is not None
        assert hop.ratchet.epoch == node.session.epoch >= 2
        assert hop.session.forward.steps > 0
    assert end.side.epoch >= 2, "the link's keys made no step of their own accord"
    assert not client.failure
