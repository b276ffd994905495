"""The policy ``only``: routes use certain nodes and no others."""

from __future__ import annotations

from pydantic import model_validator

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Position, RoutePolicy
from port17.navigator.selector import Selectors


class Only(RoutePolicy):
    """Leaves out nodes of which selectors don't pick each address: everywhere, or in one position."""

    class Config(RoutePolicy.Config):
        """Whom to keep.

        :param nodes: none but picked nodes serve anywhere.
        :param entry: none but picked nodes are the first of a route.
        :param middle: none but picked nodes are neither first nor last.
        :param exit: none but picked nodes are the last.
        """

        nodes: Selectors | None = None
        entry: Selectors | None = None
        middle: Selectors | None = None
        exit: Selectors | None = None

        @model_validator(mode="after")
        def _says_something(self) -> Only.Config:
            given = [getattr(self, name) for name in self.model_fields_set]
            if not given:
                raise ValueError('say whom to keep, for example exit = ["country:CH"]')
            if not all(given):
                raise ValueError("an empty list would keep no node; leave the option out to keep all")
            return self

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        own = self.config
        self._lists: dict[Position, tuple[Selectors, ...]] = {
            "entry": tuple(one for one in (own.nodes, own.entry) if one),
            "middle": tuple(one for one in (own.nodes, own.middle) if one),
            "exit": tuple(one for one in (own.nodes, own.exit) if one),
        }

    @hookimpl
    def exclude_node(self, node: ChartNode, position: Position) -> str | None:
        """Unless each of its addresses is picked."""
        for selectors in self._lists[position]:
            if not selectors.covers(node):
                return missing(selectors, node)
        return None


def missing(selectors: Selectors, node: ChartNode) -> str:
    """Why a node that they don't cover is left out by who wants only these."""
    if selectors.uncertain(node):
        return f"you want only {selectors}, and whether it is of these is not known"
    return f"you want only {selectors}"
