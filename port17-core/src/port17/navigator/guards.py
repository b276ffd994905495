"""Guards: the few nodes that a client's routes begin at, for months. Which they are is decided here.

Takes what the chart and the policies say of nodes and the time; who calls them, and where the list is kept,
is the client's. The reasoning, with numbers, is in ``docs/guards.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, TypeAlias

from port17.navigator.chart import Fingerprint

GUARDS: Final = 3
"""Guards in use: two must be of different groups, since it takes two to agree on a prekey, and one may fail
without a second one being called for the first time."""
SAMPLED: Final = 9
"""Guards on the list: of nine nodes that are up nine tenths of the time, fewer than three are up once in
three hundred thousand looks. Each one more is one more for whoever can block all the others."""
LIST_CAP: Final = 18
"""Most guards on the list: where policies or rules leave too few of it some more are drawn, and no more than
so many are there ever."""
DAY_S: Final = 86400.0
LIFETIME_S: Final = (60 * DAY_S, 120 * DAY_S)
"""Least and most seconds that one guard is kept, drawn for each: a quarter of a year on average, so that
whoever runs nodes waits long to be drawn; and not for ever, so that bad luck ends."""
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
    :param until_s: when it will have served its time.
    :param gone_s: since when it is off the chart; None if it is on it.
    """

    fingerprint: Fingerprint
    since_s: float
    until_s: float
    gone_s: float | None = None


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
        """Where routes begin now: the first of the list that can be used, no two of one family.

        :param down: those that cannot be reached. The next ones stand in for them, until they are back.
        """
        return self._first(self._fit(entrances, down), self._wanted)

    def fit(self, entrances: Entrances, down: Collection[Fingerprint] = ()) -> tuple[Fingerprint, ...]:
        """All of the list that routes may begin at now, in its order."""
        return tuple(fingerprint for fingerprint, _ in self._fit(entrances, down))

    def _fit(
        self, entrances: Entrances, down: Collection[Fingerprint] = ()
    ) -> list[tuple[Fingerprint, frozenset[Family]]]:
        fit = []
        for guard in self._list:
            if guard.fingerprint not in down:
                families = entrances.families(guard.fingerprint)
                if families is not None:
                    fit.append((guard.fingerprint, families))
        return fit

    @staticmethod
    def _first(fit: Iterable[tuple[Fingerprint, frozenset[Family]]], count: int) -> tuple[Fingerprint, ...]:
        chosen: list[Fingerprint] = []
        taken: set[Family] = set()
        for fingerprint, families in fit:
            if len(chosen) < count and taken.isdisjoint(families):
                chosen.append(fingerprint)
                taken |= families
        return tuple(chosen)

    # -- kept -----------------------------------------------------------------------------------------
    def look(
        self,
        entrances: Entrances,
        now_s: float,
        *,
        settled: bool = True,
        heirs: Mapping[Fingerprint, Fingerprint] | None = None,
    ) -> bool:
        """Drop whoever has served his time or is gone for good, and draw others in their place.

        :param now_s: Unix seconds.
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
        while len(active := self.active(entrances)) < self._wanted:
            taken = frozenset[Family]().union(*(entrances.families(one) or () for one in active))
            drawn = self._draw(entrances, taken)
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

    def _draw(self, entrances: Entrances, taken: frozenset[Family]) -> Fingerprint | None:
        """A random node that is not on the list, and of none of some families."""
        candidates = entrances.candidates()
        listed = {guard.fingerprint for guard in self._list}

        def fits(one: Fingerprint) -> bool:
            if one in listed:
                return False
            families = entrances.families(one)
            return families is not None and taken.isdisjoint(families)

        if not candidates:
            return None
        for _ in range(DRAWS):
            one = self._rng.choice(candidates)
            if fits(one):
                return one
        left = [one for one in candidates if fits(one)]
        return self._rng.choice(left) if left else None

    def _append(self, fingerprint: Fingerprint, now_s: float) -> None:
        self._list.append(Guard(fingerprint, now_s, now_s + self._rng.uniform(*LIFETIME_S)))
