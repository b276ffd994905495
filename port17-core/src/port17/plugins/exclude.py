"""The core's own route policy: no route uses certain nodes or groups."""

from __future__ import annotations

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import RoutePolicy


class Exclude(RoutePolicy):
    """Excludes nodes by PortName or node id, and by group."""

    class Config(RoutePolicy.Config):
        """Whom to exclude.

        :param nodes: PortNames or node ids.
        :param groups: groups, all of whose nodes are excluded.
        """

        nodes: tuple[str, ...] = ()
        groups: tuple[str, ...] = ()

    config: Config

    @hookimpl
    def exclude_node(self, node: ChartNode) -> str | None:
        """By name, id or group."""
        if node.name in self.config.nodes or node.node_id in self.config.nodes:
            return "you excluded the node"
        if node.group in self.config.groups:
            return f"you excluded the group {node.group}"
        return None
