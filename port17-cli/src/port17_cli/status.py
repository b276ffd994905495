"""``port17 node status``: how a running node is."""

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
