"""Messages that are lost on their way, though the ship stands: as by a bug, or by a cap that was reached."""

from __future__ import annotations

import random
from collections.abc import Collection

from port17.bottles.sync import LENGTH_SIZE
from simulator.blocks import kind
from simulator.process import Talk


class Loss:
    """Takes whole messages of some kinds out of what is sent."""

    def __init__(self, rate: float, kinds: Collection[str], seed: int = 0) -> None:
        """:param rate: of these messages, the fraction that is lost."""
        self.lost = 0
        self._rate = rate
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._left: dict[tuple[str, int], int] = {}
        """Bytes still to come of a message that was begun, by who sends it in which SYNC."""

    def __call__(self, talk: Talk, data: bytes) -> bytes:
        """What of a piece arrives."""
        who = talk.end.name, int(talk.key)
        at = min(self._left.pop(who, 0), len(data))
        kept = bytearray(data[:at])
        while at < len(data):
            size = LENGTH_SIZE + int.from_bytes(data[at : at + LENGTH_SIZE], "big")
            piece = data[at : at + size]
            if len(piece) < size:
                self._left[who] = size - len(piece)
            elif kind(piece[LENGTH_SIZE:]) in self._kinds and self._chance.random() < self._rate:
                self.lost += 1
                piece = b""
            kept += piece
            at += size
        return bytes(kept)
