"""Links whose circuits only count, and clients whose number of cells is the test's."""

from __future__ import annotations

from collections.abc import Callable

from port17.wire.block import (
    BLOCK_SIZE,
    BODY_SIZE,
    Command,
)
from port17.wire.circuit import Circuit
from port17.wire.leg import Leg
from port17.wire.link import Link
from port17.wire.quota import Budget
from port17.wire.ratchet import Session
from port17.wire.reasons import Reason
from port17.wire.setup import make

from .wire_forger import Forger, forger
from .wire_network import Host, Net, network, pull
from .wire_suites import TOY


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
            grants=budgets[0],
            wake=wake,
            on_setup=setup,
        ),
        Link(
            initiator=False,
            send=theirs.backward,
            receive=theirs.forward,
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
