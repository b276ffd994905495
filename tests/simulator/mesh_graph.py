"""The mesh that simulated nodes have made: lanes that both ends list, how far apart nodes are."""

from __future__ import annotations

import math
from collections import deque
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


def farthest(graph: Mapping[bytes, set[bytes]], one: bytes) -> int:
    """Lanes to the node farthest from one; more than any where one can't be reached at all."""
    steps, queue = {one: 0}, deque([one])
    while queue:
        at = queue.popleft()
        for other in graph[at]:
            if other not in steps:
                steps[other] = steps[at] + 1
                queue.append(other)
    return max(steps.values()) if len(steps) == len(graph) else len(graph)


def diameter(graph: Mapping[bytes, set[bytes]]) -> int:
    """The same of all nodes."""
    return max(farthest(graph, one) for one in graph)
