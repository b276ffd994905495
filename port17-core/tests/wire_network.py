"""Networks without I/O for the tests of the wire: a client and nodes, joined by links or by hand.

:class:`Bench` carries the bodies of one circuit from hop to hop by hand, so that a test can alter, lose,
repeat or reorder each; :class:`Net` joins real :class:`~port17.wire.link.Link` pairs by queues of bytes.
"""

from __future__ import annotations

import hmac
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from port17.errors import PeerViolation
from port17.records.framing import digest
from port17.wire.block import BLOCK_SIZE, BODY_SIZE, CELL_SIZE, HEADER, LAYER_OVERHEAD, SETUP_SIZE, Command
from port17.wire.circuit import Circuit
from port17.wire.conveyor import Conveyor
from port17.wire.handshake import Initiator, NodeSigner, respond
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.link import Link
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.quota import Budget
from port17.wire.ratchet import CELLS_PER_STEP, Chain, Session
from port17.wire.reasons import Reason
from port17.wire.relay import Relay, Scratch
from port17.wire.replay import ReplaySet
from port17.wire.setup import open_setup
from port17.wire.suite import Aead, CipherSuite, KemKey, Level, Status
from port17_crypto.suites import XWingAes256GcmSha256

WALL_S = 1_800_000_000.0
"""The Unix time of tests, at the beginning of a minute."""
MOVES_CAP = 100_000
"""Most moves of one pump: a network that goes on for longer does not come to rest."""


