"""The mux: one end of all conveyors between the client and one hop.

It packs whole frames into cells' payloads and takes them out again. Keys, layers and link credits are the
circuit's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import PAYLOAD_SIZE
from port17.wire.conveyor import CREDIT_SIZE, FIRST_WINDOW, WINDOW_CAP, Conveyor
from port17.wire.frame import DATA_CAP, FRAME_HEAD, SESSION, Frame, decode_operation, encode, encode_operation
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

CONVEYORS_CAP = 1024
"""Most conveyors open in one session: a browser's busiest page needs a tenth; each may hold a window."""
CONVEYORS_SURE = 16
"""Conveyors of one session that may use up the last half of the budget: nobody's many keep out everybody's
few."""
CONTROL_CAP = 4 * CONVEYORS_CAP
"""Most frames waiting to answer a peer that opens and does not read: each open conveyor may owe an
ACCEPT, a CREDIT, a FIN and a RESET; past that it is a flood."""
WORTHWHILE = 128
"""Bytes of room in a cell below which a longer piece of data waits for the next cell."""
TURN = 32
"""DATA frames that one conveyor sends in a row while others wait: 127 KiB, so that its reader is woken for
more than a cell at a time. Who has no more than a frame to send goes first, and waits for nobody."""
ZEROS = bytes(PAYLOAD_SIZE)

OnOpen = Callable[[Conveyor, str, bytes], None]
"""A conveyor was opened here: (conveyor, operation, arguments)."""


