"""Conveyors: the streams inside a circuit, between the client and one hop, with byte credits each.

A :class:`Mux` is one end of all conveyors between the client and one hop; it packs whole frames into
cells' payloads and takes them out again. Keys, layers and link credits are the circuit's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from port17.errors import LocalViolation, PeerViolation
from port17.records.framing import BytesLike
from port17.wire.block import PAYLOAD_SIZE
from port17.wire.frame import DATA_CAP, FRAME_HEAD, SESSION, Frame, decode_operation, encode, encode_operation
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

FIRST_WINDOW = 64 * 1024
"""Bytes a peer may send on a conveyor at first: a page's first response, and half of what a circuit's first
link credits let through. A thousand conveyors hold 64 MiB of it."""
WINDOW_CAP = 4 * 1024 * 1024
"""Most bytes one conveyor's window grows to: 100 ms at 40 MB/s."""
GROWTH_FLOOR_S = 0.005
"""Half a window drained in less than this, or in less than two round trips, doubles it: shorter times
cannot be told from scheduling noise."""
CONVEYORS_CAP = 1024
"""Most conveyors open in one session: a browser's busiest page needs a tenth; each may hold a window."""
ROUND_TRIP_CAP_S = 2.0
"""Longest round trip believed, seconds: a peer can answer late, and so make everything look quick."""
SMALL = 1024
"""Bytes of DATA below which pieces are kept joined: each piece of its own costs some 60 bytes more."""
CONVEYORS_SURE = 16
"""Conveyors of one session that may use up the last half of the budget: nobody's many keep out everybody's
few."""
CREDIT_SIZE = 4
"""Bytes of a CREDIT frame's data: u32 bytes."""
CONTROL_CAP = 4 * CONVEYORS_CAP
"""Most frames waiting to answer a peer that opens and does not read: each open conveyor may owe an
ACCEPT, a CREDIT, a FIN and a RESET; past that it is a flood."""
WORTHWHILE = 128
"""Bytes of room in a cell below which a longer piece of data waits for the next cell."""
TURN = 32
"""DATA frames that one conveyor sends in a row while others wait: 127 KiB, so that its reader is woken for
more than a cell at a time. Who has no more than a frame to send goes first, and waits for nobody."""
ZEROS = bytes(PAYLOAD_SIZE)


def nothing() -> None:
    """The watcher of a conveyor that nobody watches."""


