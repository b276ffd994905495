"""What the transport contract promises, of both transports and on both event loops."""

from __future__ import annotations

import hashlib
import random
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import pytest
from anyio.abc import TaskStatus

from port17 import BytesLike, Ship, Transport
from port17_transports.memory import Memory
from port17_transports.tcp import Tcp

pytestmark = pytest.mark.anyio

ENOUGH_TO_BLOCK = 64 * 1024 * 1024
"""Bytes that fit into no buffer between two ends."""


@dataclass(frozen=True)
class Kind:
    make: Callable[[], Transport]
    listen_at: str
    nobody_at: str
    malformed: tuple[str, ...]


KINDS = {
    "tcp": Kind(
        Tcp,
        "127.0.0.1:0",
        "127.0.0.1:1",
        (
            "127.0.0.1",
            "1.2.3.4:",
            ":80",
            "::1:80",
            "[::1]",
            "h:65536",
            "h:-1",
            "h:٣",
            "a b:1",
            "",
            "h:1\n",
            "[]:1",
        ),
    ),
    "memory": Kind(Memory, "somewhere", "nowhere", ("", "a b", "x" * 65, "ä", "a\n")),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@asynccontextmanager
async def pair(kind: Kind) -> AsyncGenerator[tuple[Ship, Ship]]:
    transport = kind.make()
    async with transport.listen(kind.listen_at) as listener:
        ships = listener.ships()
        dialled = await transport.dial(listener.address)
        taken = await anext(ships)
        try:
            yield dialled, taken
        finally:
            await dialled.aclose()
            await taken.aclose()


async def read(ship: Ship, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        got += await ship.receive()
    return bytes(got)


async def test_bytes_arrive_as_sent_in_both_directions_at_once(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        received: dict[str, str] = {}

        async def sending(ship: Ship, data: bytes, seed: int) -> None:
            rng = random.Random(seed)
            view = memoryview(data)
            at = 0
            while at < len(data):
                size = rng.choice((1, 4096, 5000, 65536, 300_000))
                await ship.send(view[at : at + size])
                at += size

        async def receiving(name: str, ship: Ship, size: int) -> None:
            received[name] = hashlib.sha256(await read(ship, size)).hexdigest()

        there, back = random.Random(1).randbytes(3_000_001), random.Random(2).randbytes(2_000_003)
        async with anyio.create_task_group() as group:
            group.start_soon(sending, one, there, 3)
            group.start_soon(sending, other, back, 4)
            group.start_soon(receiving, "there", other, len(there))
            group.start_soon(receiving, "back", one, len(back))
        assert received == {
            "there": hashlib.sha256(there).hexdigest(),
            "back": hashlib.sha256(back).hexdigest(),
        }


async def test_a_buffer_is_the_callers_again_after_send(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        buffer = bytearray(b"a" * 100_000)
        async with anyio.create_task_group() as group:
            got: list[bytes] = []

            async def receive() -> None:
                got.append(await read(other, 200_000))

            group.start_soon(receive)
            await one.send(buffer)
            buffer[:] = b"b" * 100_000
            await one.send(memoryview(buffer))
            buffer[:] = b"c" * 100_000
        assert got == [b"a" * 100_000 + b"b" * 100_000]


async def test_receive_gives_no_more_than_asked(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        await one.send(b"0123456789")
        got = b""
        while len(got) < 10:
            piece = await other.receive(3)
            assert 1 <= len(piece) <= 3
            got += piece
        assert got == b"0123456789"


async def test_the_end_follows_what_was_sent(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        await one.send(b"last words")
        await one.aclose()
        assert await read(other, 10) == b"last words"
        with pytest.raises(anyio.EndOfStream):
            await other.receive()
        with pytest.raises(anyio.EndOfStream):
            await other.receive()


async def test_sending_to_who_has_gone_breaks(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        await other.aclose()
        with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(5):
            while True:
                await one.send(b"x" * 4096)
                await anyio.sleep(0.001)


async def test_a_closed_ship_says_so(kind: Kind) -> None:
    async with pair(kind) as (one, _):
        await one.aclose()
        await one.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await one.send(b"x")
        with pytest.raises(anyio.ClosedResourceError):
            await one.receive()


async def test_closing_wakes_who_receives(kind: Kind) -> None:
    async with pair(kind) as (one, _), anyio.create_task_group() as group:

        async def receive() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await one.receive()

        group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        await one.aclose()


async def test_two_receivers_are_one_too_many(kind: Kind) -> None:
    async with pair(kind) as (one, _), anyio.create_task_group() as group:

        async def receive() -> None:
            await one.receive()

        group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await one.receive()
        group.cancel_scope.cancel()


async def test_two_senders_are_one_too_many(kind: Kind) -> None:
    async with pair(kind) as (one, _), anyio.create_task_group() as group:

        async def send() -> None:
            await one.send(bytes(ENOUGH_TO_BLOCK))

        group.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await one.send(b"x")
        group.cancel_scope.cancel()


async def test_a_send_waits_for_a_reader(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        done = anyio.Event()
        async with anyio.create_task_group() as group:

            async def send() -> None:
                await one.send(bytes(ENOUGH_TO_BLOCK))
                done.set()

            group.start_soon(send)
            await anyio.sleep(0.05)
            assert not done.is_set()
            assert await read(other, ENOUGH_TO_BLOCK) == bytes(ENOUGH_TO_BLOCK)
            with anyio.fail_after(5):
                await done.wait()


async def test_a_cancelled_send_breaks_the_ship(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        with anyio.move_on_after(0.02) as scope:
            await one.send(bytes(ENOUGH_TO_BLOCK))
        assert scope.cancelled_caught
        with pytest.raises((anyio.ClosedResourceError, anyio.BrokenResourceError)), anyio.fail_after(5):
            await one.send(b"in the middle of a block")
        received = 0
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            while True:
                received += len(await other.receive())
        assert received < ENOUGH_TO_BLOCK


async def test_a_cancelled_receive_loses_nothing(kind: Kind) -> None:
    async with pair(kind) as (one, other):
        for _ in range(3):
            with anyio.move_on_after(0.005) as scope:
                await other.receive()
            assert scope.cancelled_caught
        await one.send(b"still here")
        assert await read(other, 10) == b"still here"


async def test_dialling_nobody_is_an_os_error(kind: Kind) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        await kind.make().dial(kind.nobody_at)


async def test_who_closed_listens_no_more(kind: Kind) -> None:
    transport = kind.make()
    async with transport.listen(kind.listen_at) as listener:
        address = listener.address
        transport.check_address(address)
    assert [ship async for ship in listener.ships()] == []
    with pytest.raises(OSError):  # noqa: PT011
        await transport.dial(address)


async def test_a_ship_that_nobody_took_in_is_told_so(kind: Kind) -> None:
    transport = kind.make()
    async with transport.listen(kind.listen_at) as listener:
        ship = await transport.dial(listener.address)
        await anyio.wait_all_tasks_blocked()
    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)), anyio.fail_after(5):
        await ship.receive()
    await ship.aclose()


async def test_an_address_is_taken_once(kind: Kind) -> None:
    transport = kind.make()
    async with transport.listen(kind.listen_at) as listener:
        with pytest.raises(OSError):  # noqa: PT011
            async with kind.make().listen(listener.address):
                pass


async def test_many_ships_are_apart(kind: Kind) -> None:
    transport = kind.make()
    async with transport.listen(kind.listen_at) as listener, anyio.create_task_group() as group:

        async def echo() -> None:
            async for ship in listener.ships():
                group.start_soon(echo_one, ship)

        async def echo_one(ship: Ship) -> None:
            await ship.send(await ship.receive())
            await ship.aclose()

        async def ask(text: bytes) -> None:
            ship = await transport.dial(listener.address)
            await ship.send(text)
            assert await read(ship, len(text)) == text
            await ship.aclose()

        group.start_soon(echo)
        async with anyio.create_task_group() as asking:
            for number in range(100):
                asking.start_soon(ask, b"ship %d" % number)
        group.cancel_scope.cancel()


def test_malformed_addresses_are_named(kind: Kind) -> None:
    for address in kind.malformed:
        with pytest.raises(ValueError, match=r"write|number"):
            kind.make().check_address(address)


async def test_a_cancelled_listener_ends_whatever_holds_it(kind: Kind) -> None:
    """A cancellation raised anew while a listener closes becomes its own context when an exit stack handles
    it (Python 3.11), and anyio then follows that context for ever, with no checkpoint to time it out."""

    async def listen(*, task_status: TaskStatus[None]) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(anyio.create_task_group())
            await stack.enter_async_context(kind.make().listen(kind.listen_at))
            task_status.started()
            await anyio.sleep_forever()

    async def listening(*, task_status: TaskStatus[None]) -> None:
        await listen(task_status=task_status)

    def give_up(*_: object) -> None:
        raise TimeoutError("the event loop hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(5)
    try:
        async with anyio.create_task_group() as group:
            await group.start(listening)
            group.cancel_scope.cancel()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- what a driver may do better than by tasks --------------------------------------------------------


async def test_a_pump_hands_over_everything_and_then_the_end(kind: Kind) -> None:
    data = random.Random(5).randbytes(3_000_001)
    got = bytearray()
    async with pair(kind) as (one, other), anyio.create_task_group() as group:

        async def send() -> None:
            await one.send(data)
            await one.aclose()

        group.start_soon(send)
        with pytest.raises(anyio.EndOfStream):
            await other.pump(got.extend)
    assert got == data


async def test_a_pump_ends_with_what_its_taker_raises(kind: Kind) -> None:
    def take(_: object) -> None:
        raise ZeroDivisionError

    async with pair(kind) as (one, other):
        await one.send(b"x")
        with pytest.raises(ZeroDivisionError):
            await other.pump(take)
        await one.send(b"y")
        assert await other.receive() == b"y", "the ship is the caller's again"


async def test_closing_wakes_a_pump_and_leaves_nothing_behind(kind: Kind) -> None:
    """A descriptor that the event loop still watches would be deaf when the next ship gets its number."""
    for _ in range(3):
        async with pair(kind) as (one, other), anyio.create_task_group() as group:

            async def pump(ship: Ship) -> None:
                with pytest.raises(anyio.ClosedResourceError), anyio.fail_after(5):
                    await ship.pump(bytearray().extend)

            group.start_soon(pump, other)
            await anyio.wait_all_tasks_blocked()
            await other.aclose()
        async with pair(kind) as (one, other):
            for ship, peer in ((one, other), (other, one)):
                await ship.send(b"heard")
                with anyio.fail_after(5):
                    assert await peer.receive() == b"heard"


async def test_a_pump_and_a_send_cancelled_together_leave_nothing_behind(kind: Kind) -> None:
    for _ in range(3):
        async with pair(kind) as (one, _), anyio.create_task_group() as group:
            group.start_soon(one.send, bytes(ENOUGH_TO_BLOCK))
            group.start_soon(one.pump, bytearray().extend)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        async with pair(kind) as (one, other):
            heard = anyio.Event()

            def take(data: BytesLike, heard: anyio.Event = heard) -> None:
                assert data == b"heard"
                heard.set()

            async with anyio.create_task_group() as group:
                group.start_soon(other.pump, take)
                await one.send(b"heard")
                with anyio.fail_after(5):
                    await heard.wait()
                group.cancel_scope.cancel()


async def test_who_pumps_is_the_only_one_to_receive(kind: Kind) -> None:
    async with pair(kind) as (one, _), anyio.create_task_group() as group:
        group.start_soon(one.pump, bytearray().extend)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(anyio.BusyResourceError):
            await one.receive()
        with pytest.raises(anyio.BusyResourceError):
            await one.pump(bytearray().extend)
        group.cancel_scope.cancel()


async def test_what_is_not_sent_now_is_sent_later(kind: Kind) -> None:
    data = random.Random(6).randbytes(20_000_000)
    async with pair(kind) as (one, other), anyio.create_task_group() as group:
        got = bytearray()

        async def receive() -> None:
            got.extend(await read(other, len(data)))

        sent = one.send_now(data)
        assert 0 <= sent < len(data), "more fits into no kernel"
        group.start_soon(receive)
        await one.send(data[sent:])
    assert got == data


async def test_nothing_is_sent_now_by_a_closed_ship(kind: Kind) -> None:
    async with pair(kind) as (one, _):
        await one.aclose()
        try:
            assert one.send_now(b"x") == 0
        except anyio.ClosedResourceError:
            return
        with pytest.raises(anyio.ClosedResourceError):
            await one.send(b"x")
