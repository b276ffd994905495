"""What is new here, and what of it is due to which follower: each gets the newest of everything once, in the
order in which it became news, and nobody's slowness costs memory.

All news stand in one log, each thing at the place of its latest change; a follower is a place in that log.
Who brings a change again and again is passed on at a bounded rate, the latest state of it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from port17.bottles.stamp_index import Change, StampIndex
from port17.bottles.sync import Held

AUTHOR_INTERVAL_S: Final = 10.0
"""A node's changes are passed on once in so many seconds: what is newer overtakes what waits."""
AUTHOR_BURST: Final = 6
"""Changes of a node that are passed on at once: a node that joins gets its lanes one after the other."""
AUTHORS_CAP: Final = 65_536
"""Most nodes whose rate is remembered, some 10 MiB; of more, who has longest been quiet is forgotten."""
NODE_BATCH_S: Final = 0.05
"""How long news for a node wait for more, seconds: what comes by two ways meanwhile is not sent back."""
CLIENT_BATCH_S: Final = 60.0
"""The same for a client of a large network: a change in it rarely matters to a client within the minute, and
cells are full."""
CLIENT_BATCH_PER_NODE_S: Final = 0.006
"""A client's wait for every node that there is: in a small network each one matters, and costs little."""
NEAR_BATCH_S: Final = 1800.0
"""The same for a client that is told of near nodes alone. A message a minute would fill no cell, and each
time the keys of link and circuit step: 20 KiB for some bytes. What it fetches is hours old anyway."""
NEAR_BATCH_PER_NODE_S: Final = 0.6
"""Such a client's wait for every node that there is."""
KNOWN_CAP: Final = 2048
"""Nodes of which it is remembered what a peer has said it holds: enough for what is under way."""


class Kind(Enum):
    """What can be news."""

    NODE = "node"
    PROOF = "proof"
    MARK = "mark"
    MODERATION = "moderation"


Item: TypeAlias = tuple[Kind, bytes]
"""A kind, and what names the thing: a fingerprint, a mark's two; of moderators' lists there is one."""
MODERATION: Final[Item] = (Kind.MODERATION, b"")


def client_batch_s(nodes: int, *, near: bool = False) -> float:
    """How long news wait for more before they go to a client, seconds.

    :param near: it is told of near nodes alone.
    """
    if near:
        return min(NEAR_BATCH_S, max(NODE_BATCH_S, nodes * NEAR_BATCH_PER_NODE_S))
    return min(CLIENT_BATCH_S, max(NODE_BATCH_S, nodes * CLIENT_BATCH_PER_NODE_S))


