"""What a set of policies does to routes: how well they hide, who sees both their ends, how quick they are,
how the load falls. Measured over clients with guards of their own and many destinations, on any chart.

Nothing is drawn but the guards: of each connection all routes count that it may get, each with its chance.
What is counted is :mod:`~port17.navigator.tally`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from port17.errors import NoRoute, UsageError
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.guards import Entrances, Guards
from port17.navigator.policy import Policies, Request
from port17.navigator.route import Survey
from port17.navigator.tally import Measures, Tally

CLIENTS: Final = 200
"""Clients of a trial: with three guards each, shares of entries are known to some hundredths."""
CLIENTS_CAP: Final = 100_000
"""Most clients: an hour."""
DESTINATIONS: Final = 20
"""Destinations that each of them goes to."""
DESTINATIONS_CAP: Final = 10_000
"""Most destinations: an hour as well."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Whose connections are looked at, and where they go.

    :param requests: every client makes each of them as often as any other.
    :param clients: how many, each with guards of its own.
    :param seed: equal ones give equal guards.
    :param hops: nodes of a route at least, by the charter.
    :param max_hops: and at most.
    :param transports: that the clients have; None for any.
    """

    requests: tuple[Request, ...]
    clients: int = CLIENTS
    seed: int = 0
    hops: int = 3
    max_hops: int = 5
    transports: Collection[str] | None = None


def measure(
    chart: Chart,
    policies: Policies,
    trial: Trial,
    coalitions: Mapping[str, Collection[Fingerprint]] | None = None,
) -> Measures:
    """Measure policies on a chart.

    :param coalitions: by name, whose nodes count as one hand's.
    :raises UsageError: nothing can be measured: there are no clients, no destinations, or no nodes.
    :raises NoRoute: not one connection gets a route; the first one's reason.
    """
    if not 1 <= trial.clients <= CLIENTS_CAP or not 1 <= len(trial.requests) <= DESTINATIONS_CAP:
        raise UsageError(
            f"Nothing to judge by: {trial.clients} clients with {len(trial.requests)} destinations.",
            cure=f"Take 1 to {CLIENTS_CAP} clients and 1 to {DESTINATIONS_CAP} destinations.",
        )
    compiled = Compiled(policies)
    compiled.compile(chart, trial.requests[0].level)
    tally = Tally(chart, coalitions or {})
    refusal: NoRoute | None = None
    for client in range(trial.clients):
        rng = Random(f"{trial.seed} client {client}")
        survey = Survey(
            chart,
            policies,
            transports=trial.transports,
            entries=guards_of(chart, compiled, trial, rng),
            hops=trial.hops,
            max_hops=trial.max_hops,
            compiled=compiled,
        )
        for request in trial.requests:
            walks, weights = survey.near_best(request)
            if not walks:
                if refusal is None:
                    try:
                        survey.draw(request, rng)
                    except NoRoute as error:
                        refusal = error
                tally.refused += 1
                continue
            tally.take(walks, weights, rng)
        tally.end_client()
    if tally.taken == 0 and refusal is not None:
        raise refusal
    return tally.measures()


def guards_of(chart: Chart, compiled: Compiled, trial: Trial, rng: Random) -> tuple[Fingerprint, ...]:
    """The guards that a new client of a trial has."""
    level = trial.requests[0].level

    def families(one: Fingerprint) -> frozenset[str] | None:
        node = chart.nodes.get(one)
        if node is None or not _dialled(node, trial.transports):
            return None
        standing = compiled.standing(node, level)
        if standing.entry_us is None:
            return None
        return frozenset(family for family in standing.families if isinstance(family, str))

    entrances = Entrances(families, lambda: tuple(chart.nodes), lambda one: one in chart.nodes)
    guards = Guards(rng=rng)
    guards.look(entrances, 0.0)
    return guards.active(entrances)


def _dialled(node: ChartNode, transports: Collection[str] | None) -> bool:
    return any(found and (transports is None or name in transports) for name, found in node.addresses.items())
