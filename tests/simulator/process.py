"""What a simulated node and a simulated client have in common: a gossip, and the ships that its bytes cross.

In place of the real shell: bytes go from one gossip to another's, timers are kept, and what a gossip tells is
dealt with once it has ended its step.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from port17.bottles.gossip import Gossip
from port17.bottles.gossip_events import CheckDue, Event, Forgotten, Key, Learned, OfferAnswered, Synced
from port17.bottles.intake import Sender
from port17.bottles.rack import Racked
from port17.bottles.reputation import Reputation
from port17.bottles.sync import Scope
from port17.bottles.validation import Terms
from port17.errors import PeerViolation
from port17.records.moderation import SignedModeration
from simulator.author import NETWORK
from simulator.blocks import Traffic
from simulator.heap import Event as Planned
from simulator.interned import SharedRack
from simulator.ship import Data, End, Open, Packet

if TYPE_CHECKING:
    from simulator.world import World

PULL_MOST: Final = 64 * 1024
"""Bytes that one pull gives at most: after fewer there is nothing more."""


@dataclass
class Talk:
    """One SYNC at one end of a ship.

    :param followed: this end follows; otherwise it is the source.
    :param free_s: when there is room for more.
    """

    key: Key
    end: End
    followed: bool
    pumping: bool = False
    free_s: float = 0.0


class Process:
    """See the module."""

    dials = False
    """Whether it looks at the addresses that others advertise."""

    def __init__(
        self, world: World, fingerprint: bytes, place: tuple[float, float], skew_s: float = 0.0
    ) -> None:
        """
        :param fingerprint: of a node; for a client only what tells it from others here.
        :param place: on a square of side 1; how far apart two are is what their packets take.
        :param skew_s: how far its clock is ahead.
        """
        self.world = world
        self.name = fingerprint.hex()[:8]
        self.fingerprint = fingerprint
        self.place = place
        self.skew_s = skew_s
        self.traffic_in, self.traffic_out = Traffic(), Traffic()
        self.up = False
        self.starts = 0
        self.told: list[Event] = []
        """What the gossip has said and nobody has dealt with."""

    # -- its life ----------------------------------------------------------------------------------
    def begin(self, begun: dict[bytes, Racked] | None = None) -> None:
        """The process starts.

        :param begun: a rack from before.
        """
        self.up = True
        self.starts += 1
        self.chance = random.Random(self.fingerprint + bytes([self.starts % 256]))
        self.ends: dict[int, End] = {}
        self.talks: dict[Key, Talk] = {}
        self._crossing: dict[tuple[End, bool], Talk] = {}
        """The same by the end that they cross, and whether this end follows; of several the first."""
        self._timer: tuple[float, Planned] | None = None
        self._terms: Terms | None = None
        self.rack = SharedRack(self.world.shelf, begun)
        self.listen()

    def listen(self) -> None:
        """What decides about bottles begins, with what is in the rack."""
        self.intake = self.world.intakes.make(self.rack, self.fingerprint if self.dials else None)
        self.reputation = Reputation(self.rack, NETWORK, self.intake)
        self.gossip = Gossip(
            self.intake,
            self.terms,
            moderate=self._moderate,
            tell=self.told.append,
            rng=random.Random(self.chance.random()),
            parse=self.world.shelf.parse,
            parse_update=self.world.shelf.parse_update,
        )

    def crash(self) -> None:
        """The process ends at once."""
        self.up = False
        self.world.heap.note("ends", self.name)
        for end in list(self.ends.values()):
            end.close()
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None

    def terms(self) -> Terms:
        """What holds now by its own clock."""
        now_s = self.wall_s
        if self._terms is None or self._terms.now_s != now_s:
            self._terms = Terms(NETWORK, self.world.schemes, now_s, suites={})
        return self._terms

    @property
    def wall_s(self) -> float:
        """Unix time by its own clock."""
        return self.world.wall_s + self.skew_s

    def _moderate(self, offered: SignedModeration) -> bool:
        return self.world.moderators.consider(self.reputation, offered, self.wall_s)

    # -- what it is told ---------------------------------------------------------------------------
    def settle(self) -> None:
        """Deal with what the gossip has said, and see when it is to be called again."""
        while self.told:
            events = self.told[:]
            self.told.clear()
            for event in events:
                self.deal(event)
        self._arm()

    def deal(self, event: Event) -> None:
        """One thing that the gossip has said."""
        match event:
            case Learned(fingerprint, part):
                self.world.learned(self, fingerprint, part)
                self.changed(fingerprint)
            case Forgotten(fingerprint):
                self.changed(fingerprint)
            case CheckDue(check):
                self.world.check(self, check)
            case Synced(key) | OfferAnswered(key):
                talk = self.talks.get(key)
                if talk is not None:
                    self.answered(talk, event)
            case _:
                pass

    def changed(self, fingerprint: bytes) -> None:
        """What is held of a node has changed."""

    def answered(self, talk: Talk, event: Synced | OfferAnswered) -> None:
        """A source has done what it was asked for."""

    # -- time --------------------------------------------------------------------------------------
    @property
    def due_s(self) -> float:
        """When something is to be done without anybody's asking."""
        return self.gossip.due_s

    def _arm(self) -> None:
        heap = self.world.heap
        due_s = max(self.due_s, heap.now_s)
        if self._timer is not None and heap.now_s < self._timer[0] <= due_s:
            return
        if self._timer is not None:
            self._timer[1].cancel()
            self._timer = None
        if due_s < float("inf"):
            self._timer = due_s, heap.at(due_s, self._rung, self.starts)

    def _rung(self, start: int) -> None:
        if self.up and self.starts == start:
            self._timer = None
            self.tick(self.world.heap.now_s)
            self.settle()

    def tick(self, now_s: float) -> None:
        """Do what is due."""
        if self.gossip.due_s <= now_s:
            self.gossip.tick(now_s)

    # -- ships and what crosses them ---------------------------------------------------------------
    def accepts(self, caller: bytes | None) -> bool:
        """See :class:`~simulator.ship.Host`."""
        return False

    def landed(self, end: End) -> None:
        """A ship stands."""
        self.ends[end.ship.ident] = end

    def follow(
        self,
        end: End,
        *,
        standing: bool = True,
        scope: Scope = Scope.ALL,
        bundles: bool = True,
        trusted: bool = False,
    ) -> Key:
        """Open SYNC on the node at the other end; as :meth:`~port17.bottles.gossip.Gossip.follow`."""
        if end.peer is None:
            raise AssertionError("nobody is there to follow")
        end.send(Open())
        talks: list[Talk] = []
        key = self.gossip.follow(
            end.peer,
            lambda: self._ready(talks),
            scope=scope,
            bundles=bundles,
            trusted=trusted,
            standing=standing,
        )
        self._begin(Talk(key, end, followed=True), talks)
        return key

    def _begin(self, talk: Talk, talks: list[Talk]) -> None:
        """A SYNC is there.

        :param talks: gets it: a gossip may be ready before it has said what of.
        """
        self.talks[talk.key] = talk
        self._crossing.setdefault((talk.end, talk.followed), talk)
        talks.append(talk)
        self._ready(talks)

    def came(self, end: End, packet: Packet) -> None:
        """A packet has come."""
        if not self.up or end.ship.ident not in self.ends:
            return
        try:
            self.take(end, packet)
        except PeerViolation as error:
            self.world.violations[str(error)] += 1
            self.world.heap.note("violation", end.name, str(error))
            self.close(end)
            self.lost(end)
        self.settle()

    def take(self, end: End, packet: Packet) -> None:
        """Deal with a packet.

        :raises PeerViolation: the peer may not send that.
        """
        heap = self.world.heap
        if isinstance(packet, Data):  # most are
            if heap.traced:
                heap.note("data", end.name, len(packet.data), zlib.crc32(packet.data))
            talk = self._crossing.get((end, packet.followed))
            if talk is not None:
                gossip, key, now_s = self.gossip, talk.key, heap.now_s
                gossip.heard(key, packet.data)
                while gossip.step(key, now_s):
                    pass
        elif isinstance(packet, Open):
            heap.note("open", end.name)
            sender = Sender(end.name if end.peer is None else end.peer.hex())
            talks: list[Talk] = []
            key = self.gossip.serve(sender, lambda: self._ready(talks))
            self._begin(Talk(key, end, followed=False), talks)
        else:
            heap.note("verb", end.name, packet.code)
            self.verb(end, packet.code)

    def verb(self, end: End, code: int) -> None:
        """The peer says something of lanes.

        :raises PeerViolation: it may not.
        """
        raise PeerViolation("a client has no lanes")

    def talk(self, end: End, *, followed: bool) -> Talk | None:
        """The SYNC that crosses a ship."""
        return self._crossing.get((end, followed))

    def _ready(self, talks: list[Talk]) -> None:
        for talk in talks:
            if not talk.pumping:
                talk.pumping = True
                self.world.heap.at(talk.free_s, self._pump, talk)

    def _pump(self, talk: Talk) -> None:
        if not self.up or self.talks.get(talk.key) is not talk:
            return
        talk.pumping = False
        data = self.gossip.pull(talk.key, self.world.heap.now_s)
        if data:
            talk.free_s = talk.end.send(Data(self.world.tamper(talk, data), followed=not talk.followed))
            if len(data) >= PULL_MOST:  # else that was all
                talk.pumping = True
                self.world.heap.at(talk.free_s, self._pump, talk)
        self.settle()

    def broke(self, end: End) -> None:
        """A ship is no more."""
        if self.up and end.ship.ident in self.ends:
            self.close(end)
            self.lost(end)
            self.settle()

    def close(self, end: End) -> None:
        """End a ship at this end, with what crosses it."""
        self.ends.pop(end.ship.ident, None)
        for key in [key for key, talk in self.talks.items() if talk.end is end]:
            del self.talks[key]
            self.gossip.gone(key)
        for followed in (False, True):
            self._crossing.pop((end, followed), None)
        end.close()

    def lost(self, end: End) -> None:
        """A ship has been closed by the other end, or has broken."""
