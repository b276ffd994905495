"""What the transport contract promises, asked of every installed transport."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest

from port17 import BytesLike, Listener, Ship, Transport

CANDIDATES = ("127.0.0.1:0", "conformance")
"""Where a transport is asked to listen, unless ``--listen`` says it: the first that is of its form."""
PATIENCE_S = 20
"""No single wait takes longer on a slow machine, unless something hangs."""
STUCK_S = 0.3
"""After so long without progress, a sender counts as held back."""
MUCH = 64 * 1024 * 1024
"""Bytes that no transport may take in while nobody reads."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def where(transport: Transport, request: pytest.FixtureRequest) -> str:
    given = dict(pair.split("=", 1) for pair in request.config.getoption("--listen"))
    if transport.name in given:
        return str(given[transport.name])
    for address in CANDIDATES:
        try:
            transport.check_address(address)
        except ValueError:
            continue
        return address
    pytest.fail(f"say where {transport.name} can listen: --listen {transport.name}=ADDRESS")


@dataclass
class Pair:
    """A ship's two ends, and the listener that took it in."""

    near: Ship
    far: Ship
    listener: Listener
    arrivals: AsyncIterator[Ship]


@asynccontextmanager
async def connected(transport: Transport, where: str) -> AsyncIterator[Pair]:
    with anyio.fail_after(PATIENCE_S):
        async with transport.listen(where) as listener:
            arrivals = listener.ships()
            near = await transport.dial(listener.address)
            far = await anext(arrivals)
            try:
                yield Pair(near, far, listener, arrivals)
            finally:
                await near.aclose()
                await far.aclose()


