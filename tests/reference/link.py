"""Cells, the blocks they are sealed in, and LINK's bodies (docs/protocol.md, "Blocks")."""

from __future__ import annotations

from dataclasses import dataclass

from .framing import u8, u16, u32, u64
from .ratchet import Direction

CELL = 4080
BLOCK = CELL + 16
BODY = 4072
PADDING, SETUP, EARLY, RELAY, DESTROY, LINK = range(6)
END_EARLY, PING, PONG, RATCHET = 1, 2, 3, 4


@dataclass(frozen=True)
class Cell:
    """What a block holds.

    :param body: its tail of zeros may be left out.
    """

    circuit: int
    command: int
    credit: int
    body: bytes

    def encode(self) -> bytes:
        """4080 bytes."""
        assert len(self.body) <= BODY
        header = u32(self.circuit) + u8(self.command) + u8(0) + u16(self.credit)
        return header + self.body.ljust(BODY, b"\0")


def decode_cell(cell: bytes) -> Cell:
    """The cell of 4080 bytes; its body is whole."""
    assert len(cell) == CELL
    assert cell[5] == 0
    return Cell(int.from_bytes(cell[:4], "big"), cell[4], int.from_bytes(cell[6:8], "big"), cell[8:])


def seal_block(direction: Direction, cell: Cell) -> bytes:
    """The next block of a link's direction."""
    return direction.seal(cell.encode())


def open_block(direction: Direction, block: bytes) -> Cell:
    """
    :raises Forged: it is not the direction's next block.
    """
    assert len(block) == BLOCK
    return decode_cell(direction.open(block))


def end_early(ratchet_public: bytes) -> Cell:
    """The initiator's last cell under early keys."""
    return Cell(0, LINK, 0, u8(END_EARLY) + u64(0) + ratchet_public)


def ping(token: int) -> Cell:
    return Cell(0, LINK, 0, u8(PING) + u64(token))


def pong(token: int) -> Cell:
    return Cell(0, LINK, 0, u8(PONG) + u64(token))


def ratchet(frame: bytes) -> Cell:
    """A step of the link's own keys."""
    return Cell(0, LINK, 0, u8(RATCHET) + u16(len(frame)) + frame)


def ratchet_of(cell: Cell) -> bytes:
    """The RATCHET frame that a LINK cell carries."""
    assert cell.command == LINK
    assert cell.body[0] == RATCHET
    return cell.body[3 : 3 + int.from_bytes(cell.body[1:3], "big")]
