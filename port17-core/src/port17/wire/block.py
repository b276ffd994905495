"""The sizes of what crosses a link, and the header of a cell.

A block is what a ship carries, a cell what is inside it (docs/protocol.md, "Links"). Version 1 knows one
geometry; a charter that states another is refused.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from port17.wire.suite import TAG_SIZE

BLOCK_SIZE = 4096
"""Bytes of a block on the wire: one page, and the charter's ``cell_size``."""
CELL_SIZE = BLOCK_SIZE - TAG_SIZE
"""Bytes of a cell: header and body, the block's plaintext."""
HEADER = struct.Struct(">IBBH")
"""Circuit id u32, command u8, zero u8, credit u16."""
BODY_SIZE = CELL_SIZE - HEADER.size
"""``B``, bytes of a cell's body, 4072."""
CREDIT_CAP = 0xFFFF
"""Most cells that one header can return."""

MAX_HOPS = 5
"""Most hops of a circuit; sets HEAD."""
LAYER_OVERHEAD = TAG_SIZE + 1
"""``h``, bytes a layer of the onion takes: tag and flag."""
HEAD = (MAX_HOPS - 1) * LAYER_OVERHEAD
"""Bytes at a layer's front that the layers outside it may have eaten into."""
LAYER_SIZE = BODY_SIZE - TAG_SIZE
"""Bytes of a layer's plaintext, flag included, 4056."""
PAYLOAD_SIZE = LAYER_SIZE - HEAD - 1
"""Bytes of frames in one cell, 3987."""
SETUP_SIZE = 3072
"""Bytes of SETUP content, the same for every hop and suite."""

LINK_CIRCUIT = 0
"""The circuit id of the link itself."""
CIRCUIT_ID_CAP = 0xFFFF_FFFF
"""Ids are never reused on a link: past this one it is made anew."""


class Command(IntEnum):
    """What a cell is."""

    PADDING = 0
    SETUP = 1
    EARLY = 2
    RELAY = 3
    DESTROY = 4
    LINK = 5


class Flag(IntEnum):
    """The last byte of a layer's plaintext."""

    PASS_ON = 0
    FOR_YOU = 1
