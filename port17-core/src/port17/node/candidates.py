"""The nodes that a mesh may choose from: what it has to know of each, read once from a rack and kept current."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from port17.records.bottle import Bottle


class Stamped(Protocol):
    """A node that is known, by what of it is held."""

    @property
    def fingerprint(self) -> bytes: ...
    @property
    def label_seq(self) -> int: ...
    @property
    def contents_seq(self) -> int: ...


class Nodes(Protocol):
    """Whoever is known. Every :class:`~port17.bottles.rack.BottleStore` is one."""

    def stamps(self) -> Iterable[Stamped]:
        """What is held, in the order of fingerprints."""

    def get(self, fingerprint: bytes) -> Bottle | None:
        """What is known of a node."""


def no_objection(fingerprint: bytes) -> str:
    """Everybody may be a neighbour."""
    return ""
