"""A circuit at its client: built in one flight, spoken through to any hop, ended by whatever goes wrong."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from port17.errors import PeerViolation
from port17.wire.block import SETUP_SIZE, Command
from port17.wire.conveyor import Conveyor, nothing
from port17.wire.frame import write_ratchet
from port17.wire.leg import Leg
from port17.wire.mux import Mux
from port17.wire.onion import Onion
from port17.wire.pace import NEVER, USUAL, Pace, StepTerms
from port17.wire.prekey import Network, ResponderKey
from port17.wire.quota import Budget
from port17.wire.ratchet import InitiatorRatchet, Session, Turn
from port17.wire.reasons import Reason
from port17.wire.relay import EARLY_CAP, HOP, RELAY, SETUP, SETUP_REST
from port17.wire.setup import make
from port17.wire.suite import KemKey

EARLY_LEAST = 5
"""Fewest first cells marked EARLY: those of the longest route, so that the mark tells no length."""


class Hop:
    """The client's end of its session with one node of the circuit."""

    def __init__(
        self, key: ResponderKey, session: Session, ratchet_key: KemKey, mux: Mux, pace: Pace
    ) -> None:
        self.key = key
        self.session = session
        self.ratchet = InitiatorRatchet(session, ratchet_key)
        self.mux = mux
        self.pace = pace
        self.used = 0
        """Cells to and from this very hop, but for those of the ratchet."""
        self.asking = False
        """A step is due: the next cell to this hop is REQ."""

    @property
    def confirmed(self) -> bool:
        """Its authenticated answer (RSP 0) came."""
        return self.pace.answered_s is not None


