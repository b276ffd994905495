"""Why there is no route: who removed what, in words, and what would bring a route back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from port17.errors import NoRoute
from port17.navigator.chart import Chart
from port17.navigator.policy import Position, Request

CLIENT: Final = "client"
"""Who objects in the name of the client itself: what it has just seen failing."""
NETWORK: Final = "network"
"""Who objects in the name of the network: exit rules, the charter, groups."""
NO_POLICY: Final = frozenset({CLIENT, NETWORK})
SHOWN_NAMES: Final = 5
"""Names listed per reason; of more, the number is said. A message is for reading."""
SHOWN_REASONS: Final = 6
"""Reasons listed per stage."""


@dataclass(frozen=True, slots=True)
class Removal:
    """One thing that cannot be part of a route.

    :param subject: a node's PortName; of a lane or a route, the nodes' names from the client's end on.
    :param by: a policy's name, :data:`CLIENT` or :data:`NETWORK`.
    :param reason: as given by whoever removed it.
    :param kind: what it is.
    :param position: of a node, where in a route it cannot serve; None for all of it.
    :param node_id: of a node.
    """

    subject: str
    by: str
    reason: str
    kind: Literal["node", "lane", "route"] = "node"
    position: Position | None = None
    node_id: str = ""


@dataclass
class Search:
    """What one search for a route met.

    :param kept: nodes left after the policies.
    :param entries: of these, nodes that can be connected to.
    :param exits: of these, nodes that may open the connection.
    :param routes: routes that the policies were asked about.
    :param steps: steps of the search through all routes.
    :param exhausted: all routes were seen.
    """

    chart: Chart
    hops: int
    request: Request
    removed: list[Removal]
    kept: int
    entries: int
    exits: int = 0
    routes: int = 0
    steps: int = 0
    exhausted: bool = True
    refused_exits: list[Removal] = field(default_factory=list)
    vetoes: list[Removal] = field(default_factory=list)


def explain(search: Search) -> NoRoute:
    """The error for a search without a result. It names the port but never the destination."""
    what = f"no route of {search.hops} nodes to port {search.request.port}"
    known = len(search.chart) + len(search.chart.left_out)
    left_out = [Removal(out.name, NETWORK, out.reason) for out in search.chart.left_out]
    removed = [*left_out, *search.removed]
    if known == 0:
        return NoRoute(
            f"{what}: no node is known",
            cure="Name a bootstrap list in the configuration, as `bootstrap.sources`, or put bottles into the"
            " folder that `bottles` names.",
        )
    if search.kept < search.hops:
        return NoRoute(
            f"{what}: {search.kept} of {known} nodes can be used{_because(removed)}",
            cure=_cure(removed, f"A route needs {search.hops} nodes: add nodes to the network."),
        )
    if search.entries == 0:
        return NoRoute(
            f"{what}: none of the {search.kept} usable nodes can be connected to{_because(removed)}",
            cure=_cure(removed, "A node must advertise an address for a transport that is installed."),
        )
    if search.exits == 0:
        refusals = [*removed, *search.refused_exits]
        return NoRoute(
            f"{what}: none of the {search.kept} usable nodes may open the connection{_because(refusals)}",
            cure=_cure(refusals, _exit_cure(search)),
        )
    if not search.vetoes:
        seen = "no chain of lanes joins" if search.exhausted else "no chain of lanes was found that joins"
        return NoRoute(
            f"{what}: {seen} an entry to one of {search.exits} exits over nodes of different groups"
            f"{_because(removed)}",
            cure=_cure(removed, "Add lanes between nodes of different groups; both ends must list a lane."),
        )
    seen = "every" if search.exhausted else f"each of the {search.routes} tried"
    return NoRoute(
        f"{what}: {seen} route was vetoed{_because(search.vetoes)}",
        cure=_cure(search.vetoes, "Loosen the policies."),
    )


def _because(removals: Iterable[Removal]) -> str:
    """``; names: reason (policy who)`` for each cause, what removed most first."""
    causes: dict[tuple[str, str], dict[str, None]] = {}
    for removal in removals:
        causes.setdefault((removal.by, removal.reason), {})[removal.subject] = None
    ordered = sorted(causes.items(), key=lambda cause: -len(cause[1]))
    said = []
    for (by, reason), subjects in ordered[:SHOWN_REASONS]:
        names = ", ".join(list(subjects)[:SHOWN_NAMES])
        if len(subjects) > SHOWN_NAMES:
            names += f" and {len(subjects) - SHOWN_NAMES} more"
        said.append(f"{names}: {reason}" + ("" if by in NO_POLICY else f" (policy {by})"))
    if len(ordered) > SHOWN_REASONS:
        said.append(f"and {len(ordered) - SHOWN_REASONS} more reasons")
    return "".join(f"; {line}" for line in said)


def _cure(removals: Iterable[Removal], otherwise: str) -> str:
    policies = sorted({removal.by for removal in removals} - NO_POLICY)
    if not policies:
        return otherwise
    return f"Loosen or remove from `policies`: {', '.join(policies)}. {otherwise}"


def _exit_cure(search: Search) -> str:
    if search.request.plain_text:
        return (
            "Use the destination's encrypted port (443, say), or a network whose charter trusts an exit with"
            " unencrypted connections."
        )
    return "Use a network with an exit whose rules allow the port."
