"""``port17 route show``: the circuits that a running client has open."""

from __future__ import annotations

import argparse
from typing import Any

from port17_cli import asking, output


def show(args: argparse.Namespace) -> int:
    """``port17 route show``."""
    answer = asking.answer(args, "client", "circuits")
    if args.json:
        print(output.document("port17.route.show/1", answer))
        return 0
    circuits = answer["circuits"]
    if not circuits:
        print("No circuit is open.")
        return 0
    print(output.table(["ID", "STATE", "AGE", "ROUTE", "STREAMS", "UP", "DOWN"], list(map(_row, circuits))))
    return 0


def _row(circuit: dict[str, Any]) -> list[str]:
    return [
        str(circuit["id"]),
        str(circuit["state"]),
        f"{circuit['age_s']:.0f} s",
        " > ".join(hop["name"] for hop in circuit["hops"]),
        str(circuit["conveyors"]),
        output.size(circuit["bytes_up"]),
        output.size(circuit["bytes_down"]),
    ]
