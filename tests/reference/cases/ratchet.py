"""ratchet.json: a session's two directions over several epochs, at three lengths of a chain's step."""

from __future__ import annotations

import hashlib
from typing import Any

from .. import ratchet
from ..ratchet import REQUEST, RESPONSE
from ..recorded import FROZEN, Recorded, fixed
from ..suites import SUITES, Suite

RUNS = {1: 3, 3: 7, 128: 130}
"""Cells per symmetric step, and how many cells are sent in a row where the run is to cross such a step."""
HEAD = 68


def sessions(before: dict[str, Any]) -> dict[str, Any]:
    """ratchet.json."""
    cases = {}
    for name in FROZEN:
        suite = SUITES[name]
        recorded = Recorded(before.get(name, {}).get("kem", {}))
        key, binding = fixed(f"{name} session key"), fixed("binding")
        cases[name] = {
            "key": key.hex(),
            "binding": binding.hex(),
            "runs": [
                {"cells_per_step": step, "events": Run(suite, recorded, key, binding, step).play(many)}
                for step, many in RUNS.items()
            ],
            "kem": recorded.now,
        }
    return cases


class Run:
    """What happens in one session, as it is written down."""

    def __init__(
        self, suite: Suite, recorded: Recorded, key: bytes, binding: bytes, cells_per_step: int
    ) -> None:
        self._suite = suite
        self._recorded = recorded
        forward, backward = ratchet.session(suite, key, binding, cells_per_step)
        self._ways = {"forward": forward, "backward": backward}
        self._events: list[dict[str, Any]] = []

    def play(self, many: int) -> list[dict[str, Any]]:
        """The events."""
        self._cells("forward", 1)
        self._turn(RESPONSE, 0)
        self._cells("backward", 2)
        self._turn(REQUEST, 1)
        self._cells("forward", 3)
        self._cells("backward", 2)  # the response to a step may have cells before it
        self._turn(RESPONSE, 1)
        self._cells("backward", 1)
        self._cells("forward", many)
        self._turn(REQUEST, 2)
        self._turn(RESPONSE, 2)
        self._cells("backward", many)
        self._turn(REQUEST, 3)
        self._cells("forward", 1)
        self._turn(RESPONSE, 3)
        self._cells("backward", 1)
        self._cells("forward", 1)
        return self._events

    def _cells(self, way: str, count: int) -> None:
        """So many cells; the last is written down."""
        direction = self._ways[way]
        for _ in range(count - 1):
            direction.counter += 1
        text = f"{way} cell {direction.counter}".encode()
        event = {
            "way": way,
            "cells": count,
            "counter": direction.counter,
            "plaintext": text.hex(),
            "keystream": direction.keystream(HEAD).hex(),
            "filler": direction.filler().hex(),
        }
        self._events.append({**event, "sealed": direction.seal(text).hex()})

    def _turn(self, kind: int, epoch: int) -> None:
        """A RATCHET frame in a cell of its own, and the keys behind it."""
        asking = kind == REQUEST
        way = "forward" if asking else "backward"
        # A REQ is to the responder's key of the epoch before, an RSP to the initiator's of its own.
        to = self._seed("responder", epoch - 1) if asking else self._seed("initiator", epoch)
        new = self._seed("initiator" if asking else "responder", epoch)
        name = f"{'REQ' if asking else 'RSP'} {epoch}"
        secret, ciphertext = self._recorded.encapsulation(self._suite, name, to)
        frame = ratchet.encode_frame(kind, epoch, ciphertext, self._suite.kem.public(new))
        direction = self._ways[way]
        event = {
            "way": way,
            "turn": name,
            "kind": kind,
            "epoch": epoch,
            "counter": direction.counter,
            "new_seed": new.hex(),
            "frame_sha256": hashlib.sha256(frame).hexdigest(),
            "sealed_sha256": hashlib.sha256(direction.seal(frame)).hexdigest(),
        }
        direction.turn(secret, frame)
        cell_key, filler_key = direction.keys()
        self._events.append(
            {
                **event,
                "root": direction.root.hex(),
                "chain_key": ratchet.chain_key(self._suite, direction.root, 0).hex(),
                "cell_key": cell_key.hex(),
                "filler_key": filler_key.hex(),
            }
        )

    def _seed(self, end: str, epoch: int) -> bytes:
        return fixed(f"{self._suite.name} ratchet key of the {end}, {epoch}", self._suite.kem.seed_size)
