"""Two ends of a session, the wire between them, and the simplest account of which keys each cell had."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from port17.wire.ratchet import (
    Chain,
    InitiatorRatchet,
    RatchetFrame,
    ResponderRatchet,
    Session,
    Turn,
)
from port17.wire.suite import TAG_SIZE, CipherSuite, KemKey

from .ratchet_thief import Loot, stolen

FORWARD, BACKWARD = True, False
CLIENT, NODE = True, False
Moment = Callable[[str], None]
"""Told of every moment at which a theft may come."""


def plain(text: bytes, frame: bytes = b"") -> bytes:
    """The plaintext of these tests' cells."""
    return len(frame).to_bytes(2, "big") + frame + text


def frame_of(cell: bytes) -> bytes:
    """The RATCHET data in one, empty if there is none."""
    return cell[2 : 2 + int.from_bytes(cell[:2], "big")]


@dataclass
class Account:
    """One end's count of one direction: which generation of keys it is in, by cells and turns alone."""

    cells_per_step: int
    cells: int = 0
    since: int = 0
    began: int = 0
    """The first cell of the keys in force."""
    steps: int = 0
    turns: int = 0

    def cell(self) -> None:
        """A cell was sealed, or opened."""
        self.cells += 1
        self.since += 1
        if self.since == self.cells_per_step:
            self.steps += 1
            self._anew()

    def turn(self) -> None:
        """An asymmetric step."""
        self.turns += 1
        self._anew()

    def _anew(self) -> None:
        self.since = 0
        self.began = self.cells


@dataclass
class Sent:
    """A RATCHET frame that went out.

    :param cell: index of its cell in its direction.
    :param begun: its place among all moments; a theft at a later one comes after.
    :param key_made: when the key that it encapsulates to was made.
    """

    epoch: int
    cell: int
    begun: int
    key_made: int


@dataclass
class Way:
    """One direction: what crossed the wire, and what is still under way."""

    wire: list[bytes] = field(default_factory=list)
    under_way: deque[tuple[bytes, bytes]] = field(default_factory=deque)
    frames: list[Sent] = field(default_factory=list)


class Talk:
    """A session whose cells carry a number, and RATCHET frames as a circuit's do."""

    def __init__(self, suite: CipherSuite, cells_per_step: int, spare: int = 2) -> None:
        """
        :param spare: keys that lie ready at the responder, of which RSP 0 takes one if there is one.
        """
        self.suite = suite
        key = suite.generate()
        self.moments = 0
        self.moment: Moment = lambda name: None
        self.sessions = {end: Session(suite, b"k" * 32, b"binding", cells_per_step) for end in (CLIENT, NODE)}
        self.asks = InitiatorRatchet(self.sessions[CLIENT], key)
        self.answers = ResponderRatchet(self.sessions[NODE], key.public)
        self.spare = deque(suite.generate() for _ in range(spare))
        self.ways = {FORWARD: Way(), BACKWARD: Way()}
        self.accounts = {
            (end, way): Account(cells_per_step) for end in (CLIENT, NODE) for way in (FORWARD, BACKWARD)
        }
        self._turn: Turn | None = None
        self._made = {made.public: -1 for made in (key, *self.spare)}
        """When each public key was made, by moments; the first ones before all."""

    def chain(self, end: bool, way: bool) -> Chain:
        """One end's chain of one direction."""
        session = self.sessions[end]
        return session.forward if way is FORWARD else session.backward

    def steal(self, end: bool) -> Loot:
        """A copy of all that one end holds now."""
        ours = [] if self._turn is None or self._turning is not end else [self._turn]
        if end is CLIENT:
            return stolen(self.asks, *ours)
        return stolen(self.answers, *ours, self.spare)

    def _pass(self, name: str) -> None:
        self.moments += 1
        self.moment(name)

    # -- moves ------------------------------------------------------------------------------------
    def say(self, way: bool) -> None:
        """One cell without a frame."""
        self._seal(way)
        self._pass("said")

    def ask(self) -> bool:
        """REQ, if one may be sent."""
        if self.asks.waiting:
            return False
        peer = self.asks._peer
        begun = self.moments
        self._carry(FORWARD, self.asks.request(), "REQ", begun, peer)
        return True

    def answer(self) -> bool:
        """RSP, if it is due."""
        if not self.answers.due:
            return False
        peer = self.answers._peer
        begun = self.moments
        if self.answers.epoch == 0 and self.spare:
            key: KemKey = self.spare.popleft()
        else:
            key = self.suite.generate()
        self._carry(BACKWARD, self.answers.response(key), "RSP", begun, peer)
        return True

    def _carry(self, way: bool, turn: Turn, name: str, begun: int, peer: bytes) -> None:
        frame = RatchetFrame.decode(turn.data, self.suite)
        self._made.setdefault(frame.public, begun)
        self._turn, self._turning = turn, way  # a direction's sender turns it: FORWARD is the client's
        self._pass(f"{name} {frame.epoch} made")
        cell = len(self.ways[way].wire)
        self.ways[way].frames.append(Sent(frame.epoch, cell, begun, self._made[peer]))
        self._seal(way, turn.data)
        self._pass(f"{name} {frame.epoch} sealed")
        turn.sealed()
        self._turn = None
        self.accounts[way, way].turn()
        self._pass(f"{name} {frame.epoch} sent")

    def _seal(self, way: bool, frame: bytes = b"") -> None:
        chain = self.chain(way, way)
        text = plain(chain.counter.to_bytes(8, "big"), frame)
        sealed = bytearray(len(text) + TAG_SIZE)
        chain.seal(text, sealed)
        self.accounts[way, way].cell()
        self.ways[way].wire.append(bytes(sealed))
        self.ways[way].under_way.append((bytes(sealed), text))

    def arrive(self, way: bool) -> bool:
        """The oldest cell under way arrives, if there is one."""
        if not self.ways[way].under_way:
            return False
        sealed, text = self.ways[way].under_way.popleft()
        end = not way
        opened = bytearray(len(sealed) - TAG_SIZE)
        self.chain(end, way).open(sealed, opened)
        assert bytes(opened) == text
        self.accounts[end, way].cell()
        frame = frame_of(text)
        if frame:
            (self.answers.request if way is FORWARD else self.asks.response)(frame)
            self.accounts[end, way].turn()
            kind = "REQ" if way is FORWARD else "RSP"
            self._pass(f"{kind} {RatchetFrame.decode(frame, self.suite).epoch} taken")
        else:
            self._pass("heard")
        return True

    def settle(self) -> None:
        """Everything under way arrives, and what is due is answered."""
        while self.arrive(FORWARD) or self.answer() or self.arrive(BACKWARD):
            pass

    def step(self, cells: int = 1) -> None:
        """One whole step, with cells in both directions before, between and after."""
        self.settle()
        self._chatter(cells)
        assert self.ask()
        self._chatter(cells)
        self.settle()
        self._chatter(cells)

    def _chatter(self, cells: int) -> None:
        for _ in range(cells):
            self.say(FORWARD)
            self.say(BACKWARD)

    # -- what must be -----------------------------------------------------------------------------
    def check(self) -> None:
        """Every end's chains stand where the account says."""
        for (end, way), account in self.accounts.items():
            chain = self.chain(end, way)
            assert (chain.counter, chain.steps, chain.rekeys, chain.cells_per_step - chain.left) == (
                account.cells,
                account.steps,
                account.turns,
                account.since,
            )
