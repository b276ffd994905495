"""Why there is no route: who removed what, in words, and what would bring a route back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from port17.errors import NoRoute
from port17.navigator.chart import Chart
from port17.navigator.policy import Objection, Position, Request

CLIENT: Final = "client"
"""Who objects in the name of the client itself: what it has just seen failing."""
NETWORK: Final = "network"
"""Who objects in the name of the network: exit rules, the charter, what a node says of itself."""
NO_POLICY: Final = frozenset({CLIENT, NETWORK})
SHOWN_NAMES: Final = 5
"""Names listed per reason; of more, the number is said. A message is for reading."""
SHOWN_REASONS: Final = 6
"""Reasons listed per stage."""
SHOWN_POLICIES: Final = 8
"""Policies listed in a line of a log."""


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

    :param removed: everything that was left out of routes; what is not on the chart is known anyway.
    :param kept: nodes that may serve somewhere.
    :param entries: nodes that routes may begin at.
    :param exits: nodes that may open the connection.
    :param objections: who refuses the connection whatever the route.
    :param routes: routes that the policies were asked about.
    :param steps: steps of the search through all routes.
    :param exhausted: all routes were seen.
    :param vetoes: of whole routes.
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
    objections: Sequence[Objection] = ()


def explain(search: Search) -> NoRoute:
    """The error for a search without a result. It names the port but never the destination."""
    what = f"no route of {search.hops} nodes to port {search.request.port}"
    chart, kept = search.chart, search.kept
    known = len(chart) + len(chart.left_out)
    left_out = [Removal(out.name, NETWORK, out.reason) for out in chart.left_out]
    removed = [*left_out, *search.removed, *search.refused_exits]
    if search.objections:
        said = [Removal("the connection", one.by, one.reason, "route") for one in search.objections]
        return _error(what, "the connection is refused", said, "Ask for less.", mendable=False)
    if known == 0:
        return NoRoute(
            f"{what}: no node is known",
            cure="Name a bootstrap list in the configuration, as `bootstrap.sources`, or put bottles into the"
            " folder that `bottles` names.",
            short="no node is known",
            mendable=False,
        )
    if kept < search.hops:
        stage = f"{kept} of {known} nodes can be used"
        why = [one for one in removed if one.kind == "node" and one.position is None]
        return _error(what, stage, why, f"A route needs {search.hops} nodes: add nodes to the network.")
    if search.entries == 0:
        stage = f"none of the {kept} usable nodes can be connected to"
        cure = "A node must advertise an address for a transport that is installed."
        return _error(what, stage, _at(removed, "entry"), cure)
    if search.exits == 0:
        stage = f"none of the {kept} usable nodes may open the connection"
        return _error(what, stage, _at(removed, "exit"), _exit_cure(search))
    if not search.vetoes:
        seen = "no chain of lanes joins" if search.exhausted else "no chain of lanes was found that joins"
        stage = f"{seen} an entry to one of {search.exits} exits over nodes that may be in one route"
        cure = "Add lanes between nodes of different groups; both ends must list a lane."
        return _error(what, stage, removed, cure, mendable=True)
    seen = "every" if search.exhausted else f"each of the {search.routes} tried"
    return _error(what, f"{seen} route was vetoed", search.vetoes, "", mendable=True)


def _at(removed: Iterable[Removal], position: Position) -> list[Removal]:
    """What keeps nodes from one position."""
    return [one for one in removed if one.kind == "node" and one.position in (None, position)]


def _error(
    what: str, stage: str, why: Sequence[Removal], cure: str, *, mendable: bool | None = None
) -> NoRoute:
    """:param mendable: None stands for: if the client itself has set something aside."""
    counts: dict[str, int] = {}
    for one in why:
        counts[one.by] = counts.get(one.by, 0) + 1
    policies = sorted(counts.keys() - NO_POLICY, key=lambda name: (-counts[name], name))
    if policies:
        loosen = f"Loosen what removes most: {', '.join(policies[:SHOWN_POLICIES])}."
        tried = "`port17 route explain` tries out which change brings a route."
        cure = " ".join(part for part in (loosen, tried, cure) if part)
    short = f" (policies: {', '.join(policies[:SHOWN_POLICIES])})" if policies else ""
    return NoRoute(
        f"{what}: {stage}{_because(why)}",
        cure=cure,
        short=f"{stage}{short}",
        mendable=CLIENT in counts if mendable is None else mendable,
    )


def _because(removals: Iterable[Removal]) -> str:
    """``; names: reason (policy who)`` for each cause, policies first, and what removed most."""
    causes: dict[tuple[str, str], dict[str, None]] = {}
    for removal in removals:
        causes.setdefault((removal.by, removal.reason), {})[removal.subject] = None
    ordered = sorted(causes.items(), key=lambda cause: (cause[0][0] in NO_POLICY, -len(cause[1])))
    said = []
    for (by, reason), subjects in ordered[:SHOWN_REASONS]:
        names = ", ".join(list(subjects)[:SHOWN_NAMES])
        if len(subjects) > SHOWN_NAMES:
            names += f" and {len(subjects) - SHOWN_NAMES} more"
        said.append(f"{names}: {reason}" + ("" if by in NO_POLICY else f" (policy {by})"))
    if len(ordered) > SHOWN_REASONS:
        said.append(f"and {len(ordered) - SHOWN_REASONS} more reasons")
    return "".join(f"; {line}" for line in said)


def _exit_cure(search: Search) -> str:
    if search.request.plain_text:
        return (
            "Use the destination's encrypted port (443, say), or a network whose charter trusts an exit with"
            " unencrypted connections."
        )
    return "Use a network with an exit whose rules allow the port."
