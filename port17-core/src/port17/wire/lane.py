"""What turns a link between two nodes into a lane, and back: who may say which verb when.

Whether a lane is wanted is the nodes' to say; what a lane carries are circuits like any others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, IntEnum, auto
from types import MappingProxyType
from typing import Final

from port17.errors import LocalViolation, PeerViolation


class LaneVerb(IntEnum):
    """The byte after the kind of a LANE message."""

    ASK = 1
    """The caller's: let this link be a lane."""
    GRANT = 2
    """The other end's answer: it is one from now on, for both."""
    REFUSE = 3
    """Or it is none."""
    RETIRE = 4
    """Either end's, answered by the same: others are not to be told of this lane any more. What uses it goes
    on."""


class LaneState(Enum):
    """How far the two ends have come."""

    CALLER = auto()
    """We called, and have not asked."""
    CALLED = auto()
    """They called, and have not asked."""
    ASKING = auto()
    """We have asked."""
    ASKED = auto()
    """They have asked."""
    STANDS = auto()
    """The link is a lane."""
    RETIRING = auto()
    """We have said that it is to be none, and they have not answered."""
    OVER = auto()
    """It is none, and becomes none again: who wants one calls anew."""


SAY: Final[Mapping[tuple[LaneState, LaneVerb], LaneState]] = MappingProxyType(
    {
        (LaneState.CALLER, LaneVerb.ASK): LaneState.ASKING,
        (LaneState.ASKED, LaneVerb.GRANT): LaneState.STANDS,
        (LaneState.ASKED, LaneVerb.REFUSE): LaneState.OVER,
        (LaneState.STANDS, LaneVerb.RETIRE): LaneState.RETIRING,
    }
)
"""What we may say, and what follows from it."""
TAKE: Final[Mapping[tuple[LaneState, LaneVerb], LaneState]] = MappingProxyType(
    {
        (LaneState.CALLED, LaneVerb.ASK): LaneState.ASKED,
        (LaneState.ASKING, LaneVerb.GRANT): LaneState.STANDS,
        (LaneState.ASKING, LaneVerb.REFUSE): LaneState.OVER,
        (LaneState.STANDS, LaneVerb.RETIRE): LaneState.OVER,
        (LaneState.RETIRING, LaneVerb.RETIRE): LaneState.OVER,
    }
)
"""What the peer may say. Nothing leads back, so that a link carries three verbs each way at most, and a peer
that sends more is ended: that is the quota."""


class LaneTalk:
    """One end of a link between two nodes."""

    def __init__(
        self, *, caller: bool, send: Callable[[LaneVerb], None], told: Callable[[LaneVerb], None]
    ) -> None:
        """
        :param caller: we called.
        :param send: puts a verb on its way.
        :param told: called with what the peer has said, once it is in force; it takes no time.
        """
        self._send = send
        self._told = told
        self.state = LaneState.CALLER if caller else LaneState.CALLED

    def may(self, verb: LaneVerb) -> bool:
        """Whether :meth:`say` may be called with this."""
        return (self.state, verb) in SAY

    def say(self, verb: LaneVerb) -> None:
        """Tell the peer.

        :raises LocalViolation: it is not the time for that.
        """
        after = SAY.get((self.state, verb))
        if after is None:
            raise LocalViolation(f"{verb.name} cannot be said of a lane that is {self.state.name}")
        self.state = after
        self._send(verb)

    def take(self, code: int) -> None:
        """The peer has said something.

        :param code: of its verb.
        :raises PeerViolation: there is no such verb, or it is not the time for it.
        """
        try:
            verb = LaneVerb(code)
        except ValueError:
            raise PeerViolation("a LANE message has a verb that there is none of") from None
        after = TAKE.get((self.state, verb))
        if after is None:
            raise PeerViolation(f"{verb.name} came for a lane that is {self.state.name}")
        answers = self.state is LaneState.STANDS and verb is LaneVerb.RETIRE
        self.state = after
        if answers:
            self._send(LaneVerb.RETIRE)
        self._told(verb)
