"""onion.json: routes of 1, 2, 3 and 5 hops; every hop is spoken to and speaks, with counters that differ."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

from .. import onion
from ..ratchet import Direction
from ..recorded import FROZEN, fixed, long
from ..suites import SUITES, Suite

Ways: TypeAlias = list[Direction]
"""One way of every hop of a route, first hop first."""

ROUTES = (1, 2, 3, 5)
CELLS_PER_STEP = (1, 3, 128, 2, 5)
"""Of hop 1, 2, ..."""
WHOLE = 3
"""The route whose bodies on the client's link are written out."""
ROUNDS = {WHOLE: 2}
"""How often every hop of a route is spoken to, and speaks; one time if not said."""


def routes() -> dict[str, Any]:
    """onion.json."""
    return {name: [_route(SUITES[name], hops) for hops in ROUTES] for name in FROZEN}


def payload(name: str) -> bytes:
    """A payload as it is packed: some frames, then zeros."""
    return fixed(name, 40).ljust(onion.PAYLOAD, b"\0")


def _route(suite: Suite, hops: int) -> dict[str, Any]:
    roots = [
        (fixed(f"{suite.name} {hops} forward {hop}"), fixed(f"{suite.name} {hops} backward {hop}"))
        for hop in range(1, hops + 1)
    ]
    client = [
        [Direction(suite, root, cells) for root, cells in zip(way, CELLS_PER_STEP, strict=False)]
        for way in zip(*roots, strict=True)
    ]
    nodes = copy.deepcopy(client)
    cells = []
    for number in range(ROUNDS.get(hops, 1)):
        for hop in range(1, hops + 1):
            cells.append(_forward(suite, client[0], nodes[0], hop, f"{hops} {number}"))
        for hop in range(1, hops + 1):
            cells.append(_backward(suite, client[1], nodes[1], hop, f"{hops} {number}"))
    return {
        "hops": [
            {"root_forward": forward.hex(), "root_backward": backward.hex(), "cells_per_step": step}
            for (forward, backward), step in zip(roots, CELLS_PER_STEP, strict=False)
        ],
        "cells": cells,
    }


def _forward(
    suite: Suite, client: list[Direction], nodes: list[Direction], hop: int, name: str
) -> dict[str, Any]:
    said = payload(f"forward {name} {hop}")
    noise = fixed(f"{suite.name} noise {name} {hop}", onion.noise_size(hop))
    counters = [direction.counter for direction in client]
    body = onion.forward_seal(client[:hop], said, noise)
    bodies = [body]
    for node in nodes[: hop - 1]:
        for_it, body = onion.forward_open(node, body)
        assert not for_it
        bodies.append(body)
    assert onion.forward_open(nodes[hop - 1], body) == (True, said)
    return _cell("forward", suite, hop, len(nodes), said, counters, bodies) | {"noise": noise.hex()}


def _backward(
    suite: Suite, client: list[Direction], nodes: list[Direction], hop: int, name: str
) -> dict[str, Any]:
    said = payload(f"backward {name} {hop}")
    counters = [direction.counter for direction in client]
    bodies = [onion.backward_say(nodes[hop - 1], said)]
    for node in reversed(nodes[: hop - 1]):
        bodies.insert(0, onion.backward_relay(node, bodies[0]))
    assert onion.backward_open(client, bodies[0]) == (hop, said)
    return _cell("backward", suite, hop, len(nodes), said, counters, bodies)


def _cell(
    way: str, suite: Suite, hop: int, hops: int, said: bytes, counters: list[int], bodies: list[bytes]
) -> dict[str, Any]:
    """:param bodies: as they cross the client's link, the link behind hop 1, ..."""
    written = [long(suite, body) for body in bodies]
    for index, body in enumerate(written):
        if index or hops != WHOLE:
            body.pop("hex", None)
    said = said.rstrip(b"\0")
    return {"way": way, "hop": hop, "counters": counters, "payload": said.hex(), "bodies": written}
