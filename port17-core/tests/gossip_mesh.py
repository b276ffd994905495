"""Gossips that are joined by byte pipes, under a clock that only the test moves."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from port17.bottles.gossip import Gossip
from port17.bottles.gossip_events import Event, Key
from port17.bottles.intake import OURSELVES, Intake, Sender
from port17.bottles.outcome import Outcome
from port17.bottles.rack import MemoryRack
from port17.bottles.sync import Scope
from port17.bottles.validation import Terms
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.moderation import SignedModeration

from .bottle_maker import NETWORK, NOW, TERMS, Maker

PANEL = Registry().panel
DELAY_S = 0.05
"""From one end of a pipe to the other."""
READ_SIZE = 64 * 1024


@dataclass(eq=False)
class Pipe:
    """One direction of a SYNC.

    :param sent: bytes that went in.
    :param lost: what the test drops, by its place in the stream of pulls.
    """

    into: Peer
    key: Key
    sent: int = 0
    closed: bool = False
    stalled: bool = False


@dataclass(eq=False)
class Peer:
    """A process with a gossip."""

    mesh: Mesh
    name: str
    gossip: Gossip = field(init=False)
    intake: Intake = field(init=False)
    rack: MemoryRack = field(init=False)
    events: list[Event] = field(default_factory=list)
    pipes: dict[Key, Pipe] = field(default_factory=dict)
    ready: dict[Key, None] = field(default_factory=dict)
    lists: list[SignedModeration] = field(default_factory=list)
    verified: int = 0
    capacity: int = 20_000
    stored: Sequence[Bottle] = ()

    def __post_init__(self) -> None:
        self.rack = MemoryRack(MemoryRack.Config(capacity=self.capacity))
        for bottle in self.stored:
            self.rack.put(bottle)
        self.intake = Intake(self.rack, PANEL, NETWORK)
        refusal = self.intake.refusal

        def counted(bottle: Bottle, terms: Terms) -> object:
            self.verified += 1
            return refusal(bottle, terms)

        self.intake.refusal = counted  # type: ignore[method-assign,assignment]
        self.gossip = Gossip(
            self.intake,
            self.mesh.terms,
            moderate=self._moderate,
            tell=self.events.append,
            rng=random.Random(self.name),
        )

    def _moderate(self, offered: SignedModeration) -> bool:
        if self.lists and offered.order <= self.lists[-1].order:
            return False
        self.lists.append(offered)
        return True

    def take(self, *bottles: Bottle, sender: Sender = OURSELVES) -> Outcome:
        for bottle in bottles:
            outcome = self.gossip.take(bottle, sender, self.mesh.now_s)
        self.mesh.wake(self)
        return outcome

    def holds(self) -> dict[bytes, tuple[int, int]]:
        return {stamp.fingerprint: (stamp.label_seq, stamp.contents_seq) for stamp in self.rack.stamps()}

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Mesh:
    """See the module."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.peers: list[Peer] = []
        self.moved: Counter[tuple[str, str]] = Counter()
        """Bytes, by (from, to)."""
        self.failed: list[str] = []
        self.drop: Callable[[Peer, Peer, bytes], bool] = lambda one, other, data: False
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def terms(self) -> Terms:
        return replace(TERMS, now_s=NOW + self.now_s - 1000.0)

    @property
    def wall(self) -> int:
        return int(self.terms().now_s)

    def peer(
        self, name: str, own: bytes | None = None, *, capacity: int = 20_000, stored: Sequence[Bottle] = ()
    ) -> Peer:
        peer = Peer(self, name, capacity=capacity, stored=stored)
        peer.gossip.own = own
        self.peers.append(peer)
        return peer

    def at(self, when_s: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when_s, self._count, do))

    def follow(
        self,
        follower: Peer,
        source: Peer,
        *,
        scope: Scope = Scope.ALL,
        bundles: bool = True,
        local: bool = False,
        trusted: bool = True,
        standing: bool = True,
        served_as_local: bool = False,
    ) -> tuple[Key, Key]:
        """:returns: the keys at the follower and at the source."""
        ours: list[Key] = []
        theirs: list[Key] = []
        name = f"link {follower.name}>{source.name} {self._count}"
        theirs.append(
            source.gossip.serve(Sender(name, local=served_as_local), lambda: self._ready(source, theirs))
        )
        ours.append(
            follower.gossip.follow(
                source.gossip.own or source.name.encode().ljust(32, b"."),
                lambda: self._ready(follower, ours),
                scope=scope,
                bundles=bundles,
                local=local,
                trusted=trusted,
                standing=standing,
            )
        )
        follower.pipes[ours[0]] = Pipe(source, theirs[0])
        source.pipes[theirs[0]] = Pipe(follower, ours[0])
        self._ready(follower, ours)
        return ours[0], theirs[0]

    def lane(self, one: Peer, other: Peer, **how: bool) -> None:
        self.follow(one, other, **how)  # type: ignore[arg-type]
        self.follow(other, one, **how)  # type: ignore[arg-type]

    def cut(self, one: Peer, other: Peer) -> None:
        for peer, far in ((one, other), (other, one)):
            for key in [key for key, pipe in peer.pipes.items() if pipe.into is far]:
                self.close(peer, key)

    def close(self, peer: Peer, key: Key) -> None:
        pipe = peer.pipes.pop(key, None)
        if pipe is not None:
            pipe.closed = True
            peer.gossip.gone(key)
            self.close(pipe.into, pipe.key)
            self.wake(peer)

    def wake(self, peer: Peer) -> None:
        due_s = max(self.now_s, peer.gossip.due_s)
        self.at(due_s, lambda: self._tick(peer))

    def run(self, for_s: float) -> None:
        end_s = self.now_s + for_s
        for peer in self.peers:
            self.wake(peer)
        while self._heap and self._heap[0][0] <= end_s:
            self.now_s, _, do = heapq.heappop(self._heap)
            do()
        self.now_s = end_s

    def _tick(self, peer: Peer) -> None:
        if self.now_s >= peer.gossip.due_s:
            peer.gossip.tick(self.now_s)
            self.wake(peer)
        self._send(peer)

    def _ready(self, peer: Peer, keys: list[Key]) -> None:
        for key in keys:
            peer.ready[key] = None
            self.at(self.now_s, lambda: self._send(peer))

    def _send(self, peer: Peer) -> None:
        for key in list(peer.ready):
            del peer.ready[key]
            pipe = peer.pipes.get(key)
            if pipe is None or pipe.stalled:
                continue
            before = peer.gossip.due_s
            data = peer.gossip.pull(key, self.now_s)
            if peer.gossip.due_s < before:
                self.wake(peer)
            if not data:
                continue
            self.moved[peer.name, pipe.into.name] += len(data)
            pipe.sent += len(data)
            peer.ready[key] = None
            self.at(self.now_s, lambda: self._send(peer))
            if not self.drop(peer, pipe.into, data):
                self.at(self.now_s + DELAY_S, partial(self._arrive, pipe, data))

    def _arrive(self, pipe: Pipe, data: bytes) -> None:
        if pipe.closed or pipe.key not in pipe.into.pipes:
            return
        gossip = pipe.into.gossip
        before = gossip.due_s
        try:
            gossip.heard(pipe.key, data)
            while gossip.step(pipe.key, self.now_s):
                pass
        except Exception as error:
            self.failed.append(f"{pipe.into.name}: {error}")
            self.close(pipe.into, pipe.key)
            if type(error).__name__ != "PeerViolation":
                raise
            return
        if gossip.due_s < before:
            self.wake(pipe.into)


