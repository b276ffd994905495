"""What a process that is thousands of nodes has once, where thousands of processes would have it each.

Verification of one identical bottle is remembered, and parsed bottles are shared: the same bytes were
checked in full once, by the project's own validators, and what comes out is the same for everybody. Nothing
else is left out; what a hostile node sends differs, and is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterator, MutableMapping
from dataclasses import replace
from functools import cached_property
from typing import Final, Generic, TypeVar

from port17.bottles.rack import MemoryRack, Racked
from port17.bottles.update import ContentsUpdate
from port17.bottles.validation import NOTHING_KNOWN, Known, Terms, Validators
from port17.bottles.verdict import Verdict
from port17.records.bottle import Bottle

KEPT_CAP: Final = 200_000
"""Entries of a table before it begins anew, some hundred MiB: old contents are never asked for again."""

K = TypeVar("K")
V = TypeVar("V")


class SharedBottle(Bottle):
    """A bottle whose encoding and fingerprint are worked out once for all who hold it."""

    @cached_property
    def _encoded(self) -> bytes:
        return super().encode()

    def encode(self) -> bytes:
        return self._encoded

    @cached_property
    def _fingerprint(self) -> bytes:
        return super().fingerprint

    @property
    def fingerprint(self) -> bytes:
        return self._fingerprint


class Shelf:
    """The bottles of one world, each there once."""

    def __init__(self) -> None:
        self._parsed: dict[bytes, SharedBottle] = {}
        self._updates: dict[bytes, ContentsUpdate] = {}
        self._same: dict[object, SharedBottle] = {}

    def parse(self, data: bytes) -> Bottle:
        """As :meth:`~port17.records.bottle.Bottle.parse`."""
        found = self._parsed.get(data)
        if found is None:
            if len(self._parsed) >= KEPT_CAP:
                self._parsed.clear()
            found = self._parsed[data] = self.share(SharedBottle.parse(data))
        return found

    def parse_update(self, data: bytes) -> ContentsUpdate:
        """As :meth:`~port17.bottles.update.ContentsUpdate.parse`."""
        found = self._updates.get(data)
        if found is None:
            if len(self._updates) >= KEPT_CAP:
                self._updates.clear()
            found = self._updates[data] = ContentsUpdate.parse(data)
        return found

    def share(self, bottle: Bottle) -> SharedBottle:
        """The one object for all bottles with these parts and these prekey records."""
        key = (*_parts(bottle), tuple(record.hash for record in bottle.bundle))
        found = self._same.get(key)
        if found is None:
            if len(self._same) >= KEPT_CAP:
                self._same.clear()
            found = self._same[key] = (
                bottle
                if isinstance(bottle, SharedBottle)
                else SharedBottle(
                    bottle.label_envelope,
                    bottle.contents_envelope,
                    bottle.bundle,
                    bottle.label,
                    bottle.contents,
                )
            )
        return found


def _parts(bottle: Bottle) -> tuple[object, ...]:
    label, contents = bottle.label_envelope, bottle.contents_envelope
    return (
        label.scheme,
        label.payload,
        label.signature,
        contents.scheme,
        contents.payload,
        contents.signature,
    )


class Remembering:
    """Validators that are asked once whether an identical bottle is what it claims to be."""

    def __init__(self, asked: Validators) -> None:
        self._asked = asked
        self._said: dict[object, tuple[Bottle, Verdict]] = {}

    def verify_bottle(self, bottle: Bottle, terms: Terms) -> Verdict:
        """What time changes in the answer, a signature from the future, is part of the question."""
        early = bottle.contents.seq - terms.now_s > terms.skew_s
        key = (*_parts(bottle), *map(id, bottle.bundle), early)
        found = self._said.get(key)
        if found is None:
            if len(self._said) >= KEPT_CAP:
                self._said.clear()
            # The bottle is kept, so that no other record gets the number of one of its own.
            found = self._said[key] = bottle, self._asked.verify_bottle(bottle, terms)
        return found[1]

    def judge_bottle(self, bottle: Bottle, known: Known = NOTHING_KNOWN) -> Verdict:
        """Depends on who asks, and is asked."""
        return self._asked.judge_bottle(bottle, known)


class Layered(MutableMapping[K, V], Generic[K, V]):
    """A map over one that many share: what is changed here is changed for nobody else."""

    def __init__(self, below: dict[K, V], copy: Callable[[V], V] | None = None) -> None:
        """
        :param below: never changed.
        :param copy: of a value that whoever asks for it may change.
        """
        self._below = below
        self._copy = copy
        self._own: dict[K, V] = {}
        self._gone: set[K] = set()
        self._more = 0
        """Own entries that are not below."""

    def __getitem__(self, key: K) -> V:
        own = self._own
        if key in own:
            return own[key]
        if key in self._gone:
            raise KeyError(key)
        value = self._below[key]
        if self._copy is not None:
            value = own[key] = self._copy(value)
        return value

    def get(self, key: K, default: V | None = None) -> V | None:  # type: ignore[override]
        found = self._own.get(key)
        if found is not None:
            return found
        if key in self._gone or key not in self._below:
            return default
        return self._below[key] if self._copy is None else self[key]

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self._own and key not in self._below:
            self._more += 1
        self._own[key] = value
        self._gone.discard(key)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self._own.pop(key, None)
        if key in self._below:
            self._gone.add(key)
        else:
            self._more -= 1

    def __contains__(self, key: object) -> bool:
        return key in self._own or (key in self._below and key not in self._gone)

    def __iter__(self) -> Iterator[K]:
        below, own, gone = self._below, self._own, self._gone
        for key in below:
            if key not in gone:
                yield key
        for key in own:
            if key not in below:
                yield key

    def items(self) -> ItemsView[K, V]:
        return {key: self._own[key] if key in self._own else self._below[key] for key in self}.items()

    def __len__(self) -> int:
        return len(self._below) - len(self._gone) + self._more


class SharedRack(MemoryRack):
    """A rack in memory whose bottles are the shelf's, over what many racks had from the start."""

    def __init__(self, shelf: Shelf, begun: dict[bytes, Racked] | None = None) -> None:
        super().__init__()
        self._shelf = shelf
        self.begin(begun or {})

    def begin(self, below: dict[bytes, Racked]) -> None:
        """Begin anew, with what others begin with too."""
        self.below = below
        """Never changed."""
        self._held = Layered(below)  # type: ignore[assignment]

    def write(self, entries: Collection[Racked]) -> None:
        for entry in entries:
            bottle = self._shelf.share(entry.bottle)
            self._held[bottle.fingerprint] = (
                entry if bottle is entry.bottle else replace(entry, bottle=bottle)
            )

    def remove(self, *fingerprints: bytes) -> None:
        for fingerprint in fingerprints:
            self._held.pop(fingerprint, None)

    def named(self, name: str) -> tuple[bytes, ...]:
        wanted = name.lower()
        return tuple(
            sorted(key for key, held in self._held.items() if held.bottle.label.name.lower() == wanted)
        )

    @property
    def fingerprints(self) -> list[bytes]:
        """Whose bottles are held."""
        return list(self._held)

    @property
    def begun(self) -> dict[bytes, Racked]:
        """What is held now, as other racks may begin."""
        return dict(self._held.items())
