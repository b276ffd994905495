"""The routes that a client draws: from its guards, and around what has just failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import SystemRandom
from typing import Any, Final, Protocol

import anyio

from port17.client.failures import Failures
from port17.client.timings import Timings
from port17.errors import NoRoute
from port17.navigator.chart import Chart, Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.explanation import explain_request
from port17.navigator.policy import Request, Route
from port17.navigator.route import Survey
from port17.navigator.situation import Situation
from port17.network import KnownNetwork

SURVEY_S: Final = 30.0
"""Seconds for which one survey of the chart is used: policies may go by the time of day, and what is measured
changes."""
SURVEYS_CAP: Final = 8
"""Most surveys kept for one chart: routes of requests whose rules differ begin at different guards."""
NONE_CAP: Final = 256
"""Most requests remembered for which there is no route."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Entered(Protocol):
    """Where routes may begin; :class:`~port17.client.guard_keeper.GuardKeeper` says so."""

    def entries(self, request: Request, *, draw: bool = True) -> tuple[Fingerprint, ...]:
        """Where routes for a request may begin.

        :param draw: whether a guard may be drawn for it.
        """


class Draws:
    """All routes of one client."""

    def __init__(
        self, network: KnownNetwork, compiled: Compiled, transports: Sequence[str], entered: Entered
    ) -> None:
        """
        :param compiled: what the policies say.
        :param transports: names of those that the client has.
        """
        self.failures = Failures()
        self.timings = Timings()
        self.compiled = compiled
        self._network = network
        self._transports = transports
        self._entered = entered
        self._made: tuple[float, int, Chart] | None = None
        """When the surveys were made, and of what."""
        self._surveys: dict[tuple[frozenset[Fingerprint], int, bool], Survey] = {}
        self._none: dict[tuple[frozenset[Fingerprint], Request], NoRoute] = {}
        """What there is no route for, so that a page of a hundred forbidden hosts is not searched for a
        hundred times."""

    def demand(self, request: Request) -> Request:
        """The request with the level that holds."""
        return self.compiled.policies.judge_request(request).request

    def draw(self, request: Request, standing: frozenset[Fingerprint], now_s: float) -> Route:
        """A route, that begins at a link that stands if there is such a one.

        Where there is none from the guards, a longer one is looked for, and then one over what has just
        failed, since that may be all there is. Other guards are never tried for that: whoever runs an exit
        that all the others refuse to be could choose the client's guards so.

        :param standing: the nodes that there are links to.
        :param now_s: the event loop's clock.
        :raises NoRoute: no route satisfies request and policies.
        """
        entries = frozenset(self._entered.entries(self.demand(request)))
        ready = entries & standing
        least = self._network.revision.least_hops
        if ready and ready != entries:
            try:
                return self._survey(now_s, ready, least).draw(request, _random)
            except NoRoute:
                _log.debug("no route begins at a link that stands")
        survey = self._survey(now_s, entries, least)
        question = (entries, request)
        known = self._none.get(question)
        if known is not None:
            raise known.with_traceback(None) from None
        try:
            return survey.draw(request, _random)
        except NoRoute as error:
            none = error
        if none.mendable:
            try:
                return self._draw_otherwise(request, entries, now_s)
            except NoRoute:
                _log.debug("no longer route, and none over what has just failed")
        while len(self._none) >= NONE_CAP:
            del self._none[next(iter(self._none))]
        self._none[question] = none
        situation = self.situation(request)
        none.tell = lambda: explain_request(situation, request, _random).plain()
        raise none

    def _draw_otherwise(self, request: Request, entries: frozenset[Fingerprint], now_s: float) -> Route:
        """
        :raises NoRoute: there is no longer route, and none over what has just failed.
        """
        least, none = self._network.revision.least_hops, NoRoute("no route is longer than is asked for")
        for hops in range(least + 1, self._network.charter.genesis.max_hops + 1):
            try:
                return self._survey(now_s, entries, hops).draw(request, _random)
            except NoRoute as error:
                none = error
        if self.failures.nodes or self.failures.lanes:
            return self._survey(now_s, entries, least, over_failed=True).draw(request, _random)
        raise none

    def suits(self, route: Route, request: Request, now_s: float) -> bool:
        """Whether a route that stands is as good for a request as one that would be drawn now."""
        entries = frozenset(self._entered.entries(self.demand(request)))
        survey = self._survey(now_s, entries, self._network.revision.least_hops)
        return route.entry.fingerprint in entries and survey.suits(route, request)

    def allows(self, route: Route, request: Request, now_s: float) -> bool:
        """Whether a route that stands may be used for a request, whatever is better and wherever routes begin
        now: its failures aside, policies and rules allow it."""
        entry = frozenset((route.entry.fingerprint,))
        survey = self._survey(now_s, entry, self._network.revision.least_hops, over_failed=True)
        return survey.allows(route, request)

    def situation(self, request: Request) -> Situation:
        """What a route for a request would be drawn from now."""
        now_s = anyio.current_time()
        self.failures.version(now_s)
        entries = self._entered.entries(self.demand(request), draw=False)
        return Situation(**self._terms(frozenset(entries)))

    def _survey(
        self, now_s: float, entries: frozenset[Fingerprint], hops: int, *, over_failed: bool = False
    ) -> Survey:
        chart, version = self._network.chart(), self.failures.version(now_s)
        made = self._made
        if made is None or now_s - made[0] > SURVEY_S or made[1] != version or made[2] is not chart:
            self._surveys.clear()
            self._none.clear()
            self._made = (now_s, version, chart)
        key = (entries, hops, over_failed)
        survey = self._surveys.get(key)
        if survey is None:
            while len(self._surveys) >= SURVEYS_CAP:
                del self._surveys[next(iter(self._surveys))]
            terms = self._terms(entries) | {"hops": hops}
            if over_failed:
                terms |= {"avoid": (), "avoid_lanes": ()}
            survey = self._surveys[key] = Survey(**terms, compiled=self.compiled)
        return survey

    def _terms(self, entries: frozenset[Fingerprint]) -> dict[str, Any]:
        """What surveys take."""
        return {
            "chart": self._network.chart(),
            "policies": self.compiled.policies,
            "transports": self._transports,
            "avoid": self.failures.nodes,
            "avoid_lanes": self.failures.lanes,
            "entries": entries,
            "entry_us": dict(self.timings.entry_us),
            "hops": self._network.revision.least_hops,
            "max_hops": self._network.charter.genesis.max_hops,
        }
