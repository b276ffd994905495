"""What a bottle validator may say of a bottle, and what several of them say together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Ruling(IntEnum):
    """From harmless to final: of several rulings the greatest holds."""

    ACCEPT = 0
    """Nothing speaks against it."""
    DISTRUST = 1
    """It is kept and passed on, marked, but no route uses it."""
    REJECT = 2
    """It is dropped and not passed on."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One validator's ruling; made with :data:`ACCEPT`, :func:`distrust` or :func:`reject`.

    :param reasons: for people, one per validator that has one; empty only for accept.
    :param kind: what a refusal is counted under; one that nobody knows counts as ``refused``.
    """

    ruling: Ruling
    reasons: tuple[str, ...] = ()
    kind: str = ""


ACCEPT: Final = Verdict(Ruling.ACCEPT)
"""Nothing speaks against the bottle."""


def distrust(reason: str) -> Verdict:
    """Keep the bottle and pass it on, marked, but use it in no route."""
    return Verdict(Ruling.DISTRUST, (reason,))


def reject(reason: str, kind: str = "") -> Verdict:
    """Drop the bottle, and don't pass it on."""
    return Verdict(Ruling.REJECT, (reason,), kind)


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """What all validators say: the gravest ruling, with the reasons of those that gave it.

    So any reject wins, and nobody can accept on another's behalf.
    """
    given = list(verdicts)
    ruling = max((verdict.ruling for verdict in given), default=Ruling.ACCEPT)
    reasons = (reason for verdict in given if verdict.ruling is ruling for reason in verdict.reasons)
    kind = next((verdict.kind for verdict in given if verdict.ruling is ruling and verdict.kind), "")
    return Verdict(ruling, tuple(reasons), kind)
