"""Whole clients over memory ships, in networks of whole nodes: whom they follow, and what that costs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import anyio
import pytest

from port17.bottles.rack import save_bottle
from port17.bottles.sync import Scope
from port17.client import sources
from port17.client.entries import UNUSED_S
from port17.client.opened import TRIES
from port17.client.sources import WANTED, Source
from port17.client.spares import USED_S
from port17.client.tunnel import Tunnel
from port17.errors import ConfigError, NoRoute
from port17.navigator.guards import GUARDS
from port17.navigator.policy import Request
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.wire.block import BLOCK_SIZE

from .links_network import on_virtual_clock
from .node_world import LISTED, Town, one_thread, town

__all__ = ["one_thread"]
REQUEST = Request("192.0.2.1", 443)
LINK_COSTS = 4e6
"""Bytes a day over a link that nobody uses: a comparison of racks in ten minutes takes three blocks, a ping
two, and what is new in a minute one or two. In a large network, where racks are compared every three hours,
what is new costs more and this less."""


class Guest:
    """A client that runs."""

    def __init__(self, made: Town, name: str, **config: object) -> None:
        folder = made.folder / name
        (folder / "bottles").mkdir(parents=True, exist_ok=True)
        options = {"network": made.name, "endpoint": name, "delay_s": made.delay_s}
        self.config = made.net.client(
            bottles=folder / "bottles",
            state=folder / "state",
            control=folder / "sock",
            transports={"memory": options},
            **config,
        ).model_copy(update={"ingress": {}})
        self.made = made
        self.known: KnownNetwork
        self.tunnel: Tunnel

    @property
    def sources(self) -> list[Source]:
        return [source for source in self.tunnel._sources if source.synced]

    @property
    def groups(self) -> set[str]:
        return {source.group for source in self.sources}

    @property
    def followed(self) -> set[bytes]:
        return {source.fingerprint for source in self.sources}

    @property
    def guards(self) -> set[bytes]:
        return set(self.tunnel._keeper.active)

    async def built(self) -> list[str]:
        """The names of the nodes of a circuit that stands; what fails is tried again, as for a program."""
        for _ in range(TRIES):
            built = await self.tunnel._circuits.build(REQUEST)
            with anyio.move_on_after(15):
                await built.waiting.wait()
            if built.circuit.confirmed_s is not None:
                self.tunnel._circuits.end(built)
                return [node.name for node in built.route.nodes]
        raise AssertionError("no circuit stands")


@asynccontextmanager
async def guest(
    made: Town, known: Sequence[str], name: str = "guest", **config: object
) -> AsyncGenerator[Guest]:
    """A client that knows some nodes from a list."""
    client = Guest(made, name, **config)
    registry = Registry()
    client.known = KnownNetwork.load(client.config, registry, made.wall)
    try:
        await client.known.offer([made.homes[one].first.encode() for one in known], LISTED)
        async with anyio.create_task_group() as tasks:
            client.tunnel = Tunnel(client.config, registry, client.known, tasks)
            await client.tunnel.run()
            yield client
            tasks.cancel_scope.cancel()
    finally:
        client.known.close()


async def standing(made: Town, count: int = 6, **groups: str) -> list[str]:
    """A network whose nodes have made their lanes."""
    names = [f"n{number:02}" for number in range(count)]
    for name in names:
        made.home(name, group=groups.get(name, name), exit={"enabled": True})
    await made.start(names, names[:2])

    def joined() -> bool:
        chart = made.running[0].known.chart()
        return len(chart) == count and all(len(node.lanes) >= 3 for node in chart)

    await made.until(joined, 180, "too few lanes")
    return names


def test_a_fault_in_what_a_source_brings_ends_no_client(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            async with guest(made, names[:2]) as client:
                with patch.object(client.known.gossip, "step", side_effect=ConfigError("the disk is full")):
                    await anyio.sleep(5)
                    assert not client.sources
                await made.until(lambda: len(client.groups) == WANTED, 120, "no sources any more")

    on_virtual_clock(run)


def test_a_client_that_knows_two_nodes_finds_all_and_keeps_sources_of_different_groups(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made)
            async with guest(made, names[:2]) as client:
                await made.until(lambda: len(client.groups) == WANTED, 30, "too few sources")
                await made.until(lambda: len(client.known.chart()) == len(names), 30, "too few nodes")
                status = await client.tunnel.status({})
                assert status["nodes"]["known"] == status["nodes"]["usable"] == len(names)
                assert status["nodes"]["lanes"] >= len(names)
                assert len(status["sources"]) == WANTED
                await made.until(lambda: client.followed == client.guards, 30, "not its guards")
                entries = set()
                for _ in range(10):
                    route = await client.built()
                    entries.add(route[0])
                    assert len(set(route)) == 3
                assert entries <= {source.name for source in client.sources}, "links that stand"
                assert len(client.guards) == GUARDS
                await anyio.sleep(2 * UNUSED_S)
                linked = {crane.peer for crane in client.tunnel._entries}
                assert linked == client.guards, "it calls no more nodes than it must"
                nodes = {home.fingerprint for home in made.running}
                for home in made.running:
                    strangers = [crane for crane in home.running._cranes if crane.peer is None]
                    assert home.lanes <= nodes
                    assert all(crane.link.lane is None for crane in strangers), "a client makes no lane"

    on_virtual_clock(run)


def test_of_three_guards_one_may_go_and_a_second_one_is_replaced(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made)
            async with guest(made, names[:2]) as client:
                await made.until(
                    lambda: len(client.groups) == WANTED and client.followed == client.guards, 30, "no guards"
                )
                first, second, third = client.tunnel._keeper.active
                await made.by(first).kill()
                await made.until(lambda: client.guards == {second, third}, 30, "nobody notices")
                await anyio.sleep(60)
                assert client.guards == client.followed == {second, third}, "nobody more gets to know it"
                for _ in range(3):
                    assert (await client.built())[0] != made.by(first).name
                await made.by(second).kill()
                await made.until(lambda: len(client.guards) == 2 and second not in client.guards, 30, "alone")
                took_s = await made.until(lambda: client.followed == client.guards, 30, "no second source")
                print("replaced after", took_s)
                assert len(await client.built()) == 3

    on_virtual_clock(run)


def test_sources_of_one_group_are_one_and_no_route_is_made(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4, n00="all", n01="all", n02="all", n03="all")
            async with guest(made, names[:2]) as client:
                await made.until(lambda: len(client.sources) == 1, 30, "no source")
                await anyio.sleep(30)
                assert len(client.sources) == 1
                with pytest.raises(NoRoute):
                    await client.built()

    on_virtual_clock(run)


def test_what_a_client_costs_while_nobody_uses_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            async with guest(made, names[:2]) as client:
                await made.until(lambda: len(client.groups) == WANTED, 30, "too few sources")
                await client.built()
                await anyio.sleep(USED_S + 60)
                cranes = list(client.tunnel._entries)
                moved = [0]
                for crane in cranes:
                    seal, receive = crane._seal_some, crane._take

                    def sealed(seal: object = seal) -> int:
                        count: int = seal()  # type: ignore[operator]
                        moved[0] += count * BLOCK_SIZE
                        return count

                    def took(data: bytes, receive: object = receive) -> None:
                        moved[0] += len(data)
                        receive(data)  # type: ignore[operator]

                    crane._seal_some, crane._take = sealed, took  # type: ignore[method-assign,assignment]
                began_s = anyio.current_time()
                await anyio.sleep(1300)
                assert [crane for crane in client.tunnel._entries if not crane.lost] == cranes
                day = moved[0] * 86400 / (anyio.current_time() - began_s)
                print(f"{len(cranes)} links, {day / 1e6:.1f} MB a day")
                assert len(cranes) == WANTED
                assert 0 < day < len(cranes) * LINK_COSTS

    on_virtual_clock(run)


def test_a_client_with_an_old_rack_alone_asks_for_fresh_prekeys(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, prekey_lifetime_s=60, overlap_s=10) as made:
            names = await standing(made, 4)
            lasting = {"store": "sqlite"}
            async with guest(made, names[:2], rack=lasting) as client:
                await made.until(lambda: len(client.known.chart()) == 4, 30, "too few nodes")
                await client.built()
            await anyio.sleep(12 * 60)
            async with guest(made, (), rack=lasting) as client:
                assert len(client.known.rack) == 4
                assert not client.known.chart().nodes, "all prekeys have expired"
                took_s = await made.until(lambda: len(client.groups) >= 2, 60, "no sources")
                print("sources after", took_s)
                await made.until(lambda: len(client.known.chart()) == 4, 30, "too few nodes")
                assert len(await client.built()) == 3

    on_virtual_clock(run)


def test_a_client_of_a_large_network_follows_near_nodes_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "NEAR_ABOVE", 5)
    monkeypatch.setattr(sources, "ALL_BELOW", 3)

    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made)
            async with guest(made, names[:1]) as client:
                await made.until(
                    lambda: (
                        len(client.sources) == WANTED
                        and all(source.scope is Scope.NEAR for source in client.sources)
                    ),
                    60,
                    "all is followed still",
                )
                await client.built()

    on_virtual_clock(run)


def test_the_user_s_bottles_are_enough_where_nobody_tells_anything(tmp_path: Path) -> None:
    """A network of before: its nodes keep lanes, and none of them is a source."""

    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            client = Guest(made, "guest")
            for name in names:
                save_bottle(client.config.bottles, made.homes[name].bottle)
            async with guest(made, ()) as client:
                assert len(await client.built()) == 3

    on_virtual_clock(run)


def test_a_program_that_comes_too_early_waits_until_the_client_knows_the_network(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            async with guest(made, names[:2]) as client:
                stream = await client.tunnel.open(REQUEST)
                assert len(client.groups) >= 2
                stream.abort()

    on_virtual_clock(run)
