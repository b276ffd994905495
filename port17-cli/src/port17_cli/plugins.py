"""``port17 plugins list``: what is installed, and whether it can be used. A broken plugin never breaks it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from port17.plugins import doctor, finder
from port17.plugins.families import FAMILIES
from port17_cli import output

UNTRIED = "untried"
"""Status of a plugin that was not loaded."""


def list_plugins(args: argparse.Namespace) -> int:
    """``port17 plugins list``."""
    rows = _found() if args.no_import else [dataclasses.asdict(row) for row in doctor.examine()]
    if args.json:
        print(output.document("port17.plugins.list/1", {"plugins": rows}))
        return 0
    head = ["KIND", "NAME", "STATUS", "DISTRIBUTION"]
    cells = [
        [row["noun"] or row["group"], row["name"], row["status"], f"{row['dist']} {row['version']}"]
        for row in rows
    ]
    print(output.table(head, cells))
    for row in rows:
        if row["problem"]:
            print(f"\n{row['name'] or row['dist'] or 'metadata'}: {row['problem']}\n  {row['cure']}")
    return 0


def _found() -> list[dict[str, Any]]:
    """The doctor's rows as far as metadata alone can tell."""
    return [
        {
            "group": found.group,
            "noun": FAMILIES[found.group].noun if found.group in FAMILIES else "",
            "name": found.name,
            "dist": found.dist,
            "version": found.version,
            "value": found.value,
            "status": UNTRIED,
            "problem": "",
            "cure": "",
        }
        for found in finder.find()
    ]
