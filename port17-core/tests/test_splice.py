"""The splice: both directions, half-close, and an abortive end for an abortive end, over real sockets."""

from __future__ import annotations

import hashlib
import random
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from port17.errors import CircuitFailed, ConveyorReset, LinkLost, NetworkError
from port17.links.splice import splice
from port17.links.tcp import TcpStream, tune
from port17.records.framing import BytesLike
from port17.wire.reasons import Reason

from .plain_conveyor import PlainConveyor

pytestmark = pytest.mark.anyio

ERRORS: list[Callable[[], NetworkError]] = [
    lambda: ConveyorReset("reset", Reason.REFUSED),
    lambda: CircuitFailed("failed", Reason.NEXT_HOP_LOST),
    lambda: LinkLost("lost"),
]


class Belt(PlainConveyor):
    """A conveyor stream that a test holds the other end of."""

    def __init__(self, room: float = 1000) -> None:
        super().__init__()
        self.feed, self._in = anyio.create_memory_object_stream[bytes | NetworkError](100)
        self._out, self.sent = anyio.create_memory_object_stream[bytes](room)
        self.send_fails: NetworkError | None = None
        self.closed = False

    async def receive(self) -> bytes:
        item = await self._in.receive()
        if isinstance(item, NetworkError):
            raise item
        return item

    async def send(self, data: BytesLike) -> None:
        if self.send_fails is not None:
            raise self.send_fails
        await self._out.send(bytes(data))

    async def send_eof(self) -> None:
        self._out.close()

    async def aclose(self) -> None:
        self.closed = True
        self.close_all()

    def abort(self, reason: Reason = Reason.DONE) -> None:
        super().abort(reason)
        self.close_all()

    def close_all(self) -> None:
        for end in (self._in, self._out):
            end.close()

    def discard(self) -> None:
        self.close_all()
        self.feed.close()
        self.sent.close()

    async def drain(self) -> bytes:
        return b"".join([piece async for piece in self.sent])


@pytest.fixture
def belt() -> Iterator[Belt]:
    belt = Belt()
    yield belt
    belt.discard()


