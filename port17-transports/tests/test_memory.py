"""The memory transport's own promises: time, loss and determinism, under a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from trio.testing import MockClock

from port17_transports.memory import Memory, MemoryShip, Network

RUNS = count()
A_YEAR_S = 365 * 24 * 3600.0


def on_virtual_clock(test: Callable[[], Any]) -> Any:
    return anyio.run(test, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


@asynccontextmanager
async def pair(**options: Any) -> AsyncGenerator[tuple[MemoryShip, MemoryShip]]:
    transport = Memory(Memory.Config(endpoint="ann", **options))
    async with transport.listen("bob") as listener:
        one = await transport.dial("bob")
        other = await anext(listener.ships())
        assert isinstance(one, MemoryShip)
        assert isinstance(other, MemoryShip)
        yield one, other


async def arrivals(ship: MemoryShip, size: int) -> list[tuple[float, int]]:
    seen = []
    got = 0
    while got < size:
        got += len(piece := await ship.receive())
        seen.append((anyio.current_time(), len(piece)))
    return seen


def test_delay_is_exact_and_dialling_takes_a_round_trip() -> None:
    async def run() -> None:
        begun = anyio.current_time()
        async with pair(delay_s=0.25) as (one, other):
            assert anyio.current_time() - begun == pytest.approx(0.5)
            begun = anyio.current_time()
            await one.send(b"hello")
            assert anyio.current_time() == begun, "a send does not wait for arrival"
            assert await other.receive() == b"hello"
            assert anyio.current_time() - begun == pytest.approx(0.25)
            await other.send(b"welcome")
            await one.receive()
            assert anyio.current_time() - begun == pytest.approx(0.5)
            await one.aclose()
            with pytest.raises(anyio.EndOfStream):
                await other.receive()
            assert anyio.current_time() - begun == pytest.approx(0.75), "the end travels too"

    on_virtual_clock(run)


def test_bandwidth_is_exact_and_shared_by_what_is_sent() -> None:
    async def run() -> None:
        size = 1_000_000
        async with pair(delay_s=1.0, bandwidth=100_000.0, buffer=2 * size) as (one, other):
            begun = anyio.current_time()
            await one.send(bytes(size // 2))
            await one.send(bytes(size // 2))
            seen = await arrivals(other, size)
            assert seen[-1][0] - begun == pytest.approx(11.0)
            # It trickles in: half of it is there after half of the time.
            half = sum(length for when, length in seen if when - begun <= 6.0)
            assert half == pytest.approx(size // 2, abs=20_000)
            # An idle line saves nothing up.
            begun = anyio.current_time() + 100
            await anyio.sleep(100)
            await one.send(bytes(100_000))
            assert (await arrivals(other, 100_000))[-1][0] - begun == pytest.approx(2.0)

    on_virtual_clock(run)


def test_a_bounded_buffer_holds_the_sender_back() -> None:
    async def run() -> None:
        async with pair(buffer=10_000) as (one, other), anyio.create_task_group() as group:
            sent = 0

            async def send() -> None:
                nonlocal sent
                while True:
                    await one.send(bytes(1000))
                    sent += 1000

            group.start_soon(send)
            await anyio.sleep(5)
            assert sent == 10_000
            assert len(await other.receive(4000)) == 4000
            await anyio.sleep(5)
            assert sent == 14_000
            group.cancel_scope.cancel()

    on_virtual_clock(run)


def jittered(seed: int) -> list[tuple[float, int]]:
    async def run() -> list[tuple[float, int]]:
        # A network of its own: what is random depends on how many lines there were before.
        network = f"jitter {next(RUNS)}"
        async with pair(network=network, seed=seed, delay_s=0.1, jitter_s=0.5, bandwidth=1e6) as (one, other):
            begun = anyio.current_time()
            for number in range(20):
                await one.send(bytes([number]) * 1000)
            got = bytearray()
            seen = []
            while len(got) < 20_000:
                got += await other.receive()
                seen.append((round(anyio.current_time() - begun, 9), len(got)))
            assert bytes(got) == b"".join(bytes([number]) * 1000 for number in range(20))
            return seen

    result: list[tuple[float, int]] = on_virtual_clock(run)
    return result


def test_jitter_follows_the_seed_and_keeps_the_order() -> None:
    first = jittered(1)
    assert first == jittered(1)
    assert first != jittered(2)
    assert len(first) > 3
    assert all(0.1 <= when <= 0.1 + 0.5 + 0.02 for when, _ in first)


def lifetimes(seed: int) -> list[float]:
    async def run() -> list[float]:
        ends = []
        network = f"lossy {next(RUNS)}"
        held = Network.named(network)  # Whoever holds a network keeps the count of its lines.
        for _ in range(50):
            async with pair(network=network, seed=seed, mean_life_s=100.0) as (one, other):
                begun = anyio.current_time()
                with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(A_YEAR_S):
                    await other.receive()
                ends.append(round(anyio.current_time() - begun, 6))
                for ship in (one, other):
                    with pytest.raises(anyio.BrokenResourceError):
                        await ship.send(b"x")
        assert held.cut() == 0
        return ends

    result: list[float] = on_virtual_clock(run)
    return result


def test_a_line_is_lost_at_its_seeds_moment() -> None:
    # All lines between the same two endpoints, one after the other: each breaks at a moment of its own.
    first = lifetimes(7)
    assert first == lifetimes(7)
    assert first != lifetimes(8)
    assert len(set(first)) == 50
    assert 60 < sum(first) / 50 < 160


def test_a_cut_wakes_both_ends_and_loses_what_was_on_its_way() -> None:
    async def run() -> None:
        async with pair(network="cutting", delay_s=10.0) as (one, other), anyio.create_task_group() as group:
            broken = []

            async def receive(ship: MemoryShip) -> None:
                with pytest.raises(anyio.BrokenResourceError):
                    await ship.receive()
                broken.append(anyio.current_time())

            await one.send(b"never arrives")
            group.start_soon(receive, one)
            group.start_soon(receive, other)
            await anyio.sleep(3)
            network = Network.named("cutting")
            assert network.cut("carl") == 0
            assert network.cut("ann", "bob") == 1
            assert network.cut() == 0, "it is cut already"
            await anyio.lowlevel.checkpoint()
            now = anyio.current_time()
            await anyio.sleep(1)
            assert broken == [now, now]

    on_virtual_clock(run)


def test_networks_are_apart() -> None:
    async def run() -> None:
        async with Memory(Memory.Config(network="one")).listen("bob"):
            with pytest.raises(ConnectionRefusedError):
                await Memory(Memory.Config(network="two")).dial("bob")
            ship = await Memory(Memory.Config(network="one")).dial("bob")
            assert ship.remote == "bob"

    on_virtual_clock(run)


def test_a_dial_waits_while_the_harbour_is_full() -> None:
    async def run() -> None:
        transport = Memory()
        async with transport.listen("bob") as listener:
            with anyio.move_on_after(5) as scope:
                for _ in range(1000):
                    await transport.dial("bob")
            assert scope.cancelled_caught
            taken = 0
            with anyio.move_on_after(5):
                async for _ in listener.ships():
                    taken += 1
            assert 1 <= taken < 1000

    on_virtual_clock(run)
