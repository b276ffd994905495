"""The policy ``levels``, always on: what ``fast``, ``normal`` and ``high`` mean."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Request, RoutePolicy, SecurityLevel, Spread

LEAST_HOPS: Final = 3
"""Nodes of a route at least: of two, each would know one end and who knows the other."""
MOST_HOPS: Final = 5
"""Nodes of a route at most: the largest ``max_hops`` that a network can have."""
RATIO_CAP: Final = 1000.0
"""Largest ratio: beyond it slower routes are as good as never drawn, which a smaller share says plainly."""


class Meaning(BaseModel):
    """What one level means.

    :param hops: nodes of a route at least.
    :param share: of all routes that may be used, the quickest so many are drawn from; above 0, at most 1.
    :param ratio: the quickest of these is drawn at most so many times as often as the slowest.
    :param countries: no two nodes of one country, as far as the geo source knows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hops: Annotated[int, Field(ge=LEAST_HOPS, le=MOST_HOPS)]
    share: Annotated[float, Field(gt=0, le=1)]
    ratio: Annotated[float, Field(ge=1, le=RATIO_CAP)]
    countries: bool = False


FAST: Final = Meaning(hops=3, share=1 / 8, ratio=4)
"""An eighth of the routes: a liar's are drawn at most 32 times as often as their number says."""
NORMAL: Final = Meaning(hops=3, share=1 / 3, ratio=2)
"""A third of the routes: at most 6 times."""
HIGH: Final = Meaning(hops=4, share=1, ratio=1, countries=True)
"""All routes, with equal chances: who lies wins nothing. A fourth node, and no country has two of them."""


def _over(usual: Meaning) -> Callable[[object], object]:
    """What a table of the configuration leaves out is as usual."""

    def fill(value: object) -> object:
        return {**usual.model_dump(), **value} if isinstance(value, dict) else value

    return fill


class Levels(RoutePolicy):
    """Length, spread and countries of routes by level."""

    class Config(RoutePolicy.Config):
        """Per level what it means; what is left out is as usual.

        :param fast: for speed.
        :param normal: where nobody says otherwise.
        :param high: for anonymity.
        """

        fast: Annotated[Meaning, BeforeValidator(_over(FAST))] = FAST
        normal: Annotated[Meaning, BeforeValidator(_over(NORMAL))] = NORMAL
        high: Annotated[Meaning, BeforeValidator(_over(HIGH))] = HIGH

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._meanings: dict[SecurityLevel, Meaning] = {
            "fast": self.config.fast,
            "normal": self.config.normal,
            "high": self.config.high,
        }

    @hookimpl
    def least_hops(self, request: Request) -> int:
        """As the level says."""
        return self._meanings[request.level].hops

    @hookimpl
    def choose_spread(self, request: Request) -> Spread:
        """As the level says."""
        meaning = self._meanings[request.level]
        return Spread(meaning.share, meaning.ratio)

    @hookimpl
    def families(self, node: ChartNode, level: SecurityLevel) -> Collection[str] | None:
        """Countries, where the level counts them."""
        if not self._meanings[level].countries:
            return None
        return {f"country:{place.country}" for place in node.places if place.country}
