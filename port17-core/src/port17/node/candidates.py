"""The nodes that a mesh may choose from: what it has to know of each, read from a rack and kept current."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from port17.node.area import areas_of
from port17.records.bottle import Bottle, Label

OFFLINE: Final = "offline"
"""The flag in the last contents of a node that has left."""
STALE_S: Final = 3 * 3600
"""Seconds that a node's contents may be older than the newest of all: it signs hourly, and is taken for dead
two missed turns later."""


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


def has_address(label: Label) -> bool:
    """True for whoever advertises any address."""
    return bool(label.addresses)


def area_mark(area: str) -> str:
    """The mark that everybody has who is in an area."""
    return f"area {area}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, as its bottle shows it.

    :param marks: what several nodes of one hand are likely to have in common: its group, if it says one, and
        the areas of its addresses.
    :param dialable: it can be called from here.
    :param offline: it has said that it leaves.
    :param lanes: how many it names.
    :param sequence: of label and contents.
    """

    marks: frozenset[str]
    dialable: bool
    offline: bool
    lanes: int
    sequence: tuple[int, int]

    def counts_as(self, other: Candidate) -> bool:
        """It is the same in all that is counted."""
        return (self.marks, self.dialable, self.offline) == (other.marks, other.dialable, other.offline)


class Candidates:
    """All nodes of one flavour that are known, our own among them or not."""

    def __init__(
        self,
        nodes: Nodes,
        *,
        flavour: str = "public",
        dialable: Callable[[Label], bool] = has_address,
        areas: Callable[[Label], Iterable[str]] = areas_of,
    ) -> None:
        """
        :param flavour: lanes are made within one, since a lane with a local node would tell everybody of it.
        :param dialable: whether a label names an address that can and may be called.
        :param areas: where a label's addresses are.
        """
        self.choosable: list[bytes] = []
        """Who can be called and has not left, in the order of fingerprints."""
        self.newest = 0
        """Unix second of the newest contents that were ever seen."""
        self._nodes = nodes
        self._flavour = flavour
        self._dialable = dialable
        self._areas = areas
        self._held: dict[bytes, Candidate] = {}
        self._present = 0
        self._marked: Counter[str] = Counter()
        """How many of the choosable have a mark."""

    def __contains__(self, fingerprint: bytes) -> bool:
        return fingerprint in self._held

    @property
    def present(self) -> int:
        """How many nodes have not said that they leave."""
        return self._present

    def get(self, fingerprint: bytes) -> Candidate | None:
        """What is known of a node; None if nothing is, or it is of the other flavour."""
        return self._held.get(fingerprint)

    def is_fresh(self, fingerprint: bytes) -> bool:
        """A node that has signed not long ago, as far as can be told without a clock."""
        candidate = self._held.get(fingerprint)
        return candidate is not None and candidate.sequence[1] >= self.newest - STALE_S

    def without(self, mark: str) -> int:
        """How many of the choosable do not have a mark."""
        return len(self.choosable) - self._marked[mark]

    def read(self, fingerprint: bytes | None = None) -> None:
        """Look at a node again.

        :param fingerprint: None looks at all, and reads those that have changed.
        """
        if fingerprint is not None:
            self._read(fingerprint)
            return
        stamps = {one.fingerprint: (one.label_seq, one.contents_seq) for one in self._nodes.stamps()}
        for gone in [one for one in self._held if one not in stamps]:
            self._replace(gone, None)
        for one, sequence in stamps.items():
            held = self._held.get(one)
            if held is None or held.sequence != sequence:
                self._read(one)

    def _read(self, fingerprint: bytes) -> None:
        bottle = self._nodes.get(fingerprint)
        if bottle is None or bottle.label.flavour != self._flavour:
            self._replace(fingerprint, None)
            return
        label, contents = bottle.label, bottle.contents
        held = self._held.get(fingerprint)
        # Contents change often, and addresses take long to read.
        same = held is not None and held.sequence[0] == label.seq
        marks = held.marks if held is not None and same else self._marks(label)
        self.newest = max(self.newest, contents.seq)
        self._replace(
            fingerprint,
            Candidate(
                marks=marks,
                dialable=self._dialable(label),
                offline=OFFLINE in contents.flags,
                lanes=len(contents.lanes),
                sequence=(label.seq, contents.seq),
            ),
        )

    def _marks(self, label: Label) -> frozenset[str]:
        areas = frozenset(map(area_mark, self._areas(label)))
        return areas | {f"group {label.group}"} if label.group else areas

    def _replace(self, fingerprint: bytes, new: Candidate | None) -> None:
        old = self._held.pop(fingerprint, None)
        if new is not None:
            self._held[fingerprint] = new
            if old is not None and old.counts_as(new):
                return
        if old is not None and not old.offline:
            self._present -= 1
            if old.dialable:
                del self.choosable[bisect_left(self.choosable, fingerprint)]
                self._marked.subtract(old.marks)
                for mark in old.marks:
                    if not self._marked[mark]:
                        del self._marked[mark]  # or every mark that ever was would be kept
        if new is not None and not new.offline:
            self._present += 1
            if new.dialable:
                insort(self.choosable, fingerprint)
                self._marked.update(new.marks)
