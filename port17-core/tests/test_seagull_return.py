"""Whole nodes and a client that were away for a day or a month come back by what they still hold: no list, no
folder, nobody who has waited for them.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from port17.bottles.rack import BottleStore
from port17.client.tunnel import Tunnel
from port17.config.settings import ClientConfig
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork
from port17.wire.circuit import Circuit

from .links_network import on_virtual_clock
from .node_world import Client, Home, Town, one_thread, town

__all__ = ["one_thread"]
DAY_S = 86_400
STAY = tuple(f"n{number:02}" for number in range(5))
LASTING = {"rack": {"store": "sqlite"}}


def skip(made: Town, days: float) -> None:
    """Everybody's clock is that much further."""
    made._epoch -= days * DAY_S


def expired(rack: BottleStore, but: bytes, now_s: float) -> bool:
    """Whether nothing in a rack can be used for a call."""
    others = [bottle for bottle in rack if bottle.fingerprint != but]
    return bool(others) and not any(record.expiry > now_s for bottle in others for record in bottle.bundle)


def current(made: Town, home: Home) -> bool:
    """It has a lane, and what it holds of everybody can be used."""
    chart = home.known.chart()
    return bool(home.lanes) and all(
        other.fingerprint in chart.nodes for other in made.running if other is not home
    )


@pytest.mark.parametrize("days", [8, 30])
def test_a_node_that_was_away_comes_back_without_a_list(tmp_path: Path, days: int) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in (*STAY, "away"):
                made.home(name, **LASTING)
            await made.start((*STAY, "away"), STAY[:3])
            away = made.homes["away"]
            await made.until(lambda: all(current(made, home) for home in made.running), 60)
            await away.kill()
            skip(made, days)
            staying = [made.homes[name] for name in STAY]
            await made.until(lambda: all(current(made, home) for home in staying), 600)

            begun_s = anyio.current_time()
            await made.tasks.start(away._run, ())  # it is told of nobody
            assert current(made, away) or away.known.rack
            await made.until(lambda: current(made, away), 60)
            took_s = anyio.current_time() - begun_s
            assert took_s < 60
            assert sum(home.running._cold.answered for home in staying) >= 1
            await made.until(lambda: all(current(made, home) for home in made.running), 120)
            # Nobody holds a prekey of it that it has burned.
            for home in staying:
                held = home.known.rack.get(away.fingerprint)
                assert held is not None
                live = [slot for slots in held.contents.slots.values() for slot in slots]
                mine = {record.hash for record, _ in away.running._keyring.prekeys.values()}
                assert {slot.commitment for slot in live} <= mine

    on_virtual_clock(run)


class Person:
    """A client of the town, with a rack that lasts."""

    def __init__(self, made: Town) -> None:
        self.made = made
        folder = made.folder / "person"
        folder.mkdir()
        self.bottles = folder / "bottles"
        self.bottles.mkdir()
        self.config = ClientConfig.model_validate(
            {
                "charter": made.net.file,
                "bottles": self.bottles,
                "state": folder,
                "control": folder / "sock",
                "addresses": {"allow_private": True},
                "transports": {
                    "memory": {"network": made.name, "endpoint": "person", "delay_s": made.delay_s}
                },
                **LASTING,
            }
        )
        self.known: KnownNetwork
        self.tunnel: Tunnel

    async def run(self, *, known: tuple[str, ...], until: anyio.Event, task_status: object) -> None:
        """Be there for a while."""
        made = self.made
        self.known = KnownNetwork.load(self.config, made.net.registry, made.wall)
        try:
            for name in known:
                home = made.homes[name]
                self.known.gossip.take(home.bottle, Client.trusted, anyio.current_time())
            async with anyio.create_task_group() as tasks:
                self.tunnel = Tunnel(self.config, made.net.registry, self.known, tasks)
                for task in (self.tunnel._sources.run, self.tunnel._prekeys.run):
                    tasks.start_soon(task)
                task_status.started()  # type: ignore[attr-defined]
                await until.wait()
                tasks.cancel_scope.cancel()
        finally:
            self.known.close()

    @property
    def ready(self) -> bool:
        """Everything that a route takes is at hand."""
        chart = self.known.chart()
        held = all(self.tunnel._prekeys.holds(node) for node in chart)
        return len(chart) >= len(STAY) and held and bool(self.three())

    def three(self) -> list[ChartNode]:
        """Nodes in a row, the first of them one that there is a link to."""
        nodes = self.known.chart().nodes
        for first in self.tunnel._entries.standing & nodes.keys():
            for second in nodes[first].lanes:
                for third in nodes[second].lanes.keys() - {first}:
                    return [nodes[first], nodes[second], nodes[third]]
        return []

    async def route(self) -> None:
        """A circuit over three nodes, which all answer."""
        route = self.three()
        first = route[0]
        keys = [key for key in await self.tunnel._prekeys.keys(route) if key is not None]
        assert len(keys) == 3
        crane = await self.tunnel._entries.crane(first)
        circuit = Circuit(
            self.known.transcript(),
            keys,
            [key.suite.generate() for key in keys],
            self.tunnel._circuits._budget,
            self.known.wall(),
        )
        leg = crane.link.open(circuit)
        assert leg is not None
        confirmed = anyio.Event()
        circuit.on_confirmed = confirmed.set
        circuit.begin(leg)
        with anyio.fail_after(10):
            await confirmed.wait()


@pytest.mark.parametrize("days", [8, 30])
def test_a_client_that_was_away_comes_back_without_a_list(tmp_path: Path, days: int) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in STAY:
                made.home(name)
            await made.start(STAY, STAY[:3])
            await made.until(lambda: all(current(made, home) for home in made.running), 60)
            person = Person(made)
            for known, wait_days in ((STAY[:3], days), ((), days), ((), 0)):
                over = anyio.Event()

                async def be_there(
                    task_status: object, known: tuple[str, ...] = known, over: anyio.Event = over
                ) -> None:
                    await person.run(known=known, until=over, task_status=task_status)

                await made.tasks.start(lambda task_status, be_there=be_there: be_there(task_status))
                if not known and wait_days:
                    assert expired(person.known.rack, b"", made.wall())
                await made.until(lambda: person.ready, 90, "the client does not come back")
                await person.route()
                over.set()
                await anyio.sleep(1)
                skip(made, wait_days)
                await made.until(lambda: all(current(made, home) for home in made.running), 600)

    on_virtual_clock(run)
