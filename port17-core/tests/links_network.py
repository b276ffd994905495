"""Whole networks over the memory transport and a virtual clock: nodes with engines, cranes, and clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from trio.testing import MockClock

from port17.links.crane import Crane, Terms, answer, dial
from port17.links.spare_keys import SpareKeys
from port17.links.stream import ConveyorStream
from port17.links.transport import RECEIVE_SIZE, Ship
from port17.node.engine import Engine
from port17.node.operation import Caller, Operation
from port17.records.framing import BytesLike
from port17.wire.circuit import Circuit
from port17.wire.link import Link
from port17.wire.quota import Budget
from port17_transports.memory import Memory

from .wire_network import WALL_S, Clock, Host, network, verify
from .wire_suites import TOY


def on_virtual_clock(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test to its end; time passes only where everybody waits for it."""
    anyio.run(test, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def wall_s() -> float:
    """Unix time that goes with the virtual clock."""
    return WALL_S + anyio.current_time() % 1_000_000


class TestShip(Ship):
    """A ship that can be frozen, as a peer's machine is that hangs, and that tells what crossed it."""

    __test__ = False

    def __init__(self, ship: Ship) -> None:
        self._ship = ship
        self.sent = bytearray()
        self.came = bytearray()
        self.is_frozen = False
        self.closed_at: float | None = None
        self._receiving: anyio.CancelScope | None = None

    def freeze(self) -> None:
        """From now on nothing comes and nothing goes, and nobody is told."""
        self.is_frozen = True
        if self._receiving is not None:
            self._receiving.cancel()

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        data = b""
        with anyio.CancelScope() as self._receiving:
            data = await self._ship.receive(max_bytes)
        if self.is_frozen:
            await anyio.sleep_forever()
        self.came += data
        return data

    async def send(self, data: BytesLike) -> None:
        self.sent += data
        if not self.is_frozen:
            await self._ship.send(data)

    async def aclose(self) -> None:
        if self.closed_at is None:
            self.closed_at = anyio.current_time()
        await self._ship.aclose()

    @property
    def remote(self) -> str:
        return self._ship.remote


class Echo(Operation):
    """Sends back what comes, in order."""

    name: ClassVar[str] = "ECHO"
    callers: ClassVar[Caller] = Caller.CLIENT

    async def handle(self, arguments: bytes, stream: ConveyorStream) -> None:
        await stream.accept(arguments)
        while True:
            try:
                data = await stream.receive()
            except anyio.EndOfStream:
                await stream.send_eof()
                return
            await stream.send(data)


class Sink(Operation):
    """Takes nothing in at all."""

    name: ClassVar[str] = "SINK"
    callers: ClassVar[Caller] = Caller.CLIENT

    async def handle(self, arguments: bytes, stream: ConveyorStream) -> None:
        await stream.accept()
        await anyio.sleep_forever()


class World:
    """Nodes and clients of one memory network.

    :param options: of the memory transport: delay, bandwidth, ...
    """

    def __init__(
        self, tasks: TaskGroup, *, grants: int = 1 << 16, budget: int = 1 << 26, **options: Any
    ) -> None:
        self.tasks = tasks
        self.options = options
        self.grants, self.budget = grants, budget
        self.nodes: list[Node] = []
        self.client_grants, self.client_budget = Budget(grants), Budget(budget)

    def transport(self, endpoint: str) -> Memory:
        """A transport of one end."""
        return Memory(Memory.Config(network=f"world {id(self)}", endpoint=endpoint, **self.options))

    async def add_node(self) -> Node:
        """One node more, listening, with a lane to the one before."""
        node = Node(self, len(self.nodes))
        self.nodes.append(node)
        await self.tasks.start(node.listen)
        if node.number:
            await self.nodes[-2].call(node)
        return node

    async def ship_to(self, node: Node, endpoint: str = "client") -> TestShip:
        """A ship to a node, with nothing said yet."""
        return TestShip(await self.transport(endpoint).dial(node.address))

    async def call(self, node: Node) -> tuple[Crane, TestShip]:
        """A client's link to a node, running; it may not stand yet."""
        ship = await self.ship_to(node)
        terms = Terms(network, verify, self.client_grants, wall=wall_s)
        crane = await dial(ship, terms, node.host.public)
        self.tasks.start_soon(crane.run)
        return crane, ship

    def circuit(self, crane: Crane, nodes: Sequence[Node] | None = None) -> Circuit:
        """A circuit over a client's link; everything may be said on it at once."""
        route = [node.host.public for node in (self.nodes if nodes is None else nodes)]
        circuit = Circuit(network(), route, [TOY.generate() for _ in route], self.client_budget, wall_s())
        leg = crane.link.open(circuit)
        assert leg is not None
        circuit.begin(leg)
        return circuit

    def open(self, circuit: Circuit, operation: str = "ECHO", arguments: bytes = b"") -> ConveyorStream:
        """A stream to the last hop."""
        return ConveyorStream(circuit.last.mux.open(operation, arguments, anyio.current_time()))


class Node:
    """A node: listener, engine, lanes."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.address = f"node{number}"
        self.host = Host(number, TOY, Clock())
        self.lanes: dict[bytes, Crane] = {}
        self.cranes: list[tuple[Crane, TestShip]] = []
        self.budget, self.grants = Budget(world.budget), Budget(world.grants)
        self.engine = Engine(
            fingerprint=self.host.fingerprint,
            network=network,
            prekeys=self.host.find,
            replays=self.host.replays,
            lane=self._lane,
            operations={"ECHO": Echo(), "SINK": Sink()},
            budget=self.budget,
            grants=self.grants,
            wall=wall_s,
            tasks=world.tasks,
            spare_keys=SpareKeys(()),
        )
        self.terms = Terms(
            network, verify, self.grants, signer=self.host.signer, on_setup=self.engine.setup, wall=wall_s
        )

    def _lane(self, fingerprint: bytes) -> Link | None:
        crane = self.lanes.get(fingerprint)
        return crane.link if crane is not None and not crane.lost else None

    async def listen(self, *, task_status: Any) -> None:
        """Answer whoever calls."""
        async with self.world.transport(self.address).listen(self.address) as listener:
            task_status.started()
            async for ship in listener.ships():
                self.world.tasks.start_soon(self._answer, TestShip(ship))

    async def _answer(self, ship: TestShip) -> None:
        crane = await answer(
            ship, self.terms, self.host.signer, lambda: [self.host.prekey], self.host.link_replays
        )
        if crane is not None:
            await self._keep(crane, ship)

    async def _keep(self, crane: Crane, ship: TestShip) -> None:
        self.cranes.append((crane, ship))
        if crane.peer is not None:
            self.lanes[crane.peer] = crane
            self.engine.lane_stands(crane.link)
        await crane.run()
        self.engine.forget(crane.link)

    async def call(self, node: Node) -> None:
        """Make a lane to another node, and wait until it stands."""
        ship = await self.world.ship_to(node, self.address)
        crane = await dial(ship, self.terms, node.host.public)
        self.world.tasks.start_soon(self._keep, crane, ship)
        await crane.standing.wait()


@asynccontextmanager
async def world(count: int, **options: Any) -> AsyncGenerator[World]:
    """A row of nodes with lanes from each to the next; everything ends with the context."""
    async with anyio.create_task_group() as tasks:
        made = World(tasks, **options)
        for _ in range(count):
            await made.add_node()
        yield made
        tasks.cancel_scope.cancel()
