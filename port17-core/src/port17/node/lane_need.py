"""How many lanes a node is to have, of its own choice and of others', by the size of the network."""

from __future__ import annotations

import math
from typing import Final

from port17.node.candidates import Candidates

LEAST: Final = 4
"""Lanes that a node sees to in the smallest network: two may be lost at once, and a route still has a
choice."""
PER_BIT: Final = 1.3
"""Lanes per doubling of the network: as many as keep any two nodes of a thousand within four hops, of three
thousand within five, with room."""
MOST: Final = 96
"""Most lanes of one node, whoever began them: contents name 128."""
GRANTS: Final = 2
"""So many times its fair part of all lanes a node has at most: newcomers find room at it."""
SURPLUS: Final = 1.5
"""So many times its fair part it has without retiring any."""
BURDEN: Final = 4
"""Most times the target that a node's fair part is, where many nodes can't be called."""


class LaneNeed:
    """The numbers of one node."""

    def __init__(self, own: bytes, known: Candidates, wanted: int | None) -> None:
        """
        :param wanted: how many lanes to see to; None goes by the size of the network.
        """
        self.wanted = wanted
        self._own = own
        self._known = known

    @property
    def nodes(self) -> int:
        """How many nodes there are, our own among them."""
        own = self._known.get(self._own)
        return self._known.present + (own is None or own.offline)

    @property
    def target(self) -> int:
        """How many lanes the node sees to."""
        nodes = self.nodes
        wanted = max(LEAST, math.ceil(PER_BIT * math.log2(nodes))) if self.wanted is None else self.wanted
        return min(wanted, nodes - 1)

    @property
    def share(self) -> int:
        """How many of them are of its own choice, whatever others begin."""
        return math.ceil(self.target / 2)

    @property
    def at_random(self) -> int:
        """How many of its own choice are drawn from all."""
        return math.ceil(self.share / 2)

    @property
    def fair(self) -> int:
        """How many lanes end at a node that can be called if all have the target: more than that where others
        can't be called."""
        callable_nodes = max(1, len(self._known.choosable))
        return math.ceil(self.target * min(BURDEN, max(1.0, self.nodes / callable_nodes)))

    @property
    def most_granted(self) -> int:
        """How many lanes others may have begun. Our own choices keep their places, whoever asks."""
        return max(0, min(MOST, GRANTS * self.fair) - self.share)

    @property
    def most_kept(self) -> int:
        """With how many lanes none is retired."""
        return math.ceil(SURPLUS * self.fair)
