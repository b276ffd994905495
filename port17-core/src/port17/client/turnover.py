"""What becomes of a client's circuits when charter, clock or bottles change: each is judged by what holds
now, and ended when nothing may go on over it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from typing import Final

import anyio

from port17.client.built import Built
from port17.navigator.agreement import Standing
from port17.navigator.chart import Chart
from port17.network import KnownNetwork
from port17.wire.reasons import Reason

SETTLE_S: Final = 10.0
"""Seconds after which nodes have made their lanes anew when the choice of suites has changed. A circuit from
that time may go over a lane of before, and so takes no new connections once they are over."""

_log = logging.getLogger(__name__)


class CircuitTurnover:
    """Judges the circuits of one client."""

    def __init__(self, network: KnownNetwork) -> None:
        self._network = network
        self._judged = network.version
        """What all circuits were last judged by."""
        self._choice = tuple(network.suites)
        self._unsettled_s: float | None = None
        """When the choice of suites has last changed; None once nodes have done what follows from it."""

    def judge(self, circuits: Collection[Built]) -> bool:
        """Judge every circuit by what holds now.

        :returns: False if that is what they were judged by before.
        """
        version, now_s = self._network.version, anyio.current_time()
        settled = self._unsettled_s is not None and now_s >= self._unsettled_s + SETTLE_S
        if version == self._judged and not settled:
            return False
        if settled:
            self._unsettled_s = None
            for built in circuits:
                built.provisional = True
        choice = tuple(self._network.suites)
        if choice != self._choice:
            self._choice, self._unsettled_s = choice, now_s
        self._judged = version
        chart = self._network.chart()
        for built in circuits:
            standing = self._standing(built, chart)
            if standing is not built.standing:
                built.standing, built.since_s = standing, now_s
            built.exit = chart.nodes.get(built.route.exit.fingerprint, built.exit)
            if any(chart.nodes.get(node.fingerprint) is not node for node in built.route.nodes):
                built.asked_s = -math.inf  # a node says something else than when the policies agreed
        return True

    def end(self, circuits: Collection[Built], now_s: float) -> None:
        """End circuits that no new connection may use: at once if none does, and where the suite is not
        allowed any more, after the grace whatever uses it."""
        for built in list(circuits):
            if built.standing is Standing.GOOD:
                continue
            if not built.busy:
                built.circuit.close(Reason.DONE)
            elif built.standing is Standing.FORBIDDEN and now_s - built.since_s >= self._network.grace_s:
                _log.warning("a circuit is ended with what uses it: its cipher suite is not allowed any more")
                built.circuit.close(Reason.GENERIC)

    def _standing(self, built: Built, chart: Chart) -> Standing:
        pairs = zip(built.route.nodes, built.circuit.hops, strict=True)
        used = [(node.fingerprint, hop.key.suite.name) for node, hop in pairs]
        used.append((built.route.entry.fingerprint, built.crane.suite))
        standing = max(self._network.standing(*each) for each in used)
        if built.provisional or any(fingerprint not in chart.nodes for fingerprint, _ in used):
            standing = max(standing, Standing.SUPERSEDED)
        return standing
