"""``port17 route show``: the circuits that a running client has open, and how often keys have turned."""

from __future__ import annotations

import argparse
from typing import Any

from port17_cli import asking, output

NONE = "-"
"""What a table shows where there is nothing to say."""


def show(args: argparse.Namespace) -> int:
    """``port17 route show``."""
    answer = asking.answer(args, "client", "circuits")
    if args.json:
        print(output.document("port17.route.show/1", answer))
        return 0
    circuits, links = answer["circuits"], answer["links"]
    if not circuits:
        print("No circuit is open.")
    else:
        head = ["ID", "STATE", "AGE", "ROUTE", "STREAMS", "UP", "DOWN"]
        print(output.table(head, list(map(_row, circuits))))
    if args.hops and (circuits or links):
        # Out is from this client on, back is to it: each direction has keys of its own.
        head = ["ID", "HOP", "NODE", "SUITE", "STEPS OUT", "BACK", "REKEYS OUT", "BACK", "LAST REKEY"]
        rows = [row for circuit in circuits for row in _hops(circuit)]
        rows += [["link", NONE, link["name"] or link["id"], *_keys(link)] for link in links]
        print(f"\n{output.table(head, rows)}")
    return 0


def _row(circuit: dict[str, Any]) -> list[str]:
    return [
        str(circuit["id"]),
        _state(circuit),
        f"{circuit['age_s']:.0f} s",
        " > ".join(hop["name"] for hop in circuit["hops"]),
        str(circuit["conveyors"]),
        output.size(circuit["bytes_up"]),
        output.size(circuit["bytes_down"]),
    ]


def _state(circuit: dict[str, Any]) -> str:
    said = [circuit["state"]]
    said += [circuit["standing"]] if circuit["standing"] != "good" else []
    said += ["spare"] if circuit["spare"] else []
    said += ["leaving"] if circuit["retired"] else []
    return ", ".join(said)


def _hops(circuit: dict[str, Any]) -> list[list[str]]:
    """A row per hop; the circuit's number stands before the first alone."""
    return [
        [str(circuit["id"]) if not place else "", str(place + 1), hop["name"], *_keys(hop)]
        for place, hop in enumerate(circuit["hops"])
    ]


def _keys(end: dict[str, Any]) -> list[str]:
    steps = end["steps"]
    if steps is None:
        return [end["suite"] or NONE, *[NONE] * 5]
    last_s = steps["last_s"]
    return [
        end["suite"],
        str(steps["forward"]),
        str(steps["backward"]),
        str(steps["forward_rekeys"]),
        str(steps["backward_rekeys"]),
        f"{last_s:.0f} s ago" if last_s is not None else NONE,
    ]
