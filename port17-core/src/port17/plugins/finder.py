"""Finds installed plugins by their distributions' metadata alone; nothing of a plugin is imported here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from port17.errors import PluginError

GROUP_PREFIX: Final = "port17"
_METADATA_ERRORS: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What importlib.metadata raises on files that are missing, unreadable, not UTF-8 or not of their format."""


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One entry point, as its distribution's metadata says.

    :param group: entry-point group.
    :param name: what configuration calls it.
    :param value: ``module:attribute``, or a module.
    :param dist: distribution name.
    :param version: distribution version.
    """

    group: str
    name: str
    value: str
    dist: str
    version: str

    def __str__(self) -> str:
        return f"{self.dist} {self.version} ({self.value})"


@dataclass(frozen=True)
class Finds:
    """Everything found.

    :param found: by group, name and distribution.
    :param problems: distributions whose metadata cannot be read; the others are in ``found`` all the same.
    """

    found: tuple[Found, ...]
    problems: tuple[PluginError, ...]


def find(group: str | None = None) -> list[Found]:
    """All installed plugins, or those of one group, by group, name and distribution."""
    return [found for found in search().found if group in (None, found.group)]


def search() -> Finds:
    """All installed plugins, and what went wrong with looking."""
    found: list[Found] = []
    problems: list[PluginError] = []
    for dist in importlib.metadata.distributions():
        try:
            found += _of_distribution(dist)
        except _METADATA_ERRORS as error:
            problems.append(_unreadable(dist, error))
    return Finds(tuple(sorted(set(found))), tuple(problems))


def _of_distribution(dist: importlib.metadata.Distribution) -> Iterator[Found]:
    text = dist.read_text("entry_points.txt")
    # Few of the installed distributions are ours; reading the name of each costs more than all else here.
    if text is None or GROUP_PREFIX not in text:
        return
    points = [
        point
        for point in dist.entry_points
        if point.group == GROUP_PREFIX or point.group.startswith(f"{GROUP_PREFIX}.")
    ]
    if not points or _is_shadowed(dist, text):
        return
    name, version = dist.metadata["Name"], dist.metadata["Version"]
    for point in points:
        yield Found(point.group, point.name, point.value, str(name), str(version))


def _is_shadowed(dist: importlib.metadata.Distribution, text: str) -> bool:
    """Whether the same distribution stands earlier on ``sys.path``, from where Python would import it."""
    first = importlib.metadata.distribution(dist.metadata["Name"])
    return first.read_text("entry_points.txt") != text


def _unreadable(dist: importlib.metadata.Distribution, error: Exception) -> PluginError:
    try:
        name = f"{dist.metadata['Name']} {dist.metadata['Version']}"
    except _METADATA_ERRORS:
        name = "a distribution without a readable name"
    problem = PluginError(
        f"the metadata of {name} cannot be read: {type(error).__name__}: {error}",
        cure="Reinstall the distribution; until then its plugins are not available.",
    )
    problem.__cause__ = error
    return problem
