"""Networks without I/O for the tests of the wire: a client and nodes, joined by links and queues of bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from port17.errors import PeerViolation
from port17.records.framing import digest
from port17.wire.block import BLOCK_SIZE
from port17.wire.circuit import Circuit
from port17.wire.conveyor import Conveyor
from port17.wire.handshake import Initiator, NodeSigner, respond
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.link import Link
from port17.wire.pace import USUAL, StepTerms
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.quota import Budget
from port17.wire.ratchet import CELLS_PER_STEP
from port17.wire.reasons import Reason
from port17.wire.relay import Relay, Scratch
from port17.wire.replay import ReplaySet
from port17.wire.setup import open_setup
from port17.wire.suite import CipherSuite, KemKey

from .wire_suites import TOY

WALL_S = 1_800_000_000.0
"""The Unix time of tests, at the beginning of a minute."""
MOVES_CAP = 100_000
"""Most moves of one pump: a network that goes on for longer does not come to rest."""


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
        self.steps_allowed = True
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

    def step_allowed(self, asking: Link) -> bool:
        """See :class:`~port17.wire.relay.RelayHost`."""
        return self.steps_allowed

    def spare_key(self, suite: CipherSuite) -> KemKey:
        """See :class:`~port17.wire.relay.RelayHost`."""
        return suite.generate()

    def operation(self, relay: Relay, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        self.conveyors.append(conveyor)
        self.opened.append((name, arguments))
        self.on_operation(conveyor, name, arguments)

    def closed(self, relay: Relay) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        self.relays.remove(relay)


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
        self.link_steps = USUAL
        """When the keys of links to come step."""

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
            grants=caller.grants if caller else self.client_grants,
            wake=nothing,
            on_setup=caller.setup if caller else None,
        )
        far = Link(
            initiator=False,
            send=there.session.backward,
            receive=there.early,
            grants=host.grants,
            wake=nothing,
            on_setup=host.setup,
        )
        far.expect_final(there.session)
        near.confirm(here.session, self.clock.now_s, self.link_steps)
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
        steps: StepTerms | None = None,
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
            steps=steps or StepTerms(cells_per_step),
            now_s=self.clock.now_s,
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


def nothing() -> None:
    """Nobody sleeps in these networks, so nobody is to be woken."""
