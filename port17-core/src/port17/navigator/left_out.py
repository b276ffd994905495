"""Everything that cannot be part of a route for a request, with who says so and why; for people who ask."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from port17.navigator.chart import ChartNode, Fingerprint
from port17.navigator.compiled import POSITIONS
from port17.navigator.explain import CLIENT, NETWORK, Removal
from port17.navigator.policy import Objection, Position, Request
from port17.navigator.walks import Admits, Ground

FAILED: Final = Objection(CLIENT, "it has just failed")
ASKED_CAP: Final = 64
"""Exits by which is told which policies refuse: some milliseconds, and who refuses all of them is among those
who are told."""
SOURCES_CAP: Final = 1_000
"""Nodes whose lanes are looked at, the closest to the entries first: of three guards with 40 lanes each, all
those that a route of three nodes can leave by, and a fair part of a longer one's."""


def left_out(
    ground: Ground,
    request: Request,
    avoided: Collection[Fingerprint],
    entries: Collection[Fingerprint] | None,
    transports: Collection[str] | None,
) -> list[Removal]:
    """See the module.

    :param request: with the level that holds.
    :param avoided: nodes that have just failed.
    :param entries: routes begin at one of these; None stands for any node.
    :param transports: that the client has; None stands for any.
    """
    admits = Admits(ground, request)
    removed: list[Removal] = []
    for node in ground.chart:
        said: dict[Objection, list[Position]] = {}
        for position, objection in _of_node(ground, admits, request, node, avoided):
            said.setdefault(objection, []).append(position)
        if (entries is None or node.fingerprint in entries) and not reachable(node, transports):
            reason = "has no address of a transport that the client has"
            said.setdefault(Objection(NETWORK, reason), []).append("entry")
        for objection, positions in said.items():
            everywhere = len(positions) >= len(POSITIONS)
            for where in (None,) if everywhere else positions:
                removed.append(
                    Removal(node.name, objection.by, objection.reason, "node", where, node.node_id)
                )
    return removed + list(_lanes(ground, request))


def refusing(ground: Ground, request: Request) -> list[str]:
    """Which policies keep nodes from being the exit that the network would let be it, by some of these; who
    keeps most first.

    :param request: as of :func:`left_out`.
    """
    admits = Admits(ground, request)
    counts: dict[str, int] = {}
    asked = 0
    for node in ground.chart:
        if admits.refuses(node):
            continue
        for said in {
            objection.by
            for where, objection in _of_node(ground, admits, request, node, ())
            if where == "exit"
        }:
            counts[said] = counts.get(said, 0) + 1
        asked += 1
        if asked == ASKED_CAP:
            break
    return sorted(counts, key=lambda name: (-counts[name], name))


def reachable(node: ChartNode, transports: Collection[str] | None) -> bool:
    """Whether a client can connect to a node."""
    return any(found and (transports is None or name in transports) for name, found in node.addresses.items())


def _of_node(
    ground: Ground, admits: Admits, request: Request, node: ChartNode, avoided: Collection[Fingerprint]
) -> Iterator[tuple[Position, Objection]]:
    policies, level = ground.compiled.policies, ground.level
    everywhere: Iterable[Objection] = (FAILED,) if node.fingerprint in avoided else ()
    everywhere = (*everywhere, *policies.families(node, level).objections)
    for position in POSITIONS:
        yield from ((position, objection) for objection in everywhere)
        for judgement in (
            policies.judge_node(node, position, level),
            policies.judge_node_for(node, position, request),
        ):
            yield from ((position, objection) for objection in judgement.objections)
    refused = admits.refuses(node)
    # Who is no exit anyway is not asked whether he wants to be this one.
    said = refused or policies.judge_exit(node, request).objections
    yield from (("exit", objection) for objection in said)


def _lanes(ground: Ground, request: Request) -> Iterator[Removal]:
    policies = ground.compiled.policies
    asked = not policies.by_request.isdisjoint(("exclude_lane", "lane_cost"))
    seen = dict.fromkeys(node for _, node, _ in ground.starts)
    edge = list(seen)
    for _ in range(ground.hops - 1):
        further: list[ChartNode] = []
        for source in edge:
            if len(seen) - len(further) > SOURCES_CAP:
                return
            onward = ground.compiled.onward(source, ground.level, ground.chart)
            for target, judgement in onward.refused:
                yield from (_lane(source, target, said) for said in judgement.objections)
            targets = {step[1]: None for step in (*onward.middles, *onward.exits)}
            for target in targets:
                if (source.fingerprint, target.fingerprint) in ground.closed:
                    yield _lane(source, target, FAILED)
                elif asked:
                    lane = source.lanes[target.fingerprint]
                    judgement = policies.judge_lane_for(source, target, lane, request)
                    yield from (_lane(source, target, said) for said in judgement.objections)
            further += [step[1] for step in onward.middles if step[1] not in seen]
            seen |= dict.fromkeys(further)
        edge = further


def _lane(source: ChartNode, target: ChartNode, said: Objection) -> Removal:
    return Removal(f"{source.name} to {target.name}", said.by, said.reason, "lane")
