"""link.json: a link's blocks, from the first under early keys to those behind its first step."""

from __future__ import annotations

from typing import Any

from .. import link, ratchet
from ..framing import u16
from ..link import Cell
from ..ratchet import CELLS_PER_STEP, REQUEST, RESPONSE, Direction
from ..recorded import FROZEN, Recorded, fixed, long
from ..suites import SUITES, Suite

CIRCUIT = 1
"""The initiator's first id."""
DONE = 1
PING_TOKEN = 1_000_000
WHOLE = ("END_EARLY", "RSP 0")
"""The blocks that are written out, of the default suite."""


def blocks(before: dict[str, Any]) -> dict[str, Any]:
    """link.json."""
    return {name: _case(SUITES[name], before.get(name, {})) for name in FROZEN}


def _case(suite: Suite, before: dict[str, Any]) -> dict[str, Any]:
    recorded = Recorded(before.get("kem", {}))
    own = f"{suite.name} link"
    key, binding, early_root = fixed(f"{own} key"), fixed(f"{own} transcript"), fixed(f"{own} early")
    forward, backward = ratchet.session(suite, key, binding, CELLS_PER_STEP)
    ways = {"early": Direction(suite, early_root), "forward": forward, "backward": backward}
    seeds = {
        name: fixed(f"{own} {name}", suite.kem.seed_size)
        for name in ("initiator 0", "responder 0", "initiator 1", "responder 1")
    }
    events: list[dict[str, Any]] = []

    def send(way: str, name: str, cell: Cell) -> None:
        counter = ways[way].counter
        block = long(suite, link.seal_block(ways[way], cell))
        if name not in WHOLE:
            block.pop("hex", None)
        written = {"circuit": cell.circuit, "command": cell.command, "credit": cell.credit}
        # What a step's cell holds is made of what stands elsewhere in the case.
        body = {} if name[-1].isdigit() or name == "END_EARLY" else {"body": cell.body.hex()}
        events.append({"way": way, "is": name, "counter": counter, **written, **body, "block": block})

    def step(kind: int, epoch: int, to: str, new: str) -> None:
        way, name = ("forward", f"REQ {epoch}") if kind == REQUEST else ("backward", f"RSP {epoch}")
        secret, ciphertext = recorded.encapsulation(suite, name, seeds[to])
        frame = ratchet.encode_frame(kind, epoch, ciphertext, suite.kem.public(seeds[new]))
        send(way, name, link.ratchet(frame))
        ways[way].turn(secret, frame)

    send("early", "SETUP", Cell(CIRCUIT, link.SETUP, 0, fixed(f"{own} content", 40)))
    send("early", "EARLY", Cell(CIRCUIT, link.EARLY, 0, fixed(f"{own} early cell", 40)))
    send("early", "PING", link.ping(PING_TOKEN))
    send("early", "END_EARLY", link.end_early(suite.kem.public(seeds["initiator 0"])))
    send("backward", "PONG", link.pong(PING_TOKEN))
    step(RESPONSE, 0, "initiator 0", "responder 0")
    step(REQUEST, 1, "responder 0", "initiator 1")
    step(RESPONSE, 1, "initiator 1", "responder 1")
    send("forward", "RELAY", Cell(CIRCUIT, link.RELAY, 0, fixed(f"{own} cell", 40)))
    send("backward", "RELAY", Cell(CIRCUIT, link.RELAY, 5, fixed(f"{own} cell back", 40)))
    send("forward", "DESTROY", Cell(CIRCUIT, link.DESTROY, 0, u16(DONE)))
    return {
        "early_root": early_root.hex(),
        "key": key.hex(),
        "transcript": binding.hex(),
        "seeds": {name: seed.hex() for name, seed in seeds.items()},
        "blocks": events,
        "kem": recorded.now,
    }
