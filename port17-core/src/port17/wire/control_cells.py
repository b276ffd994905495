"""The cells of a link that no leg sends: DESTROY, PING and PONG, LANE, OWN, and what its keys have to say.

When they go out, before all else, is :mod:`port17.wire.link`'s.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

from port17.errors import PeerViolation
from port17.wire.block import LINK_CIRCUIT, Command
from port17.wire.lane import LaneTalk, LaneVerb
from port17.wire.link_keys import LinkKeys
from port17.wire.message import LANE, TOKEN, LinkMessage
from port17.wire.reasons import Reason

URGENT_CAP = 4096
"""Most control cells waiting for a peer that makes us answer and does not read."""
RECENT = 8
"""Round trips of which the shortest is what the link has lately been like: with a PING every two to ten
seconds these are of the last minute or so. A single one says how busy a processor was."""
ANNOUNCED_CAP = 8
"""Most circuits that are announced as a node's own and have not begun. A node begins one at a time."""
TOKEN_BITS = 64
"""Bits of a PING's token. Nobody answers a PING that he does not have yet: he would look near."""


class ControlCells:
    """Those that wait to be sent, and the LINK messages that come."""

    def __init__(self, keys: LinkKeys, wake: Callable[[], None]) -> None:
        """:param wake: called when there is one to send."""
        self._keys = keys
        self._wake = wake
        self._urgent: deque[tuple[int, Command, bytes]] = deque()
        self._pong: int | None = None
        self._asked: int | None = None
        """The token of the last PING; None if it was answered."""
        self.asked_s = 0.0
        """When the last PING was sent."""
        self._sending: LinkKeys | None = None
        self._verbs: deque[LaneVerb] = deque()
        """There are no more of these than a lane has states. They wait for the final keys: under early ones
        they could be sent again by whoever kept them."""
        self.lane: LaneTalk | None = None
        """None where nobody may speak of lanes: on every link with a client."""
        self.round_trip_s = 0.0
        """Shortest PING to PONG, seconds; 0 if none came back yet."""
        self._round_trips: deque[float] = deque(maxlen=RECENT)
        self.announced: deque[int] = deque(maxlen=ANNOUNCED_CAP)
        """The peer's circuits, begun or about to begin, of which it has last said that they are its own."""

    def __len__(self) -> int:
        """Those that wait, without the one PONG and the one message of the keys."""
        return len(self._urgent)

    @property
    def due(self) -> bool:
        """:meth:`next` has one to send."""
        return bool(self._urgent) or self._pong is not None or self._keys.due or self._may_say

    @property
    def _may_say(self) -> bool:
        return bool(self._verbs) and self._keys.session is not None

    def clear(self) -> None:
        """Nothing is to be sent any more."""
        self._urgent.clear()
        self._verbs.clear()

    def say(self, verb: LaneVerb) -> None:
        """Tell the peer something about the link as a lane."""
        self._verbs.append(verb)
        self._wake()

    def destroy(self, ident: int, reason: Reason) -> None:
        """Tell the peer that a circuit is over."""
        self._urge(ident, Command.DESTROY, int(reason).to_bytes(2, "big"))

    def announce(self, ident: int) -> None:
        """Tell the peer, before the SETUP goes out, that a circuit is our own."""
        self._urge(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.OWN, ident))

    def ping(self, now_s: float, token: int | None = None) -> None:
        """Ask for a PONG.

        :param token: None draws one.
        """
        if not self._urgent:
            token = secrets.randbits(TOKEN_BITS) if token is None else token
            self._asked, self.asked_s = token, now_s
            self._urge(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PING, token))

    @property
    def recent_round_trip_s(self) -> float:
        """Shortest of the last few from PING to PONG, seconds; 0 if none came back yet."""
        return min(self._round_trips, default=0.0)

    def take(self, ident: int, body: memoryview, now_s: float) -> None:
        """A LINK cell came.

        :raises PeerViolation: it is malformed, or not allowed here and now.
        """
        if ident != LINK_CIRCUIT:
            raise PeerViolation("a LINK cell names a circuit")
        self._keys.own_cells += 1
        kind, token = TOKEN.unpack_from(body)
        if kind == LinkMessage.PING:
            self._pong = token
        elif kind == LinkMessage.PONG:
            if token == self._asked:
                self._asked = None
                took_s = now_s - self.asked_s
                self.round_trip_s = min(self.round_trip_s or took_s, took_s)
                self._round_trips.append(took_s)
        elif kind == LinkMessage.LANE:
            if self.lane is None or self._keys.session is None:
                raise PeerViolation("a LANE message came where there can be no lane")
            self.lane.take(LANE.unpack_from(body)[1])
        elif kind == LinkMessage.OWN:
            if self.lane is None or self._keys.session is None:
                raise PeerViolation("a client, or nobody yet, says that a circuit is a node's own")
            self.announced.append(token)
        else:
            self._keys.take(kind, body, now_s)
        if self.due:
            self._wake()

    def next(self) -> tuple[int, Command, bytes]:
        """Circuit, command and body of the cell to seal now; :meth:`sealed` is to follow."""
        if self._urgent:
            return self._urgent.popleft()
        if self._pong is not None:
            token, self._pong = self._pong, None
            return LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.PONG, token)
        if self._may_say:
            return LINK_CIRCUIT, Command.LINK, LANE.pack(LinkMessage.LANE, self._verbs.popleft())
        self._sending = self._keys
        return LINK_CIRCUIT, Command.LINK, self._keys.message()

    def sealed(self, command: Command) -> None:
        """The cell is sealed: what it says of the keys is in force from the next one on."""
        if self._sending is not None:
            self._sending = None
            self._keys.sealed()
        elif command == Command.LINK:
            self._keys.own_cells += 1

    def _urge(self, ident: int, command: Command, body: bytes) -> None:
        self._urgent.append((ident, command, body))
        self._wake()
