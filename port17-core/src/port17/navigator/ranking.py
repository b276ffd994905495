"""The routes that a request may use, by cost, and how likely each is to be drawn.

Of each entry's routes only the near-best are drawn, and none much more often than another: what a node can
win by looking quick is bounded by a policy's :class:`~port17.navigator.policy.Spread`, however well it lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from port17.navigator.cost import Part
from port17.navigator.policy import Request, Route, Spread

LEAST_NEAR: Final = 8
"""Routes that are drawn from at least, if there are as many: an eighth of a dozen would be one, and everybody
would use it."""

TIE_US: Final = 1.0
"""Microseconds that are no difference. Of routes that cost the same all are near-best or none: in a network
that nobody has measured yet most do, and an order by name or fingerprint would choose for everybody."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A route and what it costs.

    :param parts: what its cost is made of, from the client's end on.
    """

    route: Route
    parts: tuple[Part, ...]

    @property
    def cost_us(self) -> float:
        """The whole, microseconds."""
        return sum(part.us for part in self.parts)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The routes that a request may use.

    :param request: with the level that holds.
    :param scored: those that one is drawn from, the cheapest first, and then the others in the same order.
    :param exact: these are all; otherwise a sample in which each had the same chance to be.
    :param near: one of the first so many is drawn: of each entry's, the share that the spread says, and what
        costs the same as the last of these.
    :param weights: of these, how likely each is. Those of one entry weigh 1 together, and among them they
        fall with cost by no more than the spread's ratio; times what each counts if a node on it has too many
        ways on.
    :param spread: what the policies want.
    """

    request: Request
    scored: tuple[Scored, ...]
    exact: bool
    near: int
    weights: tuple[float, ...]
    spread: Spread


def near_best(routes: int, spread: Spread) -> int:
    """How many of so many routes are drawn from."""
    return min(routes, max(LEAST_NEAR, math.ceil(routes * spread.share)))


def near_by_chance(chances: Sequence[float], spread: Spread) -> int:
    """The same where not all routes count as whole ones.

    :param chances: how much each counts, the cheapest route's first.
    """
    wanted = sum(chances) * spread.share
    for near, counted in enumerate(accumulate(chances), 1):
        if counted >= wanted and near >= LEAST_NEAR:
            return near
    return len(chances)


def weigh(costs_us: Sequence[float], spread: Spread) -> list[float]:
    """How likely each of the near-best is to be drawn.

    :param costs_us: the smallest first.
    :returns: 1 for the cheapest, falling with cost to 1 by ``ratio`` for the dearest.
    """
    cheapest, dearest = costs_us[0], costs_us[-1]
    if dearest <= cheapest or spread.ratio <= 1.0:
        return [1.0] * len(costs_us)
    fall = math.log(spread.ratio) / (dearest - cheapest)
    return [math.exp((cheapest - cost) * fall) for cost in costs_us]
