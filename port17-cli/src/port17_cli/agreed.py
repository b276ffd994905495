"""``port17 suites explain``: which suite two ends would use, and what became of every other."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from port17.errors import ConfigError
from port17.navigator.agreement import Agreement, agree
from port17.plugins.loader import Registry
from port17.plugins.own_suites import OwnSuites
from port17_cli import drivers, known, output, settings

if TYPE_CHECKING:
    from port17.records.bottle import Bottle


def explain(args: argparse.Namespace) -> int:
    """``port17 suites explain``."""
    config, _ = settings.read(settings.kind_of(args.config), args.config)
    registry = Registry()
    schemes = drivers.schemes(registry)
    now = time.time()
    charter = drivers.present_charter(config, schemes)
    revision = charter.current(now)
    rack, problems = known.rack(config, charter, registry, now)
    choice = OwnSuites(registry, config.suites).under(revision)
    # A node never calls itself.
    others = [bottle for bottle in rack if bottle.label.name != getattr(config, "name", None)]
    nodes = [
        _explained(
            bottle, agree(choice.terms, bottle.label.suites, choice.suites, why_not_own=choice.refused), now
        )
        for bottle in _asked(others, args.node, str(config.bottles))
    ]
    if args.json:
        values = {
            "revision": revision.seq,
            "nodes": nodes,
            "problems": [problem.message for problem in problems],
        }
        print(output.document("port17.suites.explain/1", values))
        return 0
    print(f"Revision {revision.seq} of the charter {config.charter}")
    for node in nodes:
        print(f"\n{node['name']} ({node['id']}): {_chosen(node)}")
        head = ["", "SUITE", "PREKEY", "REASON"]
        print(output.table(head, [_row(suite) for suite in node["suites"]]))
    for problem in problems:
        print(f"\nA bottle is left out: {problem}")
    return 0


def _asked(bottles: list[Bottle], text: str | None, folder: str) -> list[Bottle]:
    """The bottles of the node that a name or an id means; all of them, by name, if nothing is said."""
    bottles.sort(key=lambda bottle: bottle.label.name)
    if text is None:
        return bottles
    named = [bottle for bottle in bottles if text in (bottle.label.name, bottle.node_id)]
    if not named:
        known = ", ".join(bottle.label.name for bottle in bottles) or "none"
        raise ConfigError(
            f"There is no valid bottle of a node {text} in {folder}.",
            cure=f"Give a name or an id; there are bottles of: {known}.",
        )
    return named


def _explained(bottle: Bottle, agreement: Agreement, now: float) -> dict[str, Any]:
    held = {record.suite for record in bottle.bundle if record.expiry > now}
    return {
        "id": bottle.node_id,
        "name": bottle.label.name,
        "suite": agreement.suite,
        "usable": agreement.suite in held,
        "suites": [
            {
                "name": verdict.name,
                "taken": verdict.taken,
                "reason": verdict.reason,
                "prekey_held": verdict.name in held,
            }
            for verdict in agreement.verdicts
        ],
    }


def _chosen(node: dict[str, Any]) -> str:
    if node["suite"] is None:
        return "none; nothing in common, so it cannot be used"
    if not node["usable"]:
        return f"{node['suite']}, of which no prekey is held: it cannot be used now, whatever else it serves"
    return str(node["suite"])


def _row(suite: dict[str, Any]) -> list[str]:
    return [
        "->" if suite["taken"] else "",
        suite["name"],
        "held" if suite["prekey_held"] else "none",
        suite["reason"],
    ]