class _Rate:
    """How often one author's changes were passed on."""

    __slots__ = ("level", "then_s")

    def __init__(self, now_s: float) -> None:
        self.level = float(AUTHOR_BURST)
        self.then_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Takes one, if there is none yet that of later; seconds until it is there."""
        self.level = min(AUTHOR_BURST, self.level + (now_s - self.then_s) / AUTHOR_INTERVAL_S)
        self.then_s = now_s
        self.level -= 1
        return max(0.0, -self.level * AUTHOR_INTERVAL_S)


@dataclass(slots=True)
class _Waiting:
    """A change that is not passed on yet."""

    due_s: float
    label: bool = False
    records: set[bytes] = field(default_factory=set)


class News:
    """The log, and what is held back from it."""

    def __init__(self, index: StampIndex) -> None:
        self.serial = 0
        """Of the latest news."""
        self._index = index
        self._at: OrderedDict[Item, int] = OrderedDict()
        self._rates: OrderedDict[bytes, _Rate] = OrderedDict()
        self._waiting: dict[bytes, _Waiting] = {}

    @property
    def due_s(self) -> float:
        """When :meth:`release` has something to do."""
        return min((one.due_s for one in self._waiting.values()), default=math.inf)

    def changed(self, fingerprint: bytes, change: Change, now_s: float) -> None:
        """Something about a node is in the index that was not."""
        waiting = self._waiting.get(fingerprint)
        if waiting is None:
            waiting = _Waiting(now_s + self._wait_s(fingerprint, now_s))
        waiting.label |= change.label
        waiting.records |= change.records
        if waiting.due_s <= now_s:
            self._waiting.pop(fingerprint, None)
            self._publish(fingerprint, waiting)
        else:
            self._waiting[fingerprint] = waiting

    def release(self, now_s: float) -> None:
        """Pass on what has waited long enough."""
        due = [one for one, waiting in self._waiting.items() if waiting.due_s <= now_s]
        for fingerprint in due:
            self._publish(fingerprint, self._waiting.pop(fingerprint))

    def note(self, item: Item) -> None:
        """A proof, a mark or a list is new."""
        self.serial += 1
        self._at[item] = self.serial
        self._at.move_to_end(item)

    def drop(self, item: Item) -> None:
        """It is no more."""
        self._at.pop(item, None)
        if item[0] is Kind.NODE:
            self._waiting.pop(item[1], None)

    def since(self, serial: int) -> list[Item]:
        """All that became news after a serial, the oldest first."""
        found = []
        for item in reversed(self._at):
            if self._at[item] <= serial:
                break
            found.append(item)
        found.reverse()
        return found

    def at(self, item: Item) -> int:
        """The serial of what became news last of a thing; 0 if nothing has."""
        return self._at.get(item, 0)

    def _publish(self, fingerprint: bytes, waiting: _Waiting) -> None:
        entry = self._index.get(fingerprint)
        if entry is None:
            return
        self.note((Kind.NODE, fingerprint))
        if waiting.label:
            entry.label_at = self.serial
        for commitment in waiting.records & entry.records_at.keys():
            entry.records_at[commitment] = self.serial

    def _wait_s(self, fingerprint: bytes, now_s: float) -> float:
        rate = self._rates.get(fingerprint)
        if rate is None:
            while len(self._rates) >= AUTHORS_CAP:
                self._rates.popitem(last=False)
            rate = self._rates[fingerprint] = _Rate(now_s)
        self._rates.move_to_end(fingerprint)
        return rate.wait_s(now_s)


class Acquaintance:
    """What a peer has lately said or shown that it holds, so that it is not sent that."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Held] = OrderedDict()

    def note(self, held: Held) -> None:
        """The peer holds this."""
        self._held[held.fingerprint] = held
        self._held.move_to_end(held.fingerprint)
        if len(self._held) > KNOWN_CAP:
            self._held.popitem(last=False)

    def get(self, fingerprint: bytes) -> Held | None:
        """What it holds of a node, as far as is remembered."""
        return self._held.get(fingerprint)


class Feed:
    """One follower's place in the log."""

    def __init__(self, news: News) -> None:
        self._news = news
        self.base = news.serial
        """What became news until here has been sent."""
        self._top = news.serial
        self._due_s = math.inf
        self._last_s = -math.inf
        self._batch: list[Item] = []

    def due_s(self, interval_s: float, now_s: float) -> float:
        """When the next batch is to be sent.

        :param interval_s: how long news wait for more. The first of them have waited already, in that the
            time was asked for after :data:`NODE_BATCH_S`.
        """
        if self._batch:
            return now_s
        if self._news.serial <= self._top:
            return math.inf
        if self._due_s == math.inf:
            self._due_s = max(self._last_s + interval_s, now_s)
        return self._due_s

    def batch(self, interval_s: float, now_s: float) -> list[Item]:
        """What is to be sent now, the oldest first. The caller takes away from it what he has sent; there is
        no next batch before it is empty, and whatever changes meanwhile is in that one."""
        if not self._batch and self.due_s(interval_s, now_s) <= now_s:
            self.base, self._top = self._top, self._news.serial
            self._due_s, self._last_s = math.inf, now_s
            self._batch = self._news.since(self.base)
            self._batch.reverse()
        return self._batch

    def overtaken(self, item: Item) -> bool:
        """Whether a thing has changed again since the batch began, and so is in the next one."""
        return self._news.at(item) > self._top
