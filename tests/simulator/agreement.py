"""Whether racks hold the same, and what is true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from port17.bottles.outcome import Part
from simulator.node import Node
from simulator.process import Process


def differences(processes: Iterable[Process], about: Collection[Node]) -> Iterator[str]:
    """Who does not hold the newest that a node has signed, for each of these nodes, with all its prekeys."""
    signed = [(node, node.signed) for node in about if node.signed is not None]
    for process in processes:
        for node, bottle in signed:
            held = process.rack.held(node.fingerprint)
            if held is None:
                yield f"{process.name} has nothing of {node.name}"
            elif held.bottle.sequence != bottle.sequence:
                yield f"{process.name} has old news of {node.name}"
            elif held.distrust:
                yield f"{process.name} distrusts {node.name}: {held.distrust}"
            elif len(held.bottle.bundle) != len(bottle.bundle) and isinstance(process, Node):
                yield f"{process.name} lacks prekeys of {node.name}"


def agreed(processes: Iterable[Process], about: Collection[Node]) -> bool:
    """Whether there are none."""
    return next(differences(processes, about), None) is None


class Spread:
    """How one change of one node reaches the others: the moment at which each has it."""

    def __init__(self, author: Node) -> None:
        world = author.world
        self._author = author
        self._begun_s = world.heap.now_s
        self.at_s: dict[str, float] = {}
        world.watch = self._learned

    def _learned(self, process: Process, about: bytes, part: Part) -> None:
        signed = self._author.signed
        if about != self._author.fingerprint or signed is None:
            return
        held = process.rack.get(about)
        if held is not None and held.sequence == signed.sequence:
            self.at_s.setdefault(process.name, process.world.heap.now_s - self._begun_s)
