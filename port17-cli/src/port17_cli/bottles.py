"""``port17 bottle list`` and ``export``: all nodes that a node or a client knows."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from port17.bottles.rack import save_bottle
from port17.errors import ConfigError, UsageError
from port17_cli import known, output


def list_all(args: argparse.Namespace) -> int:
    """``port17 bottle list``."""
    now = time.time()
    nodes = [
        {
            "id": one.node_id,
            "name": one.label.name,
            "group": one.label.group,
            "flavour": one.label.flavour,
            "lanes": len(one.contents.lanes),
            "age_s": max(0, int(now) - one.contents.seq),
        }
        for one in sorted(known.asked(args), key=lambda one: one.label.name)
    ]
    if args.json:
        print(output.document("port17.bottle.list/1", {"nodes": nodes}))
        return 0
    head = ["ID", "NAME", "GROUP", "FLAVOUR", "LANES", "AGE (S)"]
    print(output.table(head, [list(node.values()) for node in nodes]))
    return 0


def export(args: argparse.Namespace) -> int:
    """``port17 bottle export``."""
    rack = known.asked(args)
    chosen = []
    for text in args.node:
        found = known.find(rack, text)
        if found is None:
            raise UsageError(f"No node is {text}.", cure=f"See `port17 bottle list --config {args.config}`.")
        chosen.append(found)
    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} can't be made: {error.strerror}.", cure="Give another --out.") from error
    every = chosen or sorted(rack, key=lambda one: one.label.name)
    files = [str(save_bottle(folder, one)) for one in every]
    if args.json:
        print(output.document("port17.bottle.export/1", {"files": files}))
        return 0
    print(f"{len(files)} bottles are in {folder}")
    return 0