async def receive_exactly(ship: Ship, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += await ship.receive(size - len(data))
    return bytes(data)


async def test_is_named_as_its_entry_point(transport: Transport, entry_point: str) -> None:
    assert transport.name == entry_point


async def test_says_what_is_wrong_with_an_address(transport: Transport) -> None:
    for address in ("", "\0", "a b", "x" * 100_000):
        with pytest.raises(ValueError, match=r"\w"):
            transport.check_address(address)


async def test_advertises_an_address_that_can_be_dialled(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        transport.check_address(pair.listener.address)
        assert isinstance(pair.near.remote, str)
        assert isinstance(pair.far.remote, str)


async def test_carries_bytes_both_ways_at_once(transport: Transport, where: str) -> None:
    sizes = [1, 4095, 4096, 4097, 65_536, 262_144, 1_000_003]
    data = b"".join(hashlib.shake_128(str(size).encode()).digest(size) for size in sizes)

    async def send(ship: Ship) -> None:
        at = 0
        for size in sizes:
            await ship.send(memoryview(data)[at : at + size])
            at += size

    async with connected(transport, where) as pair, anyio.create_task_group() as tasks:
        tasks.start_soon(send, pair.near)
        tasks.start_soon(send, pair.far)
        assert await receive_exactly(pair.far, len(data)) == data
        assert await receive_exactly(pair.near, len(data)) == data


async def test_gives_no_more_than_was_asked_and_loses_nothing(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        await pair.near.send(b"0123456789")
        got = bytearray()
        while len(got) < 10:
            part = await pair.far.receive(3)
            assert 1 <= len(part) <= 3
            got += part
        assert got == b"0123456789"


async def test_is_done_with_a_buffer_once_sent(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        buffer = bytearray(b"a" * 8192)
        await pair.near.send(buffer)
        buffer[:] = b"b" * 8192
        buffer.clear()  # a view kept on it would raise here
        assert await receive_exactly(pair.far, 8192) == b"a" * 8192


async def test_sends_now_what_needs_no_waiting(transport: Transport, where: str) -> None:
    data = hashlib.shake_128(b"now").digest(3_000_000)

    async def send(ship: Ship) -> None:
        at = 0
        while at < len(data):
            part = bytearray(data[at : at + 262_144])
            sent = ship.send_now(part)
            assert 0 <= sent <= len(part)
            rest = bytes(part[sent:])
            part.clear()  # a view kept on it would raise here
            if rest:
                await ship.send(rest)
            at += 262_144

    async with connected(transport, where) as pair, anyio.create_task_group() as tasks:
        tasks.start_soon(send, pair.near)
        assert await receive_exactly(pair.far, len(data)) == data


async def test_sends_now_no_more_than_the_peer_reads(transport: Transport, where: str) -> None:
    block = bytes(1024 * 1024)
    taken = 0
    async with connected(transport, where) as pair:
        while taken < MUCH and (sent := pair.near.send_now(block)):
            taken += sent
            await anyio.lowlevel.checkpoint()
    assert taken < MUCH


async def test_pumps_everything_in_order_until_the_end(transport: Transport, where: str) -> None:
    data = hashlib.shake_128(b"pump").digest(3_000_000)
    got = bytearray()
    complete = anyio.Event()

    def take(part: BytesLike) -> None:
        got.extend(part)
        if len(got) >= len(data):
            complete.set()

    async def send(ship: Ship) -> None:
        await ship.send(data)
        await complete.wait()
        await ship.aclose()

    async with connected(transport, where) as pair, anyio.create_task_group() as tasks:
        tasks.start_soon(send, pair.near)
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await pair.far.pump(take)
        assert got == data


async def test_a_pump_ends_with_what_its_taker_raises(transport: Transport, where: str) -> None:
    class Enough(Exception):
        pass

    def take(part: BytesLike) -> None:
        raise Enough

    async with connected(transport, where) as pair:
        await pair.near.send(b"anything")
        with pytest.raises(Enough):
            await pair.far.pump(take)
        await pair.near.send(b"more")
        assert (await pair.far.receive())[-4:] == b"more"


async def test_a_cancelled_pump_loses_nothing(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        with anyio.move_on_after(0.01):
            await pair.far.pump(lambda part: None)
        await pair.near.send(b"still here")
        assert await receive_exactly(pair.far, 10) == b"still here"


async def test_holds_a_sender_back(transport: Transport, where: str) -> None:
    block = bytes(1024 * 1024)
    taken = 0
    async with connected(transport, where) as pair:
        while taken < MUCH:
            with anyio.move_on_after(STUCK_S):
                await pair.near.send(block)
                taken += len(block)
                continue
            break
    assert taken < MUCH


async def test_a_cancelled_receive_loses_nothing(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        for _ in range(3):
            with anyio.move_on_after(0.01):
                await pair.far.receive()
        await pair.near.send(b"still here")
        assert await receive_exactly(pair.far, 10) == b"still here"


async def test_tells_two_tasks_that_one_is_too_many(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair, anyio.create_task_group() as tasks:
        tasks.start_soon(pair.far.receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await pair.far.receive()
        await pair.near.send(b"!")


async def test_tells_the_peer_that_it_ended(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        await pair.near.send(b"last words")
        assert await receive_exactly(pair.far, 10) == b"last words"
        await pair.near.aclose()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await pair.far.receive()
        with pytest.raises(anyio.BrokenResourceError):
            while True:  # until the news has come
                await pair.far.send(bytes(65_536))


async def test_is_closed_once_closed(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        await pair.near.aclose()
        await pair.near.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await pair.near.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await pair.near.send(b"x")


async def test_closing_wakes_a_waiting_receive(transport: Transport, where: str) -> None:
    async def wait() -> None:
        with pytest.raises(anyio.ClosedResourceError):
            await pair.near.receive()

    async with connected(transport, where) as pair, anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await pair.near.aclose()


async def test_one_bad_connection_does_not_end_a_listener(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        await (await transport.dial(pair.listener.address)).aclose()
        last = await transport.dial(pair.listener.address)
        await last.send(b"last")
        async for ship in pair.arrivals:
            try:
                if await ship.receive() == b"last":
                    await ship.aclose()
                    break
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                await ship.aclose()
        await last.aclose()


async def test_nobody_answers_once_a_listener_is_closed(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        address = pair.listener.address
    with anyio.fail_after(PATIENCE_S):
        with pytest.raises(OSError, match=r"."):
            await transport.dial(address)
        async with transport.listen(address):
            pass


async def test_an_address_in_use_cannot_be_bound(transport: Transport, where: str) -> None:
    async with connected(transport, where) as pair:
        with pytest.raises(OSError, match=r"."):
            async with transport.listen(pair.listener.address):
                pytest.fail("two listeners at one address")
