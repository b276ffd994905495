"""Where a client's routes may begin, by chart, transports and policies: what its guards are drawn from."""

from __future__ import annotations

from collections.abc import Collection

from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.guards import Entrances, Family
from port17.navigator.policy import Request, SecurityLevel


class Doors:
    """What is known of entries on one chart."""

    def __init__(
        self, chart: Chart, compiled: Compiled, transports: Collection[str], level: SecurityLevel
    ) -> None:
        """
        :param compiled: what the policies say.
        :param transports: names of those that the client has.
        :param level: the user's.
        """
        self.chart = chart
        self._compiled = compiled
        self._transports = frozenset(transports)
        self._level = level

    def entrances(self) -> Entrances:
        """What guards are drawn from."""
        return Entrances(self.families, self._candidates, self.chart.nodes.__contains__)

    def families(self, fingerprint: Fingerprint) -> frozenset[Family] | None:
        """See :data:`~port17.navigator.guards.Families`."""
        node = self.chart.nodes.get(fingerprint)
        if node is None or not self._reachable(node):
            return None
        standing = self._compiled.standing(node, self._level)
        return None if standing.entry_us is None else standing.families

    def allows(self, fingerprint: Fingerprint, request: Request) -> bool:
        """Whether a route for one request may begin there, of a node that any route may."""
        node, policies = self.chart.nodes[fingerprint], self._compiled.policies
        if self._compiled.standing(node, request.level).entry_us is None:
            return False
        by_request = "exclude_node" in policies.by_request
        return not (by_request and policies.judge_node_for(node, "entry", request).objections)

    def _candidates(self) -> list[Fingerprint]:
        return list(self.chart.nodes)

    def _reachable(self, node: ChartNode) -> bool:
        return any(found and name in self._transports for name, found in node.addresses.items())
