"""An explanation of a route, as ``port17.route.explain/1`` has it, in words: what a user wants to know first
comes first, and what is much is grouped and counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from port17_cli import output

NAMES_SHOWN = 4
"""Names per reason; of more, the number is said."""
REASONS_SHOWN = 12
"""Reasons; of more, the number is said. What is left out most comes first."""
ROUTES_SHOWN = 6
"""Routes beside the one that was drawn: what they have in common shows by then."""
REASON_CAP = 100
"""Longest reason in the table, characters; a longer one is cut."""
FAMILIES_SHOWN = 6
"""Families, the largest first."""
FAILED_SHOWN = 8
"""Changes that would not help, all in one line."""
ALIKE = ("without the policy ", "at the level ", "if a route could have two nodes of one ")
"""How changes begin of which there are several."""
FALLBACKS = {
    "longer": "There is no route of so few nodes as would do; longer ones are used.",
    "failed": "There is no route around what has just failed; it is tried again.",
}
"""What a client does before it gives up."""
WORLD = ("network", "client")
"""Who objects and is no policy."""
MORE = "--json has all of it."


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole of it for a terminal."""
    yield from _asked(found)
    yield ""
    if found["route"] is not None:
        yield from _route(found["route"], found)
        yield ""
        yield from _others(found)
    else:
        yield from _refusal(found)
    left_out = list(_removed(found))
    if left_out:
        yield ""
        yield from left_out


def _asked(found: dict[str, Any]) -> Iterator[str]:
    wanted, level, asked = found["destination"], found["level"], found["asked_level"]
    program = f" for {wanted['program']}" if wanted["program"] else ""
    more = "" if level == asked else f" (a policy asks for it; you have set {asked})"
    yield f"{_joined(wanted['host'], wanted['port'])}{program}: {found['hops']} nodes, level {level}{more}"
    yield f"Policies: {', '.join(found['policies']) or 'none'}."
    if found["entries"] is not None:
        yield f"Routes begin at {_listed(found['entries']) or 'no node: there is no guard'}."
    if found.get("source") == "files":
        yield "Found out from the client's files, as if all its guards could be reached."


