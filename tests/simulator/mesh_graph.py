"""The mesh that simulated nodes have made: lanes that both ends list, how far apart nodes are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from simulator.node import Node


def wanted(nodes: int) -> int:
    """Lanes that each node has at least, in a network of so many."""
    return min(nodes - 1, max(4, math.ceil(1.3 * math.log2(nodes))))


def mutual(nodes: Sequence[Node]) -> dict[bytes, set[bytes]]:
    """Lanes by what nodes have signed last: those that both ends list."""
    said = {
        node.fingerprint: {lane.fingerprint for lane in node.signed.contents.lanes}
        for node in nodes
        if node.signed is not None
    }
    return {one: {other for other in others if one in said.get(other, ())} for one, others in said.items()}


def diameter(graph: Mapping[bytes, set[bytes]]) -> int:
    """Lanes between the two nodes that are farthest apart; as many as there are nodes, where some can't reach
    each other at all."""
    number = {one: at for at, one in enumerate(graph)}
    beside = [[number[other] for other in others] for others in graph.values()]
    everybody = (1 << len(graph)) - 1
    reached = [1 << at for at in range(len(graph))]
    for steps in range(len(graph)):
        if all(found == everybody for found in reached):
            return steps
        reached = [_union(reached, at, others) for at, others in enumerate(beside)]
    return len(graph)


def _union(reached: Sequence[int], at: int, others: Sequence[int]) -> int:
    found = reached[at]
    for other in others:
        found |= reached[other]
    return found
