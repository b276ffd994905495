"""Operations on the node at the other end of a link, and the gossip's clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest

from port17 import asking
from port17.asking import Bell, Exchanges, ask
from port17.bottles.gossip_events import Event, Key
from port17.errors import ConveyorReset, LinkLost, NetworkError, PeerViolation
from port17.links.stream import ConveyorStream
from port17.network import KnownNetwork
from port17.wire.quota import Budget

from .links_network import World, on_virtual_clock, wall_s, world
from .wire_network import network

BUDGET = Budget(1 << 24)


class Gossip:
    """Hands back what it hears, and counts."""

    def __init__(self) -> None:
        self.due_s = math.inf
        self.ticks: list[float] = []
        self.heard_bytes = b""
        self.to_send = b""
        self.over: list[Key] = []
        self.fails = 0
        self.violates = False

    def tick(self, now_s: float) -> None:
        self.ticks.append(now_s)
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError
        self.due_s = math.inf

    def heard(self, key: Key, data: bytes) -> None:
        self.heard_bytes += data

    def step(self, key: Key, now_s: float) -> bool:
        if self.violates:
            raise PeerViolation("it was wrong")
        self.due_s = min(self.due_s, now_s + 3)
        return False

    def pull(self, key: Key, now_s: float) -> bytes:
        data, self.to_send = self.to_send[:100], self.to_send[100:]
        return data

    def gone(self, key: Key) -> None:
        self.over.append(key)


class Known:
    """As much of a known network as asking needs."""

    def __init__(self) -> None:
        self.gossip = Gossip()
        self.listeners: list[Callable[[Event], None]] = []
        self.transcript = network
        self.wall = wall_s

    def listen(self, listener: Callable[[Event], None]) -> None:
        self.listeners.append(listener)


def known() -> tuple[Known, KnownNetwork]:
    made = Known()
    return made, cast(KnownNetwork, made)


async def asked(made: World, operation: str, **options: Any) -> Any:
    crane, _ = await made.call(made.nodes[0])
    return ask(crane, made.nodes[0].host.public, known()[1], operation, budget=BUDGET, **options)


def test_what_is_asked_is_answered_and_nothing_is_left_of_it() -> None:
    async def run() -> None:
        async with world(1, delay_s=0.02) as made:
            async with await asked(made, "ECHO", arguments=b"here") as stream:
                await stream.accepted()
                await stream.send(b"there")
                assert await stream.receive() == b"there"
                assert made.nodes[0].engine.circuits == 1
            await anyio.sleep(1)
            assert made.nodes[0].engine.circuits == 0
            assert BUDGET.used == 0

    on_virtual_clock(run)


def test_a_refusal_and_the_callers_own_errors_come_as_they_are() -> None:
    async def run() -> None:
        async with world(1) as made:
            with pytest.raises(ConveyorReset):
                async with await asked(made, "NOTHING") as stream:
                    await stream.accepted()
            with pytest.raises(KeyError):
                async with await asked(made, "ECHO"):
                    raise KeyError

    on_virtual_clock(run)


def test_over_a_link_that_is_lost_nothing_is_asked() -> None:
    async def run() -> None:
        async with world(1) as made:
            crane, _ = await made.call(made.nodes[0])
            await crane.standing.wait()
            crane.end()
            await anyio.sleep(0.1)
            with pytest.raises(NetworkError):
                async with ask(crane, made.nodes[0].host.public, known()[1], "ECHO", budget=BUDGET):
                    raise AssertionError

    on_virtual_clock(run)


def test_an_operations_keys_step_by_time() -> None:
    async def run() -> None:
        async with world(1) as made:
            crane, _ = await made.call(made.nodes[0])
            async with ask(crane, made.nodes[0].host.public, known()[1], "ECHO", budget=BUDGET) as stream:
                for _ in range(40):
                    await stream.send(b"x")
                    await stream.receive()
                    await anyio.sleep(5)
                assert made.nodes[0].engine.steps["asymmetric"] > 6

    on_virtual_clock(run)


def test_bytes_go_both_ways_until_the_stream_ends() -> None:
    async def run() -> None:
        async with world(1) as made:
            plain, net = known()
            gossip, bell, exchanges = plain.gossip, Bell(), Exchanges(net)
            async with await asked(made, "ECHO") as stream:
                async with anyio.create_task_group() as group:
                    group.start_soon(moved, exchanges, stream, bell)
                    await anyio.sleep(1)
                    gossip.to_send = bytes(range(256)) * 10
                    bell.ring()
                    await anyio.sleep(1)
                    assert gossip.heard_bytes == bytes(range(256)) * 10
                    await stream.send_eof()
                assert gossip.over == [Key(1)]

    on_virtual_clock(run)


async def moved(exchanges: Exchanges, stream: ConveyorStream, bell: Bell) -> None:
    await exchanges.move(Key(1), stream, bell)


@pytest.mark.parametrize("how", ["violation", "link"])
def test_whatever_ends_an_exchange_the_gossip_is_told(how: str) -> None:
    async def run() -> None:
        async with world(1) as made:
            plain, net = known()
            crane, _ = await made.call(made.nodes[0])
            async with ask(crane, made.nodes[0].host.public, net, "ECHO", budget=BUDGET) as stream:
                plain.gossip.to_send = b"something"
                plain.gossip.violates = how == "violation"

                async def end() -> None:
                    await anyio.sleep(1)
                    crane.end()

                async with anyio.create_task_group() as group:
                    group.start_soon(end)
                    with pytest.raises(PeerViolation if how == "violation" else NetworkError) as ended:
                        await Exchanges(net).move(Key(1), stream, Bell())
                assert not isinstance(ended.value, LinkLost)
                assert stream.was_reset
            assert plain.gossip.over == [Key(1)]

    on_virtual_clock(run)


def test_the_gossips_clock_strikes_when_it_is_due_also_if_that_is_sooner_than_it_was() -> None:
    async def run() -> None:
        plain, net = known()
        gossip = plain.gossip
        async with anyio.create_task_group() as group:
            exchanges = Exchanges(net)
            begun_s = anyio.current_time()
            gossip.due_s = begun_s + 50
            group.start_soon(exchanges.keep_time)
            await anyio.sleep(1)
            gossip.due_s = begun_s + 10
            plain.listeners[0](cast(Event, None))
            await anyio.sleep(60)
            assert gossip.ticks == [begun_s + 10]
            gossip.due_s = anyio.current_time() - 5
            plain.listeners[0](cast(Event, None))
            gossip.fails = 2
            await anyio.sleep(10)
            assert len(gossip.ticks) == 4, "what fails is tried again, and ends nobody"
            pause_s = [
                later - sooner for sooner, later in zip(gossip.ticks[1:], gossip.ticks[2:], strict=False)
            ]
            assert all(asking.FAULT_S <= one <= asking.FAULT_S + 0.1 for one in pause_s)
            group.cancel_scope.cancel()

    on_virtual_clock(run)
