"""A route policy: no route has two nodes in countries whose intelligence services share what they see.

Whoever sees both ends of a route can match its traffic, and services of an alliance see with each other's
eyes. Where nodes are is the client's geo source's to say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from port17 import ChartNode, Request, Route, RoutePolicy, Selectors, hookimpl

_FIVE: Final = ("US", "GB", "CA", "AU", "NZ")
"""The UKUSA agreement, as the National Security Agency and GCHQ published it in June 2010."""
_NINE: Final = (*_FIVE, "DK", "FR", "NL", "NO")
_FOURTEEN: Final = (*_NINE, "DE", "BE", "IT", "ES", "SE")
"""Nine and fourteen: The Guardian, 2 November 2013, from the papers that Edward Snowden gave it."""
_MAXIMATOR: Final = ("DK", "SE", "DE", "NL", "FR")
"""B. Jacobs, Maximator: European signals intelligence cooperation, from a Dutch perspective. Intelligence and
National Security 35(5), 2020."""

ALLIANCES: Final[Mapping[str, tuple[str, ...]]] = {
    "five_eyes": _FIVE,
    "nine_eyes": _NINE,
    "fourteen_eyes": _FOURTEEN,
    "maximator": _MAXIMATOR,
}
"""Country codes (ISO 3166-1) by name. Each of the eyes holds the one before."""
OWN_CAP: Final = 64
"""Most alliances of the user's own: each node is compared with all of them."""


class Alliances(RoutePolicy):
    """Nodes of one alliance are never in one route, or never at both of its ends."""

    class Config(RoutePolicy.Config):
        """Which alliances count, and where.

        :param alliances: names out of :data:`ALLIANCES`.
        :param own: the user's own: per name, selectors of the nodes that belong to it.
        :param ends: only entry and exit must not be of one alliance; more routes, and all that is needed
            against who matches the traffic of both ends.
        :param unknown: a node of which nobody knows where it is counts as a member of all of them.
        """

        alliances: tuple[Literal["five_eyes", "nine_eyes", "fourteen_eyes", "maximator"], ...] = (
            "fourteen_eyes",
        )
        own: Annotated[Mapping[str, Selectors], Field(default_factory=dict, max_length=OWN_CAP)]
        ends: bool = False
        unknown: bool = False

        @model_validator(mode="after")
        def _names_some(self) -> Alliances.Config:
            if not (self.alliances or self.own):
                raise ValueError("there is no alliance: name one under alliances, or write one under own")
            return self

    config: Config
    wants_places = True

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._members: dict[str, Selectors] = {
            name: Selectors(f"country:{code}" for code in ALLIANCES[name]) for name in self.config.alliances
        }
        self._members |= {f"your {name}": members for name, members in self.config.own.items()}

    @hookimpl
    def families(self, node: ChartNode) -> Collection[str] | None:
        """Its alliances, unless only the ends count."""
        return None if self.config.ends else {f"alliance:{name}" for name in self._of(node)}

    @hookimpl
    def veto_route(self, route: Route, request: Request) -> str | None:
        """Where the ends count: an alliance that has both."""
        if not self.config.ends:
            return None
        shared = sorted(set(self._of(route.entry)) & set(self._of(route.exit)))
        return f"entry and exit are both of {' and '.join(shared)}" if shared else None

    def _of(self, node: ChartNode) -> list[str]:
        unknown = self.config.unknown
        return [
            name
            for name, members in self._members.items()
            if members.touching(node) or (unknown and members.uncertain(node))
        ]