class Conveyor:
    """One stream's end. Made by :meth:`Mux.open`, or handed to the mux's ``on_open``."""

    __slots__ = (
        "_chunks",
        "_drained",
        "_finishing",
        "_last_credit_s",
        "_mux",
        "_offset",
        "_received",
        "_window",
        "accepted",
        "accepted_data",
        "allowance",
        "credit",
        "ended",
        "fin_sent",
        "finished",
        "ident",
        "in_line",
        "low_water",
        "opened_s",
        "received",
        "reset_reason",
        "waiting",
        "watch",
    )

    def __init__(self, mux: Mux, ident: int, window: int) -> None:
        mux.budget.take(window)
        self._mux = mux
        self.ident = ident
        self._chunks: deque[memoryview] = deque()
        self._offset = 0
        self.waiting = 0
        """Bytes queued here and not yet in a cell."""
        self.low_water = -1
        """Bytes of :attr:`waiting` at which :attr:`watch` is called; -1 for whoever does not wait."""
        self.credit = FIRST_WINDOW
        """Bytes we may still send."""
        self._finishing = False
        self.fin_sent = False
        self.in_line = False
        """The mux will ask it for data."""
        self._received: list[bytes | bytearray] = []
        self.received = 0
        """Bytes that came and were not yet taken."""
        self._window = window
        self.allowance = window
        """Bytes the peer may still send."""
        self._drained = 0
        self._last_credit_s = 0.0
        self.opened_s = 0.0
        self.accepted = False
        self.accepted_data = b""
        self.finished = False
        """The peer sent FIN."""
        self.reset_reason: Reason | None = None
        """Why it ended other than in order; None while it did not."""
        self.ended = False
        """The mux knows it no more."""
        self.watch: Callable[[], None] = nothing
        """Called whenever something of the above changed."""

    # -- our side sends ---------------------------------------------------------------------------
    def send(self, data: BytesLike) -> None:
        """Queue data. The caller watches :attr:`waiting`; the buffer must not change any more."""
        if self._finishing:
            raise LocalViolation("a conveyor was finished and is sent to")
        if self.reset_reason is None and len(data):
            self._chunks.append(memoryview(data))
            self.waiting += len(data)
            self._mux.ready(self)

    def finish(self) -> None:
        """FIN once all queued data went out. The other direction stays."""
        if not self._finishing:
            self._finishing = True
            self._fin_if_empty()

    def reset(self, reason: Reason) -> None:
        """End both directions now; what came and was not taken is forgotten."""
        self._discard()
        if not self.ended:
            self._mux.control(encode(self.ident, Frame.RESET, int(reason).to_bytes(2, "big")))
            self.drop(reason)

    def accept(self, data: bytes = b"") -> None:
        """A node's operation is ready."""
        if not self.ended:
            self.accepted = True
            self._mux.control(encode(self.ident, Frame.ACCEPT, data))

    # -- our side takes ---------------------------------------------------------------------------
    def take(self) -> bytes:
        """All bytes that came since the last call; may be none."""
        data = b"".join(self._received)
        self._discard()
        return data

    def consumed(self, amount: int, now_s: float) -> None:
        """What was taken has left this process: the peer may send as much again, or more."""
        self._drained += amount
        if self.ended or self.finished or self._drained * 2 < self._window:
            return
        grant = self._drained
        self._drained = 0
        round_trip_s = min(self._mux.round_trip_s, ROUND_TRIP_CAP_S)
        quick = now_s - self._last_credit_s < max(2 * round_trip_s, GROWTH_FLOOR_S)
        self._last_credit_s = now_s
        if quick and self._window < WINDOW_CAP and self._mux.budget.take_spare(self._window):
            grant += self._window
            self._window *= 2
        self.allowance += grant
        self._mux.control(encode(self.ident, Frame.CREDIT, grant.to_bytes(CREDIT_SIZE, "big")))

    # -- the mux's side ---------------------------------------------------------------------------
    def fill(self, payload: memoryview, at: int) -> int:
        """Write one DATA frame at a place of a payload; the bytes written, its head included."""
        room = len(payload) - at - FRAME_HEAD.size
        size = min(self.waiting, self.credit, room)
        FRAME_HEAD.pack_into(payload, at, self.ident, Frame.DATA, size)
        at += FRAME_HEAD.size
        chunks, left = self._chunks, size
        while left:
            chunk, offset = chunks[0], self._offset
            piece = chunk[offset : offset + left]
            got = len(piece)
            payload[at : at + got] = piece
            at += got
            left -= got
            if offset + got == len(chunk):
                chunks.popleft()
                self._offset = 0
            else:
                self._offset = offset + got
        self.waiting -= size
        self.credit -= size
        self._mux.sent += size
        if self.waiting <= self.low_water:
            self.watch()
        if not self.waiting:
            self._fin_if_empty()
        return size + FRAME_HEAD.size

    @property
    def sendable(self) -> bool:
        """There is data that may go."""
        return self.waiting > 0 and self.credit > 0

    def _fin_if_empty(self) -> None:
        if self._finishing and not self.waiting and not self.fin_sent and not self.ended:
            self.fin_sent = True
            self._mux.control(encode(self.ident, Frame.FIN))
            if self.finished:
                self.drop(None)

    def arrived(self, data: memoryview) -> None:
        """DATA came."""
        size = len(data)
        self.allowance -= size
        if self.allowance < 0 or self.finished or not size:
            raise PeerViolation("a conveyor got no data, data beyond its credit, or data after its end")
        self._mux.got += size
        self.received += size
        if size >= SMALL:
            self._received.append(bytes(data))
        elif self._received and isinstance(self._received[-1], bytearray):
            self._received[-1] += data
        else:
            self._received.append(bytearray(data))
        self.watch()

    def no_data(self) -> None:
        """The peer may send nothing on this conveyor: it needs no window."""
        self._mux.budget.give(self._window)
        self._window = self.allowance = 0

    def _discard(self) -> None:
        self._received.clear()
        self.received = 0
        self._give_back()

    def _give_back(self) -> None:
        """Once it is over and nothing of it is kept, the window belongs to the budget again."""
        if self.ended and not self.received:
            self._mux.budget.give(self._window)
            self._window = 0

    def drop(self, reason: Reason | None) -> None:
        """Forget the conveyor: it is over, in order if there is no reason."""
        if not self.ended:
            self.ended = True
            self.reset_reason = reason
            if reason is not None:
                self._chunks.clear()
                self.waiting = 0
            self._mux.conveyors.pop(self.ident, None)
            self._give_back()
        self.watch()


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
        quick = self._quick
        while quick and not control:
            room = size - at - FRAME_HEAD.size
            if room < 1 or (room < WORTHWHILE and at and quick[0].waiting > room):
                break
            conveyor = quick.popleft()
            conveyor.in_line = False
            if conveyor.sendable:
                at += conveyor.fill(payload, at)
                self.ready(conveyor)  # room or credit may have been for less than it has
        ready = self._ready
        while ready and not control and not quick:
            conveyor = ready[0]
            room = size - at - FRAME_HEAD.size
            if room < 1 or (room < WORTHWHILE and at and conveyor.waiting > room):
                break
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
        if at < size:
            payload[at:] = ZEROS[at:]
        return at > 0

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
