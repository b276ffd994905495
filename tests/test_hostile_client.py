"""A client that knows the protocol and breaks it, over real sockets: it loses its own circuits and links."""

from __future__ import annotations

import base64
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from rig.destination import Destination, order, receive_exactly
from rig.patience import until
from rig.program import connect, download
from rig.testnet import Testnet, resident

from port17.bottles.rack import save_bottle
from port17.config import ClientConfig, load
from port17.dialling import call
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.wire.block import BODY_SIZE, SETUP_SIZE, Command
from port17.wire.leg import Leg
from port17.wire.quota import Budget
from port17.wire.reasons import Reason
from port17.wire.setup import make

MIB = 1024 * 1024
ANSWER_S = 10.0
"""How long a node may take to answer or to destroy, seconds."""
GRANTS = 100_000
"""Cells that the hostile client lets nodes send: more than it ever needs."""
FLOOD = 3000
"""SETUPs of a flood: more than a link's bucket holds."""
FLOOD_GROWTH = 64 * MIB
"""Most that a node may grow by in it: its grants, not its demands, decide."""


class Stranger:
    """A circuit's end that says what it is told, cell by cell, and remembers what came back."""

    def __init__(self, *said: tuple[Command, bytes]) -> None:
        self._said = list(said)
        self.heard = anyio.Event()
        """It was answered, or ended."""
        self.answered = anyio.Event()
        self.ended = anyio.Event()
        self.reason: Reason | None = None

    def deliver(self, leg: Leg, command: int) -> None:
        """A cell came back."""
        leg.drained()
        self.answered.set()
        self.heard.set()

    def pull(self, leg: Leg, out: memoryview) -> Command | None:
        """The next cell."""
        if not self._said:
            return None
        command, body = self._said.pop(0)
        out[:] = body.ljust(BODY_SIZE, b"\0")
        return command

    def pending(self, leg: Leg) -> bool:
        """Something is left to be said."""
        return bool(self._said)

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        """The node, or the link, ended it."""
        self.reason = reason
        self.ended.set()
        self.heard.set()


class Intruder:
    """A client of the network, made of the framework's own parts; it has the nodes' bottles from one of them.

    :param folder: its own.
    """

    def __init__(self, network: Testnet, folder: Path) -> None:
        registry = Registry()
        config, _ = load(ClientConfig, network.directory / "client" / "client.toml")
        own = {"state": folder / "state", "bottles": folder / "bottles"}
        own["bottles"].mkdir()
        for row in network.ask("bottles", of="n1")["bottles"]:
            save_bottle(own["bottles"], Bottle.parse(base64.b64decode(row["bottle"])))
        self.known = KnownNetwork.load(config.model_copy(update=own), registry)
        self._transports: dict[str, Transport] = {"tcp": registry.make("port17.transports", "tcp")}
        self.nodes = {node.name: node for node in self.known.chart().nodes.values()}

    def setup(self, node: ChartNode) -> bytes:
        """Fresh SETUP content for a node."""
        to = self.known.responder(node)
        assert to is not None
        content, _ = make(self.known.transcript(), to, to.suite.generate(), time.time())
        return content

    @asynccontextmanager
    async def link(self, node: ChartNode) -> AsyncIterator[Crane]:
        """A link to a node, while the context is open."""
        terms = Terms(self.known.transcript, self.known.verify, Budget(GRANTS))
        crane = await call(node.fingerprint, self.known, self._transports, terms)
        async with anyio.create_task_group() as group:
            group.start_soon(crane.run)
            with anyio.fail_after(ANSWER_S):
                await crane.standing.wait()
            yield crane
            group.cancel_scope.cancel()

    async def say(self, crane: Crane, *said: tuple[Command, bytes]) -> Stranger:
        """A circuit on which something is said; given once the node has answered or ended it."""
        stranger = Stranger(*said)
        leg = crane.link.open(stranger)
        assert leg is not None
        leg.wake()
        with anyio.fail_after(ANSWER_S):
            await stranger.heard.wait()
        return stranger


def on_the_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run an asynchronous test whose fixtures are not."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        anyio.run(functools.partial(test, **fixtures))

    return run


@pytest.fixture(scope="module")
def intruder(testnet: Testnet, tmp_path_factory: pytest.TempPathFactory) -> Intruder:
    """A hostile client of the shared network."""
    until(lambda: all_lanes_stand(testnet), "all lanes of the shared network", limit=40)
    return Intruder(testnet, tmp_path_factory.mktemp("intruder"))


