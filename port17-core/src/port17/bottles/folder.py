"""A folder of bottles that is read again as it changes: what the user knows of nodes.

:func:`look` only reads, so that a thread can do it; :class:`BottleFolder` takes over what was seen. When to
look is left to whoever owns the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from port17.bottles.intake import OURSELVES, Sender
from port17.bottles.outcome import Aborted, Distrusted, Outcome, Why
from port17.bottles.rack import SUFFIX, load_bottle
from port17.errors import RecordError
from port17.records.bottle import Bottle
from port17.records.file_mark import FileMark, mark_of

RETRY_S = 60.0
"""Seconds after which a file that was refused is read again though it has not changed: a clock may have been
set, a permission given."""

_COSTS_ITS_PLACE = frozenset({Why.REFUSED, Why.NAME, Why.EQUIVOCATED, Why.BANNED})
"""Where what is new about a node is so wrong that what was held of it goes, too."""


@dataclass(frozen=True)
class Sight:
    """What a look at a folder found.

    :param files: every bottle's file that is there, by name.
    :param read: of these, what was read anew: a verified bottle, or what is wrong with the file.
    """

    files: Mapping[str, FileMark]
    read: Mapping[str, Bottle | RecordError]


def look(path: Path, known: Mapping[str, FileMark], verify: Callable[[Bottle], None]) -> Sight:
    """Read what has changed in a folder.

    :param known: what was seen before; such files are not read.
    :param verify: raises RecordError for a bottle that is not valid.
    :raises OSError: the folder can't be read.
    """
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(SUFFIX))
    files: dict[str, FileMark] = {}
    read: dict[str, Bottle | RecordError] = {}
    for name in names:
        # Before it is read: if it changes meanwhile, the next look reads it again.
        found = mark_of(path / name)
        if found is None:
            continue  # gone since
        files[name] = found
        if found == known.get(name):
            continue
        try:
            bottle = load_bottle(path / name)
            verify(bottle)
            read[name] = bottle
        except RecordError as error:
            read[name] = error
    return Sight(files, read)


class BottleFolder:
    """What the files of a folder have brought into a rack.

    A bottle stays for as long as a file that brought it is there, even if that file is damaged later; an
    older one never takes its place.
    """

    def __init__(
        self,
        path: Path,
        take: Callable[[Bottle, Sender, float], Outcome],
        forget: Callable[[bytes], None],
    ) -> None:
        """
        :param take: what a bottle is given to; :meth:`~port17.bottles.gossip.Gossip.take` is one.
        :param forget: drops what is held of a node.
        """
        self.path = path
        self._take = take
        self._forget = forget
        self._known: dict[str, FileMark] = {}
        self._owner: dict[str, bytes] = {}
        self._committed: dict[str, frozenset[bytes]] = {}
        self._newest: dict[bytes, tuple[int, int]] = {}
        """The newest sequence that was seen of each node, even if its file is gone: none older follows."""
        self._refused: dict[str, str] = {}
        self._retried_s = 0.0

    @property
    def handed(self) -> frozenset[bytes]:
        """The prekeys that bottles there commit to: the user's word, and not the network's."""
        return frozenset[bytes]().union(*self._committed.values())

    def known(self, now_s: float) -> Mapping[str, FileMark]:
        """What need not be read again.

        :param now_s: any clock, seconds; tells when what was refused is tried again.
        """
        if self._refused and now_s - self._retried_s > RETRY_S:
            self._retried_s = now_s
            return {name: held for name, held in self._known.items() if name not in self._refused}
        return dict(self._known)

    def forget(self) -> None:
        """Read every file again at the next look: what is valid has changed."""
        self._known.clear()

    def take(self, sight: Sight, now_s: float) -> list[str]:
        """Take over what was seen; its bottles are verified.

        :returns: one line per file that was refused, naming it; each once.
        """
        problems: list[str] = []
        for name in [name for name in self._known if name not in sight.files]:
            self._known.pop(name)
            self._refused.pop(name, None)
            self._committed.pop(name, None)
            owner = self._owner.pop(name, None)
            if owner is not None and owner not in self._owner.values():
                self._forget(owner)
        for name, found in sight.read.items():
            problem = found.message if isinstance(found, RecordError) else self._put(name, found, now_s)
            if problem is None:
                self._refused.pop(name, None)
            elif self._refused.get(name) != problem:
                self._refused[name] = problem
                problems.append(f"{self.path / name}: {problem}")
        self._known = dict(sight.files)
        return problems

    def _put(self, name: str, bottle: Bottle, now_s: float) -> str | None:
        """Returns what is wrong."""
        fingerprint, sequence = bottle.fingerprint, bottle.sequence
        newest = self._newest.get(fingerprint, sequence)
        if sequence[0] < newest[0] or sequence[1] < newest[1]:
            return f"the bottle of {bottle.node_id} is older than one that was seen, which stays"
        self._leave(name, fingerprint)
        slots = bottle.contents.slots.values()
        self._committed[name] = frozenset(slot.commitment for each in slots for slot in each)
        self._newest[fingerprint] = sequence
        outcome = self._take(bottle, OURSELVES, now_s)
        if isinstance(outcome, Aborted):
            if outcome.why is Why.OBSOLETE:
                return None  # the network has told us of a newer one
            if outcome.why in _COSTS_ITS_PLACE:
                self._forget(fingerprint)
            return outcome.text
        if isinstance(outcome, Distrusted):
            return f"the bottle of {bottle.node_id} is distrusted: {outcome.reason}"
        return None

    def _leave(self, name: str, fingerprint: bytes) -> None:
        """A file speaks for one node; if it was another before, that one is gone unless some file has it."""
        before = self._owner.get(name)
        self._owner[name] = fingerprint
        if before is not None and before != fingerprint and before not in self._owner.values():
            self._forget(before)
