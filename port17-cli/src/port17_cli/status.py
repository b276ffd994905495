"""``port17 node status`` and ``port17 client status``: how a running process is."""

from __future__ import annotations

import argparse

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
    sources = answer.pop("sources")
    for name, value in output.flat(answer):
        print(f"{name}: {value}")
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
