"""The policy ``exclude``: no route uses certain nodes."""

from __future__ import annotations

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Position, RoutePolicy
from port17.navigator.selector import Selectors


class Exclude(RoutePolicy):
    """Leaves out the nodes that selectors pick by any of their addresses: everywhere, or in one position."""

    class Config(RoutePolicy.Config):
        """Whom to leave out.

        :param nodes: picked nodes serve nowhere.
        :param entry: picked nodes are not the first of a route.
        :param middle: picked nodes are neither first nor last.
        :param exit: picked nodes are not the last.
        :param groups: the same as ``nodes`` with ``group:`` before each.
        :param unknown: leave out those as well of which nobody knows whether they are picked.
        """

        nodes: Selectors = Selectors()
        entry: Selectors = Selectors()
        middle: Selectors = Selectors()
        exit: Selectors = Selectors()
        groups: tuple[str, ...] = ()
        unknown: bool = False

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        own = self.config
        everywhere = Selectors([*own.nodes, *(f"group:{group}" for group in own.groups)])
        self._lists: dict[Position, tuple[Selectors, ...]] = {
            "entry": tuple(one for one in (everywhere, own.entry) if one),
            "middle": tuple(one for one in (everywhere, own.middle) if one),
            "exit": tuple(one for one in (everywhere, own.exit) if one),
        }

    @hookimpl
    def exclude_node(self, node: ChartNode, position: Position) -> str | None:
        """By any of its addresses."""
        for selectors in self._lists[position]:
            found = selectors.touching(node)
            if found is not None:
                return f"you excluded {found}"
            if self.config.unknown and selectors.uncertain(node):
                return f"it is not known whether it is of {selectors}, and you excluded what is unknown"
        return None