def _route(route: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    routes = found["routes"]
    number = f"{routes['count']}" if routes["exact"] else f"more than {routes['count']}"
    if found["fallback"]:
        yield FALLBACKS[found["fallback"]]
    drawn = f"drawn from the {routes['near']} near-best of {number} that may be used"
    yield f"ROUTE, {_ms(route['cost_us'])}: {drawn}"
    nodes = route["nodes"]
    rows = [[f"  {_position(place, len(nodes))}", *_described(node)] for place, node in enumerate(nodes)]
    yield output.table(["", "NAME", "COUNTRY", "AS", "GROUP", "OWNER"], rows)
    yield ""
    width = max(len(_ms(part["us"])) for part in route["parts"]) if route["parts"] else 0
    yield "What it costs:"
    for part in route["parts"]:
        yield f"  {_ms(part['us']).rjust(width)}  {part['what']}"


def _others(found: dict[str, Any]) -> Iterator[str]:
    own = [node["name"] for node in found["route"]["nodes"]]
    near = found["routes"]["list"][: found["routes"]["near"]]
    others = [one for one in near if one["nodes"] != own]
    chance = sum(one["chance"] for one in near if one["nodes"] == own)
    if not others:
        yield "There is no other that may be drawn."
        return
    yield f"Drawn with a chance of {_percent(chance)}; or one of these:"
    rows = [
        [f"  {_percent(one['chance'])}", _ms(one["cost_us"]), " > ".join(one["nodes"])]
        for one in others[:ROUTES_SHOWN]
    ]
    yield output.table(["  CHANCE", "COST", "ROUTE"], rows)
    if len(others) > ROUTES_SHOWN:
        yield f"  and {len(others) - ROUTES_SHOWN} more"


def _refusal(found: dict[str, Any]) -> Iterator[str]:
    refused = [
        f"; {one['by']}: {_shown(one['reason'])}" for one in found["removed"] if one["kind"] == "request"
    ]
    yield f"NO ROUTE: {found['no_route']['short']}{''.join(refused)}."
    changes = found["changes"]
    helping = [change for change in changes if change["helps"]]
    yield ""
    if helping:
        yield "What would bring one, each by itself (tried out, and not used):"
        for change in helping:
            number = f"{change['routes']}" if change["exact"] else f"more than {change['routes']}"
            noun = "route" if number == "1" else "routes"
            yield f"  {_shown(change['what'])}: {number} {noun}, like {' > '.join(change['example'])}"
    elif changes:
        yield "No change that is yours to make would bring one."
        if found["no_route"]["cure"]:
            yield found["no_route"]["cure"]
    failed = [change["what"] for change in changes if not change["helps"]]
    if failed:
        more = f", and {len(failed) - FAILED_SHOWN} more" if len(failed) > FAILED_SHOWN else ""
        yield f"Would not help: {'; '.join(_merged(failed)[:FAILED_SHOWN])}{more}."
    if any(change["kind"] == "family" for change in helping):
        yield ""
        yield "NOT TOGETHER in one route:"
        families = list(found["families"].items())
        yield from (f"  {name}: {_listed(names)}" for name, names in families[:FAMILIES_SHOWN])
        if len(families) > FAMILIES_SHOWN:
            yield f"  and {len(families) - FAMILIES_SHOWN} more families"


def _merged(failed: list[str]) -> list[str]:
    """Phrases that begin alike, in one."""
    ends: dict[str, list[str]] = {}
    for what in failed:
        start = next((start for start in ALIKE if what.startswith(start)), what)
        ends.setdefault(start, []).append(what.removeprefix(start))
    return [start + _either(names) for start, names in ends.items()]


def _either(names: list[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _removed(found: dict[str, Any]) -> Iterator[str]:
    grouped = groups(found["removed"])
    if not grouped:
        return
    yield f"LEFT OUT, of {found['nodes']['known']} nodes that are known:"
    rows = [
        [f"  {len(names)}", _what(kind, positions, len(names)), by, _shown(reason), _listed(names)]
        for (by, reason, kind), (positions, names) in grouped[:REASONS_SHOWN]
    ]
    yield output.table(["  ", "", "BY", "REASON", "WHICH"], rows)
    if len(grouped) > REASONS_SHOWN:
        yield f"  and {len(grouped) - REASONS_SHOWN} more reasons"
    hidden = any(len(names) > NAMES_SHOWN for _, (_, names) in grouped)
    if hidden or len(grouped) > REASONS_SHOWN:
        yield MORE


def groups(
    removed: list[dict[str, Any]],
) -> list[tuple[tuple[str, str, str], tuple[list[str], list[str]]]]:
    """Who gave which reason for what kind of thing, with the positions and the names; policies first, since
    they are the user's own to change, and what concerns most.

    What is no exit anyway is not said to be kept from being one."""
    no_exits = {
        one["subject"] for one in removed if one["by"] == "network" and one["position"] in (None, "exit")
    }
    found: dict[tuple[str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for one in removed:
        if one["kind"] == "request":
            continue  # stands in the headline
        if one["by"] not in WORLD and one["position"] == "exit" and one["subject"] in no_exits:
            continue
        key = one["by"], one["reason"], one["kind"]
        positions, names = found.setdefault(key, ({}, {}))
        positions[one["position"] or ""] = None
        names[one["subject"]] = None
    ordered = sorted(found.items(), key=lambda group: (group[0][0] in WORLD, -len(group[1][1])))
    return [(key, (list(positions), list(names))) for key, (positions, names) in ordered]


def _what(kind: str, positions: list[str], count: int) -> str:
    noun = kind if count == 1 else f"{kind}s"
    return noun if "" in positions else f"{noun} as {' and '.join(positions)}"


def _described(node: dict[str, Any]) -> list[str]:
    return [
        node["name"],
        ", ".join(node["countries"]) or "-",
        ", ".join(map(str, node["asns"])) or "-",
        node["group"] or "-",
        node["owner"] or "-",
    ]


def _position(place: int, count: int) -> str:
    if place == count - 1:
        return "exit"
    return "middle" if place else "entry"


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown(reason: str) -> str:
    """A reason, whoever gave it, as part of a line."""
    line = "".join(letter if letter.isprintable() else " " for letter in reason)
    return line if len(line) <= REASON_CAP else f"{line[: REASON_CAP - 3]}..."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _ms(us: float) -> str:
    return f"{us / 1000:.1f} ms"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}"
