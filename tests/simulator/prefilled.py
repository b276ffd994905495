"""A network that stands already: every rack is full, and the managers have made their lanes.

It takes the place of thousands of joins, which would be most of the work: first the managers alone make lanes
among nodes that all know each other, while nothing is gossiped; then everybody signs what stands, all racks
begin with that, and SYNC is opened over every lane.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Final

from port17.bottles.rack import Racked
from port17.node.commands import Command, Follow, Introduce, Sign
from port17.node.manager import Manager
from port17.records.bottle import Lane
from simulator.author import EPOCH_S
from simulator.node import Node

if TYPE_CHECKING:
    from simulator.world import World

MESH_S: Final = 120.0
"""Seconds in which the managers make their lanes: all who need one more have asked a dozen others by then."""


class Early(Node):
    """A node that begins with its manager alone."""

    quiet = True
    standing: tuple[Lane, ...] = ()
    """What its first contents list."""

    def settle(self) -> None:
        if self.quiet:
            self.told.clear()
            self._arm()
        else:
            super().settle()

    @property
    def due_s(self) -> float:
        return self._manager_due_s if self.quiet else super().due_s

    def tick(self, now_s: float) -> None:
        if not self.quiet:
            super().tick(now_s)
        elif self._manager_due_s <= now_s:
            self._manager_due_s = math.inf
            self._soon()

    def listen(self) -> None:
        if not self.quiet:
            super().listen()

    def _objection(self, fingerprint: bytes) -> str:
        return "" if self.quiet else super()._objection(fingerprint)

    def _do(self, command: Command) -> None:
        match command:
            case Sign(lanes) if self.quiet:
                self.standing = lanes
            case Introduce(peer) if self.quiet:
                self.manager.introduced(peer, self.world.heap.now_s)
                self._soon()
            case Follow() if self.quiet:
                pass
            case _:
                super()._do(command)

    def boot_quietly(self, begun: dict[bytes, Racked], like: Early | None) -> None:
        """Start the manager.

        :param like: one that has read the same rack, so that this one need not.
        """
        self.standing = ()
        self.begin(begun)
        if like is not None:
            _share(like.manager, self.manager)
        self.manager.start(self.world.heap.now_s)
        self._soon()
        self.settle()

    def speak(self, begun: dict[bytes, Racked]) -> None:
        """Gossip from now on."""
        self.quiet = False
        self.rack.begin(begun)
        self.listen()
        self.gossip.own = self.fingerprint
        for peer in sorted(self.lanes):
            self.follow(self.lanes[peer])
        self.settle()


def prefilled(world: World, count: int) -> list[Early]:
    """That many nodes that stand. Takes :data:`MESH_S` of the world's time."""
    nodes = [world.add(Early) for _ in range(count)]
    first = {one.fingerprint: _racked(world, one, ()) for one in nodes}
    for one in nodes:
        one.boot_quietly(first, nodes[0] if one is not nodes[0] else None)
    world.heap.run(world.heap.now_s + MESH_S)
    then = {one.fingerprint: _racked(world, one, one.standing) for one in nodes}
    for one in nodes:
        one.speak(then)
    return nodes


def _share(read: Manager, fresh: Manager) -> None:
    """Give a manager what another has read of the same rack; what changes later is each one's own."""
    for name, value in vars(read._known).items():
        if name in ("_held", "choosable", "_marked", "_present", "newest"):
            setattr(fresh._known, name, copy.copy(value))


def _racked(world: World, node: Node, lanes: tuple[Lane, ...]) -> Racked:
    node.signed = world.shelf.share(node.author.bottle(lanes, world.wall_s))
    return Racked(node.signed, received=EPOCH_S)
