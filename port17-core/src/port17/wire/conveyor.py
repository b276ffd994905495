"""Conveyors: the streams inside a circuit, between the client and one hop, with byte credits each.

What a cell's payload is packed with, and in whose turn, is :mod:`port17.wire.mux`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from port17.errors import LocalViolation, PeerViolation
from port17.records.framing import BytesLike
from port17.wire.frame import FRAME_HEAD, Frame, encode
from port17.wire.reasons import Reason

if TYPE_CHECKING:
    from port17.wire.mux import Mux

FIRST_WINDOW = 64 * 1024
"""Bytes a peer may send on a conveyor at first: a page's first response, and half of what a circuit's first
link credits let through. A thousand conveyors hold 64 MiB of it."""
WINDOW_CAP = 4 * 1024 * 1024
"""Most bytes one conveyor's window grows to: 100 ms at 40 MB/s."""
GROWTH_FLOOR_S = 0.005
"""Half a window drained in less than this, or in less than two round trips, doubles it: shorter times
cannot be told from scheduling noise."""
ROUND_TRIP_CAP_S = 2.0
"""Longest round trip believed, seconds: a peer can answer late, and so make everything look quick."""
SMALL = 1024
"""Bytes of DATA below which pieces are kept joined: each piece of its own costs some 60 bytes more."""
CREDIT_SIZE = 4
"""Bytes of a CREDIT frame's data: u32 bytes."""


def nothing() -> None:
    """What is called where nobody wants to be told."""


class Conveyor:
    """One stream's end. Made by :meth:`port17.wire.mux.Mux.open`, or handed to the mux's ``on_open``."""

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
