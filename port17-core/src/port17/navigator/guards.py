"""Guards: the few nodes that a client's routes begin at, for months. Which they are is decided here.

Takes what the chart and the policies say of nodes and the time; who calls them, and where the list is kept,
is the client's. The reasoning, with numbers, is in ``docs/guards.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeAlias

from port17.navigator.chart import Fingerprint

GUARDS: Final = 3
"""Guards in use: two must be of different groups, since it takes two to agree on a prekey; one may fail."""
ENOUGH: Final = 2
"""Guards that have to answer: while fewer of those in use do, the next ones on the list stand in for them. So
of three one may be down for days, and no node more gets to know the client."""
SAMPLED: Final = 6
"""Guards on the list: of six nodes that are up nine tenths of the time, fewer than two are up for half an
hour a year. Each one more is one more for whoever can block all the others."""
LIST_CAP: Final = 12
"""Most guards on the list: where policies or rules leave too few of it some more are drawn, and no more than
so many are there ever."""
DAY_S: Final = 86400.0
LIFETIME_S: Final = (60 * DAY_S, 120 * DAY_S)
"""Least and most seconds that one guard is kept from its first use, drawn for each: a quarter of a year on
average, so that whoever runs nodes waits long to be drawn; and not for ever, so that bad luck ends."""
GONE_S: Final = 7 * DAY_S
"""Seconds off the chart after which a guard is dropped: longer than a holiday weekend or a broken disk."""
APART_S: Final = 1 * DAY_S
"""Least seconds between two guards dropped for their age: a clock that was wrong for an hour costs one guard,
not all."""
DRAWS: Final = 64
"""Nodes looked at, at random, before all are gone through for those that are fit."""

Family: TypeAlias = str | bytes
"""What no two guards in use share: the name of a family, or a node's own fingerprint."""
Families: TypeAlias = Callable[[Fingerprint], frozenset[Family] | None]
"""The families of a node; None if no route may begin at it now: it is off the chart, it has no address that
we can dial, or a policy forbids it."""


@dataclass(frozen=True, slots=True)
class Guard:
    """One of the list.

    :param since_s: when it was drawn, Unix seconds.
    :param life_s: for how many seconds it serves.
    :param used_s: since when; None if routes have never begun there.
    :param gone_s: since when it is off the chart; None if it is on it.
    """

    fingerprint: Fingerprint
    since_s: float
    life_s: float
    used_s: float | None = None
    gone_s: float | None = None

    @property
    def until_s(self) -> float:
        """When it will have served its time; infinite if it has not begun."""
        return math.inf if self.used_s is None else self.used_s + self.life_s


@dataclass(frozen=True, slots=True)
class Entrances:
    """Where routes may begin now.

    :param families: see :data:`Families`.
    :param candidates: all nodes that may be drawn, or more: ``families`` decides. Asked only to draw some.
    :param on_chart: whether a node is on the chart, whatever policies say of it.
    """

    families: Families
    candidates: Callable[[], Sequence[Fingerprint]]
    on_chart: Callable[[Fingerprint], bool]


