"""Whole circuits over the memory transport and a virtual clock: engines, links, and every time limit."""

from __future__ import annotations

import random
from typing import Any

import anyio
import pytest

from port17.errors import ConveyorReset
from port17.links.crane import Crane
from port17.links.stream import ConveyorStream
from port17.node import engine
from port17.node.engine import SETUPS_BURST
from port17.wire.circuit import Circuit
from port17.wire.leg import FIRST_CREDIT
from port17.wire.reasons import Reason

from .links_network import World, on_virtual_clock, world

TOLD_WITHIN_S = 10.0
MIB = 1 << 20


async def fetch(stream: ConveyorStream, data: bytes) -> bytes:
    """Send to an echo, and read all that comes back."""
    got = b""

    async def send() -> None:
        await stream.send(data)
        await stream.send_eof()

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        while True:
            try:
                got += await stream.receive()
            except anyio.EndOfStream:
                return got


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def everything_back(made: World) -> None:
    """Nothing is left of any circuit."""
    await anyio.sleep(TOLD_WITHIN_S)
    for node in made.nodes:
        assert node.engine.circuits == 0
        assert node.engine.operations_open == 0
        assert (node.grants.used, node.budget.used) == (0, 0)
    assert (made.client_grants.used, made.client_budget.used) == (0, 0)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_an_echo_through_hops_comes_back_whole(count: int) -> None:
    async def run() -> None:
        async with world(count, delay_s=0.02, jitter_s=0.01, seed=count) as made:
            crane, _ = await made.call(made.nodes[0])
            circuit = made.circuit(crane)
            data = noise(700_000)
            assert await fetch(made.open(circuit), data) == data
            circuit.close(Reason.DONE)
            await everything_back(made)

    on_virtual_clock(run)


def test_first_data_is_answered_after_one_round_trip() -> None:
    async def run() -> None:
        async with world(3, delay_s=0.1) as made:
            crane, _ = await made.call(made.nodes[0])
            await crane.standing.wait()
            begun = anyio.current_time()
            circuit = made.circuit(crane)
            stream = made.open(circuit)
            await stream.send(b"GET /")
            assert await stream.receive() == b"GET /"
            assert anyio.current_time() - begun == pytest.approx(0.6)
            assert circuit.confirmed_s == pytest.approx(begun + 0.6)

    on_virtual_clock(run)


def test_many_circuits_and_streams_at_once() -> None:
    async def run() -> None:
        async with world(3, delay_s=0.01, bandwidth=20_000_000, buffer=2 * MIB) as made:
            crane, _ = await made.call(made.nodes[0])
            circuits = [made.circuit(crane) for _ in range(6)]
            done = []

            async def one(circuit: Circuit, number: int) -> None:
                data = noise(150_000, number)
                assert await fetch(made.open(circuit), data) == data
                done.append(number)

            async with anyio.create_task_group() as group:
                for number in range(24):
                    group.start_soon(one, circuits[number % 6], number)
            assert sorted(done) == list(range(24))
            for circuit in circuits:
                circuit.close(Reason.DONE)
            await everything_back(made)

    on_virtual_clock(run)


def _cut_entry(made: World, crane: Crane) -> None:
    made.transport("x").network.cut("client")


def _cut_lane(made: World, crane: Crane) -> None:
    made.transport("x").network.cut("node1", "node2")


def _freeze_node(made: World, crane: Crane) -> None:
    for _, ship in made.nodes[1].cranes:
        ship.freeze()


def _freeze_exit(made: World, crane: Crane) -> None:
    for _, ship in made.nodes[2].cranes:
        ship.freeze()