@asynccontextmanager
async def tcp_pair() -> AsyncGenerator[tuple[SocketStream, TcpStream]]:
    """A program's end and ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = await anyio.connect_tcp(*server.getsockname())
        raw, _ = server.accept()
    tune(raw)
    ours = TcpStream(raw)
    async with program:
        yield program, ours
        await ours.aclose()


@asynccontextmanager
async def spliced(belt: Belt) -> AsyncGenerator[SocketStream]:
    """A program whose connection is spliced to the belt; leaving waits for the splice to end."""
    with anyio.fail_after(20):
        async with tcp_pair() as (program, ours), anyio.create_task_group() as group:
            group.start_soon(splice, ours, belt)
            yield program


async def read_all(stream: SocketStream) -> bytes:
    got = bytearray()
    while True:
        try:
            got += await stream.receive()
        except anyio.EndOfStream:
            return bytes(got)


async def expect_reset(stream: SocketStream) -> None:
    with pytest.raises(anyio.BrokenResourceError):
        while True:
            await stream.receive()


async def test_bytes_cross_both_ways_and_both_ends_close_in_order(belt: Belt) -> None:
    rng = random.Random(1)
    down = [rng.randbytes(rng.choice((1, 3987, 100_000))) for _ in range(40)]
    up = rng.randbytes(3_000_001)
    async with spliced(belt) as program, anyio.create_task_group() as group:

        async def upload() -> None:
            await program.send(up)
            await program.send_eof()

        async def feed() -> None:
            for piece in down:
                await belt.feed.send(piece)
            belt.feed.close()

        group.start_soon(upload)
        group.start_soon(feed)
        assert hashlib.sha256(await belt.drain()).digest() == hashlib.sha256(up).digest()
        assert await read_all(program) == b"".join(down)
    assert belt.closed
    assert not belt.aborted


async def test_the_program_may_stop_sending_and_go_on_reading(belt: Belt) -> None:
    async with spliced(belt) as program:
        await program.send(b"question")
        await program.send_eof()
        assert await belt.drain() == b"question"
        for piece in (b"long ", b"answer"):
            await belt.feed.send(piece)
            await anyio.sleep(0.01)
        belt.feed.close()
        assert await read_all(program) == b"long answer"
    assert belt.closed


async def test_the_destination_may_stop_sending_and_go_on_reading(belt: Belt) -> None:
    async with spliced(belt) as program:
        await belt.feed.send(b"banner")
        belt.feed.close()
        assert await read_all(program) == b"banner"
        await anyio.sleep(0.01)
        await program.send(b"upload")
        await program.send_eof()
        assert await belt.drain() == b"upload"
    assert belt.closed


@pytest.mark.parametrize("error", ERRORS)
async def test_a_failing_tunnel_resets_the_program(belt: Belt, error: Callable[[], NetworkError]) -> None:
    async with spliced(belt) as program:
        await belt.feed.send(b"half of it")
        assert await program.receive() == b"half of it"
        await belt.feed.send(error())
        await expect_reset(program)


@pytest.mark.parametrize("error", ERRORS)
async def test_a_failing_tunnel_resets_a_program_that_only_sends(
    belt: Belt, error: Callable[[], NetworkError]
) -> None:
    async with spliced(belt) as program:
        belt.send_fails = error()
        await program.send(b"into the void")
        await expect_reset(program)


async def test_a_failing_tunnel_resets_a_program_that_is_half_closed(belt: Belt) -> None:
    async with spliced(belt) as program:
        await program.send_eof()
        assert await belt.drain() == b""
        await belt.feed.send(b"half")
        assert await program.receive() == b"half"
        await belt.feed.send(ConveyorReset("gone", Reason.GENERIC))
        await expect_reset(program)


async def test_a_programs_reset_aborts_the_conveyor(belt: Belt) -> None:
    async with spliced(belt) as program:
        await program.send(b"x")
        assert await belt.sent.receive() == b"x"
        program.extra(SocketAttribute.raw_socket).setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        await program.aclose()
    assert belt.aborted == [Reason.RESET]
    assert not belt.closed


async def test_a_program_that_goes_away_aborts_a_download(belt: Belt) -> None:
    async with spliced(belt) as program:
        await program.aclose()  # An orderly end as far as anybody can see, until something is sent to it.
        assert await belt.drain() == b""
        while not belt.aborted:
            await belt.feed.send(b"y" * 1000)
            await anyio.sleep(0.005)
    assert belt.aborted == [Reason.RESET]


async def test_cancellation_resets_the_program(belt: Belt) -> None:
    async with tcp_pair() as (program, ours):
        async with anyio.create_task_group() as group:
            group.start_soon(splice, ours, belt)
            await program.send(b"x")
            assert await belt.sent.receive() == b"x"
            group.cancel_scope.cancel()
        await expect_reset(program)
    assert belt.aborted == [Reason.DONE]


async def test_a_slow_tunnel_holds_the_program_back() -> None:
    belt = Belt(room=1)
    async with spliced(belt) as program:
        sent = 0
        with anyio.move_on_after(0.3):
            while True:
                await program.send(bytes(65536))
                sent += 65536
        assert sent < 32 * 1024 * 1024
        belt.feed.send_nowait(LinkLost("enough"))
    belt.discard()


async def test_early_data_goes_out_before_the_destination_is_ready(belt: Belt) -> None:
    ready = anyio.Event()

    async def becomes_ready() -> bytes:
        await ready.wait()
        return b"reply;"

    with anyio.fail_after(5):
        async with tcp_pair() as (program, ours), anyio.create_task_group() as group:

            async def run() -> None:
                await splice(ours, belt, ahead=b"ahead;", ready=becomes_ready)

            group.start_soon(run)
            assert await belt.sent.receive() == b"ahead;"
            await program.send(b"early;")
            assert await belt.sent.receive() == b"early;"
            await belt.feed.send(b"data")
            with anyio.move_on_after(0.05) as waited:
                await program.receive()
            assert waited.cancelled_caught, "nothing may reach the program before the reply"
            ready.set()
            belt.feed.close()
            await program.send_eof()
            assert await read_all(program) == b"reply;data"
            assert await belt.drain() == b""
    assert belt.closed


@pytest.mark.parametrize("send_fails_first", [False, True])
async def test_a_refusal_leaves_the_program_to_be_answered(belt: Belt, send_fails_first: bool) -> None:
    refusal = ConveyorReset("refused", Reason.REFUSED)
    if send_fails_first:
        belt.send_fails = refusal

    async def refused() -> bytes:
        await anyio.sleep(0.05)
        raise refusal

    with anyio.fail_after(5):
        async with tcp_pair() as (program, ours):
            await program.send(b"optimistic")
            with pytest.raises(ConveyorReset) as raised:
                await splice(ours, belt, ahead=b"x", ready=refused)
            assert raised.value.reason == Reason.REFUSED
            await ours.send(b"sorry")
            assert await program.receive() == b"sorry"
    assert belt.aborted


async def test_a_program_that_is_reset_while_it_waits_ends_the_wait(belt: Belt) -> None:
    async def never() -> bytes:
        await anyio.sleep_forever()
        return b""

    with anyio.fail_after(5):
        async with tcp_pair() as (program, ours):
            program.extra(SocketAttribute.raw_socket).setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            await program.aclose()
            await splice(ours, belt, ready=never)
    assert belt.aborted == [Reason.RESET]
