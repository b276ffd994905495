"""A simulated node: the project's deciding halves, whole, and what stands here in place of its shell.

Intake, rack, gossip, manager, mesh and life are the project's, as are the verbs' rules. Commands become ships
here, and what came of them is told.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from port17.bottles.gossip_events import OfferAnswered, Synced
from port17.bottles.intake import OURSELVES
from port17.bottles.rack import Racked
from port17.errors import PeerViolation
from port17.node.commands import Command, Dial, Follow, Introduce, Retire, Sign, Stop
from port17.node.life import State
from port17.node.manager import Manager
from port17.records.bottle import Bottle, Lane
from port17.wire.lane import LaneState, LaneTalk, LaneVerb
from simulator.author import Author
from simulator.heap import Event as Planned
from simulator.process import Process, Talk
from simulator.ship import RATE, End, Verb

if TYPE_CHECKING:
    from simulator.world import World

INTRODUCTION_S: Final = 60.0
"""Seconds after which an introduction that has not ended has failed."""
DRAIN_S: Final = 5.0
"""Most seconds for which a node that leaves waits."""
LINGER_S: Final = 2.0
"""Seconds for which a link that was a lane stays: nobody's circuits cross a simulated one."""


class Node(Process):
    """See the module."""

    dials = True

    def __init__(self, world: World, author: Author, place: tuple[float, float], skew_s: float = 0.0) -> None:
        super().__init__(world, author.fingerprint, place, skew_s)
        self.author = author
        self.honest = True
        self.signed: Bottle | None = None
        """Its newest bottle."""

    # -- its life ----------------------------------------------------------------------------------
    def boot(self, known: Iterable[Bottle] = (), begun: dict[bytes, Racked] | None = None) -> None:
        """The node starts.

        :param known: what a bootstrap list brings.
        :param begun: a rack from before.
        """
        self.begin(begun)
        self.gossip.own = self.fingerprint
        now_s = self.world.heap.now_s
        for bottle in known:
            self.gossip.take(bottle, OURSELVES, now_s)
        self._sign(())
        self.manager.start(now_s)
        self._soon()
        self.settle()

    def begin(self, begun: dict[bytes, Racked] | None = None) -> None:
        super().begin(begun)
        self.lanes: dict[bytes, End] = {}
        """This end of the lane to each neighbour."""
        self._verbs: dict[int, LaneTalk] = {}
        self._introductions: dict[bytes, tuple[End, Planned]] = {}
        self._dials: set[bytes] = set()
        self._woken = False
        self._manager_due_s = math.inf
        """As of when it was last woken: whatever it is told, it is woken."""
        self.manager = Manager(
            self.fingerprint,
            self.rack,
            random.Random(self.chance.random()),
            drain_s=DRAIN_S,
            objection=self._objection,
            areas=self.world.areas,
        )

    def leave(self) -> None:
        """As a node that is told to go."""
        self.manager.leave(self.world.heap.now_s)
        self.world.heap.after(DRAIN_S / 2, self._drained, self.starts)
        self._soon()

    def _drained(self, start: int) -> None:
        if self.up and self.starts == start:
            self.manager.drained(self.world.heap.now_s)
            self._soon()

    @property
    def state(self) -> State:
        """Where the node stands in its life."""
        return self.manager.state

    # -- what it decides ---------------------------------------------------------------------------
    def _objection(self, fingerprint: bytes) -> str:
        said = self.reputation.said
        held = self.rack.held(fingerprint)
        return (
            said.blocked.get(fingerprint, "")
            or said.distrusted.get(fingerprint, "")
            or self.intake.bans.reasons.get(fingerprint, "")
            or (held.distrust if held is not None else "")
        )

    def changed(self, fingerprint: bytes) -> None:
        self.manager.learned(fingerprint, self.world.heap.now_s)
        self._soon()

    def answered(self, talk: Talk, event: Synced | OfferAnswered) -> None:
        """An introduction is over once the source has our bottle, and nothing that we lack."""
        peer = talk.end.peer
        introduction = self._introductions.get(peer or b"")
        if peer is None or introduction is None or introduction[0] is not talk.end:
            return
        if isinstance(event, OfferAnswered) and event.why:
            self.close(talk.end)
            self._not_introduced(peer, talk.end)
        elif isinstance(event, Synced):
            del self._introductions[peer]
            introduction[1].cancel()
            self.close(talk.end)
            self.manager.introduced(peer, self.world.heap.now_s)
            self._soon()

    def wake(self) -> None:
        """See what the manager wants done, after somebody has told it something."""
        self._soon()

    def _soon(self) -> None:
        if not self._woken:
            self._woken = True
            self.world.heap.after(0, self._wake, self.starts)

    def _wake(self, start: int) -> None:
        if not (self.up and self.starts == start):
            return
        self._woken = False
        if self.world.still:
            return
        for command in self.manager.wake(self.world.heap.now_s):
            self._do(command)
            if not self.up:
                return
        self._manager_due_s = self.manager.due_s
        self.settle()

    @property
    def due_s(self) -> float:
        return min(self.gossip.due_s, self._manager_due_s)

    def tick(self, now_s: float) -> None:
        super().tick(now_s)
        if self._manager_due_s <= now_s:
            self._manager_due_s = math.inf  # until it has been woken
            self._soon()

    def _do(self, command: Command) -> None:
        self.world.heap.note("does", self.name, type(command).__name__)
        match command:
            case Introduce(peer):
                self.world.dial(self, peer, self._called, as_nobody=True)
            case Dial(peer):
                self._dials.add(peer)
                self.world.dial(self, peer, self._dialled)
            case Follow(peer):
                end = self.lanes.get(peer)
                if end is not None and self.talk(end, followed=True) is None:
                    self.follow(end)
            case Retire(peer):
                self._retire(peer)
            case Sign(lanes, load, flags):
                self._sign(lanes, load, flags)
            case Stop():
                self.crash()

    def _sign(self, lanes: Iterable[Lane], load: int = 0, flags: Iterable[str] = ()) -> None:
        self.publish(self.author.bottle(lanes, self.wall_s, load=load, flags=tuple(flags)))

    def publish(self, bottle: Bottle) -> None:
        """Give others our bottle."""
        self.signed = self.world.shelf.share(bottle)
        self.world.signed(self)
        self.gossip.take(self.signed, OURSELVES, self.world.heap.now_s)

    # -- introductions -----------------------------------------------------------------------------
    def _called(self, peer: bytes, end: End | None) -> None:
        heap = self.world.heap
        if end is None:
            self._failed(peer)
            return
        self.landed(end)
        self._introductions[peer] = end, heap.after(INTRODUCTION_S, self._overdue, peer, end)
        key = self.follow(end, standing=False)
        if self.signed is not None:
            self.gossip.offer(key, self.signed)
        self.settle()

    def _overdue(self, peer: bytes, end: End) -> None:
        if self.up and self._introductions.get(peer, (None,))[0] is end:
            self.close(end)
            self._not_introduced(peer, end)
            self.settle()

    def _not_introduced(self, peer: bytes, end: End) -> None:
        introduction = self._introductions.get(peer)
        if introduction is not None and introduction[0] is end:
            del self._introductions[peer]
            introduction[1].cancel()
            self._failed(peer)

    def _failed(self, peer: bytes, *, refused: bool = False) -> None:
        self.manager.failed(peer, self.world.heap.now_s, refused=refused)
        self._soon()

    # -- lanes -------------------------------------------------------------------------------------
    def _dialled(self, peer: bytes, end: End | None) -> None:
        if end is None:
            self._dials.discard(peer)
            self._failed(peer)
        else:
            self.landed(end)
            self._verbs_of(end).say(LaneVerb.ASK)

    def _verbs_of(self, end: End) -> LaneTalk:
        found = self._verbs.get(end.ship.ident)
        if found is None:

            def send(verb: LaneVerb) -> None:
                end.send(Verb(int(verb)))

            found = self._verbs[end.ship.ident] = LaneTalk(
                caller=end.ours, send=send, told=lambda verb: self._said(end, verb)
            )
        return found

    def verb(self, end: End, code: int) -> None:
        if end.peer is None:
            raise PeerViolation("who is nobody speaks of lanes")
        self._verbs_of(end).take(code)

    def _said(self, end: End, verb: LaneVerb) -> None:
        peer, now_s = end.peer or b"", self.world.heap.now_s
        match verb:
            case LaneVerb.ASK:
                why = self.manager.asked(peer, now_s, address=self.world.address(peer))
                self.world.asked[why] += 1
                self._verbs_of(end).say(LaneVerb.REFUSE if why else LaneVerb.GRANT)
                if not why:
                    self._stands(end, peer, ours=False)
            case LaneVerb.GRANT:
                self._dials.discard(peer)
                self._stands(end, peer, ours=True)
            case LaneVerb.REFUSE:
                self._dials.discard(peer)
                self.close(end)
                if peer not in self.lanes:
                    self._failed(peer, refused=True)
            case LaneVerb.RETIRE:
                if self.lanes.get(peer) is end:
                    del self.lanes[peer]
                    self.manager.retires(peer, now_s)
                self.world.heap.after(LINGER_S, self._lingered, end)
        self._soon()

    def _stands(self, end: End, peer: bytes, *, ours: bool) -> None:
        """A ship has become a lane. Of two between the same nodes, dialled by both at once, both nodes keep
        the one that the lesser fingerprint dialled."""
        other = self.lanes.get(peer)
        if other is not None and other is not end:
            kept = end if end.ours == (self.fingerprint < peer) else other
            dropped = other if kept is end else end
            self.world.heap.after(LINGER_S, self._lingered, dropped)
            self.lanes[peer] = kept
            if kept is end and self.talk(other, followed=True) is not None:
                self.follow(end)
            return
        self.lanes[peer] = end
        self.manager.stands(peer, self.world.heap.now_s, ours=ours)
        self.manager.measured(peer, 2 * end.ship.delay_s, RATE)

    def _retire(self, peer: bytes) -> None:
        end = self.lanes.pop(peer, None)
        if end is not None:
            verbs = self._verbs_of(end)
            if verbs.state is LaneState.STANDS:
                verbs.say(LaneVerb.RETIRE)
            self.world.heap.after(LINGER_S, self._lingered, end)

    def _lingered(self, end: End) -> None:
        if self.up and end.ship.ident in self.ends:
            self.close(end)
            self.lost(end)
            self.settle()

    # -- ships -------------------------------------------------------------------------------------
    def accepts(self, caller: bytes | None) -> bool:
        """Anybody as nobody; as a node only who can be verified, so whose bottle is here."""
        return self.up and (caller is None or self.rack.get(caller) is not None)

    def close(self, end: End) -> None:
        self._verbs.pop(end.ship.ident, None)
        super().close(end)

    def lost(self, end: End) -> None:
        peer = end.peer
        if peer is None:
            return
        self._not_introduced(peer, end)
        if peer in self._dials and end.ours and peer not in self.lanes:
            self._dials.discard(peer)
            self._failed(peer)
        if self.lanes.get(peer) is end:
            del self.lanes[peer]
            self.manager.lost(peer, self.world.heap.now_s)
        self._soon()