@pytest.mark.parametrize("harm", [_cut_entry, _cut_lane, _freeze_node, _freeze_exit])
def test_whatever_dies_in_mid_transfer_every_stream_is_told_and_nothing_false_delivered(harm: Any) -> None:
    async def run() -> None:
        async with world(3, delay_s=0.02) as made:
            crane, _ = await made.call(made.nodes[0])
            circuit = made.circuit(crane)
            streams = [made.open(circuit) for _ in range(4)]
            data = noise(64 * MIB // 16)
            told: list[float] = []

            async def use(stream: ConveyorStream) -> None:
                got = b""

                async def send() -> None:
                    with pytest.raises(ConveyorReset):
                        while True:
                            await stream.send(data)

                async with anyio.create_task_group() as group:
                    group.start_soon(send)
                    with pytest.raises(ConveyorReset):
                        while True:
                            got += await stream.receive()
                    told.append(anyio.current_time())
                whole = data * (len(got) // len(data) + 1)
                assert whole.startswith(got)
                stream.abort()

            async with anyio.create_task_group() as group:
                for stream in streams:
                    group.start_soon(use, stream)
                await anyio.sleep(0.3)
                harmed_s = anyio.current_time()
                harm(made, crane)
            assert len(told) == 4
            assert max(told) - harmed_s <= TOLD_WITHIN_S
            assert circuit.closed in (Reason.LINK_LOST, Reason.NEXT_HOP_LOST)
            await everything_back(made)

    on_virtual_clock(run)


def test_after_a_lane_is_made_again_circuits_can_be() -> None:
    async def run() -> None:
        async with world(3, delay_s=0.02) as made:
            crane, _ = await made.call(made.nodes[0])
            assert await fetch(made.open(made.circuit(crane)), b"one") == b"one"
            _cut_lane(made, crane)
            await anyio.sleep(1)
            refused = made.circuit(crane)
            with pytest.raises(ConveyorReset):
                await made.open(refused).accepted()
            assert (refused.closed, refused.lost_edge) == (Reason.NO_LANE, 1)
            await made.nodes[1].call(made.nodes[2])
            assert await fetch(made.open(made.circuit(crane)), b"three") == b"three"

    on_virtual_clock(run)


def test_readers_that_stop_hold_up_nobody_else_and_keep_within_bounds() -> None:
    async def run() -> None:
        async with world(3, grants=2048, budget=4 * MIB, bandwidth=50_000_000, delay_s=0.005) as made:
            crane, _ = await made.call(made.nodes[0])
            stuck = [made.open(made.circuit(crane), "SINK") for _ in range(8)]

            async def push(stream: ConveyorStream) -> None:
                with pytest.raises(ConveyorReset):
                    while True:
                        await stream.send(bytes(100_000))

            async with anyio.create_task_group() as group:
                for stream in stuck:
                    group.start_soon(push, stream)
                await anyio.sleep(5)
                for node in made.nodes:
                    assert node.budget.used <= made.budget
                    assert node.grants.used <= made.grants
                    queued = sum(len(r._onward) + len(r._homeward) for r in node.engine._relays)
                    assert queued <= node.grants.used
                data = noise(300_000)
                with anyio.fail_after(5):
                    assert await fetch(made.open(made.circuit(crane)), data) == data
                for stream in stuck:
                    stream.abort()

    on_virtual_clock(run)


def test_under_pressure_the_circuit_that_waits_longest_ends() -> None:
    async def run() -> None:
        async with world(2, grants=12 * FIRST_CREDIT) as made:
            made.tasks.start_soon(made.nodes[0].engine.relieve)
            crane, _ = await made.call(made.nodes[0])
            circuits = [made.circuit(crane) for _ in range(5)]
            streams = [made.open(circuit) for circuit in circuits]
            for stream in streams:
                await stream.send(b"x")
                assert await stream.receive() == b"x"
            # The lane stands still, and so one circuit's cells do.
            made.nodes[0].cranes[0][1].freeze()

            async def push(stream: ConveyorStream) -> None:
                with pytest.raises(ConveyorReset):
                    await stream.send(bytes(MIB))

            for stream in [streams[2], *(made.open(circuits[2]) for _ in range(3))]:
                made.tasks.start_soon(push, stream)
            await anyio.sleep(0.5)
            assert made.nodes[0].engine.circuits == 5
            taken = made.nodes[0].grants.left
            assert made.nodes[0].grants.take(taken)
            await anyio.sleep(3)
            assert [circuit.closed is None for circuit in circuits] == [True, True, False, True, True]
            assert circuits[2].closed == Reason.RESOURCES
            made.nodes[0].grants.give(taken)

    on_virtual_clock(run)


def test_one_links_setups_are_bounded_and_others_are_served() -> None:
    async def run() -> None:
        async with world(1, grants=1 << 20) as made:
            greedy, _ = await made.call(made.nodes[0])
            modest, _ = await made.call(made.nodes[0])
            circuits = [made.circuit(greedy) for _ in range(int(SETUPS_BURST) + 200)]
            await anyio.sleep(0.1)
            refused = [circuit for circuit in circuits if circuit.closed is not None]
            assert 100 < len(refused) <= 200
            assert await fetch(made.open(made.circuit(modest)), b"served") == b"served"
            await anyio.sleep(2)
            assert await fetch(made.open(made.circuit(greedy)), b"again") == b"again"

    on_virtual_clock(run)


def test_one_client_cannot_spend_what_a_lane_has_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HOPS_BURST", 10.0)
    monkeypatch.setattr(engine, "HOPS_PER_S", 0.001)

    async def run() -> None:
        async with world(3) as made:
            greedy, _ = await made.call(made.nodes[0])
            modest, _ = await made.call(made.nodes[0])
            circuits = [made.circuit(greedy) for _ in range(25)]
            await anyio.sleep(1)
            assert sum(circuit.closed == Reason.NO_LANE for circuit in circuits) == 15
            assert {circuit.lost_edge for circuit in circuits} == {None, 0}
            assert await fetch(made.open(made.circuit(modest)), b"served") == b"served"

    on_virtual_clock(run)


@pytest.mark.parametrize("operation", ["NOTHING", "", "HOP2", "X" * 60])
def test_an_operation_that_is_not_offered_is_refused_with_the_reason(operation: str) -> None:
    async def run() -> None:
        async with world(1) as made:
            crane, _ = await made.call(made.nodes[0])
            circuit = made.circuit(crane)
            with pytest.raises(ConveyorReset) as refused:
                await made.open(circuit, operation).accepted()
            assert refused.value.reason == Reason.UNKNOWN_OPERATION
            assert circuit.closed is None

    on_virtual_clock(run)


def test_the_same_seed_gives_the_same_run() -> None:
    async def once() -> list[float]:
        seen: list[float] = []
        async with world(3, delay_s=0.02, jitter_s=0.02, seed=7, bandwidth=10_000_000) as made:
            crane, _ = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            begun = anyio.current_time()
            await stream.send(bytes(100_000))
            got = 0
            while got < 100_000:
                got += len(await stream.receive())
                seen.append(round(anyio.current_time() - begun, 6))
        return seen

    async def run() -> None:
        assert await once() == await once()

    on_virtual_clock(run)