@pytest.fixture(autouse=True)
def others_do_not_notice(testnet: Testnet, destination: Destination) -> Iterator[None]:
    """Connections that were there go on, over every node; new ones work; all lanes stand."""
    # Tests before may have cost lanes, which are dialled again after a wait that doubles.
    until(lambda: all_lanes_stand(testnet), "all lanes of the shared network", limit=40)
    programs = [connect(testnet.socks, destination.port, isolation=f"calm {n}") for n in range(6)]
    try:
        for program in programs:
            program.sendall(order(b"E") + b"1")
            assert receive_exactly(program, 1) == b"1"
        yield
        for program in programs:
            program.sendall(b"2")
            assert receive_exactly(program, 1) == b"2"
    finally:
        for program in programs:
            program.close()
    with connect(testnet.socks, destination.port, isolation="calm new") as program:
        assert download(program, b"calm", MIB).got == MIB
    assert all_lanes_stand(testnet)


def all_lanes_stand(testnet: Testnet) -> bool:
    """Every node has a lane to every other."""
    nodes = testnet.state["nodes"]
    return all(
        testnet.ask("status", of=node["name"])["lanes"]["standing"] == len(nodes) - 1 for node in nodes
    )


@on_the_loop
async def test_a_setup_opens_once(intruder: Intruder) -> None:
    node, other = intruder.nodes["n1"], intruder.nodes["n2"]
    content = intruder.setup(node)
    async with intruder.link(node) as link:
        first = await intruder.say(link, (Command.SETUP, content))
        assert first.answered.is_set()
        again = await intruder.say(link, (Command.SETUP, content))
        assert (again.answered.is_set(), again.ended.is_set()) == (False, True)
        assert not first.ended.is_set(), "the circuit that it had opened goes on"
        assert not link.lost
    async with intruder.link(node) as link:
        assert not (await intruder.say(link, (Command.SETUP, content))).answered.is_set()
    async with intruder.link(other) as link:
        assert not (await intruder.say(link, (Command.SETUP, content))).answered.is_set()


@on_the_loop
async def test_a_changed_setup_does_not_open(intruder: Intruder) -> None:
    node = intruder.nodes["n1"]
    content = intruder.setup(node)
    async with intruder.link(node) as link:
        for place in (0, 1, 30, 40, 1000, 2000, SETUP_SIZE - 1):
            changed = bytearray(content)
            changed[place] ^= 0x80
            refused = await intruder.say(link, (Command.SETUP, bytes(changed)))
            assert (refused.answered.is_set(), refused.reason) == (False, Reason.GENERIC), place
        for body in (b"", b"\xff" * SETUP_SIZE, content[:100]):
            assert not (await intruder.say(link, (Command.SETUP, body))).answered.is_set()
        unchanged = await intruder.say(link, (Command.SETUP, content))
        assert unchanged.answered.is_set(), "the refusals meant something"


@on_the_loop
async def test_cells_that_nobody_sealed_end_their_circuit(intruder: Intruder) -> None:
    node = intruder.nodes["n3"]
    async with intruder.link(node) as link:
        calm = await intruder.say(link, (Command.SETUP, intruder.setup(node)))
        for command in (Command.RELAY, Command.EARLY):
            noise = (command, bytes(range(256)) * 15)
            stranger = await intruder.say(link, (Command.SETUP, intruder.setup(node)), noise)
            with anyio.fail_after(ANSWER_S):
                await stranger.ended.wait()
        assert not calm.ended.is_set()
        assert not link.lost


@pytest.mark.parametrize("command", [Command.RELAY, Command.DESTROY, Command.LINK, 9])
def test_cells_of_no_circuit_end_their_link(intruder: Intruder, command: int) -> None:
    """What no honest peer can send: the link ends, and that only."""

    async def run() -> None:
        node = intruder.nodes["n4"]
        async with intruder.link(node) as calm, intruder.link(node) as link:
            stranger = Stranger((Command(command) if command < 6 else command, b"\xff" * 64))  # type: ignore[arg-type]
            leg = link.link.open(stranger)
            assert leg is not None
            leg.wake()
            with anyio.fail_after(ANSWER_S):
                await stranger.ended.wait()
            assert link.lost
            assert not calm.lost

    anyio.run(run)


@on_the_loop
async def test_a_flood_of_setups_is_bounded(intruder: Intruder, testnet: Testnet) -> None:
    node = intruder.nodes["n5"]
    pid = testnet.pids["n5"]
    before = resident(pid)
    async with intruder.link(node) as link:
        strangers = []
        for number in range(FLOOD):
            is_sound = number % 10 == 0
            stranger = Stranger((Command.SETUP, intruder.setup(node) if is_sound else b"\x01" * SETUP_SIZE))
            leg = link.link.open(stranger)
            if leg is None:
                break
            leg.wake()
            strangers.append(stranger)
            if number % 50 == 0:
                await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(ANSWER_S):
            for one in strangers:
                await one.heard.wait()
        opened = sum(one.answered.is_set() for one in strangers)
        assert 0 < opened < len(strangers) // 10, "of those that are sound some, and then no more"
        assert not link.lost
        assert resident(pid) - before < FLOOD_GROWTH
