"""Which of a client's possible routes are the near-best, and how likely each is to be drawn.

Every entry gets the same chance, so that one that knows nobody but friends wins no more than its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final, TypeAlias

from port17.navigator.chart import ChartNode
from port17.navigator.explain import Removal
from port17.navigator.policy import Spread
from port17.navigator.ranking import TIE_US, near_best, near_by_chance, weigh
from port17.navigator.walks import Walk

Nodes: TypeAlias = tuple[ChartNode, ...]
Chance: TypeAlias = Callable[[Nodes], float]
"""How much a walk counts: 1, or less."""
Vetoes: TypeAlias = Callable[[Nodes], list[Removal]]
"""What policies have against a walk."""


@dataclass(frozen=True)
class Shortlist:
    """Routes, sorted out.

    :param walks: those that one is drawn from, the cheapest first, and then the others in the same order;
        without those that policies refused when they were asked.
    :param near: the first so many are drawn from.
    :param weights: of these; those of one entry together weigh 1.
    :param vetoes: what was refused.
    """

    walks: list[Walk]
    near: int
    weights: list[float]
    vetoes: list[Removal]


def shortlist(
    walks: Sequence[Walk],
    spread: Spread,
    *,
    by_entry: bool,
    chance: Chance | None = None,
    vetoes: Vetoes | None = None,
) -> Shortlist:
    """Sort routes out.

    :param by_entry: the near-best of each entry are taken, and not of all together.
    :param chance: None if all count alike.
    :param vetoes: None if nobody has to be asked. Asked of no more than are needed.
    """
    groups: dict[ChartNode | None, list[Walk]] = {}
    for walk in sorted(walks, key=_COST):
        groups.setdefault(walk[1][0] if by_entry else None, []).append(walk)
    refused: list[Removal] = []
    near: list[tuple[Walk, float]] = []
    rest: list[Walk] = []
    for group in groups.values():
        kept, asked = _keep(group, spread, chance, vetoes, refused)
        rest += group[asked:]
        if kept:
            weights = weigh([us for us, _ in kept], spread)
            if chance is not None:
                weights = [one * chance(nodes) for one, (_, nodes) in zip(weights, kept, strict=True)]
            whole = sum(weights)
            near += [(walk, weight / whole) for walk, weight in zip(kept, weights, strict=True)]
    if len(groups) > 1:
        near.sort(key=lambda one: one[0][0])
        rest.sort(key=_COST)
    return Shortlist([walk for walk, _ in near] + rest, len(near), [weight for _, weight in near], refused)


def _keep(
    walks: list[Walk], spread: Spread, chance: Chance | None, vetoes: Vetoes | None, refused: list[Removal]
) -> tuple[list[Walk], int]:
    """The near-best of walks, the cheapest of which comes first, and how many were looked at."""
    if chance is None:
        near = near_best(len(walks), spread)
    else:
        near = near_by_chance([chance(nodes) for _, nodes in walks], spread)
    kept: list[Walk] = []
    asked = 0
    for walk in walks:
        # Of those that cost the same none is left out: it would be for its fingerprint.
        if len(kept) >= near and walk[0] > kept[near - 1][0] + TIE_US:
            break
        asked += 1
        said = vetoes(walk[1]) if vetoes is not None else []
        if said:
            refused += said
        else:
            kept.append(walk)
    return kept, asked


_COST: Final = itemgetter(0)
