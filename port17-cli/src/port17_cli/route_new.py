"""``port17 route new``: a new identity for a running client's programs."""

from __future__ import annotations

import argparse

from port17.control import ask
from port17_cli import asking, loop, output


def new(args: argparse.Namespace) -> int:
    """``port17 route new``."""
    answer = loop.run(ask, asking.path(args, "client"), "renew", {"end": args.end})
    if args.json:
        print(output.document("port17.route.new/1", answer))
        return 0
    ended, left = answer["ended"], answer["left"]
    print(f"New connections take new routes; {_count(ended)} ended.")
    if left:
        goes_on = "goes on" if left == 1 else "go on"
        print(f"  {_count(left)} {goes_on} until what uses it is over; --end ends that, too")
    return 0


def _count(circuits: int) -> str:
    return f"{circuits} circuit" if circuits == 1 else f"{circuits} circuits"
