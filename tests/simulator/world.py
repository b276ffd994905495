"""A whole network: who is there, who can reach whom, and what a test does to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar

from port17.bottles.address_checks import Check
from port17.bottles.intake import Intake
from port17.bottles.outcome import Part
from port17.bottles.rack import Racked
from port17.node.area import areas_of
from port17.plugins.loader import Registry
from port17.records.bottle import Label
from simulator.author import EPOCH_S, NETWORK, SCHEME, SLOTS, Author
from simulator.heap import Heap
from simulator.interned import Layered, Remembering, SharedRack, Shelf
from simulator.moderators import Moderators
from simulator.node import Node
from simulator.process import Process, Talk
from simulator.ship import End, Ship

N = TypeVar("N", bound=Node)

NEAR_S: Final = 0.005
"""Seconds that a packet takes at least."""
ACROSS_S: Final = 0.080
"""Seconds that it takes more from one end of the square to the other."""
PER_GROUP: Final = 3
"""Nodes of one owner."""
CHECK_S: Final = 0.5
"""Seconds that checking a node's addresses takes."""
DIAL_S: Final = 10.0
"""Seconds after which a call that nobody answers has failed."""
KEYS_S: Final = 0.005
"""Seconds that a handshake's arithmetic takes."""


class Intakes:
    """Makes intakes that ask the project's own validators, each identical bottle once."""

    def __init__(self) -> None:
        self._validators = Remembering(Registry().panel)
        self._begun: tuple[dict[bytes, Racked], Intake] | None = None

    def make(self, rack: SharedRack, checker: bytes | None = None) -> Intake:
        """One for a rack; what many racks begin with, their intakes share as the racks do.

        :param checker: as of :class:`~port17.bottles.intake.Intake`.
        """
        if not rack.below:
            return Intake(rack, self._validators, NETWORK, checker=checker)
        if self._begun is None or self._begun[0] is not rack.below:
            self._begun = rack.below, self._first(rack)
        first = self._begun[1]
        made = Intake(SharedRack(Shelf()), self._validators, NETWORK, checker=checker)
        made.rack = rack
        names, checks = made.names, made.checks
        names._held = Layered(first.names._held)  # type: ignore[assignment]
        names._claimants = Layered(first.names._claimants, set)  # type: ignore[assignment]
        checks._claims = Layered(first.checks._claims, replace)  # type: ignore[assignment]
        checks.checkers = first.checks.checkers
        return made

    def _first(self, rack: SharedRack) -> Intake:
        first = Intake(SharedRack(Shelf(), rack.below), self._validators, NETWORK)
        for bottle in first.rack:
            first.checks.claimed(bottle, EPOCH_S, allow_private=False)
        return first


