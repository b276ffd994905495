"""Sources of a client, joined to it by byte pipes: honest ones, and ones that lie or keep silent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from port17.bottles.gossip import Gossip
from port17.bottles.gossip_events import Event, Key, Synced
from port17.bottles.intake import OURSELVES, Intake, Sender
from port17.bottles.rack import MemoryRack
from port17.bottles.sync import Scope
from port17.client.prekeys import Prekeys
from port17.client.sources import Source
from port17.errors import PeerViolation
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork
from port17.node.keyring import Keyring
from port17.records.bottle import Bottle, Contents, Slot
from port17.records.prekey import PrekeyRecord

from .amended_network import SCHEME, Amended

STEP_S = 0.05
"""Seconds between looks at what is to be carried."""


class Feed:
    """What a source knows, and says."""

    def __init__(
        self, known: KnownNetwork, bottles: Sequence[Bottle], rack: MemoryRack | None = None
    ) -> None:
        self.rack = rack or MemoryRack()
        self.intake = Intake(self.rack, known.intake._validators, known.charter.network_id)
        self.gossip = Gossip(
            self.intake, known.terms, moderate=lambda _: False, tell=lambda _: None, rng=random.Random(1)
        )
        self.asked: list[bytes] = []
        self.silent = False
        for bottle in bottles:
            self.gossip.take(bottle, OURSELVES, 0.0)


class LyingRack(MemoryRack):
    """Says something else of one node than the node has signed."""

    def __init__(self, victim: bytes, lie: Callable[[Bottle], Bottle]) -> None:
        super().__init__()
        self.victim, self.lie, self.lying = victim, lie, False

    def get(self, fingerprint: bytes) -> Bottle | None:
        bottle = super().get(fingerprint)
        if bottle is None or not self.lying or fingerprint != self.victim:
            return bottle
        return self.lie(bottle)


class Feeds:
    """The sources of one client, as the test has them."""

    def __init__(self, known: KnownNetwork, tasks: TaskGroup) -> None:
        self.known, self.tasks = known, tasks
        self.sources: list[Source] = []
        self.feeds: dict[Key, Feed] = {}
        self.lost: list[tuple[str, str]] = []
        self.replaced: list[str] = []
        self._listeners: list[Callable[[], None]] = []
        known.listen(self._told)
        tasks.start_soon(self._tick)

    def __iter__(self) -> Iterator[Source]:
        return iter([source for source in self.sources if not source.over])

    def tell(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def lose(self, source: Source, why: str) -> None:
        if not source.false:
            source.false = True
            self.lost.append((source.name, why))
        self.end(source)

    def replace(self, source: Source) -> None:
        self.replaced.append(source.name)
        self.end(source)

    def end(self, source: Source) -> None:
        source.over = True
        source.task.cancel()
        self.known.gossip.gone(source.key)
        self._pass_on()

    async def add(self, feed: Feed, name: str, group: str = "") -> Source:
        """A source that stands, once it has told all."""
        key = self.known.gossip.follow(name.encode().ljust(32, b"."), lambda: None, bundles=False)
        scope = anyio.CancelScope()
        source = Source(name.encode().ljust(32, b"."), name, group or name, Scope.ALL, key, scope)
        self.sources.append(source)
        self.feeds[key] = feed
        self.tasks.start_soon(self._carry, source, feed, scope)
        with anyio.fail_after(30):
            while not source.synced:  # noqa: ASYNC110 - on a virtual clock
                await anyio.sleep(STEP_S)
        return source

    async def _carry(self, source: Source, feed: Feed, scope: anyio.CancelScope) -> None:
        theirs, ours, key = feed.gossip, self.known.gossip, source.key
        far = theirs.serve(Sender(f"client of {source.name}"), lambda: None)
        with scope:
            while True:
                now_s = anyio.current_time()
                up = ours.pull(key, now_s)
                feed.asked.append(up)
                theirs.heard(far, up)
                while theirs.step(far, now_s):
                    pass
                theirs.tick(now_s)
                down = theirs.pull(far, now_s)
                if not feed.silent:
                    try:
                        ours.heard(key, down)
                        while ours.step(key, now_s):
                            pass
                    except PeerViolation as error:
                        self.lost.append((source.name, error.message))
                        self.end(source)
                await anyio.sleep(STEP_S)

    async def _tick(self) -> None:
        while True:
            self.known.gossip.tick(anyio.current_time())
            await anyio.sleep(STEP_S)

    def _told(self, event: Event) -> None:
        if isinstance(event, Synced):
            for source in self.sources:
                if source.key == event.key:
                    source.synced = True
            self._pass_on()

    def _pass_on(self) -> None:
        for listener in self._listeners:
            listener()


class Place:
    """A network of which a client knows nothing but what its feeds tell it."""

    def __init__(self, folder: Path, tasks: TaskGroup, nodes: int = 5, **terms: Any) -> None:
        self.net = Amended(folder, **terms)
        self.tasks = tasks
        self._epoch = anyio.current_time(), self.net.now
        self.rings: dict[bytes, Keyring] = {}
        self.bottles: list[Bottle] = []
        for number in range(nodes):
            ring, bottle = self.net.node(f"n{number}", exit={"enabled": True})
            self.rings[bottle.fingerprint] = ring
            self.bottles.append(bottle)
        own = folder / "own"
        own.mkdir()
        self.own = own
        self.known = KnownNetwork.load(self.net.client(bottles=own), self.net.registry, self.wall)
        self.feeds = Feeds(self.known, tasks)
        self.prekeys = Prekeys(self.known, self.feeds, rng=random.Random(1))
        tasks.start_soon(self.prekeys._inquiry.see_through)

    def wall(self) -> float:
        begun_s, wall_s = self._epoch
        return wall_s + anyio.current_time() - begun_s

    def feed(self, bottles: Sequence[Bottle] | None = None, rack: MemoryRack | None = None) -> Feed:
        return Feed(self.known, self.bottles if bottles is None else bottles, rack)

    def nodes(self, *places: int) -> list[ChartNode]:
        chart = self.known.chart()
        return [chart.nodes[self.bottles[place].fingerprint] for place in places]

    def other(self, place: int, *, later_s: int = 0, slot: int | None = None) -> Bottle:
        """What a node that equivocates signs for somebody else: other prekeys for the same slots."""
        return self.sign(place, [self.forged(record) for record in self.bottles[place].bundle], later_s)

    def forged(self, record: PrekeyRecord) -> PrekeyRecord:
        suite = self.net.registry.make("port17.cipher_suites", record.suite)
        return PrekeyRecord.made(**{**record.model_dump(), "public": suite.generate().public})

    def sign(self, place: int, records: Sequence[PrekeyRecord], later_s: int = 0) -> Bottle:
        bottle = self.bottles[place]
        slots: dict[str, list[tuple[int, int, bytes]]] = {}
        for record in records:
            slots.setdefault(record.suite, []).append((record.slot, record.expiry, record.hash))
        fields = bottle.contents.model_dump()
        contents = Contents.made(**{**fields, "seq": bottle.contents.seq + later_s, "slots": slots})
        ring = self.rings[bottle.fingerprint]
        network_id = self.known.charter.network_id
        return Bottle.seal(network_id, SCHEME, ring.signing_key, bottle.label, contents, records)


def naming(commitments: dict[int, bytes]) -> Callable[[Bottle], Bottle]:
    """A lie: other hashes for some slots, over which there is no signature."""

    def lie(bottle: Bottle) -> Bottle:
        slots = {
            suite: tuple(
                Slot(one.slot, one.expiry, commitments.get(one.slot, one.commitment)) for one in held
            )
            for suite, held in bottle.contents.slots.items()
        }
        contents = bottle.contents.model_copy(update={"slots": slots})
        return Bottle(bottle.label_envelope, bottle.contents_envelope, bottle.bundle, bottle.label, contents)

    return lie
