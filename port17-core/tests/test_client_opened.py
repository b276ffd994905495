"""A program's stream through the tunnel: another route while nothing was said, and none after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest

from port17.client.circuits import Built
from port17.client.opened import TRIES, OpenedStream
from port17.errors import ConveyorReset
from port17.wire.conveyor import Conveyor
from port17.wire.mux import Mux
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

pytestmark = pytest.mark.anyio


@dataclass
class FakeCircuit:
    closed: Reason | None = None


@dataclass
class FakeBuilt:
    circuit: FakeCircuit = field(default_factory=FakeCircuit)


class Routes:
    """Circuits that end when told to, and what is sent on each."""

    def __init__(self) -> None:
        self.mux = Mux(Budget(1 << 30), lambda: None, None)
        self.opened: list[tuple[FakeBuilt, Conveyor]] = []
        self.gate = anyio.Event()
        self.gate.set()

    def open(self) -> tuple[Built, Conveyor]:
        self.opened.append((FakeBuilt(), self.mux.open("TUNNEL", b"", 0.0)))
        built, conveyor = self.opened[-1]
        return cast(Any, built), conveyor

    async def reopen(self) -> tuple[Built, Conveyor]:
        await self.gate.wait()
        return self.open()

    def stream(self, *, early: bool) -> OpenedStream:
        built, conveyor = self.open()
        return OpenedStream(built, conveyor, early, self.reopen)

    def fail(self, at: int, reason: Reason = Reason.NEXT_HOP_LOST, *, circuit: bool = True) -> None:
        built, conveyor = self.opened[at]
        if circuit:
            built.circuit.closed = reason
        conveyor.drop(reason)

    def accept(self, at: int) -> None:
        conveyor = self.opened[at][1]
        conveyor.accepted = True
        conveyor.watch()


async def test_a_circuit_that_fails_unsaid_is_replaced() -> None:
    routes = Routes()
    stream = routes.stream(early=False)
    async with anyio.create_task_group() as group:
        group.start_soon(stream.accepted)
        for at in range(TRIES - 1):
            await anyio.wait_all_tasks_blocked()
            routes.fail(at)
        await anyio.wait_all_tasks_blocked()
        routes.accept(TRIES - 1)
    await stream.send(b"said")
    assert [conveyor.waiting for _, conveyor in routes.opened] == [0] * (TRIES - 1) + [4]


async def test_after_the_last_try_the_reason_is_told() -> None:
    routes = Routes()
    stream = routes.stream(early=False)
    async with anyio.create_task_group() as group:

        async def expect() -> None:
            with pytest.raises(ConveyorReset) as caught:
                await stream.accepted()
            assert caught.value.reason is Reason.NEXT_HOP_LOST

        group.start_soon(expect)
        for at in range(TRIES):
            await anyio.wait_all_tasks_blocked()
            routes.fail(at)
    assert len(routes.opened) == TRIES


async def test_what_the_exit_says_of_the_destination_is_final() -> None:
    routes = Routes()
    stream = routes.stream(early=False)
    routes.fail(0, Reason.REFUSED, circuit=False)
    with pytest.raises(ConveyorReset) as caught:
        await stream.accepted()
    assert caught.value.reason is Reason.REFUSED
    assert len(routes.opened) == 1


async def test_early_data_is_never_said_twice() -> None:
    routes = Routes()
    stream = routes.stream(early=True)
    await stream.send(b"hello")
    routes.fail(0)
    with pytest.raises(ConveyorReset):
        await stream.accepted()
    assert len(routes.opened) == 1


async def test_what_is_said_while_another_route_is_sought_goes_there() -> None:
    routes = Routes()
    stream = routes.stream(early=True)
    routes.gate = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.accepted)
        routes.fail(0)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(stream.send, b"hello")
        await anyio.wait_all_tasks_blocked()
        routes.gate.set()
        await anyio.wait_all_tasks_blocked()
        routes.accept(1)
    assert routes.opened[1][1].waiting == 5


async def test_without_early_data_nothing_is_said_before_the_answer() -> None:
    routes = Routes()
    stream = routes.stream(early=False)
    async with anyio.create_task_group() as group:
        group.start_soon(stream.send, b"hello")
        await anyio.wait_all_tasks_blocked()
        assert routes.opened[0][1].waiting == 0
        routes.accept(0)
        await stream.accepted()
    assert routes.opened[0][1].waiting == 5
