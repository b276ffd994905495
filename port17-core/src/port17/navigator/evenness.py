"""How evenly something is spread: entropies, the Gini coefficient, percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence


def entropy(weights: Iterable[float]) -> float:
    """Shannon's, bits; of weights that need not add up to 1."""
    held = [weight for weight in weights if weight > 0.0]
    total = sum(held)
    return -sum(weight / total * math.log2(weight / total) for weight in held) + 0.0 if held else 0.0


def min_entropy(weights: Iterable[float]) -> float:
    """Bits of the likeliest, which is what a guess is worth."""
    held = [weight for weight in weights if weight > 0.0]
    return -math.log2(max(held) / sum(held)) + 0.0 if held else 0.0


def gini(ordered: Sequence[float]) -> float:
    """How unequal some amounts are.

    :param ordered: the smallest first.
    :returns: 0 where all are equal, nearly 1 where one is all.
    """
    total, count = sum(ordered), len(ordered)
    if total <= 0.0:
        return 0.0
    return 2 * sum(rank * one for rank, one in enumerate(ordered, 1)) / (count * total) - (count + 1) / count


def percentile(shares: Mapping[int, float], part: float) -> int:
    """The value that a part of a distribution does not exceed; 0 of an empty one.

    :param shares: how often each value is met; they need not add up to 1.
    :param part: 0 to 1.
    """
    reached, so_far = part * sum(shares.values()), 0.0
    for value, share in sorted(shares.items()):
        so_far += share
        if so_far >= reached:
            return value
    return max(shares, default=0)
