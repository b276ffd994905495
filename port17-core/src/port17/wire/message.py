"""What the two ends of a link tell each other about the link itself, in cells of circuit 0."""

from __future__ import annotations

import struct
from enum import IntEnum

TOKEN = struct.Struct(">BQ")
"""A LINK cell's kind and the token of PING and PONG."""


class LinkMessage(IntEnum):
    """The first byte of a LINK cell's body."""

    END_EARLY = 1
    """The last block under early keys."""
    PING = 2
    PONG = 3
