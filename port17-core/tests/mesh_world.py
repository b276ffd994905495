"""Worlds of meshes without gossip, links or bytes: each node's mesh, calls that take a moment, and who knows
whom read from one shared list. For the tests of the graph that they make."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

from port17.node.candidates import OFFLINE, Candidates
from port17.node.commands import Dial, Retire
from port17.node.lane_cost import LaneCost
from port17.node.mesh import Mesh
from port17.records.bottle import Lane

NOW = 1_800_000_000
LATENCY_S = 0.05
"""Seconds that a call takes, there and back, if nobody says otherwise."""
SILENCE_S = 5.0
"""Seconds after which a call is given up that nobody answers."""


def print_of(number: int) -> bytes:
    """A fingerprint."""
    return random.Random(number).randbytes(32)


@dataclass
class Folder:
    """Bottles as a mesh reads them, unsigned."""

    bottles: dict[bytes, SimpleNamespace] = field(default_factory=dict)

    def put(
        self,
        fingerprint: bytes,
        *,
        address: str = "",
        group: str = "",
        flavour: str = "public",
        lanes: Iterable[Lane] = (),
        load: int = 0,
        flags: Iterable[str] = (),
        label_seq: int = 0,
        seq: int = NOW,
    ) -> None:
        addresses = {"tcp": (address,)} if address else {}
        self.bottles[fingerprint] = SimpleNamespace(
            label=SimpleNamespace(flavour=flavour, seq=label_seq, group=group, addresses=addresses),
            contents=SimpleNamespace(seq=seq, flags=tuple(flags), lanes=tuple(lanes), load=load),
        )

    def get(self, fingerprint: bytes) -> SimpleNamespace | None:
        return self.bottles.get(fingerprint)

    def stamps(self) -> Iterator[SimpleNamespace]:
        for one in sorted(self.bottles):
            bottle = self.bottles[one]
            yield SimpleNamespace(
                fingerprint=one, label_seq=bottle.label.seq, contents_seq=bottle.contents.seq
            )


def spread(number: int) -> str:
    """An address in an area of its own, as long as there are fewer than 50,000."""
    return f"{10 + number // 250}.{number % 250}.0.1:1717"


class World:
    """Meshes that call each other."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.folder = Folder()
        self.known = Candidates(self.folder)
        self.meshes: dict[bytes, Mesh] = {}
        self.links: set[frozenset[bytes]] = set()
        self.silent: set[bytes] = set()
        """Nodes that answer nobody."""
        self.apart: dict[bytes, int] = {}
        """The side of a partition that a node is on."""
        self.objections: dict[bytes, str] = {}
        self.now_s = 0.0
        self.log: list[tuple[object, ...]] = []
        self.dials: Counter[bytes] = Counter()
        """How often each was called."""
        self._events: list[tuple[float, int, tuple[object, ...]]] = []
        self._order = itertools.count()
        self._woken: dict[bytes, float] = {}

    # -- who there is ----------------------------------------------------------------------------------
    def add(
        self,
        fingerprint: bytes,
        *,
        address: str = "",
        group: str = "",
        pinned: Iterable[bytes] = (),
        lanes: int | None = None,
        lives: bool = True,
    ) -> None:
        """A node that everybody knows; without a mesh, it is only known."""
        self.folder.put(fingerprint, address=address, group=group)
        self.known.read(fingerprint)
        if not lives:
            self.silent.add(fingerprint)
            return
        rng = random.Random(self.rng.random())
        self.meshes[fingerprint] = Mesh(
            fingerprint,
            self.known,
            LaneCost(self.folder, rng),
            rng,
            pinned=tuple(pinned),
            lanes=lanes,
            objection=lambda one: self.objections.get(one, ""),
        )
        self.wake(fingerprint)

    def crash(self, fingerprint: bytes) -> None:
        """A node is gone without a word; its bottle stays."""
        del self.meshes[fingerprint]
        self.silent.add(fingerprint)
        for link in sorted(self.links, key=sorted):
            if fingerprint in link:
                self.cut(link)

    def cut(self, link: frozenset[bytes]) -> None:
        """A link is lost."""
        self.links.discard(link)
        for end in sorted(link):
            if end in self.meshes:
                (peer,) = link - {end}
                self.meshes[end].lost(peer, self.now_s)
                self.wake(end)

    def split(self, sides: dict[bytes, int]) -> None:
        """Links across the sides are lost, and no more can be made."""
        self.apart = sides
        for link in sorted(self.links, key=sorted):
            if not self._reach(*link):
                self.cut(link)

    # -- time ------------------------------------------------------------------------------------------
    def run(self, seconds: float) -> None:
        """Let it go on."""
        end_s = self.now_s + seconds
        while self._events and self._events[0][0] <= end_s:
            self.now_s, _, event = heapq.heappop(self._events)
            self._happen(event)
        self.now_s = end_s

    def wake(self, fingerprint: bytes) -> None:
        """A node does what is due."""
        mesh = self.meshes[fingerprint]
        for command in mesh.tend(self.now_s):
            self.log.append((round(self.now_s, 6), fingerprint, command))
            if isinstance(command, Dial):
                self.dials[command.peer] += 1
                self._later(LATENCY_S, "called", fingerprint, command.peer)
            elif isinstance(command, Retire):
                self._later(LATENCY_S / 2, "retired", fingerprint, command.peer)
        due_s = mesh.due_s
        assert due_s > self.now_s, "a node that is woken has nothing left to do"
        # Of the wakings that are planned only the last counts.
        self._woken[fingerprint] = due_s
        if due_s < float("inf"):
            heapq.heappush(self._events, (due_s, next(self._order), ("due", fingerprint)))

    def _later(self, seconds: float, *event: object) -> None:
        heapq.heappush(self._events, (self.now_s + seconds, next(self._order), event))

    def _reach(self, one: bytes, other: bytes) -> bool:
        return self.apart.get(one, 0) == self.apart.get(other, 0)

    def _happen(self, event: tuple[object, ...]) -> None:
        kind, caller, *rest = event
        assert isinstance(caller, bytes)
        if caller not in self.meshes:
            return
        if kind == "due":
            if self._woken[caller] <= self.now_s:
                self.wake(caller)
            return
        (peer,) = rest
        assert isinstance(peer, bytes)
        if kind == "called":
            if peer not in self.meshes or not self._reach(caller, peer):
                self._later(SILENCE_S, "given up", caller, peer)
                return
            refusal = self.meshes[peer].asked(caller, self.now_s)
            if refusal:
                self.meshes[caller].failed(peer, self.now_s, refused=True)
            else:
                self.links.add(frozenset((caller, peer)))
                self.meshes[caller].stands(peer, self.now_s, ours=True)
                self.meshes[peer].stands(caller, self.now_s, ours=False)
        elif kind == "given up":
            self.meshes[caller].failed(peer, self.now_s)
        elif kind == "retired":
            self.links.discard(frozenset((caller, peer)))
            if peer in self.meshes:
                self.meshes[peer].retires(caller, self.now_s)
        for end in (caller, peer):
            if end in self.meshes:
                self.wake(end)

    # -- what it has become ------------------------------------------------------------------------------
    def publish(self) -> None:
        """Everybody's bottle names its lanes."""
        for one, mesh in self.meshes.items():
            bottle = self.folder.bottles[one]
            bottle.contents.lanes = tuple(Lane(peer, 0, 0) for peer in mesh.standing)
            bottle.contents.seq += 1
        self.known.read()

    def lanes(self) -> dict[bytes, tuple[bytes, ...]]:
        return {one: mesh.standing for one, mesh in self.meshes.items()}

    def one_sided(self) -> list[tuple[bytes, bytes]]:
        """Lanes that one end counts and the other doesn't."""
        lanes = {one: set(found) for one, found in self.lanes().items()}
        return [
            (one, peer) for one, found in lanes.items() for peer in found if one not in lanes.get(peer, ())
        ]

    def diameter(self) -> int:
        """The most hops between any two; -1 if some two can't reach each other."""
        lanes = self.lanes()
        # A node's reach as the bits of a number: all of them grow by a hop at a time.
        index = {one: number for number, one in enumerate(lanes)}
        near = [[index[peer] for peer in found] for found in lanes.values()]
        reach = [1 << number for number in range(len(near))]
        whole = (1 << len(near)) - 1
        for hops in itertools.count():
            if all(one == whole for one in reach):
                return hops
            wider = []
            for number, peers in enumerate(near):
                found = reach[number]
                for peer in peers:
                    found |= reach[peer]
                wider.append(found)
            if wider == reach:
                return -1
            reach = wider

    def component(self, start: bytes) -> set[bytes]:
        """Who can be reached from a node over lanes."""
        lanes, seen, queue = self.lanes(), {start}, deque([start])
        while queue:
            for peer in lanes.get(queue.popleft(), ()):
                if peer not in seen:
                    seen.add(peer)
                    queue.append(peer)
        return seen


def town(nodes: int, seed: int = 0) -> World:
    """A world of nodes that all can be called, in different areas, without groups."""
    world = World(seed)
    for number in range(nodes):
        fingerprint = print_of(number)
        world.folder.put(fingerprint, address=spread(number))
    world.known.read()
    for number in range(nodes):
        world.add(print_of(number), address=spread(number))
    return world


def leave(world: World, fingerprint: bytes) -> None:
    """A node's last contents reach everybody."""
    bottle = world.folder.bottles[fingerprint]
    bottle.contents.flags, bottle.contents.seq = (OFFLINE,), bottle.contents.seq + 1
    world.known.read(fingerprint)
