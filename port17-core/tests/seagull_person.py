"""A client of a town of whole nodes, with a rack that lasts from one stay to the next."""

from __future__ import annotations

import anyio

from port17.client.tunnel import Tunnel
from port17.config.settings import ClientConfig
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.wire.circuit import Circuit

from .node_world import Client, Home, Town

STAY = tuple(f"n{number:02}" for number in range(5))
"""Nodes that are always there."""
LASTING = {"rack": {"store": "sqlite"}}


def current(made: Town, home: Home) -> bool:
    """It has a lane, and what it holds of everybody can be used."""
    chart = home.known.chart()
    return bool(home.lanes) and all(
        other.fingerprint in chart.nodes for other in made.running if other is not home
    )


class Person:
    """See the module."""

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
                # Of its own: each time it is another process, and policies are registered once in each.
                self.tunnel = Tunnel(self.config, Registry(), self.known, tasks)
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

    async def circuit(self, route: list[ChartNode]) -> Circuit:
        """A circuit whose nodes have all answered."""
        keys = [key for key in await self.tunnel._prekeys.keys(route) if key is not None]
        assert len(keys) == len(route)
        crane = await self.tunnel._entries.crane(route[0])
        ratchet_keys = [key.suite.generate() for key in keys]
        budget = self.tunnel._circuits._builder._budget
        made = Circuit(self.known.transcript(), keys, ratchet_keys, budget, self.known.wall())
        leg = crane.link.open(made)
        assert leg is not None
        confirmed = anyio.Event()
        made.on_confirmed = confirmed.set
        made.begin(leg)
        with anyio.fail_after(10):
            await confirmed.wait()
        return made
