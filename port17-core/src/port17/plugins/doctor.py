"""The doctor: loads every installed plugin once and says of each whether it can be used. It never raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from port17.plugins.families import FAMILIES
from port17.plugins.finder import Found
from port17.plugins.loader import Registry

Status: TypeAlias = Literal["ok", "broken", "duplicate", "unread"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    :param noun: what kind of plugin it is, for people.
    :param status: ``ok``; ``broken``: it cannot be loaded or used; ``duplicate``: another distribution
        offers the name too; ``unread``: nobody reads the group, or the metadata.
    :param problem: what is wrong; empty if nothing.
    :param cure: what to do about it.
    """

    group: str
    noun: str
    name: str
    dist: str
    version: str
    value: str
    status: Status
    problem: str = ""
    cure: str = ""


def examine(registry: Registry | None = None) -> list[Row]:
    """A row per plugin found, and one per distribution whose metadata cannot be read.

    Imports all of them, unlike :func:`port17.plugins.finder.find`.
    """
    registry = Registry() if registry is None else registry
    return [_row(found, registry) for found in registry.found()] + [
        Row("", "", "", "", "", "", "unread", problem.message, problem.cure)
        for problem in registry.unreadable
    ]


def _row(found: Found, registry: Registry) -> Row:
    problem = registry.diagnose(found)
    status: Status = "ok"
    if problem is not None:
        status = "broken"
        if found.group not in FAMILIES:
            status = "unread"
        elif registry.is_duplicate(found):
            status = "duplicate"
    family = FAMILIES.get(found.group)
    return Row(
        group=found.group,
        noun=family.noun if family else "",
        name=found.name,
        dist=found.dist,
        version=found.version,
        value=found.value,
        status=status,
        problem=problem.message if problem else "",
        cure=problem.cure if problem else "",
    )
