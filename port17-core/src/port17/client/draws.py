"""The routes that a client draws: from links that stand, if it can be, and around what has just failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final

from port17.client.failures import Failures
from port17.errors import NoRoute
from port17.navigator.chart import Chart, Fingerprint
from port17.navigator.policy import Policies, Request, Route
from port17.navigator.route import Survey
from port17.network import KnownNetwork

HOPS: Final = 3
"""Nodes of a route: the mission's least."""
SURVEY_S: Final = 30.0
"""Seconds for which one survey of the chart is used: policies may go by the time of day."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Draws:
    """All routes of one client."""

    def __init__(
        self, network: KnownNetwork, policies: Callable[[], Policies], transports: Sequence[str]
    ) -> None:
        """:param transports: names of those that the client has."""
        self.failures = Failures()
        self._network = network
        self._policies = policies
        self._transports = transports
        self._surveyed: tuple[float, int, Chart] | None = None
        """When the surveys were made, and of what."""
        self._surveys: dict[frozenset[Fingerprint] | None, Survey] = {}
        """By where routes begin; None stands for anywhere."""

    def draw(self, request: Request, standing: frozenset[Fingerprint], now_s: float) -> Route:
        """A route, that begins at a link that stands if there is such a one.

        :param standing: the nodes that there are links to.
        :param now_s: the event loop's clock.
        :raises NoRoute: no route satisfies request and policies.
        """
        if standing:
            try:
                return self._survey(now_s, standing).draw(request, _random)
            except NoRoute:
                _log.debug("no route begins at a link that stands")
        try:
            return self._survey(now_s).draw(request, _random)
        except NoRoute:
            if not self.failures.forget_all():
                raise
        # What had just failed may be all there is.
        return self._survey(now_s).draw(request, _random)

    def _survey(self, now_s: float, entries: frozenset[Fingerprint] | None = None) -> Survey:
        chart, version = self._network.chart(), self.failures.version(now_s)
        made = self._surveyed
        if made is None or now_s - made[0] > SURVEY_S or made[1] != version or made[2] is not chart:
            self._surveys.clear()
            self._surveyed = (now_s, version, chart)
        elif entries is not None:
            # Links come and go: what was worked out for others of them is of no use.
            for stale in [one for one in self._surveys if one not in (None, entries)]:
                del self._surveys[stale]
        survey = self._surveys.get(entries)
        if survey is None:
            survey = self._surveys[entries] = Survey(
                chart,
                self._policies(),
                HOPS,
                transports=self._transports,
                avoid=self.failures.nodes,
                avoid_lanes=self.failures.lanes,
                entries=entries,
            )
        return survey
