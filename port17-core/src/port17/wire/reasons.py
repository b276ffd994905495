"""Why a conveyor or a circuit ended: the typed reasons that cross the wire."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """u16 on the wire; an unknown value is read as :attr:`GENERIC`."""

    GENERIC = 0
    """Nothing more is said. A relayed DESTROY never says more."""
    DONE = 1
    """The user or the program ended it."""
    PROTOCOL = 2
    """The peer broke the protocol."""
    RESOURCES = 3
    """A budget (memory, circuits, conveyors) is spent."""
    NO_LANE = 4
    """HOP named a node to which no lane stands."""
    NEXT_HOP_LOST = 5
    """The next hop's link or circuit ended; evidence about the edge, not about either node."""
    POLICY = 6
    """The exit policy does not allow the destination."""
    RESOLVE_FAILED = 7
    """The name has no address."""
    REFUSED = 8
    """The destination refused the connection."""
    HOST_UNREACHABLE = 9
    NETWORK_UNREACHABLE = 10
    TIMEOUT = 11
    RESET = 12
    """The destination or the program reset the connection."""
    UNKNOWN_OPERATION = 13
    """The node does not offer the operation that was opened."""
    LINK_LOST = 14
    """Local only: the client's own link to its entry node ended."""
    RATE = 15
    """A quota was exceeded."""

    @classmethod
    def read(cls, value: int) -> Reason:
        """The reason of a wire value."""
        try:
            return cls(value)
        except ValueError:
            return cls.GENERIC

    @classmethod
    def from_peer(cls, value: int) -> Reason:
        """The reason that a peer gives for ending a circuit: what only we can mean, it cannot say."""
        reason = cls.read(value)
        return cls.GENERIC if reason in (cls.DONE, cls.LINK_LOST) else reason
