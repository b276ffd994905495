"""Two ends of a link that both talk, every block between them, and what of the ratchet they carried."""

from __future__ import annotations

from collections import deque

from port17.wire.block import BLOCK_SIZE, BODY_SIZE, HEADER, Command
from port17.wire.leg import Leg
from port17.wire.link import Link
from port17.wire.link_keys import LinkKeys
from port17.wire.link_ratchet import LinkInitiator, LinkResponder
from port17.wire.message import RATCHET_HEAD, LinkMessage
from port17.wire.pace import StepTerms
from port17.wire.quota import Budget
from port17.wire.ratchet import RATCHET_HEAD as FRAME_HEAD
from port17.wire.ratchet import Chain, InitiatorRatchet, ResponderRatchet, Session
from port17.wire.reasons import Reason

from .ratchet_thief import Loot, stolen
from .ratchet_watch import BACKWARD, FORWARD, Step, began
from .wire_network import Clock, nothing, pull
from .wire_suites import TOY

OTHERS = (Leg, Budget)


class Talker:
    """A circuit's end that counts what comes, returns its credit, and says as much as it is told to."""

    def __init__(self, begun: bool) -> None:
        self.begun = begun
        self.say = 0
        self.got = 0
        self.ended: Reason | None = None

    def deliver(self, leg: Leg, command: int) -> None:
        self.got += 1
        leg.drained()

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        out[:] = bytes(BODY_SIZE)
        if not self.begun:
            self.begun = True
            return Command.SETUP
        if not self.say:
            return None
        self.say -= 1
        return Command.RELAY

    def pending(self, leg: Leg) -> bool:
        return not self.begun or self.say > 0

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        self.ended = reason


def frame_of_cell(plain: bytes) -> bytes:
    """The RATCHET data in a link's cell, empty if there is none."""
    ident, command, _, _ = HEADER.unpack_from(plain)
    kind, size = RATCHET_HEAD.unpack_from(plain, HEADER.size)
    if (ident, command, kind) != (0, Command.LINK, LinkMessage.RATCHET):
        return b""
    start = HEADER.size + RATCHET_HEAD.size
    return bytes(plain[start : start + size])


class Ends:
    """A link under final keys, and one circuit of each end on it; blocks under way are the test's to move."""

    def __init__(self, terms: StepTerms, cells_per_step: int = 128) -> None:
        self.clock = Clock()
        self.cells_per_step = cells_per_step
        ours, theirs = (Session(TOY, b"k" * 32, b"", cells_per_step) for _ in range(2))
        early, early_there = (Chain(TOY, b"e" * 32) for _ in range(2))
        self.talkers: list[Talker] = []
        self.legs: list[Leg] = []
        grants = Budget(1 << 20)

        def setup(leg: Leg, content: bytes) -> Talker:
            self.legs.append(leg)
            self.talkers.append(Talker(begun=True))
            return self.talkers[-1]

        self.near = Link(
            initiator=True, send=early, receive=None, grants=grants, wake=nothing, on_setup=setup
        )
        self.far = Link(
            initiator=False,
            send=theirs.backward,
            receive=early_there,
            grants=grants,
            wake=nothing,
            on_setup=setup,
        )
        self.far.expect_final(theirs)
        self.near.confirm(ours, self.clock.now_s, terms)
        self.sessions = ours, theirs
        self.under_way: dict[bool, deque[bytes]] = {FORWARD: deque(), BACKWARD: deque()}
        self.wire: dict[bool, list[bytes]] = {FORWARD: [], BACKWARD: []}
        self.steps: dict[bool, list[Step]] = {FORWARD: [], BACKWARD: []}
        self.made: dict[bool, dict[int, int]] = {FORWARD: {0: 0}, BACKWARD: {}}
        """In which move REQ or RSP of an epoch was made."""
        self.moves = 0
        self._early = True
        self._listen(self.near.keys, BACKWARD)
        self._listen(self.far.keys, FORWARD)
        self._open()

    def _open(self) -> None:
        for link in (self.near, self.far):
            talker = Talker(begun=False)
            leg = link.open(talker)
            assert leg is not None
            leg.wake()
            self.talkers.append(talker)
            self.legs.append(leg)

    def _listen(self, keys: LinkKeys, way: bool) -> None:
        take = keys.take

        def heard(kind: int, body: memoryview, now_s: float) -> None:
            if kind == LinkMessage.RATCHET:
                _, epoch = FRAME_HEAD.unpack_from(body, RATCHET_HEAD.size)
                assert keys.receive is not None
                self.steps[way].append(Step(epoch, keys.receive.counter - 1))
            take(kind, body, now_s)

        keys.take = heard  # type: ignore[method-assign]

    @property
    def asks(self) -> InitiatorRatchet:
        """The ratchet of the end that dialled."""
        assert isinstance(self.near.keys._ratchet, LinkInitiator)
        return self.near.keys._ratchet._ratchet

    @property
    def answers(self) -> ResponderRatchet | None:
        """The other end's, once END_EARLY came."""
        ratchet = self.far.keys._ratchet
        assert ratchet is None or isinstance(ratchet, LinkResponder)
        return ratchet._ratchet if ratchet is not None else None

    def chain(self, way: bool, near: bool) -> Chain:
        """One end's chain of one direction."""
        session = self.sessions[0 if near else 1]
        return session.forward if way is FORWARD else session.backward

    def steal(self, near: bool) -> Loot | None:
        """A copy of all keys of one end; None while it has none to step."""
        link, ratchet = (self.near, self.asks) if near else (self.far, self.answers)
        return stolen(ratchet, link.keys, without=OTHERS) if ratchet is not None else None

    # -- moves ------------------------------------------------------------------------------------
    def send(self, way: bool, most: int = 64) -> bool:
        """One end sends what it has, up to so many blocks."""
        self.moves += 1
        data = pull(self.near if way is FORWARD else self.far, self.clock.now_s, most)
        blocks = [data[at : at + BLOCK_SIZE] for at in range(0, len(data), BLOCK_SIZE)]
        self.under_way[way] += blocks
        if way is FORWARD and self._early and blocks:
            self._early = False
            del blocks[0]  # END_EARLY, which is the last block under early keys
        self.wire[way] += blocks
        self._note()
        return bool(data)

    def arrive(self, way: bool) -> bool:
        """The oldest block arrives, if there is one."""
        self.moves += 1
        if not self.under_way[way]:
            return False
        (self.far if way is FORWARD else self.near).receive(self.under_way[way].popleft(), self.clock.now_s)
        self._note()
        return True

    def talk(self, cells: int = 1) -> None:
        """Every circuit's end is told to say something."""
        for talker, leg in zip(self.talkers, self.legs, strict=True):
            talker.say += cells
            leg.wake()

    def tend(self) -> None:
        """Both shells look at the time."""
        self.moves += 1
        self.near.tend(self.clock.now_s)
        self.far.tend(self.clock.now_s)
        self._note()

    def _note(self) -> None:
        self.made[FORWARD].setdefault(self.asks.epoch, self.moves)
        if self.answers is not None:
            self.made[BACKWARD].setdefault(self.answers.epoch, self.moves)

    def settle(self) -> None:
        """Until nothing is to be sent."""
        while True:
            moved = [self.send(way) for way in (FORWARD, BACKWARD)]
            for way in (FORWARD, BACKWARD):
                while self.arrive(way):
                    moved.append(True)
            if not any(moved):
                return

    def began(self, way: bool, cells: int) -> int:
        """The first block of the keys that are in force after so many, by the frames on the wire alone."""
        return began(self.steps[way], cells, self.cells_per_step)