class Guards:
    """The list of one client, in the order in which it was drawn."""

    def __init__(
        self,
        held: Iterable[Guard] = (),
        *,
        rng: Random,
        dropped_s: float | None = None,
        wanted: int = GUARDS,
        sampled: int = SAMPLED,
    ) -> None:
        """
        :param held: what an earlier process has drawn.
        :param rng: :class:`random.SystemRandom` in production.
        :param dropped_s: when the last one was dropped for its age, Unix seconds.
        :param wanted: guards in use.
        :param sampled: length of the list.
        """
        self._list = list(held)
        self._rng = rng
        self.dropped_s = dropped_s
        self._wanted = wanted
        self._enough = min(ENOUGH, wanted)
        self._sampled = sampled

    @property
    def listed(self) -> tuple[Guard, ...]:
        """All, the first drawn first."""
        return tuple(self._list)

    def __contains__(self, fingerprint: object) -> bool:
        return any(guard.fingerprint == fingerprint for guard in self._list)

    def forget(self) -> None:
        """Begin anew: what was drawn was drawn before there was a whole chart to draw from."""
        self._list.clear()

    # -- in use ---------------------------------------------------------------------------------------
    def active(self, entrances: Entrances, down: Collection[Fingerprint] = ()) -> tuple[Fingerprint, ...]:
        """Where routes begin now: the first of the list, no two of one family, as far as they answer. If too
        few do, the next ones stand in for them, until they are back.

        :param down: those that cannot be reached.
        """
        first, _ = self._first(entrances)
        chosen = [one for one in first if one not in down]
        if len(chosen) < self._enough:
            taken = _families(entrances, chosen)
            for one in self.fit(entrances, {*down, *chosen}):
                families = _families(entrances, (one,))
                if len(chosen) < self._enough and taken.isdisjoint(families):
                    chosen.append(one)
                    taken |= families
        return tuple(chosen)

    def fit(self, entrances: Entrances, down: Collection[Fingerprint] = ()) -> tuple[Fingerprint, ...]:
        """All of the list that routes may begin at now, in its order."""
        return tuple(
            guard.fingerprint
            for guard in self._list
            if guard.fingerprint not in down and entrances.families(guard.fingerprint) is not None
        )

    def _first(self, entrances: Entrances) -> tuple[list[Fingerprint], int]:
        """Whose turn it is whether they answer or not, and how many places nobody has."""
        first: list[Fingerprint] = []
        taken: set[Family] = set()
        places = self._wanted
        for guard in self._list:
            families = entrances.families(guard.fingerprint)
            if not places:
                break
            if families is None:
                # Who is off the chart may be back tomorrow: the place is not another's at once.
                places -= not entrances.on_chart(guard.fingerprint)
            elif taken.isdisjoint(families):
                places -= 1
                first.append(guard.fingerprint)
                taken |= families
        return first, places

    # -- kept -----------------------------------------------------------------------------------------
    def look(
        self,
        entrances: Entrances,
        now_s: float,
        *,
        down: Collection[Fingerprint] = (),
        settled: bool = True,
        heirs: Mapping[Fingerprint, Fingerprint] | None = None,
    ) -> bool:
        """Drop whoever has served his time or is gone for good, and draw others in their place.

        :param now_s: Unix seconds.
        :param down: those that cannot be reached.
        :param settled: the chart is whole: who is not on it is gone, and not only unknown to us; and of all
            there are can be drawn.
        :param heirs: nodes that have taken another identity; their places are theirs.
        :returns: whether the list has changed, and is to be kept.
        """
        before = tuple(self._list)
        if heirs:
            self._inherit(heirs)
        if settled:
            self._miss(entrances, now_s)
        self._retire(now_s)
        if settled or not self._list:
            self._top_up(entrances, now_s)
        self._begin(self.active(entrances, down), now_s)
        return before != tuple(self._list)

    def add(self, fingerprints: Iterable[Fingerprint], now_s: float) -> tuple[Fingerprint, ...]:
        """Draw one of some more, at the end of the list: none of the list can be used for what is asked for,
        by the user's own rules. Nothing if the list is full.

        :returns: the one, or nothing.
        """
        fresh = [one for one in fingerprints if one not in self]
        if not fresh or len(self._list) >= LIST_CAP:
            return ()
        chosen = self._rng.choice(fresh)
        self._append(chosen, now_s)
        return (chosen,)

    def _begin(self, active: Collection[Fingerprint], now_s: float) -> None:
        """Those in use begin to serve their time."""
        self._list = [
            replace(guard, used_s=now_s) if guard.used_s is None and guard.fingerprint in active else guard
            for guard in self._list
        ]

    def _inherit(self, heirs: Mapping[Fingerprint, Fingerprint]) -> None:
        kept: dict[Fingerprint, Guard] = {}
        for guard in self._list:
            heir = heirs.get(guard.fingerprint, guard.fingerprint)
            kept.setdefault(heir, guard if heir == guard.fingerprint else replace(guard, fingerprint=heir))
        self._list = list(kept.values())

    def _miss(self, entrances: Entrances, now_s: float) -> None:
        kept = []
        for guard in self._list:
            if entrances.on_chart(guard.fingerprint):
                kept.append(guard if guard.gone_s is None else replace(guard, gone_s=None))
            elif guard.gone_s is None or guard.gone_s > now_s:
                kept.append(replace(guard, gone_s=now_s))
            elif now_s - guard.gone_s < GONE_S:
                kept.append(guard)
        self._list = kept

    def _retire(self, now_s: float) -> None:
        if self.dropped_s is not None and 0 <= now_s - self.dropped_s < APART_S:
            return
        over = [guard for guard in self._list if guard.until_s <= now_s]
        if over:
            self._list.remove(min(over, key=lambda guard: guard.until_s))
            self.dropped_s = now_s

    def _top_up(self, entrances: Entrances, now_s: float) -> None:
        while len(self._list) < self._sampled:
            drawn = self._draw(entrances, frozenset())
            if drawn is None:
                break
            self._append(drawn, now_s)
        while self._first(entrances)[1] or len(self.active(entrances)) < self._enough:
            drawn = self._draw(entrances, _families(entrances, self.active(entrances)))
            if drawn is None or not self._room(entrances):
                break
            self._append(drawn, now_s)

    def _room(self, entrances: Entrances) -> bool:
        """Whether one more may be drawn. On a full list, one that the user's policies forbid gives way."""
        if len(self._list) < LIST_CAP:
            return True
        for guard in self._list:
            if entrances.on_chart(guard.fingerprint) and entrances.families(guard.fingerprint) is None:
                self._list.remove(guard)
                return True
        return False

    def _draw(self, entrances: Entrances, taken: Collection[Family]) -> Fingerprint | None:
        """A random node that is not on the list, and of none of some families."""
        candidates = entrances.candidates()
        listed = {guard.fingerprint for guard in self._list}

        def fits(one: Fingerprint) -> bool:
            if one in listed:
                return False
            families = entrances.families(one)
            return families is not None and families.isdisjoint(taken)

        if not candidates:
            return None
        for _ in range(DRAWS):
            one = self._rng.choice(candidates)
            if fits(one):
                return one
        left = [one for one in candidates if fits(one)]
        return self._rng.choice(left) if left else None

    def _append(self, fingerprint: Fingerprint, now_s: float) -> None:
        self._list.append(Guard(fingerprint, now_s, self._rng.uniform(*LIFETIME_S)))


def _families(entrances: Entrances, nodes: Iterable[Fingerprint]) -> set[Family]:
    """Of some nodes together."""
    return {family for node in nodes for family in entrances.families(node) or ()}
