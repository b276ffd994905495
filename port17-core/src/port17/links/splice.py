"""Joins a program's or a destination's TCP connection to a conveyor: both directions, half-close, and an
abortive end whenever either side ended abortively. Which two are joined is decided by ingress and exit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio
from anyio.abc import SocketStream, TaskGroup

from port17.errors import NetworkError
from port17.links.tcp import close, reset
from port17.records.framing import BytesLike
from port17.wire.reasons import Reason

CHUNK_SIZE = 256 * 1024
"""Bytes asked of the socket at once, so that the cost of a call is shared by some 64 cells."""


class Conveyor(Protocol):
    """What is asked of the conveyor's side; :class:`port17.links.stream.ConveyorStream` is it."""

    async def receive(self) -> bytes:
        """At least one byte; :class:`anyio.EndOfStream` after an orderly end.

        :raises NetworkError: the conveyor, its circuit or its link ended otherwise.
        """

    async def send(self, data: BytesLike) -> None:
        """All of the data, with backpressure.

        :raises NetworkError: as for :meth:`receive`.
        """

    async def send_eof(self) -> None:
        """End this direction in order."""

    async def aclose(self) -> None:
        """End both directions, in order where possible."""

    def abort(self, reason: Reason = Reason.DONE) -> None:
        """End both directions at once."""


async def splice(
    stream: SocketStream,
    conveyor: Conveyor,
    *,
    ahead: bytes = b"",
    ready: Callable[[], Awaitable[bytes]] | None = None,
) -> None:
    """Carry bytes both ways until both directions have ended, then close both sides.

    An error on the conveyor's side, and cancellation, reset the TCP connection; a reset of that aborts
    the conveyor with ``RESET``. Neither is raised: when this returns, all is over.

    :param stream: the TCP connection; owned by the splice from here on, unless ``ready`` raises.
    :param ahead: what the program has already sent; goes out first.
    :param ready: awaited before anything is delivered to the TCP side, while what that side sends is
        already carried away (early data); what it returns is delivered first.
    :raises NetworkError: ``ready`` raised it. The conveyor is aborted, and the TCP connection still open,
        so that the caller can answer it.
    """
    joint = _Splice(stream, conveyor)
    try:
        await joint.run(ahead, ready)
    except NetworkError:
        conveyor.abort(Reason.DONE)
        raise
    except BaseException:
        conveyor.abort(Reason.DONE)
        await reset(stream)
        raise


class _Splice:
    def __init__(self, stream: SocketStream, conveyor: Conveyor) -> None:
        self._stream = stream
        self._conveyor = conveyor
        self._failed = False
        self._established = False

    async def run(self, ahead: bytes, ready: Callable[[], Awaitable[bytes]] | None) -> None:
        refusal: NetworkError | None = None
        first = b""
        async with anyio.create_task_group() as group:
            group.start_soon(self._outward, ahead, group)
            if ready is not None:
                try:
                    first = await ready()
                except NetworkError as error:
                    # Kept until the group has ended: an exception group would hide it from the caller.
                    refusal = error
                    group.cancel_scope.cancel()
            if refusal is None:
                self._established = True
                await self._inward(first, group)
        if refusal is not None:
            raise refusal
        if not self._failed:
            await self._conveyor.aclose()
            await close(self._stream)

    async def _outward(self, ahead: bytes, group: TaskGroup) -> None:
        """From the TCP side into the conveyor."""
        stream, conveyor = self._stream, self._conveyor
        try:
            if ahead:
                await conveyor.send(ahead)
            while True:
                await conveyor.send(await stream.receive(CHUNK_SIZE))
        except anyio.EndOfStream:
            try:
                await conveyor.send_eof()
            except NetworkError:
                await self._tunnel_failed(group)
        except NetworkError:
            await self._tunnel_failed(group)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._socket_failed(group)

    async def _inward(self, first: bytes, group: TaskGroup) -> None:
        """From the conveyor to the TCP side."""
        stream, conveyor = self._stream, self._conveyor
        try:
            if first:
                await stream.send(first)
            while True:
                await stream.send(await conveyor.receive())
        except anyio.EndOfStream:
            await self._end_socket(group)
        except NetworkError:
            await self._tunnel_failed(group)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._socket_failed(group)

    async def _end_socket(self, group: TaskGroup) -> None:
        try:
            await self._stream.send_eof()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._socket_failed(group)

    async def _tunnel_failed(self, group: TaskGroup) -> None:
        if not self._established:
            return  # `ready` is about to say the same, and its caller owes the program an answer.
        self._failed = True
        await reset(self._stream)
        group.cancel_scope.cancel()

    async def _socket_failed(self, group: TaskGroup) -> None:
        self._failed = True
        self._conveyor.abort(Reason.RESET)
        await reset(self._stream)
        group.cancel_scope.cancel()
