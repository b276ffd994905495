"""A route policy to copy: stay with nodes and exits whose name has a given ending."""

from __future__ import annotations

from port17 import ChartNode, Request, RoutePolicy, hookimpl


class Example(RoutePolicy):
    """Uses no node whose PortName lacks an ending; as exits, some are liked better."""

    class Config(RoutePolicy.Config):
        ending: str = ""
        good_exits: tuple[str, ...] = ()

    config: Config

    @hookimpl
    def exclude_node(self, node: ChartNode) -> str | None:
        return None if node.name.endswith(self.config.ending) else f"its name lacks {self.config.ending}"

    @hookimpl
    def exit_cost(self, node: ChartNode, request: Request) -> float:
        return 0 if node.name in self.config.good_exits else 60_000  # microseconds: an eighth of the chance