class World:
    """See the module."""

    def __init__(self, seed: int, *, skew_s: float = 0.0, slots: int = SLOTS, traced: bool = False) -> None:
        """
        :param skew_s: most by which a node's clock is ahead or behind.
        :param slots: prekey slots that nodes publish for each suite.
        :param traced: as of :class:`~simulator.heap.Heap`.
        """
        self.slots = slots
        self.heap = Heap(seed, traced=traced)
        self.shelf = Shelf()
        self.intakes = Intakes()
        self.moderators = Moderators(self.heap.random)
        self.schemes = {SCHEME.name: SCHEME}
        self.nodes: dict[bytes, Node] = {}
        self.asked: Counter[str] = Counter()
        """Answers to those who asked for a lane, by reason; empty for granted."""
        self.violations: Counter[str] = Counter()
        """What ends held against their peers."""
        self.watch: Callable[[Process, bytes, Part], None] | None = None
        """Told of everything that a node learns."""
        self.lose: Callable[[Talk, bytes], bytes] | None = None
        """Takes messages out of what is sent."""
        self.still = False
        """Nobody makes or retires lanes, nor signs."""
        self._skew_s = skew_s
        self._ships = 0
        self._sides: dict[bytes, int] = {}
        self._areas: dict[int, tuple[Label, frozenset[str]]] = {}

    # -- who is there ------------------------------------------------------------------------------
    @property
    def wall_s(self) -> float:
        """Unix time."""
        return EPOCH_S + self.heap.now_s

    def add(self, kind: type[N], *, group: str | None = None, addresses: int = 1, **said: object) -> N:
        """One more node, which does not run yet.

        :param group: of its owner; None draws one.
        :param addresses: how many it advertises.
        :param said: otherwise, in its label.
        """
        chance, number = self.heap.random, len(self.nodes)
        owner = number // PER_GROUP
        place = chance.random(), chance.random()
        skew_s = chance.uniform(-self._skew_s, self._skew_s)
        hosts = [address(number + (more << 16)) for more in range(addresses)]
        author = Author(
            chance,
            str(said.pop("name", f"node{number}")),
            group=f"owner{owner}" if group is None else group,
            addresses={"tcp": [f"{host}:4000" for host in hosts]} if hosts else {},
            slots=self.slots,
            **said,  # type: ignore[arg-type]
        )
        node = kind(self, author, place, skew_s)
        self.nodes[node.fingerprint] = node
        return node

    def grow(self, count: int, bootstrap: int = 5, over_s: float = 1.0) -> list[Node]:
        """That many nodes, who know the first few from a list and join in the course of some time.

        :param bootstrap: how many are on the list.
        """
        made = [self.add(Node) for _ in range(count)]
        known = tuple(self.shelf.share(node.author.bottle(now_s=self.wall_s)) for node in made[:bootstrap])
        for at, node in enumerate(made):
            self.heap.after(0 if at < bootstrap else over_s * at / count, node.boot, known)
        return made

    @property
    def living(self) -> list[Node]:
        """Those that run."""
        return [node for node in self.nodes.values() if node.up]

    @property
    def honest(self) -> list[Node]:
        """Of these those that do as they should."""
        return [node for node in self.living if node.honest]

    def address(self, fingerprint: bytes) -> str:
        """Where a node's ships come from."""
        node = self.nodes.get(fingerprint)
        found = node.author.said["addresses"].get("tcp") if node is not None else None
        return found[0].rpartition(":")[0] if found else ""

    def areas(self, label: Label) -> frozenset[str]:
        """As the manager's own; each label's are worked out once."""
        found = self._areas.get(id(label))
        if found is None:
            found = self._areas[id(label)] = label, frozenset(areas_of(label))
        return found[1]

    # -- who reaches whom --------------------------------------------------------------------------
    def delay_s(self, one: tuple[float, float], other: tuple[float, float]) -> float:
        """How long a packet takes, one way."""
        return NEAR_S + ACROSS_S * math.dist(one, other) / math.sqrt(2)

    def split(self, *sides: Iterable[Node]) -> None:
        """From now on only nodes of one side reach each other; the ships between sides break."""
        self._sides = {node.fingerprint: at for at, side in enumerate(sides) for node in side}
        self.heap.note("split", len(sides))
        for node in self.living:
            for end in list(node.ends.values()):
                if end.peer is not None and not self.reaches(node.fingerprint, end.peer):
                    end.ship.sink()

    def move(self, node: Node, side: Iterable[Node]) -> None:
        """Put a node on the side where others are."""
        self._sides[node.fingerprint] = self._sides[next(iter(side)).fingerprint]

    def restart(self, node: Node, after_s: float) -> None:
        """A node crashes, and comes back with the rack that it had."""
        begun = node.rack.begun
        node.crash()
        self.heap.after(after_s, node.boot, (), begun)

    def heal(self) -> None:
        """All reach all."""
        self._sides = {}
        self.heap.note("heal")

    def reaches(self, one: bytes, other: bytes) -> bool:
        """Whether packets get through."""
        return not self._sides or self._sides.get(one, 0) == self._sides.get(other, 0)

    def dial(
        self,
        caller: Process,
        target: bytes,
        then: Callable[[bytes, End | None], None],
        *,
        as_nobody: bool = False,
    ) -> None:
        """Call a node: after a round trip there is a ship, or there is none.

        :param then: told the target and the caller's end; None where nobody answers or lets it in.
        """
        node = self.nodes.get(target)
        if node is None or not node.author.said["addresses"] or not self.reaches(caller.fingerprint, target):
            self.heap.after(DIAL_S, self._unanswered, caller, caller.starts, target, then)
            return
        delay_s = self.delay_s(caller.place, node.place)
        identity = None if as_nobody else caller.fingerprint
        self.heap.after(
            2 * delay_s + KEYS_S, self._answered, caller, caller.starts, node, identity, delay_s, then
        )

    def _unanswered(
        self, caller: Process, start: int, target: bytes, then: Callable[[bytes, End | None], None]
    ) -> None:
        if caller.up and caller.starts == start:
            then(target, None)

    def _answered(
        self,
        caller: Process,
        start: int,
        node: Node,
        identity: bytes | None,
        delay_s: float,
        then: Callable[[bytes, End | None], None],
    ) -> None:
        if not (caller.up and caller.starts == start):
            return
        if not (self.reaches(caller.fingerprint, node.fingerprint) and node.accepts(identity)):
            then(node.fingerprint, None)
            return
        self._ships += 1
        ship = Ship(self.heap, self._ships, caller, node, delay_s)
        mine, theirs = ship.ends
        mine.peer, theirs.peer = node.fingerprint, identity
        self.heap.note("ship", mine.name, theirs.name)
        node.landed(theirs)
        then(node.fingerprint, mine)

    # -- what nodes say to their world -------------------------------------------------------------
    def learned(self, node: Process, about: bytes, part: Part) -> None:
        """Somebody has something new in its rack."""
        if self.watch is not None:
            self.watch(node, about, part)

    def signed(self, node: Node) -> None:
        """A node has signed a bottle."""
        self.heap.note("signed", node.name, node.author.contents_seq)

    def check(self, node: Process, check: Check) -> None:
        """A node is to see whether another is where it says: after a while it knows."""
        self.heap.after(CHECK_S, self._checked, node, node.starts, check)

    def _checked(self, node: Process, start: int, check: Check) -> None:
        if node.up and node.starts == start:
            there = self.nodes.get(check.fingerprint)
            held = there.author.holds if there is not None and there.up else frozenset()
            good = all(at in held for _, at in check.addresses)
            node.gossip.checked(check, "" if good else "another identity answers there", self.heap.now_s)
            node.settle()

    def tamper(self, talk: Talk, data: bytes) -> bytes:
        """What becomes of a piece on its way."""
        return data if self.lose is None else self.lose(talk, data)


def address(number: int) -> str:
    """A public address, of which neighbouring numbers share no prefix of 16 bits."""
    return f"{20 + number % 60}.{(number // 60) % 250}.{(number // 15_000) % 250}.{1 + number % 250}"
