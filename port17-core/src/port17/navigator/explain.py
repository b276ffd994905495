"""Why there is no route: who removed what, in words, and what would bring a route back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from port17.errors import NoRoute
from port17.navigator.chart import Chart
from port17.navigator.policy import Objection, Position, Request

CLIENT: Final = "client"
"""Who objects in the name of the client itself: what it has just seen failing."""
NETWORK: Final = "network"
"""Who objects in the name of the network: exit rules, the charter, what a node says of itself."""
NO_POLICY: Final = frozenset({CLIENT, NETWORK})
TRIES: Final = "`port17 route explain` tries out which change brings a route."
"""Where an error without a route leads to."""
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
    kind: Literal["node", "lane", "route", "request"] = "node"
    position: Position | None = None
    node_id: str = ""


@dataclass(frozen=True)
class Search:
    """What one search for a route met.

    :param removed: tells everything that was left out of routes. Asks every policy about every node.
    :param entries: nodes that routes may begin at.
    :param exits: nodes that may open the connection.
    :param refusing: policies that keep some others from opening it.
    :param failed: something was set aside because it has just failed.
    :param objections: who refuses the connection whatever the route.
    :param exhausted: all routes were seen.
    :param vetoes: of whole routes.
    """

    chart: Chart
    hops: int
    request: Request
    removed: Callable[[], Sequence[Removal]]
    entries: int
    exits: int
    refusing: Sequence[str] = ()
    failed: bool = False
    objections: Sequence[Objection] = ()
    exhausted: bool = True
    vetoes: Sequence[Removal] = ()


@dataclass(frozen=True)
class _Stage:
    """How far a search came.

    :param what: for people; in a line of a log, too.
    :param cure: what might help beside other policies.
    :param position: what keeps nodes from there is the reason; None if all that was removed may be.
    :param policies: who is to blame, as far as is known at once.
    :param mendable: as of :class:`~port17.errors.NoRoute`.
    :param why: the reasons, where these are known at once.
    """

    what: str
    cure: str = ""
    position: Position | None = None
    policies: Sequence[str] = ()
    mendable: bool = True
    why: Sequence[Removal] | None = None


def explain(search: Search) -> NoRoute:
    """The error for a search without a result. It names the port but never the destination, and why no node
    serves only once it is asked to."""
    stage = _stage(search)
    said = f" (policies: {', '.join(stage.policies[:SHOWN_POLICIES])})" if stage.policies else ""
    return NoRoute(
        f"{_without(search)}: {stage.what}{said}",
        cure=_cure(stage.policies, stage.cure),
        short=f"{stage.what}{said}",
        mendable=stage.mendable,
        by_policy=bool(stage.policies),
        lacks=stage.position or "",
        explain=lambda: _explained(search, stage),
    )


def _stage(search: Search) -> _Stage:
    known, failed = len(search.chart) + len(search.chart.left_out), search.failed
    if search.objections:
        why = [Removal("the request", one.by, one.reason, "request") for one in search.objections]
        by = [one.by for one in search.objections if one.by not in NO_POLICY]
        return _Stage("the connection is refused", "", None, by, False, why)
    if known == 0:
        cure = (
            "A client learns of nodes while it runs: from a bootstrap list, which the configuration names as"
            " `bootstrap.sources`, or from bottles in the folder that `bottles` names."
        )
        return _Stage("no node is known", cure, mendable=False, why=())
    if len(search.chart) < search.hops:
        cure = f"A route needs {search.hops} nodes: add nodes to the network."
        return _Stage(f"{len(search.chart)} of {known} nodes can be used", cure, mendable=False)
    if search.entries == 0:
        cure = "A node must advertise an address for a transport that is installed."
        return _Stage("no node can be connected to that routes may begin at", cure, "entry", (), failed)
    if search.exits == 0:
        cure = _exit_cure(search.request)
        return _Stage("no node may open the connection", cure, "exit", search.refusing, failed)
    if search.vetoes:
        seen = "every" if search.exhausted else "each tried"
        by = sorted({one.by for one in search.vetoes})
        return _Stage(f"{seen} route was vetoed", "", None, by, True, search.vetoes)
    seen = "no chain of lanes joins" if search.exhausted else "no chain of lanes was found that joins"
    return _Stage(
        f"{seen} an entry to one of {search.exits} exits over nodes that may be in one route",
        "Add lanes between nodes of different groups; both ends must list a lane.",
    )


def _explained(search: Search, stage: _Stage) -> NoRoute:
    """The whole of it."""
    why = stage.why
    if why is None:
        left_out = [Removal(out.name, NETWORK, out.reason) for out in search.chart.left_out]
        why = [*left_out, *search.removed()]
        if stage.position is not None:
            why = [one for one in why if one.kind == "node" and one.position in (None, stage.position)]
    counts: dict[str, int] = {}
    for one in why:
        counts[one.by] = counts.get(one.by, 0) + 1
    policies = sorted(counts.keys() - NO_POLICY, key=lambda name: (-counts[name], name))
    short = explain(search).short
    return NoRoute(
        f"{_without(search)}: {stage.what}{_because(why)}",
        cure=_cure(policies, stage.cure),
        short=short,
        mendable=stage.mendable,
        by_policy=bool(stage.policies),
        lacks=stage.position or "",
    )


def _without(search: Search) -> str:
    return f"no route of {search.hops} nodes to port {search.request.port}"


def _cure(policies: Sequence[str], otherwise: str) -> str:
    loosen = f"Loosen what removes most: {', '.join(policies[:SHOWN_POLICIES])}." if policies else ""
    return " ".join(part for part in (loosen, TRIES, otherwise) if part)


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


def _exit_cure(request: Request) -> str:
    if request.plain_text:
        return (
            "Use the destination's encrypted port (443, say), or a network whose charter trusts an exit with"
            " unencrypted connections."
        )
    return "Use a network with an exit whose rules allow the port."
