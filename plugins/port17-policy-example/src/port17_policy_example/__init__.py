"""A route policy to copy: nobody at home sees that you use the network, and you leave where you like it."""

from __future__ import annotations

from port17 import ChartNode, Position, Request, RoutePolicy, Selectors, hookimpl


class Example(RoutePolicy):
    """Routes don't begin at home; as exits, some nodes are liked better."""

    class Config(RoutePolicy.Config):
        home: Selectors = Selectors()
        liked: Selectors = Selectors()

    config: Config

    @hookimpl
    def exclude_node(self, node: ChartNode, position: Position) -> str | None:
        found = self.config.home.touching(node)
        return f"routes don't begin in {found}" if found and position == "entry" else None

    @hookimpl
    def exit_cost(self, node: ChartNode, request: Request) -> float:
        return 0 if self.config.liked.covers(node) else 60_000  # microseconds: as if 60 ms farther away
