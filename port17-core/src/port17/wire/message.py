"""What the two ends of a link tell each other about the link itself, in cells of circuit 0."""

from __future__ import annotations

import struct
from enum import IntEnum

TOKEN = struct.Struct(">BQ")
"""A LINK cell's kind and the token of PING and PONG, or the circuit that OWN speaks of."""
LANE = struct.Struct(">BB")
"""A LINK cell's kind and the verb of a LANE message."""
RATCHET_HEAD = struct.Struct(">BH")
"""A LINK cell's kind and the length of the RATCHET data that follows."""


class LinkMessage(IntEnum):
    """The first byte of a LINK cell's body."""

    END_EARLY = 1
    """The last block under early keys; after its token, the initiator's fresh ratchet key."""
    PING = 2
    PONG = 3
    RATCHET = 4
    """A step of the link's own keys: REQ from its initiator, RSP from its responder."""
    LANE = 5
    """Whether the link is a lane: see :class:`~port17.wire.lane.LaneVerb`."""
    OWN = 6
    """The circuit of this id, which is about to begin, is the node's own and no client's."""