class Mux:
    """All conveyors between the client and one hop, seen from one end."""

    def __init__(self, budget: Budget, wake: Callable[[], None], on_open: OnOpen | None) -> None:
        """
        :param budget: bytes of all windows together, shared by the whole process.
        :param wake: called when :meth:`pull` has something to give again.
        :param on_open: a node's; None at a client, which nobody opens conveyors to.
        """
        self.budget = budget
        self.round_trip_s = 0.0
        """Shortest round trip seen, seconds; 0 if none was."""
        self.sent = 0
        """Bytes of DATA that went out."""
        self.got = 0
        """Bytes of DATA that came."""
        self.conveyors: dict[int, Conveyor] = {}
        self._wake = wake
        self._on_open = on_open
        self._newest = 0
        self._control: deque[bytes] = deque()
        self._quick: deque[Conveyor] = deque()
        """In line with no more than a frame's data, when they joined it."""
        self._was_quick = False
        """They had the payload before."""
        self._ready: deque[Conveyor] = deque()
        self._turn = TURN
        """Frames that the first in line may still send before the next one's turn."""

    @property
    def pending(self) -> bool:
        """:meth:`pull` would give something."""
        return bool(self._control or self._quick or self._ready)

    def open(self, operation: str, arguments: bytes, now_s: float, *, answers: bool = True) -> Conveyor:
        """A client opens an operation.

        :param answers: whether data may come back; a window is taken for it then.
        :raises LocalViolation: no room; ask :attr:`full` first.
        """
        if answers and self.full:
            raise LocalViolation("a session has no room for another conveyor")
        self._newest += 1
        conveyor = self.conveyors[self._newest] = Conveyor(self, self._newest, FIRST_WINDOW if answers else 0)
        conveyor.opened_s = now_s
        self.control(encode(self._newest, Frame.OPEN, encode_operation(operation, arguments)))
        return conveyor

    @property
    def full(self) -> bool:
        """No conveyor more can be opened."""
        many = len(self.conveyors)
        if many < CONVEYORS_SURE:
            return self.budget.left < FIRST_WINDOW
        return many >= CONVEYORS_CAP or not self.budget.spares(FIRST_WINDOW)

    def pull(self, payload: memoryview) -> bool:
        """Fill a payload with what is to be sent; False if nothing is."""
        at, size = 0, len(payload)
        control = self._control
        while control and at + len(control[0]) <= size:
            frame = control.popleft()
            payload[at : at + len(frame)] = frame
            at += len(frame)
        if not control:
            # Of two payloads the long line has one: else small writers could make it wait for ever.
            if self._was_quick and self._ready:
                at = self._pull_quick(payload, self._pull_ready(payload, at))
                self._was_quick = False
            else:
                before = at
                at = self._pull_quick(payload, at)
                self._was_quick = 2 * (at - before) > size
                at = self._pull_ready(payload, at)
        if at < size:
            payload[at:] = ZEROS[at:]
        return at > 0

    def _pull_quick(self, payload: memoryview, at: int) -> int:
        quick = self._quick
        while quick and _worthwhile(quick[0], payload, at):
            conveyor = quick.popleft()
            conveyor.in_line = False
            if conveyor.sendable:
                at += conveyor.fill(payload, at)
                self.ready(conveyor)  # room or credit may have been for less than it has
        return at

    def _pull_ready(self, payload: memoryview, at: int) -> int:
        ready = self._ready
        while ready and _worthwhile(ready[0], payload, at):
            conveyor = ready[0]
            if conveyor.sendable:
                at += conveyor.fill(payload, at)
                self._turn -= 1
            if not conveyor.sendable:
                ready.popleft()
                conveyor.in_line = False
                self._turn = TURN
            elif self._turn <= 0:
                ready.rotate(-1)
                self._turn = TURN
        return at

    def take(self, payload: memoryview, now_s: float) -> memoryview | None:
        """Take in all frames of a payload.

        :returns: the data of a RATCHET frame, which has its cell for itself; None if there is none.
        :raises PeerViolation: a frame is malformed, or not allowed here and now.
        """
        at, size = 0, len(payload)
        conveyors = self.conveyors
        while size - at >= FRAME_HEAD.size:
            ident, kind, length = FRAME_HEAD.unpack_from(payload, at)
            start = at + FRAME_HEAD.size
            if kind == Frame.DATA:
                conveyor = conveyors.get(ident)
                if conveyor is not None and start + length <= size:
                    conveyor.arrived(payload[start : start + length])
                    at = start + length
                    continue
            elif kind == Frame.PAD:
                if ident or length:
                    raise PeerViolation("a PAD frame has an id or a length")
                break
            end = start + length
            if end > size:
                raise PeerViolation("a frame overruns its cell")
            data = payload[start:end]
            if ident == SESSION:
                if kind != Frame.RATCHET or at or any(payload[end:]):
                    raise PeerViolation("a session frame is not RATCHET, or RATCHET shares its cell")
                return data
            self._receive(ident, kind, data, now_s)
            at = end
        return None

    def _receive(self, ident: int, kind: int, data: memoryview, now_s: float) -> None:
        """A frame came that is not DATA on a living conveyor."""
        conveyor = self.conveyors.get(ident)
        if conveyor is None:
            if kind == Frame.OPEN and self._on_open is not None:
                self._opened(ident, bytes(data), self._on_open)
            elif ident > self._newest:
                raise PeerViolation("a frame names a conveyor that was never opened")
            return
        if kind == Frame.CREDIT and len(data) == CREDIT_SIZE:
            conveyor.credit = min(conveyor.credit + int.from_bytes(data, "big"), 2 * WINDOW_CAP)
            self.ready(conveyor)
        elif kind == Frame.ACCEPT and self._on_open is None and not conveyor.accepted:
            conveyor.accepted = True
            conveyor.accepted_data = bytes(data)
            took_s = now_s - conveyor.opened_s
            self.round_trip_s = min(self.round_trip_s or took_s, took_s)
        elif kind == Frame.FIN and not len(data) and not conveyor.finished:
            conveyor.finished = True
            if conveyor.fin_sent:
                conveyor.drop(None)
        elif kind == Frame.RESET and len(data) == 2:
            reason = Reason.read(int.from_bytes(data, "big"))
            conveyor.drop(Reason.GENERIC if reason is Reason.LINK_LOST else reason)
        else:
            raise PeerViolation("a frame is malformed, or not allowed here and now")
        conveyor.watch()

    def _opened(self, ident: int, data: bytes, on_open: OnOpen) -> None:
        if ident <= self._newest:
            raise PeerViolation("a conveyor's id was used before")
        if len(self._control) >= CONTROL_CAP:
            raise PeerViolation("conveyors are opened faster than their answers are read")
        name, arguments = decode_operation(data)
        self._newest = ident
        if self.full:
            self.control(encode(ident, Frame.RESET, int(Reason.RESOURCES).to_bytes(2, "big")))
            return
        conveyor = self.conveyors[ident] = Conveyor(self, ident, FIRST_WINDOW)
        on_open(conveyor, name, arguments)

    def ready(self, conveyor: Conveyor) -> None:
        """A conveyor may have become sendable."""
        if conveyor.in_line or not conveyor.sendable:
            return
        conveyor.in_line = True
        # A keystroke goes before the downloads that it shares the circuit with, and leaves their turns alone.
        (self._quick if conveyor.waiting <= DATA_CAP else self._ready).append(conveyor)
        self._wake()

    def control(self, frame: bytes) -> None:
        """Queue a frame that goes before data."""
        self._control.append(frame)
        self._wake()

    def close(self, reason: Reason) -> None:
        """The circuit is over: every conveyor ends."""
        for conveyor in list(self.conveyors.values()):
            conveyor.drop(reason)
        self._control.clear()
        self._quick.clear()
        self._ready.clear()


def _worthwhile(conveyor: Conveyor, payload: memoryview, at: int) -> bool:
    """Whether a frame of a conveyor's data is to be written at a place of a payload."""
    room = len(payload) - at - FRAME_HEAD.size
    return room > 0 and (room >= WORTHWHILE or not at or conveyor.waiting <= room)
