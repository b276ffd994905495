"""A simulated client: an intake, a rack and a gossip that follows a few nodes, and asks nothing of anybody
else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from port17.bottles.intake import OURSELVES
from port17.bottles.rack import Racked
from port17.bottles.sync import Scope
from port17.records.bottle import Bottle
from simulator.process import Process
from simulator.ship import End

if TYPE_CHECKING:
    from simulator.node import Node
    from simulator.world import World

AGAIN_S: Final = 5.0
"""Seconds after which a source that was lost is dialled again."""


class Client(Process):
    """See the module."""

    def __init__(self, world: World, scope: Scope = Scope.ALL) -> None:
        chance = world.heap.random
        super().__init__(world, chance.randbytes(32), (chance.random(), chance.random()))
        self.scope = scope
        self.sources: tuple[bytes, ...] = ()

    def boot(
        self,
        sources: Iterable[Node],
        known: Iterable[Bottle] = (),
        begun: dict[bytes, Racked] | None = None,
    ) -> None:
        """The client starts.

        :param sources: whom it follows.
        :param known: as of :meth:`~simulator.node.Node.boot`.
        """
        self.begin(begun)
        for bottle in known:
            self.gossip.take(bottle, OURSELVES, self.world.heap.now_s)
        self.sources = tuple(node.fingerprint for node in sources)
        for one in self.sources:
            self.world.dial(self, one, self._dialled, as_nobody=True)
        self.settle()

    def _dialled(self, peer: bytes, end: End | None) -> None:
        if end is None:
            self.world.heap.after(AGAIN_S, self._again, peer, self.starts)
        else:
            self.landed(end)
            self.follow(end, scope=self.scope, bundles=False)
            self.settle()

    def _again(self, peer: bytes, start: int) -> None:
        if self.up and self.starts == start:
            self.world.dial(self, peer, self._dialled, as_nobody=True)

    def lost(self, end: End) -> None:
        if end.peer is not None:
            self.world.heap.after(AGAIN_S, self._again, end.peer, self.starts)
