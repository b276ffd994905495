"""Whole nodes, with real cryptography and cranes, over memory ships and a virtual clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from anyio.abc import TaskGroup

from port17.asking import SYNC, Bell, Exchanges, ask
from port17.bottles.intake import Sender
from port17.config.settings import NodeConfig
from port17.links.crane import Crane, Terms, dial
from port17.network import KnownNetwork
from port17.node import load
from port17.node.node import Node
from port17.records.bottle import Bottle
from port17.wire.quota import Budget
from port17_transports.memory import Memory, Network

from .amended_network import BEGUN, Amended

T = TypeVar("T")
LISTED = Sender("bootstrap list", trusted=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The virtual clock does not wait for threads, and what a processor does is not the test's."""

    async def inline(work: Callable[..., T], *args: object, **options: object) -> T:
        await anyio.lowlevel.checkpoint()
        return work(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", inline)
    monkeypatch.setattr(load.ProcessorShare, "__call__", lambda self: 0.0)


class Town:
    """Nodes of one network, each with folders of its own."""

    def __init__(
        self,
        folder: Path,
        tasks: TaskGroup,
        *,
        delay_s: float = 0.02,
        bandwidth: float | None = None,
        **terms: Any,
    ) -> None:
        self.folder = folder
        self.tasks = tasks
        self.net = Amended(folder, **terms)
        self.name = f"town {id(self)}"
        self.delay_s = delay_s
        self.line = {"delay_s": delay_s, "bandwidth": bandwidth}
        self.homes: dict[str, Home] = {}
        self._epoch = anyio.current_time()

    def wall(self) -> float:
        """Unix time that goes with the virtual clock."""
        return BEGUN + 5000 + anyio.current_time() - self._epoch

    def home(self, name: str, *, address: bool = True, group: str = "", **config: Any) -> Home:
        """A node that is made and does not run yet, with keys and a bottle."""
        home = self.homes[name] = Home(self, name, len(self.homes) + 1, address, group, config)
        return home

    async def start(self, names: Iterable[str], known: Sequence[str]) -> None:
        """Start nodes that know some others from a list."""
        for name in names:
            await self.homes[name].start(known)

    @property
    def running(self) -> list[Home]:
        """The nodes that run, by name."""
        return [home for _, home in sorted(self.homes.items()) if home.node is not None]

    def by(self, fingerprint: bytes) -> Home:
        """The node of a fingerprint."""
        return next(home for home in self.homes.values() if home.fingerprint == fingerprint)

    def cut(self, one: Home, other: Home) -> None:
        """Break every line between two nodes."""
        Network.named(self.name).cut(one.endpoint, other.endpoint)

    async def until(self, holds: Callable[[], bool], limit_s: float = 120.0, what: str = "") -> float:
        """Wait; the seconds that it took."""
        begun_s = anyio.current_time()
        while not holds():
            assert anyio.current_time() - begun_s < limit_s, what or "it takes too long"
            await anyio.sleep(0.25)
        return anyio.current_time() - begun_s


class Home:
    """One node and its files."""

    def __init__(
        self, town: Town, name: str, number: int, address: bool, group: str, config: dict[str, Any]
    ) -> None:
        self.town, self.name = town, name
        self.endpoint = f"20.{number}.0.1:9000"
        folder = town.folder / name
        folder.mkdir()
        (folder / "bottles").mkdir()
        options = {"network": town.name, "endpoint": self.endpoint, **town.line}
        self.config = NodeConfig.model_validate(
            {
                "name": name,
                "group": group or name,
                "charter": town.net.file,
                "bottles": folder / "bottles",
                "state": town.folder / f"{name}-state",
                "control": folder / "sock",
                "rack": {"store": "memory"},
                "listen": {"memory": self.endpoint} if address else {},
                "transports": {"memory": options},
                "addresses": {"allow_private": True},
                **config,
            }
        )
        town.net.now = town.wall()
        bottles, town.net.bottles = town.net.bottles, folder / "bottles"
        given = {"group": group or name, "listen": self.config.listen, "state": self.config.state}
        given["advertise"] = self.config.advertise
        given |= {name: config[name] for name in ("exit", "flavour") if name in config}
        _, self.first = town.net.node(name, lanes=(), **given)
        town.net.bottles = bottles
        self.node: Node | None = None
        self.losses: list[bytes] = []
        """Whose last lane was lost while it stood, or after it was retired."""
        self.known: KnownNetwork
        self._scope: anyio.CancelScope | None = None
        self._leave = anyio.Event()
        self._over = anyio.Event()

    @property
    def fingerprint(self) -> bytes:
        return self.first.fingerprint

    async def start(self, known: Sequence[str] = ()) -> None:
        """Run, and know these."""
        await self.town.tasks.start(self._run, known)

    async def _run(self, known: Sequence[str], *, task_status: Any) -> None:
        self._leave, self._over = anyio.Event(), anyio.Event()
        with anyio.CancelScope() as self._scope:
            async with AsyncExitStack() as stack:
                self.known = KnownNetwork.load(self.config, self.town.net.registry, self.town.wall)
                stack.callback(self.known.close)
                others = [self.town.homes[name].first.encode() for name in known if name != self.name]
                await self.known.offer(others, LISTED)
                tasks = await stack.enter_async_context(anyio.create_task_group())
                self.node = Node(self.config, self.town.net.registry, self.known, tasks)
                self._note_losses(self.node)
                await self.node.run(stack)
                task_status.started()
                await self._leave.wait()
                await self.node.leave()
                self.node.stop()
                tasks.cancel_scope.cancel()
        self.node = None
        self._over.set()

    def _note_losses(self, node: Node) -> None:
        lost = node._driver.lost

        def note(peer: bytes) -> None:
            self.losses.append(peer)
            lost(peer)

        node._driver.lost = note  # type: ignore[method-assign]

    async def kill(self) -> None:
        """Gone, without a word."""
        assert self._scope is not None
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._over.wait()

    async def leave(self) -> None:
        """Leave in order, as at SIGTERM."""
        self._leave.set()
        await self._over.wait()

    @property
    def lanes(self) -> set[bytes]:
        """With whom it has lanes."""
        return set(self.running._lanes.standing)

    @property
    def running(self) -> Node:
        assert self.node is not None
        return self.node

    @property
    def rack(self) -> dict[bytes, tuple[int, int]]:
        """What it knows of whom."""
        return {
            stamp.fingerprint: (stamp.label_seq, stamp.contents_seq) for stamp in self.known.rack.stamps()
        }

    @property
    def bottle(self) -> Any:
        return self.known.rack.get(self.fingerprint)


@asynccontextmanager
async def town(folder: Path, **options: Any) -> AsyncGenerator[Town]:
    """An empty network; everything ends with the context."""
    async with anyio.create_task_group() as tasks:
        yield Town(folder, tasks, **options)
        tasks.cancel_scope.cancel()


class Client:
    """Somebody who calls nodes as clients do."""

    trusted = LISTED

    def __init__(self, made: Town) -> None:
        self.known = KnownNetwork.load(made.net.client(), made.net.registry, made.wall)
        self.exchanges = Exchanges(self.known)
        self.budget = Budget(1 << 24)
        self.terms = Terms(self.known.transcript, self.known.verify, Budget(1 << 16), wall=made.wall)
        options = {"network": made.name, "endpoint": "client", **made.line}
        self.transport = Memory(Memory.Config.model_validate(options))
        self.tasks = made.tasks

    async def call(self, home: Home) -> Crane:
        """A link to a node, running."""
        await self.known.offer([home.bottle.encode()], LISTED)
        to = self.known.responder_of(home.fingerprint)
        assert to is not None
        crane = await dial(await self.transport.dial(home.endpoint), self.terms, to)
        self.tasks.start_soon(crane.run)
        return crane

    async def fetch(
        self, crane: Crane, home: Home, *, local: bool = False, offered: Bottle | None = None
    ) -> list[bytes]:
        """Follow a node until it has told all; who is known then.

        :param local: ask for local bottles, too.
        :param offered: given to it first.
        """
        to = self.known.responder_of(home.fingerprint)
        assert to is not None
        bell, told, gossip = Bell(), Bell(), self.known.gossip
        self.known.listen(lambda event: told.ring())
        async with ask(crane, to, self.known, SYNC, budget=self.budget) as stream:
            key = gossip.follow(home.fingerprint, bell.ring, local=local, standing=False)
            if offered is not None:
                gossip.offer(key, offered)
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    while not gossip.synced(key):
                        await told.wait()
                    group.cancel_scope.cancel()

                group.start_soon(watch)
                await self.exchanges.move(key, stream, bell)
        return [stamp.fingerprint for stamp in self.known.rack.stamps()]
