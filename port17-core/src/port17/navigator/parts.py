"""What a route's cost is made of, part by part, for people."""

from __future__ import annotations

from port17.navigator import cost
from port17.navigator.chart import ChartNode
from port17.navigator.cost import Part
from port17.navigator.policy import Policies, Position, Request


def route_parts(
    nodes: tuple[ChartNode, ...], entry_us: float, policies: Policies, request: Request
) -> tuple[Part, ...]:
    """From the client's end on.

    :param nodes: of a route that the request may use.
    :param entry_us: what the way from the client to the entry counts as, microseconds.
    :param request: with the level that holds.
    """
    parts = [Part(f"client to {nodes[0].name}: latency", entry_us)]
    for index, node in enumerate(nodes):
        position: Position = "entry" if index == 0 else "middle" if index < len(nodes) - 1 else "exit"
        if index:
            source = nodes[index - 1]
            lane = source.lanes[node.fingerprint]
            parts += cost.lane_parts(
                source,
                node,
                lane,
                policies.judge_lane(source, node, lane),
                policies.judge_lane_for(source, node, lane, request),
            )
        judgements = [
            policies.judge_node(node, position, request.level),
            policies.judge_node_for(node, position, request),
        ]
        if position == "exit":
            judgements.append(policies.judge_exit(node, request))
        parts += cost.node_parts(node, position, *judgements)
    return tuple(parts)
