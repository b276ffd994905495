"""A conveyor as an awaitable byte stream: waits where the sans-I/O conveyor can only say "not now"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio

from port17.errors import ConveyorReset
from port17.links.batch import BATCH
from port17.records.framing import BytesLike
from port17.wire.conveyor import Conveyor
from port17.wire.reasons import Reason

HIGH_WATER = 256 * 1024
"""Bytes queued for cells above which a sender waits: with the chunk that crosses it, half a mebibyte."""
LOW_WATER = 128 * 1024
"""Bytes queued at which a waiting sender goes on: 33 cells, so that a link never runs dry meanwhile."""


class Outlet(Protocol):
    """Where a stream delivers to; :class:`port17.links.tcp.TcpStream` is one."""

    def send_now(self, item: BytesLike) -> int:
        """As much as can be sent without waiting; the bytes sent, maybe none."""

    async def send(self, item: BytesLike) -> None:
        """All of the data, with backpressure."""


class ConveyorStream:
    """One end of a conveyor. One task may receive while another sends."""

    def __init__(self, conveyor: Conveyor) -> None:
        self._taken = 0
        self._outlet: Outlet | None = None
        self._rest = b""
        """What the outlet could not take at once."""
        self._waiting = False
        """The delivering task waits: what comes may go to the outlet without it."""
        self._listed = False
        """On the batch's list."""
        self._change: anyio.Event | None = None
        self.origin = ""
        """Names the link that it came over, at the node that serves it."""
        self.on_reset: Callable[[], None] | None = None
        """Called when the conveyor ended other than in order."""
        self.attach(conveyor)

    def attach(self, conveyor: Conveyor) -> None:
        """Use this conveyor, in place of one that ended before anything was said on it."""
        self._conveyor = conveyor
        conveyor.watch = self._changed

    @property
    def was_reset(self) -> bool:
        """It ended other than in order."""
        return self._conveyor.reset_reason is not None

    async def receive(self) -> bytes:
        """At least one byte. What the call before gave is taken as processed: the peer may send as much.

        :raises anyio.EndOfStream: the peer finished.
        :raises ConveyorReset: the conveyor, its circuit or its link ended otherwise.
        """
        conveyor = self._conveyor
        if self._taken:
            conveyor.consumed(self._taken, anyio.current_time())
            self._taken = 0
        while not conveyor.received:
            self._check()
            if conveyor.finished:
                raise anyio.EndOfStream
            await self._changes()
        data = conveyor.take()
        self._taken = len(data)
        return data

    async def deliver(self, outlet: Outlet) -> None:
        """Hand over everything that comes, until the peer finishes.

        What comes goes to the outlet at the end of the event that brought it, as long as the outlet takes it
        at once: waking a task for it would cost more than the cell.

        :raises ConveyorReset: as of :meth:`receive`.
        :raises Exception: what the outlet raises.
        """
        self._outlet = outlet
        try:
            while True:
                self.flush()
                if self._rest:
                    rest, self._rest = self._rest, b""
                    await outlet.send(rest)
                    self._conveyor.consumed(len(rest), anyio.current_time())
                elif not self._conveyor.received:
                    self._check()
                    if self._conveyor.finished:
                        return
                    self._waiting = True
                    try:
                        await self._changes()
                    finally:
                        self._waiting = False
        finally:
            self._outlet = None

    def flush(self) -> None:
        """See :class:`~port17.links.batch.Flushed`: deliver what came in the event that ends."""
        self._listed = False
        conveyor, outlet = self._conveyor, self._outlet
        if outlet is None or self._rest or not conveyor.received:
            return
        try:
            data = conveyor.take()
            sent = outlet.send_now(data)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            sent = 0  # the delivering task finds out by itself, and says so
        if sent < len(data):
            self._rest = data[sent:]
            self._waiting = False
            self._wake()
        conveyor.consumed(sent, anyio.current_time())

    async def send(self, data: BytesLike) -> None:
        """All of the data; waits while much is queued. The buffer must not change any more.

        :raises ConveyorReset: the conveyor, its circuit or its link ended.
        """
        self._check()
        conveyor = self._conveyor
        with BATCH:
            conveyor.send(data)
        if conveyor.waiting > HIGH_WATER:
            conveyor.low_water = LOW_WATER
            try:
                while conveyor.waiting > LOW_WATER:
                    await self._changes()
                    self._check()
            finally:
                conveyor.low_water = -1

    async def send_eof(self) -> None:
        """End this direction in order.

        :raises ConveyorReset: the conveyor, its circuit or its link ended.
        """
        self._check()
        self._conveyor.finish()

    async def accept(self, data: bytes = b"") -> None:
        """Tell the opener that the operation is ready.

        :raises ConveyorReset: the conveyor has ended meanwhile.
        """
        self._check()
        with BATCH:
            self._conveyor.accept(data)

    async def accepted(self) -> None:
        """Wait until the operation is ready.

        :raises ConveyorReset: it was refused; ``reason`` says why.
        """
        while not self._conveyor.accepted:
            self._check()
            if self._conveyor.ended:
                raise ConveyorReset("the stream ended without an answer", Reason.GENERIC)
            await self._changes()

    async def aclose(self) -> None:
        """End both directions, in order if the peer has finished."""
        if self._conveyor.finished:
            self._conveyor.finish()
        else:
            self.abort()

    def abort(self, reason: Reason = Reason.DONE) -> None:
        """End both directions at once."""
        self._conveyor.reset(reason)

    def _check(self) -> None:
        reason = self._conveyor.reset_reason
        if reason is not None:
            raise ConveyorReset(f"the stream was ended: {reason.name}", reason)

    async def _changes(self) -> None:
        if self._change is None:
            self._change = anyio.Event()
        await self._change.wait()

    def _wake(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None

    def _changed(self) -> None:
        conveyor = self._conveyor
        if self._waiting and conveyor.received and BATCH.is_open:
            if not self._listed:
                self._listed = True
                BATCH.add(self)
            if not conveyor.finished and conveyor.reset_reason is None and conveyor.low_water < 0:
                return
        self._wake()
        if self.on_reset is not None and self._conveyor.reset_reason is not None:
            self.on_reset()
