"""A leg: one circuit's part on one link, with its credits in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from port17.errors import PeerViolation
from port17.wire.block import CREDIT_CAP
from port17.wire.reasons import Reason

if TYPE_CHECKING:
    from port17.wire.link import Link

FIRST_CREDIT = 32
"""``W0``, cells a circuit may have under way on a link at first, each direction: one flight of set-up and
early data."""
CREDIT_MAX = 1024
"""Most cells a window grows to: 4 MiB, 40 ms at 100 MB/s between two nodes."""
GROWTH_FLOOR_S = 0.010
"""Half a window drained in less than this, or in less than two link round trips, doubles it: shorter
times cannot be told from scheduling noise."""
ROUND_TRIP_CAP_S = 2.0
"""Longest round trip believed, seconds: a peer can answer late, and so make everything look quick."""


class CircuitEnd(Protocol):
    """What a leg leads to: a relay's circuit or the client's."""

    def deliver(self, leg: Leg, command: int) -> None:
        """A RELAY or EARLY cell came; its body is the link's ``body``.

        :raises PeerViolation: it costs the peer this circuit.
        """

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        """Write the next body to send, and say as what; None if there is none."""

    def pending(self, leg: Leg) -> bool:
        """:meth:`pull` would give something."""

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        """The leg is over: the peer's DESTROY, a violation, or its link was lost."""


class Leg:
    """Made by :class:`~port17.wire.link.Link` alone."""

    __slots__ = (
        "_last_return_s",
        "allowance",
        "circuit",
        "closed",
        "credit",
        "ident",
        "known",
        "link",
        "owed",
        "own",
        "queued",
        "returning",
        "window",
    )

    def __init__(self, link: Link, ident: int, circuit: CircuitEnd, *, known: bool) -> None:
        self.link = link
        self.ident = ident
        self.circuit = circuit
        self.credit = FIRST_CREDIT
        """Cells we may send."""
        self.allowance = FIRST_CREDIT
        """Cells the peer may still send."""
        self.window = FIRST_CREDIT
        """Cells the peer may have under way; taken from the link's budget."""
        self.owed = 0
        """Cells that left our queue and were not yet returned."""
        self.queued = False
        """In the link's round."""
        self.returning = False
        """In the link's list of legs with credit to return."""
        self.known = known
        """The peer knows of it: its SETUP came, or ours went out."""
        self.own = False
        """The peer is a node, and has said that the circuit is its own."""
        self.closed = False
        self._last_return_s = 0.0

    def wake(self) -> None:
        """The circuit has something to send on this leg."""
        if not self.queued and self.credit > 0 and not self.closed:
            self.link.schedule(self)

    def grant(self, cells: int) -> None:
        """The peer returned credit."""
        self.credit = min(self.credit + cells, CREDIT_CAP)
        if not self.queued and self.circuit.pending(self):
            self.link.schedule(self)

    def drained(self, cells: int = 1) -> None:
        """Cells of this leg left our queue."""
        self.owed += cells
        if not self.returning and self.owed * 2 >= self.window and not self.closed:
            self.link.schedule_return(self)

    def take_owed(self, now_s: float) -> int:
        """The credit for the header of the cell that is being sent."""
        grant = self.owed
        if grant * 2 >= self.window:
            # Only a whole half window says something about the drain rate.
            floor_s = max(2 * min(self.link.control.round_trip_s, ROUND_TRIP_CAP_S), GROWTH_FLOOR_S)
            quick = now_s - self._last_return_s < floor_s
            self._last_return_s = now_s
            if quick and self.window < CREDIT_MAX and self.link.grants.take_spare(self.window):
                grant += self.window
                self.window *= 2
        grant = min(grant, CREDIT_CAP)
        self.owed = 0
        self.allowance += grant
        return grant

    def destroy(self, reason: Reason) -> None:
        """End this leg from our side: DESTROY is sent, if the peer knows of it at all."""
        if not self.closed:
            if self.known:
                self.link.send_destroy(self.ident, reason)
            self.link.drop(self)


class NoCircuit:
    """What a leg leads to while its SETUP is being opened."""

    def deliver(self, leg: Leg, command: int) -> None:
        raise PeerViolation("a cell came to a circuit that is not set up")

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        return None

    def pending(self, leg: Leg) -> bool:
        return False

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        return None
