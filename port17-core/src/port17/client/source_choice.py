"""Whom a client follows as a source: its guards, as far as they will do, so that it calls no more nodes than
it must; others while it has no guards yet, and where these are of too few groups.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Final, Protocol

import anyio

from port17.client.words import AGREEING, group_of
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.network import KnownNetwork

ASIDE_S: Final = 60.0
"""Seconds for which a node that failed as a source is the last choice."""
LOST_S: Final = 3600.0
"""Seconds for which a node that told us something false is no source."""
ASIDE_CAP: Final = 1024
"""Most nodes that are remembered so."""
SMALL: Final = 5
"""Nodes of a network in which a third source is wanted whoever it is. On the prekey of a source two others
have to agree, so that with two sources neither can be more than an entry: where there are few nodes no route
is left."""
SAMPLE: Final = 64
"""Nodes looked at when all that is held is old: some of them still stand where they stood."""


class Chosen(Protocol):
    """The client's guards; :class:`~port17.client.guard_keeper.GuardKeeper` has them."""

    @property
    def active(self) -> tuple[Fingerprint, ...]:
        """Where routes begin now; nothing if none of them can be used."""

    @property
    def listed(self) -> tuple[Fingerprint, ...]:
        """All of them."""

    @property
    def chosen(self) -> bool:
        """They were drawn from the whole network, and are to last."""


class SourceChoice:
    """The next source of one client."""

    def __init__(
        self, network: KnownNetwork, transports: Collection[str], guards: Chosen, rng: Random
    ) -> None:
        """:param transports: names of those that the client has."""
        self._network = network
        self._transports = frozenset(transports)
        self._guards = guards
        self._rng = rng
        self._aside: dict[Fingerprint, float] = {}
        self._lost: dict[Fingerprint, float] = {}

    def failed(self, fingerprint: Fingerprint) -> None:
        """It was of no use: for a while it is the last choice."""
        _remember(self._aside, fingerprint, ASIDE_S)

    def lost(self, fingerprint: Fingerprint) -> None:
        """It has told us something false: for long it is none."""
        _remember(self._lost, fingerprint, LOST_S)

    def next(self, taken: Mapping[Fingerprint, str], *, alone: bool) -> tuple[Fingerprint, str] | None:
        """The next one, and its group: of none that there is a source of.

        :param taken: the sources that there are, by group.
        :param alone: none of them stands.
        """
        now_s = anyio.current_time()
        for known in (self._aside, self._lost):
            for old in [one for one, until in known.items() if until <= now_s]:
                del known[old]
        chart = self._network.chart()
        if self._guards.chosen:
            guard = self.guard(taken)
            if guard is not None:
                return guard
            if self.suffice(taken):
                return None
            if not self._guards.active and any(one in chart.nodes for one in self._guards.listed):
                return None  # they are called again when it is time; others would not answer, either
        return self._other(chart, taken) or (self._old(taken) if alone else None)

    def suffice(self, taken: Mapping[Fingerprint, str]) -> bool:
        """Whether these sources will do, if no guard can be added."""
        return len(set(taken.values())) >= AGREEING and len(self._network.chart()) > SMALL

    def guard(self, taken: Mapping[Fingerprint, str]) -> tuple[Fingerprint, str] | None:
        """A guard in use that will do."""
        nodes = self._network.chart().nodes
        return self._first([nodes[one] for one in self._guards.active if one not in self._aside], taken)

    def _first(
        self, nodes: Sequence[ChartNode], taken: Mapping[Fingerprint, str]
    ) -> tuple[Fingerprint, str] | None:
        groups = frozenset(taken.values())
        for node in nodes:
            group = group_of(node.group, node.fingerprint)
            if node.fingerprint not in (taken.keys() | self._lost.keys()) and group not in groups:
                return node.fingerprint, group
        return None

    def _other(self, chart: Chart, taken: Mapping[Fingerprint, str]) -> tuple[Fingerprint, str] | None:
        """A random node that can be called. First those that have not failed, and can be called by a prekey
        that is held."""
        fit = [node for node in chart if self._callable(node.addresses)]
        self._rng.shuffle(fit)
        fit.sort(key=lambda node: node.fingerprint in self._aside)
        some = [node for node in fit[:SAMPLE] if node.fingerprint not in self._aside]
        ready = [node for node in some if self._network.responder(node) is not None]
        return self._first(ready, taken) or self._first(fit, taken)

    def _old(self, taken: Mapping[Fingerprint, str]) -> tuple[Fingerprint, str] | None:
        """One of those whose prekeys have all expired, as they have after some days offline: a guard, if one
        is held."""
        rack, groups = self._network.rack, frozenset(taken.values())
        barred = self._network.reputation.barred()
        stamps = [stamp.fingerprint for stamp in rack.stamps() if stamp.fingerprint not in barred]
        self._rng.shuffle(stamps)
        guards = [one for one in self._guards.listed if one not in barred]
        old: list[tuple[bool, Fingerprint, str]] = []
        for fingerprint in dict.fromkeys([*guards, *stamps[:SAMPLE]]):
            held = rack.held(fingerprint)
            if held is None or held.distrust or not self._callable(held.bottle.label.addresses):
                continue
            group = group_of(held.bottle.label.group, fingerprint)
            if group not in groups and fingerprint not in (taken.keys() | self._lost.keys()):
                old.append((fingerprint in self._aside, fingerprint, group))
        if not old:
            return None
        _, fingerprint, group = min(old, key=lambda one: one[0])
        return fingerprint, group

    def _callable(self, addresses: Collection[str]) -> bool:
        return not self._transports.isdisjoint(addresses)


def _remember(where: dict[Fingerprint, float], fingerprint: Fingerprint, seconds: float) -> None:
    while len(where) >= ASIDE_CAP:
        del where[next(iter(where))]
    where[fingerprint] = anyio.current_time() + seconds