def ring(mesh: Mesh, peers: Iterable[Peer], chords: int = 0) -> list[tuple[Peer, Peer]]:
    """Lanes round a circle, and some across it."""
    ordered = list(peers)
    pairs = [(one, ordered[(at + 1) % len(ordered)]) for at, one in enumerate(ordered)]
    rng = random.Random(1)
    while len(pairs) < len(ordered) + chords:
        one, other = rng.sample(ordered, 2)
        if (one, other) not in pairs and (other, one) not in pairs:
            pairs.append((one, other))
    for one, other in pairs:
        mesh.lane(one, other)
    return pairs


def network(mesh: Mesh, nodes: int, chords: int = 0) -> tuple[list[Peer], list[Maker]]:
    """Nodes that know only themselves, and their lanes."""
    makers = [Maker() for _ in range(nodes)]
    peers = [mesh.peer(f"p{at}", maker.fingerprint) for at, maker in enumerate(makers)]
    for at, (peer, maker) in enumerate(zip(peers, makers, strict=True)):
        peer.take(maker.bottle(name=f"n{at}"))
    ring(mesh, peers, chords)
    return peers, makers


def alike(peers: list[Peer]) -> bool:
    return all(peer.holds() == peers[0].holds() for peer in peers)


def bottles(count: int) -> list[Bottle]:
    return [Maker().bottle(name=f"n{at}") for at in range(count)]
