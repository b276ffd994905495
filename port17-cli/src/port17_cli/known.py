"""What a node or a client knows of the network's nodes, for commands about it: asked of the process if it
runs, else read from its rack; and in either case what lies in its folder of bottles."""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from port17 import control
from port17.bottles.rack import BottleStore, MemoryRack, Racked, load_directory
from port17.errors import NetworkError, RecordError, UsageError
from port17.plugins.families import BOTTLE_STORES
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.scheme import usable
from port17_cli import drivers, settings

if TYPE_CHECKING:
    from port17.config import ClientConfig, NodeConfig
    from port17.records.charter import Charter

ASK_S = 30.0
"""Seconds that a running process may take to answer one page."""


def rack(
    config: NodeConfig | ClientConfig, charter: Charter, registry: Registry, now: float
) -> tuple[MemoryRack, list[RecordError]]:
    """All that is known, verified again.

    :returns: the bottles, and what is wrong with files of the folder.
    :raises ConfigError: the folder or the rack can't be read.
    """
    revision = charter.current(now)
    schemes = usable(revision.schemes, drivers.schemes(registry))
    found = MemoryRack()
    problems: list[RecordError] = []
    if config.bottles.exists():
        problems = load_directory(
            config.bottles, charter.network_id, schemes, found, now, skew_s=revision.clock_skew_s
        )
    for bottle in (entry.bottle for entry in held(config, charter, registry)):
        try:
            bottle.verify(charter.network_id, schemes, now, skew_s=revision.clock_skew_s)
        except RecordError:
            continue  # a scheme that holds no longer, or a clock that was set back
        found.put(bottle)
    return found, problems


def asked(args: argparse.Namespace) -> MemoryRack:
    """All that the node or client knows whose configuration a command names.

    :raises ConfigError: as of :func:`rack`.
    """
    config, _ = settings.read(settings.kind_of(args.config), args.config)
    registry = Registry()
    charter = drivers.present_charter(config, drivers.schemes(registry))
    return rack(config, charter, registry, time.time())[0]


def held(config: NodeConfig | ClientConfig, charter: Charter, registry: Registry) -> Iterator[Racked]:
    """What the process holds of nodes, as it holds it: asked of it if it runs, else from its rack.

    :raises ConfigError: the rack can't be read.
    """
    try:
        rows = anyio.run(_ask, config.control)
    except NetworkError:
        rows = None  # it does not run
    if rows is not None:
        for row in rows:
            yield Racked(Bottle.parse(base64.b64decode(row["bottle"])), distrust=row["distrust"])
        return
    made: BottleStore = registry.make(BOTTLE_STORES, config.rack.store, config.rack.options)
    if not (made.lasting and config.state.exists()):
        return
    try:
        made.open(charter.network_id, config.state)
        for stamp in made.stamps():
            entry = made.held(stamp.fingerprint)
            if entry is not None:
                yield entry
    finally:
        made.close()


async def _ask(path: Path) -> list[dict[str, str]]:
    """The rows of the verb ``bottles``.

    :raises NetworkError: nobody answers.
    """
    found: list[dict[str, str]] = []
    after: str | None = ""
    while after is not None:
        page: dict[str, Any] = await control.ask(path, "bottles", {"after": after}, ASK_S)
        found += page["bottles"]
        after = page["next"]
    return found


def find(bottles: MemoryRack, text: str) -> Bottle | None:
    """The one node of an id, a fingerprint in hex, or a PortName.

    :raises UsageError: several claim the name.
    """
    named = [
        one
        for one in bottles
        if text in (one.node_id, one.fingerprint.hex()) or one.label.name.lower() == text.lower()
    ]
    if len(named) > 1:
        raise UsageError(f"{len(named)} nodes claim the name {text}.", cure="Give an id.")
    return named[0] if named else None
