"""Peers that have a link's keys, and write whatever a test wants."""

from __future__ import annotations

from dataclasses import dataclass

from port17.wire.block import BLOCK_SIZE, BODY_SIZE, CELL_SIZE, HEADER
from port17.wire.handshake import Initiator, respond
from port17.wire.link import Link
from port17.wire.ratchet import Chain, Session

from .wire_network import Clock, Host, Net, nothing, pull, verify
from .wire_suites import TOY


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
        grants=host.grants,
        wake=nothing,
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
        grants=net.client_grants,
        wake=nothing,
        on_setup=None,
    )
    return Forger(link, sessions[1].backward, sessions[1].forward, net.clock)
