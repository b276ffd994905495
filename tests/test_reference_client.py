"""The reference's client makes a circuit over three of the product's nodes, each with another suite.

From flight 1 to steps of every session and of the link.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import Any

from interop import (
    CELLS_PER_STEP,
    CIRCUIT,
    MINUTE,
    NETWORK,
    NOW_S,
    SLOT,
    WALL_S,
    Identity,
    Side,
    pulled,
    verify,
)
from reference import frames, handshake, link, onion, setup
from reference.frames import ACCEPT, DATA, OPEN, SESSION
from reference.link import Cell
from reference.ratchet import REQUEST, RESPONSE, Direction

from port17.wire.conveyor import Conveyor, nothing
from port17.wire.handshake import Established, Initiator, respond
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.link import Link
from port17.wire.prekey import OwnPrekey
from port17.wire.quota import Budget
from port17.wire.relay import Relay, Scratch
from port17.wire.replay import ReplaySet
from port17.wire.setup import open_setup
from port17.wire.suite import CipherSuite, KemKey


class ProductNode:
    """One of the product's nodes, without what is around it."""

    def __init__(self, index: int) -> None:
        self.identity = Identity(index)
        self.budget = Budget(1 << 30)
        self._grants = Budget(1 << 16)
        self._scratch = Scratch()
        self._replays = ReplaySet(NETWORK.skew_s), ReplaySet(NETWORK.skew_s)
        self.lanes: dict[bytes, Link] = {}
        self.opened: list[tuple[str, bytes]] = []

    def answer(self, flight: bytes) -> tuple[bytes, Established, Link]:
        """Flight 1 came."""
        own = self._own
        reply, established = respond(
            NETWORK, self.identity.signer, [own], self._replays[0], verify, flight, WALL_S
        )
        end = self._link(established.session.backward, established.early)
        end.expect_final(established.session)
        return reply, established, end

    def call(self, other: ProductNode) -> tuple[Link, Link]:
        """A lane to another node, both ends."""
        dial = Initiator(NETWORK, other.identity.known, WALL_S, signer=self.identity.signer)
        reply, _, far = other.answer(dial.flight)
        near = self._link(dial.early, None)
        near.confirm(dial.finish(reply, verify).session, NOW_S)
        self.lanes[other.identity.fingerprint] = near
        return near, far

    @property
    def _own(self) -> OwnPrekey:
        identity = self.identity
        return OwnPrekey(identity.suite, identity.record_hash, SLOT, identity.key, WALL_S + 1)

    def _link(self, send: Any, receive: Any) -> Link:
        return Link(
            initiator=receive is None,
            send=send,
            receive=receive,
            grants=self._grants,
            wake=nothing,
            on_setup=self._setup,
        )

    def _setup(self, leg: Leg, content: bytes) -> CircuitEnd:
        opened = open_setup(
            NETWORK, self.identity.fingerprint, lambda *_: self._own, self._replays[1], content, WALL_S
        )
        return Relay(self, self._scratch, leg, opened)

    # -- as the host of relays ----------------------------------------------------------------------
    def lane(self, fingerprint: bytes, asking: Link) -> Link | None:
        return self.lanes.get(fingerprint)

    def step_allowed(self, asking: Link) -> bool:
        return True

    def spare_key(self, suite: CipherSuite) -> KemKey:
        return suite.generate()

    def operation(self, relay: Relay, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        self.opened.append((name, arguments))
        conveyor.accept()
        conveyor.send(b"answer to " + arguments)

    def closed(self, relay: Relay) -> None:
        return None


@dataclass
class ReferenceClient:
    """The reference's client on its link to a node of the product's."""

    node: Link
    early: Direction
    link: Side
    hops: list[Side]
    said: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    """(hop, conveyor, type, data) of every frame that came, but for RATCHET."""
    turned: list[tuple[int, int]] = field(default_factory=list)
    """(hop, epoch) of every RSP that came; hop 0 is the link."""
    final: bool = False

    def cell(self, cell: Cell) -> None:
        """Send one."""
        way = self.link.forward if self.final else self.early
        self.node.receive(link.seal_block(way, cell), NOW_S)

    def tell(self, hop: int, payload: bytes, command: int = link.RELAY) -> None:
        """A cell to a hop, 1 the first."""
        noise = os.urandom(onion.noise_size(hop))
        body = onion.forward_seal([side.forward for side in self.hops[:hop]], payload, noise)
        self.cell(Cell(CIRCUIT, command, 0, body))

    def step(self, hop: int) -> None:
        """REQ to a hop, or to the link's other end (0)."""
        side = self.hops[hop - 1] if hop else self.link
        side.epoch += 1
        frame, secret = side.frame(REQUEST)
        if hop:
            self.tell(hop, frames.payload((SESSION, frames.RATCHET, frame)))
        else:
            self.cell(link.ratchet(frame))
        side.forward.turn(secret, frame)

    def hear(self, block: bytes) -> None:
        """A block came."""
        cell = link.open_block(self.link.backward, block)
        if cell.command == link.LINK and cell.body[0] == link.RATCHET:
            self.link.take(RESPONSE, link.ratchet_of(cell))
            self.turned.append((0, self.link.epoch))
        elif cell.command == link.RELAY:
            hop, payload = onion.backward_open([side.backward for side in self.hops], cell.body)
            for conveyor, kind, data in frames.unpack(payload):
                if kind == frames.RATCHET:
                    self.hops[hop - 1].take(RESPONSE, data)
                    self.turned.append((hop, self.hops[hop - 1].epoch))
                else:
                    self.said.append((hop, conveyor, kind, data))


def call_product(node: ProductNode) -> ReferenceClient:
    """A client on its link, whose final keys are not in force yet."""
    to, suite = node.identity.responder, node.identity.responder.suite
    secret, ciphertext = suite.kem.encapsulate(node.identity.key.public)
    seed = os.urandom(suite.kem.seed_size)
    hello = handshake.Hello(MINUTE, 4, suite.kem.public(seed), b"", b"")
    flight = handshake.make_flight_one(to, os.urandom(16), ciphertext, secret, hello)
    reply, _, end = node.answer(flight)
    first = handshake.first(to, 4, ciphertext, hello.ephemeral, b"")
    early = handshake.early_key(suite, first, handshake.key_one(to, ciphertext, secret))
    second, signature = handshake.open_flight_two(suite, early, reply)
    transcript = handshake.transcript(suite, first, second)
    assert verify(to.fingerprint, handshake.responder_signs(suite, transcript), signature)
    ways = handshake.final_chains(suite, transcript, early, suite.kem.decapsulate(seed, second))
    chain = handshake.early_chain(suite, early)
    return ReferenceClient(end, chain, Side(suite, *ways), [])


def reference_setup(identity: Identity) -> tuple[bytes, Side]:
    """(content, the client's side of the session)."""
    suite = identity.hop.suite
    secret, ciphertext = suite.kem.encapsulate(identity.key.public)
    seed = os.urandom(suite.kem.seed_size)
    public = suite.kem.public(seed)
    content = setup.make(identity.hop, ciphertext, secret, MINUTE, public, CELLS_PER_STEP)
    ways = setup.directions(identity.hop, ciphertext, secret, content, CELLS_PER_STEP)
    return content, Side(suite, *ways, seed=seed)


def test_the_references_client_over_the_products_nodes() -> None:
    nodes = [ProductNode(index) for index in range(3)]
    lanes = [near.call(far) for near, far in itertools.pairwise(nodes)]
    client = call_product(nodes[0])

    def settle() -> None:
        """Until nobody has anything to send."""
        moved = True
        while moved:
            moved = False
            for near, far in lanes:
                for source, sink in ((near, far), (far, near)):
                    for block in pulled(source):
                        sink.receive(block, NOW_S)
                        moved = True
            for block in pulled(client.node):
                client.hear(block)
                moved = True

    # Everything in one flight, under early keys.
    contents = []
    for node in nodes:
        content, side = reference_setup(node.identity)
        contents.append(content)
        client.hops.append(side)
    client.cell(Cell(CIRCUIT, link.SETUP, 0, contents[0]))
    for hop in (1, 2):
        arguments = nodes[hop].identity.fingerprint + contents[hop]
        asked = frames.payload((1, OPEN, frames.operation("HOP", arguments)))
        client.tell(hop, asked, link.EARLY)
    client.tell(3, frames.payload((1, OPEN, frames.operation("TEST", b"early"))), link.EARLY)
    settle()
    assert sorted(client.turned) == [(1, 0), (2, 0), (3, 0)]
    assert nodes[2].opened == [("TEST", b"early")]
    assert (3, 1, DATA, b"answer to early") in client.said

    # The final keys, and steps of all of them.
    client.link.seed = os.urandom(client.link.suite.kem.seed_size)
    client.cell(link.end_early(client.link.suite.kem.public(client.link.seed)))
    client.final = True
    settle()
    assert client.turned[-1] == (0, 0)
    for epoch in (1, 2):
        for hop in (0, 3, 1, 2):
            client.step(hop)
            settle()
            assert client.turned[-1] == (hop, epoch)
        for hop in (2, 3, 1):
            said = b"epoch %d" % epoch
            client.tell(hop, frames.payload((1 + epoch, OPEN, frames.operation("TEST", said))))
            settle()
            assert nodes[hop - 1].opened[-1] == ("TEST", said)
            assert client.said[-2:] == [
                (hop, 1 + epoch, ACCEPT, b""),
                (hop, 1 + epoch, DATA, b"answer to " + said),
            ]
