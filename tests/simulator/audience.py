"""A client of a very large network, of which only the client's sources are whole nodes.

All others are no more than what reaches the sources: contents that each signs within the hour, as the
managers do, and that come to the sources at the moment of signing. Each source holds every bottle from the
start, and so does the client.
"""

from __future__ import annotations

from typing import Final

from port17.bottles.intake import Sender
from port17.bottles.rack import Racked
from port17.bottles.sync import Scope
from simulator.author import EPOCH_S, Author
from simulator.client import Client
from simulator.node import Node
from simulator.world import World, address

HOUR_S: Final = 3600.0
LEAST_LIFE: Final = 0.75
"""A node signs anew after three quarters to the whole of an hour."""
QUIET_S: Final = 120.0
"""Seconds after which the client has compared all that it holds."""
FAR: Final = Sender("a lane that is not simulated")


class Silent(Node):
    """A node whose manager makes no lanes: there is nobody to make them with."""

    def wake(self) -> None:
        pass

    def _soon(self) -> None:
        pass

    @property
    def due_s(self) -> float:
        return self.gossip.due_s


class Audience:
    """See the module."""

    def __init__(self, world: World, nodes: int, sources: int, lanes: int) -> None:
        """
        :param lanes: of each node; whom they lead to is drawn.
        """
        self.world = world
        chance = world.heap.random
        self.sources = [world.add(Silent) for _ in range(sources)]
        others = [
            Author(
                chance,
                f"node{number}",
                group=f"owner{number // 3}",
                addresses={"tcp": [f"{address(number)}:4000"]},
                slots=world.slots,
                keep_bundle=False,
            )
            for number in range(sources, nodes)
        ]
        self._authors = [*(node.author for node in self.sources), *others]
        self._lanes = self._draw(lanes)
        self._begun: dict[bytes, Racked] = {}
        for author in self._authors:
            bottle = world.shelf.share(author.bottle(self._lanes[author.fingerprint], EPOCH_S))
            self._begun[author.fingerprint] = Racked(bottle, received=EPOCH_S)
        for node in self.sources:
            node.signed = self._begun[node.fingerprint].bottle
            node.begin(self._begun)
            node.gossip.own = node.fingerprint
            node.settle()
        self.client = Client(world)

    def _draw(self, lanes: int) -> dict[bytes, list[bytes]]:
        """A random graph in which every node has about so many lanes, each listed by both ends."""
        found: dict[bytes, set[bytes]] = {author.fingerprint: set() for author in self._authors}
        names = list(found)
        for _ in range(lanes):
            shuffled = names[:]
            self.world.heap.random.shuffle(shuffled)
            for one, other in zip(shuffled[::2], shuffled[1::2], strict=False):
                found[one].add(other)
                found[other].add(one)
        return {one: sorted(others) for one, others in found.items()}

    def begin(self, scope: Scope) -> None:
        """The client starts, and then nodes sign."""
        heap = self.world.heap
        self.client.scope = scope
        self.client.boot(self.sources, (), self._begun)
        heap.run(heap.now_s + QUIET_S)
        for author in self._authors:
            heap.after(HOUR_S * heap.random.random(), self._signs, author)

    def _signs(self, author: Author) -> None:
        heap = self.world.heap
        lanes = self._lanes[author.fingerprint]
        bottle = author.bottle(lanes, self.world.wall_s, load=heap.random.randrange(1000))
        shared = self.world.shelf.share(bottle)
        for node in self.sources:
            node.gossip.take(shared, FAR, heap.now_s)
            node.settle()
        heap.after(HOUR_S * heap.random.uniform(LEAST_LIFE, 1.0), self._signs, author)

    def hours(self, count: float) -> None:
        """Let so many pass."""
        self.world.heap.run(self.world.heap.now_s + count * HOUR_S)
