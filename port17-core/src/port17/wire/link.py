"""The crane's state: sealed blocks in and out, circuits told apart, credits, and whose turn it is.

Made once the handshake has keys for it (an initiator's may begin on early keys). Ships, tasks and clocks
are :mod:`port17.links.crane`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from port17.errors import HandshakeFailed, LocalViolation, PeerViolation
from port17.records.framing import BytesLike
from port17.wire.block import (
    BLOCK_SIZE,
    BODY_SIZE,
    CELL_SIZE,
    CIRCUIT_ID_CAP,
    HEADER,
    LAYER_OVERHEAD,
    LINK_CIRCUIT,
    SETUP_SIZE,
    Command,
)
from port17.wire.control_cells import URGENT_CAP, ControlCells
from port17.wire.conveyor import nothing
from port17.wire.lane import LaneTalk, LaneVerb
from port17.wire.leg import FIRST_CREDIT, CircuitEnd, Leg, NoCircuit
from port17.wire.link_keys import LinkKeys
from port17.wire.pace import USUAL, StepTerms
from port17.wire.quota import Budget
from port17.wire.ratchet import Chain, Session, pack_nonce
from port17.wire.reasons import Reason

QUANTUM = 8
"""Cells a circuit sends in its turn: deficit round robin, whose packets are all of one size. Eight blocks
are 0.2 ms at 160 MB/s, and share the cost of a turn."""
CARRYING = frozenset((int(Command.RELAY), int(Command.EARLY)))
SETUP, LINK, LAST_COMMAND = int(Command.SETUP), int(Command.LINK), int(Command.LINK)
"""Plain integers, since comparing with an enumeration's member costs a tenth of opening a cell."""
NO_BODY = bytes(BODY_SIZE)

OnSetup = Callable[[Leg, bytes], CircuitEnd]
"""A SETUP came on a new leg: (leg, content) -> the circuit. It raises to refuse."""


