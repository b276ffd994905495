"""``port17 node status`` and ``port17 client status``: how a running process is."""

from __future__ import annotations

import argparse
from typing import Any

from port17_cli import asking, output


def status(args: argparse.Namespace) -> int:
    """``port17 node status``."""
    answer = asking.answer(args, "node", "status")
    if args.json:
        print(output.document("port17.node.status/1", answer))
        return 0
    for name, value in output.flat(answer):
        print(f"{name}: {value}")
    return 0


def client(args: argparse.Namespace) -> int:
    """``port17 client status``."""
    answer = asking.answer(args, "client", "status")
    if args.json:
        print(output.document("port17.client.status/1", answer))
        return 0
    sources, guards = answer.pop("sources"), answer.pop("guards")
    for name, value in output.flat(answer):
        print(f"{name}: {value}")
    if guards:
        head = ["GUARD", "ID", "STATE", "DAYS", "DAYS LEFT"]
        print(f"\n{output.table(head, list(map(_guard, guards)))}")
    if not sources:
        print("\nNo node tells it of the network.")
        return 0
    head = ["SOURCE", "GROUP", "ID", "OF", "TOLD ALL"]
    rows = [
        [one["name"], one["group"], one["id"], one["scope"], "yes" if one["synced"] else "no"]
        for one in sources
    ]
    print(f"\n{output.table(head, rows)}")
    return 0


def _guard(guard: dict[str, Any]) -> list[str]:
    state = guard["state"]
    if guard["again_s"] is not None:
        state += f", called again in {guard['again_s']:.0f} s"
    return [guard["name"], guard["id"], state, f"{guard['days']:.0f}", f"{guard['days_left']:.0f}"]
