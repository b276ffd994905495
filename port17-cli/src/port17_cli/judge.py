"""``port17 route judge``: what policies do to routes, measured over a client's map or any other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from port17.errors import UsageError
from port17_cli import judged, output, trials

if TYPE_CHECKING:
    from port17.navigator.chart import Chart, Fingerprint
    from port17.navigator.measure import Trial
    from port17.navigator.policy import Request, SecurityLevel
    from port17.navigator.tally import Measures
    from port17_cli.trials import Ground

UNSHOWN: Final = ("flows", "serving", "examples")
"""Of what is measured, what only the picture shows."""


def judge(args: argparse.Namespace) -> int:
    """``port17 route judge``."""
    from port17.navigator.measure import CLIENTS

    with trials.ground(args) as ground:
        coalitions = _coalitions(args.coalition, ground.chart)
        level = args.level or ground.level
        specs = trials.chosen(args.policy) if args.policy else ground.specs
        others = specs if args.against is None else trials.chosen(args.against)
        clients = CLIENTS if args.clients is None else args.clients
        found = _measure(ground, specs, _trial(args, ground, level, clients), coalitions)
        judgement: dict[str, Any] = {
            "chart": {
                "source": ground.source,
                "nodes": len(ground.chart),
                "lanes": sum(len(node.lanes) for node in ground.chart) // 2,
                "places": ground.placed,
            },
            "clients": clients,
            "seed": args.seed,
            "policies": specs,
            "level": level,
            "measures": plain(found),
            "against": None,
        }
        if args.against is not None or args.against_level is not None:
            other_level = args.against_level or level
            trial = _trial(args, ground, other_level, clients)
            other = _measure(ground, others, trial, coalitions)
            judgement["against"] = {"policies": others, "level": other_level, "measures": plain(other)}
        if args.svg:
            _draw(Path(args.svg), ground.chart, found, coalitions)
    if args.json:
        print(output.document("port17.route.judge/1", judgement))
        return 0
    for line in judged.lines(judgement):
        print(line)
    if args.svg:
        print(f"\nPicture: {args.svg}")
    return 0


def plain(measures: Measures) -> dict[str, Any]:
    """What was measured, as JSON has it; docs/command-line.md describes it."""
    values = {name: value for name, value in vars(measures).items() if name not in UNSHOWN}
    values["round_trip_ms"] = dict(zip(("mean", "median", "p95"), measures.round_trip_ms, strict=True))
    for name in ("common", "coalitions"):
        values[name] = [asdict(one) for one in values[name]]
    values["positions"] = {position: asdict(one) for position, one in measures.positions.items()}
    rounded: dict[str, Any] = _rounded(values)
    return rounded


def _rounded(value: Any) -> Any:
    """Digits that mean something."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(held) for held in value]
    return value


def _measure(
    ground: Ground, specs: Sequence[str], trial: Trial, coalitions: dict[str, frozenset[Fingerprint]]
) -> Measures:
    from port17.navigator.measure import measure

    return measure(ground.chart, ground.policies(specs), trial, coalitions)


def _trial(args: argparse.Namespace, ground: Ground, level: SecurityLevel, clients: int) -> Trial:
    from port17.navigator.measure import DESTINATIONS, Trial

    count = DESTINATIONS if args.destinations is None else args.destinations
    least, most = ground.hops
    return Trial(
        _requests(args.to, count, args.seed, level),
        clients=clients,
        seed=args.seed,
        hops=least,
        max_hops=most,
        transports=ground.transports,
    )


def _requests(
    named: Sequence[str] | None, count: int, seed: int, level: SecurityLevel
) -> tuple[Request, ...]:
    from port17.navigator.destinations import usual_destinations
    from port17.navigator.measure import DESTINATIONS_CAP
    from port17.navigator.policy import Request
    from port17_cli.request import destination

    if named is not None:
        return tuple(Request(*destination(text), level=level) for text in named)
    if not 1 <= count <= DESTINATIONS_CAP:
        raise UsageError(f"{count} destinations can't be judged by.", cure=f"Take 1 to {DESTINATIONS_CAP}.")
    return usual_destinations(count, seed=seed, level=level)


def _coalitions(wanted: Sequence[Sequence[str]], chart: Chart) -> dict[str, frozenset[Fingerprint]]:
    from port17.navigator.selector import Selectors
    from port17.navigator.simulated import HOSTILE_MARK

    found: dict[str, frozenset[Fingerprint]] = {}
    for texts in wanted:
        selectors = Selectors(texts)
        members = frozenset(node.fingerprint for node in chart if selectors.touching(node) is not None)
        if not members:
            raise UsageError(
                f"No node of the chart is {' or '.join(texts)}.", cure="See `port17 route chart`."
            )
        found[" ".join(texts)] = members
    hostile = frozenset(node.fingerprint for node in chart if HOSTILE_MARK in node.marks)
    if hostile:
        found.setdefault(trials.HOSTILE, hostile)
    return found


def _draw(
    path: Path, chart: Chart, measures: Measures, coalitions: dict[str, frozenset[Fingerprint]]
) -> None:
    from port17.records.whole_file import write_whole
    from port17_cli.map_picture import picture

    ours = frozenset[bytes]().union(*coalitions.values())
    write_whole(path, picture(chart, measures, ours).encode())