class Circuit:
    """One circuit at its client.

    :meth:`begin` gives it the leg to its first hop; SETUP and the HOPs are then pulled from it like
    everything else.
    """

    def __init__(
        self,
        network: Network,
        route: Sequence[ResponderKey],
        ratchet_keys: Sequence[KemKey],
        budget: Budget,
        wall_s: float,
        *,
        steps: StepTerms = USUAL,
        now_s: float = 0.0,
    ) -> None:
        """
        :param route: the nodes, first hop first; 1 to ``MAX_HOPS``.
        :param ratchet_keys: a fresh key of the node's suite for each.
        :param budget: bytes that conveyors' windows may grow by.
        :param wall_s: Unix time, for the stamps.
        :param steps: when the sessions' keys step.
        :param now_s: the time by the link's clock.
        :raises HandshakeFailed: a prekey is unusable.
        """
        self._leg: Leg | None = None
        self._onion = Onion()
        self.hops: list[Hop] = []
        self._setup: bytes = b""
        self._early_left = EARLY_LEAST + secrets.randbelow(EARLY_CAP - EARLY_LEAST + 1)
        self._wanting: set[int] = set()
        self._extending = set(range(len(route) - 1))
        """Hops that were not yet told of their next one. EARLY cells are counted, so nothing goes before."""
        self._used = 0
        """The hops' cells together."""
        self._mark = NEVER
        """The count before which no hop's step is due by volume."""
        self.closed: Reason | None = None
        """Why it ended; None while it lives."""
        self.lost_edge: int | None = None
        """The hop whose edge to the next failed, if that is why it ended."""
        self.written_s: float | None = None
        """When SETUP was handed to the ship, by the link's clock."""
        self.confirmed_s: float | None = None
        """When the last hop's authenticated answer came, by the same clock."""
        self.on_closed: Callable[[], None] = nothing
        self.on_confirmed: Callable[[], None] = nothing
        """The last hop's authenticated answer came."""
        for index, (key, ratchet_key) in enumerate(zip(route, ratchet_keys, strict=True)):
            content, session = make(network, key, ratchet_key, wall_s, steps.cells_per_step)
            self._onion.add(session)
            mux = Mux(budget, self._waker(index), None)
            if index:
                hop_conveyor = self.hops[-1].mux.open(HOP, key.fingerprint + content, 0.0, answers=False)
                hop_conveyor.watch = self._hop_watch(index - 1, hop_conveyor)
            else:
                self._setup = content
            self.hops.append(Hop(key, session, ratchet_key, mux, Pace(steps, now_s)))

    def begin(self, leg: Leg) -> None:
        """Use this leg, whose peer is the first hop."""
        self._leg = leg
        leg.wake()

    @property
    def last(self) -> Hop:
        """The last hop."""
        return self.hops[-1]

    def tend(self, now_s: float) -> None:
        """Start the steps that are due; end the circuit if a hop does not answer one any more.

        To be called now and then: by volume, steps start by themselves.
        """
        if self.closed is not None:
            return
        if any(hop.pace.overdue(now_s) for hop in self.hops):
            self.close(Reason.PROTOCOL)
            return
        self._start_steps(now_s)

    def _count(self, hop: Hop, now_s: float) -> None:
        hop.used += 1
        self._used += 1
        if self._used >= self._mark:
            self._start_steps(now_s)

    def _start_steps(self, now_s: float) -> None:
        used, left = 0, NEVER
        for index in range(len(self.hops) - 1, -1, -1):
            hop = self.hops[index]
            used += hop.used  # what is for those behind it crosses it
            if hop.asking:
                continue
            if hop.pace.due(used, now_s):
                hop.asking = True
                self._wanting.add(index)
            else:
                left = min(left, hop.pace.mark - used)
        self._mark = self._used + left
        if self._leg is not None and any(hop.asking for hop in self.hops):
            self._leg.wake()

    def close(self, reason: Reason) -> None:
        """End the circuit from our side."""
        if self._leg is not None:
            self._leg.destroy(reason)
        self._end(reason)

    def _end(self, reason: Reason) -> None:
        if self.closed is None:
            self.closed = reason
            for hop in self.hops:
                hop.mux.close(reason)
            self.on_closed()

    def _waker(self, index: int) -> Callable[[], None]:
        def wake() -> None:
            self._wanting.add(index)
            if self._leg is not None:
                self._leg.wake()

        return wake

    def _hop_watch(self, index: int, conveyor: Conveyor) -> Callable[[], None]:
        def watch() -> None:
            if conveyor.reset_reason is not None and self.closed is None:
                self.lost_edge = index
                self.close(conveyor.reset_reason)

        return watch

    # -- as a circuit end ---------------------------------------------------------------------------
    def deliver(self, leg: Leg, command: int) -> None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if command != RELAY:
            raise PeerViolation("a backward cell is marked EARLY")
        index, payload = self._onion.open(leg.link.body)
        leg.drained()
        hop = self.hops[index]
        ratchet = hop.mux.take(payload, leg.link.now_s)
        if ratchet is None:
            self._count(hop, leg.link.now_s)
            return
        hop.ratchet.response(bytes(ratchet))
        self._onion.turned()
        first = not hop.confirmed
        used = sum(other.used for other in self.hops[index:])
        hop.pace.answered(used, leg.link.now_s)
        self._mark = min(self._mark, self._used + hop.pace.mark - used)
        if first:
            self._confirm(hop)

    def _confirm(self, hop: Hop) -> None:
        hop.asking = True  # REQ 1: until then forward data has no secrecy beyond the prekey's life
        if hop is self.last:
            # Not before: the steps of the first hops would hold up the answer of the last.
            self._wanting.update(at for at, other in enumerate(self.hops) if other.asking)
        if self._leg is not None:
            self._leg.wake()
        if hop is self.last:
            self.confirmed_s = self._leg.link.now_s if self._leg is not None else None
            self.on_confirmed()

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if self._setup:
            out[:SETUP_SIZE] = self._setup
            out[SETUP_SIZE:] = SETUP_REST
            self._setup = b""
            self.written_s = leg.link.now_s
            return SETUP
        while self._wanting:
            # HOPs before all else, since EARLY cells are counted; then the first hop that wants.
            index = min(self._extending or self._wanting)
            hop = self.hops[index]
            turn: Turn | None = None
            if hop.asking and not self._extending and (self.last.confirmed or hop.mux.pending):
                turn = hop.ratchet.request()
                hop.asking = False
                hop.pace.asked(leg.link.now_s)
                write_ratchet(self._onion.payload, turn.data)
            elif not hop.mux.pull(self._onion.payload):
                self._wanting.discard(index)
                self._extending.discard(index)
                continue
            elif index in self._extending:
                self._extending.discard(index)
                self._wanting.update(at for at, other in enumerate(self.hops) if other.asking)
            self._onion.seal(index, out)
            if turn is not None:
                turn.sealed()
                self._onion.turned()
            else:
                self._count(hop, leg.link.now_s)
            if self._early_left:
                self._early_left -= 1
                return Command.EARLY
            return RELAY
        return None

    def pending(self, leg: Leg) -> bool:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        return bool(self._setup) or any(
            self.hops[index].mux.pending
            or (self.hops[index].asking and self.last.confirmed and not self._extending)
            for index in self._wanting
        )

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        self._end(reason)
