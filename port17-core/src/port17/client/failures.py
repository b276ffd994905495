"""What has failed, and is set aside for a while: the longer the more often, and less again once it works."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from port17.navigator.chart import Fingerprint
from port17.navigator.policy import Route

ASIDE_S: Final = 30.0
"""Seconds for which a node or a lane that failed is not used: nodes come back, and a lane's edge is re-made
within some seconds. Twice as long each time that it fails again."""
ASIDE_CAP_S: Final = 1800.0
"""Most seconds; a node that was restarted is used again within half an hour, whatever was before."""
FORGIVEN_S: Final = 3600.0
"""Seconds without another failure after which one of those that were counted is forgotten."""
FAILURES_CAP: Final = 1024
"""Most nodes and lanes remembered; past it the oldest goes."""

Lane: TypeAlias = tuple[Fingerprint, Fingerprint]


@dataclass
class _Failed:
    """
    :param count: how often, less what is forgiven.
    :param at_s: when the last time.
    :param until_s: until when it is set aside.
    """

    count: int
    at_s: float
    until_s: float


class Failures:
    """Nodes and lanes set aside."""

    def __init__(self) -> None:
        self._failed: dict[Fingerprint | Lane, _Failed] = {}
        self._aside: frozenset[Fingerprint | Lane] = frozenset()
        self._version = 0
        self._next_s = float("inf")
        """When the first of those set aside is used again."""

    @property
    def nodes(self) -> frozenset[Fingerprint]:
        """Fingerprints of those set aside, as of the last :meth:`version`."""
        return frozenset(one for one in self._aside if isinstance(one, bytes))

    @property
    def lanes(self) -> frozenset[Lane]:
        """The same of lanes: pairs of fingerprints."""
        return frozenset(one for one in self._aside if isinstance(one, tuple))

    def node(self, fingerprint: Fingerprint, now_s: float) -> None:
        """A node failed."""
        self._add(fingerprint, now_s)

    def lane(self, source: Fingerprint, target: Fingerprint, now_s: float) -> None:
        """A lane failed: which of its ends is to blame is not known."""
        self._add((source, target), now_s)

    def worked(self, route: Route, now_s: float) -> None:
        """A circuit over a route stands: all that is on it works."""
        if not self._failed:
            return
        nodes = [node.fingerprint for node in route.nodes]
        on_it: list[Fingerprint | Lane] = [*nodes, *pairwise(nodes)]
        for one in on_it:
            failed = self._failed.get(one)
            if failed is not None:
                failed.count //= 2
                failed.until_s = now_s
                if not failed.count:
                    del self._failed[one]
        self._renew(now_s)

    def version(self, now_s: float) -> int:
        """Changes whenever something is set aside or comes back."""
        if now_s >= self._next_s:
            self._renew(now_s)
        return self._version

    def _add(self, one: Fingerprint | Lane, now_s: float) -> None:
        failed = self._failed.pop(one, None)
        count = 1
        if failed is not None:
            if failed.until_s > now_s:
                self._failed[one] = failed
                return  # what was under way when it was set aside says nothing new
            count += max(0, failed.count - int((now_s - failed.at_s) / FORGIVEN_S))
        while len(self._failed) >= FAILURES_CAP:
            del self._failed[next(iter(self._failed))]
        aside_s = min(ASIDE_S * 2.0 ** min(count - 1, 16), ASIDE_CAP_S)
        self._failed[one] = _Failed(count, now_s, now_s + aside_s)
        self._renew(now_s)

    def _renew(self, now_s: float) -> None:
        aside = {one: failed.until_s for one, failed in self._failed.items() if failed.until_s > now_s}
        self._next_s = min(aside.values(), default=float("inf"))
        if self._aside != aside.keys():
            self._aside = frozenset(aside)
            self._version += 1