class Link:
    """One end of a crane, without its ship."""

    def __init__(
        self,
        *,
        initiator: bool,
        send: Chain,
        receive: Chain | None,
        grants: Budget,
        wake: Callable[[], None],
        on_setup: OnSetup | None,
    ) -> None:
        """
        :param send: keys of what we send; an initiator's early ones at first.
        :param receive: keys of what we get; None at an initiator until :meth:`confirm`.
        :param grants: cells that peers may be granted, shared by all links.
        :param wake: called when :meth:`pull` has something to give again.
        :param on_setup: a node's; None at a client, which refuses SETUP.
        """
        self._initiator = initiator
        self.keys = LinkKeys(send, receive)
        self.grants = grants
        self._wake = wake
        self._on_setup = on_setup
        self._legs: dict[int, Leg] = {}
        self._own_id = -1 if initiator else 0
        self._peer_id = 0
        self._round: deque[Leg] = deque()
        self._returns: deque[Leg] = deque()
        self._fresh: list[Leg] = []
        self.control = ControlCells(self.keys, wake)
        self._partial = b""
        self.now_s = 0.0
        """The time of the last call, by the shell's clock."""
        self.heard_s = 0.0
        """When a block last came."""
        self.background = 0
        """Circuits on it that only keep bottles current or measure: nobody waits for what they carry."""
        self.failure = ""
        """Why the shell is to end the link; empty while there is no reason."""
        # One byte more than a cell, always zero: what a relay seals on the way back is the body without
        # its first h bytes and with a flag of zero, and so it is a view of this very buffer.
        self._cell = bytearray(CELL_SIZE + 1)
        view = memoryview(self._cell)
        self._cell_view = view[:CELL_SIZE]
        self.body = view[HEADER.size : CELL_SIZE]
        """The body of the cell that is being delivered."""
        self.passed_on = view[HEADER.size + LAYER_OVERHEAD :]
        """The layer's plaintext with which a relay passes that body on backward."""
        self._out = bytearray(CELL_SIZE)
        self._out_body = memoryview(self._out)[HEADER.size :]

    # -- keys -------------------------------------------------------------------------------------
    def confirm(self, session: Session, now_s: float, terms: StepTerms = USUAL) -> None:
        """An initiator has flight 2: END_EARLY goes out, then the final keys are in force.

        :param terms: when the link's keys are to step.
        """
        self.keys.confirm(session, now_s, terms)
        self._wake()

    def expect_final(self, session: Session, proved: Callable[[], None] = nothing) -> None:
        """A responder: after END_EARLY these keys are in force.

        :param proved: called then. An initiator says END_EARLY once it has taken flight 2, and so it is no
            flight 1 that somebody held back and sent later.
        """
        self.keys.expect(session, proved)

    def tend(self, now_s: float) -> None:
        """Start the step of the link's keys that is due, if one is.

        :raises LinkLost: the peer does not answer one any more.
        """
        self.keys.tend(now_s)
        self.failure = self.failure or self.keys.failure
        if self.keys.due:
            self._wake()

    def between_nodes(self, told: Callable[[LaneVerb], None]) -> None:
        """Both ends are nodes: the link may become a lane. Until this is said, LANE messages end it.

        :param told: called with what the peer has said of it.
        """
        self.control.lane = LaneTalk(caller=self._initiator, send=self.control.say, told=told)

    @property
    def lane(self) -> LaneTalk | None:
        """What the two nodes say of the link as a lane; None if one of the ends is a client."""
        return self.control.lane

    # -- circuits ---------------------------------------------------------------------------------
    @property
    def legs(self) -> int:
        """How many circuits use the link."""
        return len(self._legs)

    def open(self, circuit: CircuitEnd, *, own: bool = False) -> Leg | None:
        """A leg for a circuit of ours; None if ids or the grant budget are spent.

        The circuit's first pull on it is to give SETUP.

        :param own: both ends are nodes, and the peer is to know that it is we who ask, and no client.
        """
        if self._own_id + 2 > CIRCUIT_ID_CAP:
            self.failure = self.failure or "its circuit ids are used up"
        if self.failure or not self.grants.take(FIRST_CREDIT):
            return None
        self._own_id += 2
        if own:
            self.control.announce(self._own_id)
        leg = self._legs[self._own_id] = Leg(self, self._own_id, circuit, known=False)
        return leg

    def drop(self, leg: Leg) -> None:
        """Forget a leg."""
        if not leg.closed:
            leg.closed = True
            self._legs.pop(leg.ident, None)
            self.grants.give(leg.window)
            # A peer that does not read must not make us keep what is over.
            if leg.queued and leg in self._round:
                self._round.remove(leg)
            if leg.returning:
                self._returns.remove(leg)

    def lost(self, reason: Reason) -> None:
        """The ship is gone: every circuit on this link ends, and none begins."""
        self.failure = self.failure or "its ship is gone"
        for leg in list(self._legs.values()):
            self.drop(leg)
            leg.circuit.destroyed(leg, reason)
        self._round.clear()
        self._returns.clear()
        self.control.clear()

    # -- in ---------------------------------------------------------------------------------------
    def receive(self, data: BytesLike, now_s: float) -> None:
        """Bytes came, of any number of blocks.

        :raises PeerViolation: the link is at an end; nothing of it may be used further.
        """
        self.now_s = self.heard_s = now_s
        self._take_in(data)
        if self._fresh:
            # RSP 0 costs more than all else of a set-up: what the same flight sends onward goes first.
            for leg in self._fresh:
                leg.wake()
            self._fresh.clear()

    def _take_in(self, data: BytesLike) -> None:
        at = 0
        if self._partial:
            at = BLOCK_SIZE - len(self._partial)
            if len(data) < at:
                self._partial += data
                return
            whole = self._partial + data[:at]
            self._partial = b""
            self._blocks(whole, 0, BLOCK_SIZE)
        end = len(data) - (len(data) - at) % BLOCK_SIZE
        self._blocks(data, at, end)
        if end < len(data):
            self._partial = bytes(data[end:])

    def _blocks(self, data: BytesLike, at: int, end: int) -> None:
        """Open the blocks between two places, and deal with the cells in them. This loop is the crane."""
        view = memoryview(data)
        cell, cell_view, legs = self._cell, self._cell_view, self._legs
        pack, unpack = pack_nonce, HEADER.unpack_from
        while at < end:
            chain = self.keys.receive
            if chain is None:
                raise LocalViolation("blocks came before the keys to open them")
            decrypt_into, counter = chain.decrypt_into, chain.counter
            stop = min(end, at + chain.left * BLOCK_SIZE)
            while at < stop:
                try:
                    decrypt_into(pack(counter), view[at : at + BLOCK_SIZE], None, cell_view)
                except chain.forged as error:
                    raise PeerViolation("a block is forged, lost or out of order") from error
                counter += 1
                at += BLOCK_SIZE
                ident, command, zero, credit = unpack(cell)
                if zero or command > LAST_COMMAND:
                    raise PeerViolation("a cell's header is malformed")
                leg = legs.get(ident)
                if leg is not None:
                    if credit:
                        leg.grant(credit)
                    if command in CARRYING:
                        leg.allowance -= 1
                        try:
                            if leg.allowance < 0:
                                raise PeerViolation("a cell came beyond its circuit's credit")
                            leg.circuit.deliver(leg, command)
                        except PeerViolation:
                            self._end_leg(leg, Reason.PROTOCOL)
                        continue
                if command == LINK:
                    # What it says may turn these very keys: they are read anew after it.
                    chain.opened(counter - chain.counter)
                    self.control.take(ident, self.body, self.now_s)
                    break
                self._other(ident, command, leg)
            chain.opened(counter - chain.counter)

    def _other(self, ident: int, command: int, leg: Leg | None) -> None:
        """Everything but LINK, and but RELAY and EARLY on a living leg."""
        if command == Command.SETUP:
            self._setup(ident)
        elif ident == LINK_CIRCUIT:
            if command != Command.PADDING:
                raise PeerViolation("a circuit's cell names the link itself")
        elif ident > max(self._own_id, self._peer_id):
            raise PeerViolation("a cell names a circuit that never was")
        elif command == Command.DESTROY and leg is not None:
            self.drop(leg)
            leg.circuit.destroyed(leg, Reason.from_peer(int.from_bytes(self.body[:2], "big")))

    def _end_leg(self, leg: Leg, reason: Reason) -> None:
        if not leg.closed:
            if leg.known:
                self._refuse(leg.ident, reason)
            self.drop(leg)
            leg.circuit.destroyed(leg, reason)

    def _setup(self, ident: int) -> None:
        if self._on_setup is None:
            raise PeerViolation("SETUP was sent to a client")
        if ident <= self._peer_id or ident % 2 == (1 if self._initiator else 0):
            raise PeerViolation("a circuit's id is not the peer's next")
        self._peer_id = ident
        if not self.grants.take(FIRST_CREDIT):
            self._refuse(ident, Reason.RESOURCES)
            return
        # The circuit and its leg need each other; the leg is first, and lives only if the circuit does.
        leg = Leg(self, ident, NoCircuit(), known=True)
        leg.own = ident in self.control.announced
        self._legs[ident] = leg
        try:
            leg.circuit = self._on_setup(leg, bytes(self.body[:SETUP_SIZE]))
        except (HandshakeFailed, PeerViolation):
            self._refuse(ident, Reason.GENERIC)
            self.drop(leg)
            return
        self._fresh.append(leg)

    # -- out --------------------------------------------------------------------------------------
    def send_destroy(self, ident: int, reason: Reason) -> None:
        """Tell the peer that a circuit is over. There are no more of these than there were legs."""
        self.control.destroy(ident, reason)

    def _refuse(self, ident: int, reason: Reason) -> None:
        """Tell the peer that what it did ended a circuit, or began none."""
        if len(self.control) >= URGENT_CAP:
            # Not raised here: it may be another link's cell that is being handled.
            self.failure = self.failure or "the peer makes us answer and does not read"
        else:
            self.send_destroy(ident, reason)

    def schedule(self, leg: Leg) -> None:
        """A leg has something to send."""
        leg.queued = True
        self._round.append(leg)
        if len(self._round) == 1:
            self._wake()

    def schedule_return(self, leg: Leg) -> None:
        """A leg has credit to return, and perhaps no cell to carry it."""
        leg.returning = True
        self._returns.append(leg)
        if len(self._returns) == 1:
            self._wake()

    @property
    def pending(self) -> bool:
        """:meth:`pull` would give something."""
        return bool(self._round or self._returns or self.control.due)

    def pull(self, blocks: Sequence[memoryview], now_s: float) -> int:
        """Seal what is to be sent next.

        :param blocks: of ``BLOCK_SIZE`` bytes each, to write to.
        :returns: blocks written; 0 if nothing is to be sent.
        """
        self.now_s = now_s
        if self.keys.used >= self.keys.mark:
            self.tend(now_s)
        size = len(blocks)
        at = 0
        out, out_body = self._out, self._out_body
        while at < size and self.control.due:
            self._control(blocks[at])
            at += 1
        returns = self._returns
        while at < size and returns:
            leg = returns.popleft()
            leg.returning = False
            if leg.owed and not leg.queued:
                # Else a cell of its own carries it in this very round, or the round puts it back here.
                out_body[:] = NO_BODY
                self._seal(leg.ident, Command.PADDING, leg.take_owed(now_s), blocks[at])
                at += 1
        rounds = self._round
        seal, pack_into = self.keys.send.seal, HEADER.pack_into
        while at < size and rounds:
            leg = rounds.popleft()
            leg.queued = False
            pull = leg.circuit.pull
            for _ in range(min(QUANTUM, size - at)):
                if leg.credit <= 0:
                    break
                try:
                    command = pull(leg, out_body)
                except PeerViolation:
                    # What the peer sent before shows only now that it cannot be answered.
                    self._end_leg(leg, Reason.PROTOCOL)
                    break
                if command is None:
                    break
                if command == SETUP:
                    leg.known = True
                else:
                    leg.credit -= 1
                credit = leg.take_owed(now_s) if leg.owed else 0
                pack_into(out, 0, leg.ident, command, 0, credit)
                seal(out, blocks[at])
                at += 1
            if leg.closed or leg.queued:
                continue
            if leg.credit > 0 and leg.circuit.pending(leg):
                leg.queued = True
                rounds.append(leg)
            elif leg.owed:
                leg.drained(0)
        if at < size and (self.control.due or returns):
            # The rounds made some: a circuit that ended, credit that no cell carries any more.
            at += self.pull(blocks[at:], now_s)
        return at

    def _control(self, block: memoryview) -> None:
        """Seal one control cell."""
        ident, command, body = self.control.next()
        self._out_body[:] = NO_BODY
        self._out_body[: len(body)] = body
        self._seal(ident, command, 0, block)
        self.control.sealed(command)

    def _seal(self, ident: int, command: Command, credit: int, block: memoryview) -> None:
        HEADER.pack_into(self._out, 0, ident, command, 0, credit)
        self.keys.send.seal(self._out, block)
