"""The control verb ``bottles``: what a running process knows of nodes, a page at a time."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio.lowlevel

from port17.errors import UsageError
from port17.network import KnownNetwork
from port17.records.record import HASH_SIZE

PAGE: Final = 256
"""Bottles in one answer: some 5 MiB with all prekeys, and a moment of the process's time."""


def bottles(network: KnownNetwork) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """The verb for one process.

    Arguments: ``after``, the fingerprint in hex of the last node that was given, if any. The answer is
    ``bottles``, each with its encoding in base64 and why it is distrusted, and ``next``, what to give as
    ``after`` then; null if that was all.
    """

    async def answer(args: dict[str, Any]) -> dict[str, Any]:
        after = _fingerprint(args.get("after", ""))
        rows: list[dict[str, str]] = []
        last: str | None = None
        for stamp in network.rack.stamps():
            if stamp.fingerprint <= after:
                continue
            if len(rows) == PAGE:
                return {"bottles": rows, "next": last}
            held = network.rack.held(stamp.fingerprint)
            if held is not None:
                encoded = base64.b64encode(held.bottle.encode()).decode("ascii")
                rows.append({"bottle": encoded, "distrust": held.distrust})
                last = stamp.fingerprint.hex()
            await anyio.lowlevel.checkpoint()
        return {"bottles": rows, "next": None}

    return answer


def _fingerprint(text: object) -> bytes:
    try:
        found = bytes.fromhex(str(text))
    except ValueError:
        found = b"?"
    if len(found) not in (0, HASH_SIZE):
        raise UsageError("bottles takes the fingerprint in hex after which to go on.")
    return found
