"""Joins a program's or a destination's TCP connection to a conveyor: both directions, half-close, and an
abortive end whenever either side ended abortively. Which two are joined is decided by ingress and exit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from port17.errors import NetworkError
from port17.links.stream import ConveyorStream
from port17.links.tcp import RECEIVE_SIZE, TcpStream, arm, close, reset
from port17.wire.reasons import Reason


async def splice(
    stream: TcpStream,
    conveyor: ConveyorStream,
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
    arm(stream)
    try:
        await _Splice(stream, conveyor).run(ahead, ready)
    except NetworkError:
        conveyor.abort()
        raise
    except BaseException:
        conveyor.abort()
        await reset(stream)
        raise


class _Splice:
    def __init__(self, stream: TcpStream, conveyor: ConveyorStream) -> None:
        self._stream = stream
        self._conveyor = conveyor
        self._established = False
        self._failed = False

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
        receive, send = self._stream.receive, self._conveyor.send
        try:
            try:
                if ahead:
                    await send(ahead)
                while True:
                    await send(await receive(RECEIVE_SIZE))
            except anyio.EndOfStream:
                await self._conveyor.send_eof()
        except NetworkError:
            # Before the tunnel is established, `ready` is about to say the same, and its caller owes the
            # program an answer.
            if self._established:
                await self._fail(group)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._fail(group, Reason.RESET)

    async def _inward(self, first: bytes, group: TaskGroup) -> None:
        """From the conveyor to the TCP side."""
        try:
            if first:
                await self._stream.send(first)
            await self._conveyor.deliver(self._stream)
            await self._stream.send_eof()
        except NetworkError:
            await self._fail(group)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._fail(group, Reason.RESET)

    async def _fail(self, group: TaskGroup, reason: Reason | None = None) -> None:
        """End both sides at once, for the first reason there is: ``reason``, or the conveyor's own."""
        if self._failed:
            return
        self._failed = True
        # Also of a conveyor that has ended: what came and will not be read must not be kept.
        self._conveyor.abort(reason if reason is not None else Reason.DONE)
        await reset(self._stream)
        group.cancel_scope.cancel()
