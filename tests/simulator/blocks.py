"""What a ship carries, counted as the wire has it: in whole blocks, with what keys and credits add."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from port17.wire.block import BLOCK_SIZE
from port17.wire.frame import DATA_CAP
from port17.wire.pace import STEP_S

CELLS_PER_CREDIT: Final = 8
"""Cells of data for one that goes back: half a conveyor's first window, whose CREDIT frame has the cell's
credit ride along in its header."""
FLIGHT_BLOCKS: Final = 2
"""Blocks of one flight of a link's handshake, each way."""
SETUP_BLOCKS: Final = 3, 2
"""Blocks of a circuit of one hop and its SYNC, there and back: SETUP, REQ, OPEN; RSP, ACCEPT."""
STEP_BLOCKS: Final = 2
"""Blocks each way of what a ship in use does once in :data:`~port17.wire.pace.STEP_S`: a step of the link's
keys and one of the circuit's."""
KIND_SIZE_CAP: Final = 16
"""Bytes of a message in which its kind stands."""


def blocks(size: int) -> int:
    """Cells that so many bytes of a conveyor take, if nothing else shares the last."""
    return -(-size // DATA_CAP)


@dataclass
class Traffic:
    """What one end has sent or got.

    :param messages: of SYNC, by kind.
    :param data: bytes of messages by kind, with the length before each.
    :param blocks: that crossed the ship, of every sort.
    """

    messages: Counter[str] = field(default_factory=Counter)
    data: Counter[str] = field(default_factory=Counter)
    blocks: int = 0

    @property
    def bytes(self) -> int:
        """On the wire."""
        return self.blocks * BLOCK_SIZE

    def minus(self, before: Traffic) -> Traffic:
        """What has come since."""
        return Traffic(self.messages - before.messages, self.data - before.data, self.blocks - before.blocks)

    def add(self, other: Traffic) -> None:
        """Count another's too."""
        self.messages += other.messages
        self.data += other.data
        self.blocks += other.blocks

    def divided(self, by: int) -> Traffic:
        """A fraction of it, to whole bytes."""
        return Traffic(
            Counter({kind: count // by for kind, count in self.messages.items()}),
            Counter({kind: count // by for kind, count in self.data.items()}),
            self.blocks // by,
        )

    def copy(self) -> Traffic:
        """As it is now."""
        return Traffic(self.messages.copy(), self.data.copy(), self.blocks)


class Splitter:
    """Tells the messages of one direction of one SYNC apart, to count them: a length of four bytes, then a
    CBOR list whose first item is the kind."""

    def __init__(self) -> None:
        self._left = 0
        self._head = b""
        self._kind = ""

    def split(self, data: bytes) -> list[tuple[str, int, bool]]:
        """The pieces of messages in what is sent now: kind, bytes, whether the message begins here."""
        found: list[tuple[str, int, bool]] = []
        at = 0
        while at < len(data):
            if self._left:
                size = min(self._left, len(data) - at)
                found.append((self._kind, size, False))
            else:
                head = data[at : at + 4 + KIND_SIZE_CAP]
                self._left = 4 + int.from_bytes(head[:4], "big")
                size = min(self._left, len(data) - at)
                self._kind = kind(head[4:])
                found.append((self._kind, size, True))
            self._left -= size
            at += size
        return found


def kind(message: bytes) -> str:
    """What a message calls itself, as far as its first bytes tell."""
    if len(message) < 2 or message[0] >> 5 != 4:
        return "?"
    if message[1] >> 5 == 3:
        return message[2 : 2 + (message[1] & 0x1F)].decode("ascii", "replace")
    return str(message[1])


class Steps:
    """When a ship's keys step: by time, only while it is used."""

    def __init__(self) -> None:
        self._due_s = 0.0

    def used(self, now_s: float) -> int:
        """Blocks each way that this use of the ship adds."""
        if now_s < self._due_s:
            return 0
        self._due_s = now_s + STEP_S
        return STEP_BLOCKS