class ToySuite(CipherSuite):
    """A third party's suite: X25519, ChaCha20-Poly1305 and BLAKE2s, and nothing beyond the contract."""

    name = "p17-0-toy25519-chacha20poly1305-blake2s"
    status = Status.PERMITTED
    confidentiality = Level(classical=128, quantum=0)
    source = "RFC 7748, RFC 8439, RFC 5869, RFC 7693"
    public_size = 32
    ciphertext_size = 32
    forged = InvalidTag
    stream_cipher = True

    def generate(self) -> KemKey:
        private = X25519PrivateKey.generate()
        return KemKey(private, private.public_key().public_bytes_raw())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ours = X25519PrivateKey.generate()
        return ours.exchange(X25519PublicKey.from_public_bytes(public)), ours.public_key().public_bytes_raw()

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        assert isinstance(private, X25519PrivateKey)
        return private.exchange(X25519PublicKey.from_public_bytes(ciphertext))

    def private_bytes(self, private: object) -> bytes:
        assert isinstance(private, X25519PrivateKey)
        return private.private_bytes_raw()

    def load_private(self, stored: bytes) -> KemKey:
        private = X25519PrivateKey.from_private_bytes(stored)
        return KemKey(private, private.public_key().public_bytes_raw())

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, secret, "blake2s")

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        stream, last = b"", b""
        while len(stream) < length:
            last = hmac.digest(key, last + info + bytes([len(stream) // 32 + 1]), "blake2s")
            stream += last
        return stream[:length]

    def aead(self, key: bytes) -> Aead:
        return ChaCha20Poly1305(key)


REAL = XWingAes256GcmSha256()
TOY = ToySuite()
SUITES = (REAL, TOY)


class CountingSuite(ToySuite):
    """Counts what costs a responder most."""

    def __init__(self) -> None:
        self.decapsulations = 0
        self.encapsulations = 0

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        self.encapsulations += 1
        return super().encapsulate(public)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        self.decapsulations += 1
        return super().decapsulate(private, ciphertext)


class RecordingSuite(ToySuite):
    """Remembers every key that an AEAD or a keystream was made of, in order, each once in a row."""

    def __init__(self) -> None:
        self.cell_keys: list[bytes] = []
        self.stream_keys: list[bytes] = []

    def aead(self, key: bytes) -> Aead:
        self.cell_keys.append(key)
        return super().aead(key)

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        if self.stream_keys[-1:] != [key]:
            self.stream_keys.append(key)
        return CipherSuite.keystreams(super(), key, first, count, length)  # type: ignore[arg-type]


class Lies:
    """Stands where a struct does, and packs other values than it is asked to."""

    def __init__(self, true: struct.Struct, *fields: int) -> None:
        self.size = true.size
        self._bytes = true.pack(*fields)

    def pack(self, *fields: int) -> bytes:
        """The lie."""
        return self._bytes


def network(*revisions: int, skew_s: float = 60.0) -> Network:
    """The one network of these tests, at some revisions."""
    return Network(digest("test network"), revisions or (3,), 2, skew_s)


def signer(fingerprint: bytes) -> NodeSigner:
    """An identity whose signatures everybody can check, and nobody but the tests forge."""
    return NodeSigner(fingerprint, lambda message: digest("test signature", fingerprint, message))


def verify(fingerprint: bytes, message: bytes, signature: bytes) -> bool:
    """Check a signature of :func:`signer`."""
    return signature == digest("test signature", fingerprint, message)


class Clock:
    """Both clocks of a test, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = WALL_S

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
        self.wall_s += seconds


class Host:
    """A node's state around its circuits: keys, quotas, lanes, and the conveyors that were opened on it."""

    def __init__(
        self,
        name: int,
        suite: CipherSuite,
        clock: Clock,
        *,
        grants: int = 1 << 20,
        budget: int = 1 << 30,
        revisions: tuple[int, ...] = (3,),
    ) -> None:
        self.network = network(*revisions)
        self.suite = suite
        self.clock = clock
        self.fingerprint = digest("test node", bytes([name]))
        self.signer = signer(self.fingerprint)
        self.prekey = OwnPrekey(
            suite, digest("test record", bytes([name])), 7, suite.generate(), WALL_S + 86_400
        )
        self.link_replays = ReplaySet(60)
        self.replays = ReplaySet(60)
        self.budget = Budget(budget)
        self.grants = Budget(grants)
        self.scratch = Scratch()
        self.lanes: dict[bytes, Link] = {}
        self.relays: list[Relay] = []
        self.conveyors: list[Conveyor] = []
        self.opened: list[tuple[str, bytes]] = []
        self.on_operation: Callable[[Conveyor, str, bytes], None] = lambda conveyor, name, data: (
            conveyor.accept()
        )

    @property
    def public(self) -> ResponderKey:
        """The node as others know it."""
        own = self.prekey
        return ResponderKey(self.suite, self.fingerprint, own.record_hash, own.slot, own.key.public)

    def find(self, name: str, slot: int) -> OwnPrekey | None:
        """The node's own prekey."""
        return self.prekey if (name, slot) == (self.suite.name, self.prekey.slot) else None

    def setup(self, leg: Leg, content: bytes) -> CircuitEnd:
        """A SETUP came: see :data:`~port17.wire.link.OnSetup`."""
        opened = open_setup(
            self.network, self.fingerprint, self.find, self.replays, content, self.clock.wall_s
        )
        relay = Relay(self, self.scratch, leg, opened)
        self.relays.append(relay)
        return relay

    def lane(self, fingerprint: bytes, asking: Link) -> Link | None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        return self.lanes.get(fingerprint)

    def operation(self, relay: Relay, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        self.conveyors.append(conveyor)
        self.opened.append((name, arguments))
        self.on_operation(conveyor, name, arguments)

    def closed(self, relay: Relay) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        self.relays.remove(relay)


# -- one circuit, carried by hand -------------------------------------------------------------------
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
            cells_per_step=cells_per_step,
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


# -- nodes and clients, joined by links -------------------------------------------------------------
@dataclass
class Pipe:
    """Bytes on their way from one link to the other.

    :param room: most bytes in it; None for no bound.
    :param stopped: nothing is taken out of it, as from a peer that does not read.
    """

    source: Link
    sink: Link
    room: int | None = None
    stopped: bool = False
    held: deque[bytes] = field(default_factory=deque)
    size: int = 0
    passed: int = 0
    """Bytes that came out of it."""

    def fill(self, now_s: float) -> bool:
        """Let the source send, as much as there is room for."""
        room = 64 if self.room is None else min(64, (self.room - self.size) // BLOCK_SIZE)
        if room <= 0 or (self.room is None and self.held):
            return False
        data = pull(self.source, now_s, room)
        if data:
            self.held.append(data)
            self.size += len(data)
        return bool(data)

    def drain(self, now_s: float) -> bool:
        """Let the sink read.

        :raises PeerViolation: what the sink made of it.
        """
        if self.stopped or not self.held:
            return False
        data = self.held.popleft()
        self.size -= len(data)
        self.passed += len(data)
        self.sink.receive(data, now_s)
        return True


def pull(link: Link, now_s: float = 0.0, blocks: int = 64) -> bytes:
    """What a link sends next."""
    data = memoryview(bytearray(blocks * BLOCK_SIZE))
    views = [data[at : at + BLOCK_SIZE] for at in range(0, len(data), BLOCK_SIZE)]
    return bytes(data[: link.pull(views, now_s) * BLOCK_SIZE])


class Wire:
    """A link, both ends and what is on its way between."""

    def __init__(self, near: Link, far: Link, room: int | None = None) -> None:
        self.near, self.far = near, far
        self.there = Pipe(near, far, room)
        self.back = Pipe(far, near, room)
        self.error: PeerViolation | None = None
        """What ended it."""

    def lose(self) -> None:
        """The ship is gone."""
        for pipe in (self.there, self.back):
            pipe.held.clear()
            pipe.size = 0
            pipe.stopped = True
        for link in (self.near, self.far):
            link.lost(Reason.LINK_LOST)

    def move(self, clock: Clock) -> bool:
        """One turn of both ends."""
        if self.error is not None:
            return False
        moved = False
        try:
            for pipe in (self.there, self.back):
                moved |= pipe.fill(clock.now_s)
                moved |= pipe.drain(clock.now_s)
        except PeerViolation as error:
            self.error = error
            self.lose()
            return True
        return moved


class Net:
    """A client and nodes. The client's links lead to whichever nodes a test says."""

    def __init__(self, suites: Sequence[CipherSuite] = (TOY, TOY, TOY), *, grants: int = 1 << 20) -> None:
        self.clock = Clock()
        self.hosts = [Host(index, suite, self.clock, grants=grants) for index, suite in enumerate(suites)]
        self.client_grants = Budget(grants)
        self.budget = Budget(1 << 30)
        self.wires: list[Wire] = []

    def call(self, host: Host, caller: Host | None = None, room: int | None = None) -> Wire:
        """A link from a client, or a lane from a node, with all keys final."""
        dial = Initiator(
            host.network, host.public, self.clock.wall_s, signer=caller.signer if caller else None
        )
        flight, there = respond(
            host.network,
            host.signer,
            [host.prekey],
            host.link_replays,
            verify,
            dial.flight,
            self.clock.wall_s,
        )
        here = dial.finish(flight, verify)
        near = Link(
            initiator=True,
            send=here.early,
            receive=None,
            forged=host.suite.forged,
            grants=caller.grants if caller else self.client_grants,
            wake=_nothing,
            on_setup=caller.setup if caller else None,
        )
        far = Link(
            initiator=False,
            send=there.session.backward,
            receive=there.early,
            forged=host.suite.forged,
            grants=host.grants,
            wake=_nothing,
            on_setup=host.setup,
        )
        far.expect_final(there.session.forward)
        near.confirm(here.session.forward, here.session.backward)
        if caller is not None:
            caller.lanes[host.fingerprint] = near
            host.lanes[caller.fingerprint] = far
        wire = Wire(near, far, room)
        self.wires.append(wire)
        return wire

    def chain(self, room: int | None = None) -> Wire:
        """Lanes from each node to the next, and the client's link to the first, which is returned."""
        for caller, host in zip(self.hosts, self.hosts[1:], strict=False):
            self.call(host, caller, room)
        return self.call(self.hosts[0], None, room)

    def circuit(
        self,
        wire: Wire,
        hosts: Sequence[Host] | None = None,
        *,
        cells_per_step: int = CELLS_PER_STEP,
        ratchet_keys: Sequence[KemKey] | None = None,
    ) -> Circuit:
        """A circuit over a client's link, not yet pumped."""
        hosts = self.hosts if hosts is None else hosts
        circuit = Circuit(
            network(),
            [host.public for host in hosts],
            ratchet_keys or [host.suite.generate() for host in hosts],
            self.budget,
            self.clock.wall_s,
            cells_per_step=cells_per_step,
        )
        leg = wire.near.open(circuit)
        assert leg is not None
        circuit.begin(leg)
        return circuit

    def pump(self, moves: int = MOVES_CAP) -> int:
        """Move until all is quiet; the number of rounds.

        :raises AssertionError: it does not come to rest.
        """
        for done in range(moves):
            moved = [wire.move(self.clock) for wire in self.wires]
            if not any(moved):
                return done
        raise AssertionError("the network does not come to rest")

    def converse(self, circuit: Circuit, hop: int = -1, data: bytes = b"") -> tuple[Conveyor, Conveyor]:
        """A conveyor to a hop: (the client's end, the hop's)."""
        host = next(h for h in self.hosts if h.fingerprint == circuit.hops[hop].key.fingerprint)
        before = len(host.conveyors)
        near = circuit.hops[hop].mux.open("TEST", b"", self.clock.now_s)
        if data:
            near.send(data)
        self.pump()
        assert len(host.conveyors) == before + 1
        return near, host.conveyors[-1]


@dataclass(frozen=True)
class Cell:
    """A cell as it lies in a block."""

    ident: int
    command: int
    zero: int
    credit: int
    body: bytes


class Forger:
    """A peer that has a link's keys, and writes whatever a test wants to it."""

    def __init__(self, link: Link, send: Chain, receive: Chain, clock: Clock) -> None:
        self.link = link
        self._send = send
        self._receive = receive
        self._clock = clock

    def block(self, ident: int, command: int, body: bytes = b"", *, zero: int = 0, credit: int = 0) -> bytes:
        """A block with any cell, sealed as the next."""
        sealed = bytearray(BLOCK_SIZE)
        self._send.seal(HEADER.pack(ident, command, zero, credit) + body.ljust(BODY_SIZE, b"\0"), sealed)
        return bytes(sealed)

    def write(self, ident: int, command: int, body: bytes = b"", *, zero: int = 0, credit: int = 0) -> None:
        """Send any cell.

        :raises PeerViolation: what the link made of it.
        """
        self.link.receive(self.block(ident, command, body, zero=zero, credit=credit), self._clock.now_s)

    def read(self, blocks: int = 64) -> list[Cell]:
        """What the link sends next."""
        data = pull(self.link, self._clock.now_s, blocks)
        cells = []
        for at in range(0, len(data), BLOCK_SIZE):
            plain = bytearray(CELL_SIZE)
            self._receive.open(data[at : at + BLOCK_SIZE], plain)
            cells.append(Cell(*HEADER.unpack_from(plain), bytes(plain[HEADER.size :])))
        return cells


def forger(host: Host, caller: Host | None = None) -> Forger:
    """A forger that calls a node, as a client or as another node."""
    dial = Initiator(host.network, host.public, host.clock.wall_s, signer=caller.signer if caller else None)
    flight, there = respond(
        host.network, host.signer, [host.prekey], host.link_replays, verify, dial.flight, host.clock.wall_s
    )
    here = dial.finish(flight, verify)
    link = Link(
        initiator=False,
        send=there.session.backward,
        receive=there.session.forward,
        forged=host.suite.forged,
        grants=host.grants,
        wake=_nothing,
        on_setup=host.setup,
    )
    return Forger(link, here.session.forward, here.session.backward, host.clock)


def called_forger(net: Net) -> Forger:
    """A forger that a client called."""
    sessions = [Session(TOY, b"k" * 32, b"") for _ in range(2)]
    link = Link(
        initiator=True,
        send=sessions[0].forward,
        receive=sessions[0].backward,
        forged=TOY.forged,
        grants=net.client_grants,
        wake=_nothing,
        on_setup=None,
    )
    return Forger(link, sessions[1].backward, sessions[1].forward, net.clock)


def _nothing() -> None:
    """Nobody sleeps in these networks, so nobody is to be woken."""
