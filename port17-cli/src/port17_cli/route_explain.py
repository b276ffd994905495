"""``port17 route explain``: which route a connection would get, what it costs, and why no other; or why there
is none, and what would bring one. Asked of the client if it runs, else found out from its files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import SystemRandom
from typing import Any

from port17.errors import UsageError
from port17_cli import asking, explained, loop, output, request, settings

NOT_FOUND = 5
"""Exit code where there is no route: the network does not do what was asked."""
ANSWER_S = 60.0
"""Seconds that a running client may take: on a large chart each change that it tries is a search."""


def explain(args: argparse.Namespace) -> int:
    """``port17 route explain``."""
    host, port = request.destination(args.destination)
    if args.config:
        settings.refuse_node(args.config)
    wanted = {"host": host, "port": port, "program": args.program, "level": args.level}
    found = None if args.policy else _asked(args, wanted)
    if found is None:
        found = {**_found_out(args, wanted), "source": "files"}
    if args.json:
        print(output.document("port17.route.explain/1", found))
    else:
        for line in explained.lines(found):
            print(line)
    return 0 if found["route"] is not None else NOT_FOUND


def _asked(args: argparse.Namespace, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """What the running client says; None if it does not run, and its files can be asked instead."""
    from port17.control import ask

    path = asking.path(args, "client")
    if args.config and not asking.listens(path):
        return None
    found = {**loop.run(ask, path, "explain", wanted, ANSWER_S), "source": "client"}
    changed = _changed_since(path, args.config) if args.config else None
    if changed is not None:
        print(
            f"port17: WARNING: {changed} has changed since the client started, which goes by what it was.\n"
            "  Start the client again; or give --policy for each policy, to see what the files would do.",
            file=sys.stderr,
        )
    return found


def _changed_since(socket: Path, config: str) -> Path | None:
    """The first of a client's files that is newer than its control socket, which it makes when it starts."""
    from port17.config import ClientConfig

    policies = settings.read(ClientConfig, config)[0].policies
    local = [Path(file).expanduser() for file in (spec.rpartition(":")[0] for spec in policies)]
    mine = Path(config)
    for file in (mine, *(mine.parent / path for path in local if path.suffix == ".py")):
        try:
            if file.stat().st_mtime > socket.stat().st_mtime:
                return file
        except FileNotFoundError:
            continue  # whoever needs it says so
    return None


def _found_out(args: argparse.Namespace, wanted: dict[str, Any]) -> dict[str, Any]:
    from port17.navigator.explanation import explain_request
    from port17_cli import situations

    if not args.config:
        raise UsageError("Whose files are meant is not said.", cure="Give --config FILE.")
    with situations.of_client(args.config, args.policy) as found:
        asked = found.request(**wanted)
        return explain_request(found.situation(asked), asked, SystemRandom()).plain()
