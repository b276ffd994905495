"""How people see what ``port17 route judge`` has found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from port17_cli import output

KINDS: Final = {
    "group": "group",
    "owner": "owner (by moderators)",
    "as": "network (AS)",
    "country": "country",
    "prefix": "/16 or /32",
}
NEEDS_PLACES: Final = ("as", "country")
"""What only a geo source knows."""
NAMED: Final = 3
"""Owners of one kind that are named."""


def lines(judgement: dict[str, Any]) -> Iterator[str]:
    """What is printed."""
    chart, found, against = judgement["chart"], judgement["measures"], judgement["against"]
    clients = judgement["clients"]
    yield f"{chart['nodes']} nodes, {chart['lanes']} lanes ({chart['source']})"
    yield (f"{clients} clients with {found['connections'] // clients} destinations each; {_rules(judgement)}")
    if found["refused"]:
        yield f"NO ROUTE for {_percent(found['refused'])} of the connections"
    yield from ("", "How routes are spread (bits of entropy: 10 bits are a thousand nodes)")
    head = ["POSITION", "NODES", "ENTROPY", "MIN-ENTROPY", "OF ONE CLIENT"]
    yield output.table(head, [_position(name, one) for name, one in found["positions"].items()])
    yield from ("", "Who sees both ends of a route, and who all of it")
    rows = [_common(one, placed=chart["places"]) for one in found["common"]]
    yield output.table(["SAME", "BOTH ENDS", "ALL NODES", "MOST OF IT"], rows)
    if found["coalitions"]:
        head = ["COALITION", "NODES", "ENTRIES", "EXITS", "BOTH ENDS", "ALL NODES", "CLIENTS HIT"]
        yield f"\n{output.table(head, [_coalition(one) for one in found['coalitions']])}"
    yield from ("", "Speed and load")
    trip = found["round_trip_ms"]
    yield output.table(
        ["ROUND TRIP", "MEDIAN", "95 IN 100", "COST", "NODES", "DRAWN FROM", "GINI", "BUSIEST 1 %"],
        [
            [
                f"{trip['mean']:.0f} ms",
                f"{trip['median']:.0f} ms",
                f"{trip['p95']:.0f} ms",
                f"{found['cost_ms']:.0f} ms",
                f"{found['hops']:.2f}",
                f"{found['routes']:.0f} routes",
                f"{found['gini']:.2f}",
                _percent(found["busiest"]),
            ]
        ],
    )
    if against is not None:
        yield f"\nAgainst {_rules(against)}"
        yield output.table(
            ["", "THIS", "THAT", "CHANGE"], list(_changes(found, against["measures"], placed=chart["places"]))
        )


def _rules(judgement: dict[str, Any]) -> str:
    policies = ", ".join(judgement["policies"]) or "none but those that are always on"
    return f"level {judgement['level']}, policies: {policies}"


def _position(name: str, one: dict[str, Any]) -> list[str]:
    bits = (f"{one[key]:.2f}" for key in ("entropy", "min_entropy", "of_one_client"))
    return [name, str(one["nodes"]), *bits]


def _common(one: dict[str, Any], *, placed: bool) -> list[str]:
    if one["kind"] in NEEDS_PLACES and not placed:
        return [KINDS[one["kind"]], "?", "?", "no geo source says where nodes are"]
    most = ", ".join(f"{sight['name']} {_percent(sight['both'])}" for sight in one["worst"][:NAMED])
    return [KINDS[one["kind"]], _percent(one["both"]), _percent(one["whole"]), most]


def _coalition(one: dict[str, Any]) -> list[str]:
    shares = (_percent(one[key]) for key in ("entry", "exit", "both", "whole", "clients"))
    return [one["name"], str(one["nodes"]), *shares]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _changes(this: dict[str, Any], that: dict[str, Any], *, placed: bool) -> Iterator[list[str]]:
    """Each number of both, and how much larger this one's is."""
    for position, ours in this["positions"].items():
        for key in ("entropy", "min_entropy"):
            name = f"{position}: {key.replace('_', '-')}, bits"
            yield _change(name, ours[key], that["positions"][position][key], "{:.2f}")
    for ours, theirs in zip(this["common"], that["common"], strict=True):
        if placed or ours["kind"] not in NEEDS_PLACES:
            name = f"same {KINDS[ours['kind']]} at both ends, %"
            yield _change(name, 100 * ours["both"], 100 * theirs["both"])
    for ours, theirs in zip(this["coalitions"], that["coalitions"], strict=True):
        for key, words in (("both", "both ends"), ("whole", "all nodes")):
            yield _change(f"{ours['name']}: {words}, %", 100 * ours[key], 100 * theirs[key])
    for key, words in (("mean", "round trip"), ("p95", "round trip of 95 in 100")):
        yield _change(f"{words}, ms", this["round_trip_ms"][key], that["round_trip_ms"][key], "{:.0f}")
    yield _change("load: Gini", this["gini"], that["gini"], "{:.2f}")
    yield _change("connections without a route, %", 100 * this["refused"], 100 * that["refused"])


def _change(name: str, this: float, that: float, form: str = "{:.1f}") -> list[str]:
    change = form.format(this - that)
    if not change.strip("-0."):
        change = "="
    elif this > that:
        change = f"+{change}"
    return [name, form.format(this), form.format(that), change]
