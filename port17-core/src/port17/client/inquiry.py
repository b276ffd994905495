"""Asking sources for prekeys, bucket by bucket, and what is made of their answers.

A source's word is no proof: what counts is what the node has signed, and who else says the same. What is
needed when is :mod:`port17.client.prekeys`' to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, NamedTuple, Protocol

import anyio
import anyio.lowlevel

from port17.bottles.buckets import BUCKET_CAP, bits_for, bucket_of
from port17.bottles.gossip_events import CommitmentsCame, Event, Forgotten, Key, Noted, PrekeysCame
from port17.bottles.intake import Sender
from port17.bottles.rack import BUCKET_BITS_CAP
from port17.client.sources import Source
from port17.client.words import AGREEING, Place, Words
from port17.navigator.chart import Fingerprint
from port17.network import KnownNetwork
from port17.records.identity import node_id
from port17.records.prekey import PrekeyRecord

ANSWER_S: Final = 4.0
"""Seconds for a source to answer; then another is asked. A slow line brings a bucket in that time."""
SHOWN_S: Final = 10.0
"""Seconds in which a source that contradicts what a node has signed is to show another signature of it."""
NARROWER_BITS: Final = 2
"""Bits by which a bucket that is too full for one answer is asked for more narrowly."""
BUCKETS_AT_ONCE: Final = 4
"""Buckets under way at once."""

_log = logging.getLogger(__name__)


class Known(Protocol):
    """The sources; :class:`~port17.client.sources.Sources` are."""

    def __iter__(self) -> Iterator[Source]:
        """Those that stand."""

    def lose(self, source: Source, why: str) -> None:
        """A source has told us something false."""

    def replace(self, source: Source) -> None:
        """A source is of no use."""

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this whenever a source comes, goes, or has told all."""


class Need(NamedTuple):
    """A prekey that is wanted.

    :param commitment: as the node has signed it.
    :param first: it is the first hop's, which any one source may tell of: it is asked directly, and has to
        prove who it is.
    """

    place: Place
    commitment: bytes
    first: bool


class Bucket(NamedTuple):
    """What is asked for together."""

    suite: str
    slot: int
    bits: int
    prefix: int

    @classmethod
    def of(cls, place: Place, bits: int) -> Bucket:
        """The one that a prekey is in."""
        return cls(place.suite, place.slot, bits, bucket_of(place.fingerprint, bits))

    def holds(self, fingerprint: Fingerprint) -> bool:
        """Whether a node is in it."""
        return bucket_of(fingerprint, self.bits) == self.prefix


@dataclass
class _Question:
    """One that is under way."""

    over: anyio.Event = field(default_factory=anyio.Event)
    answer: PrekeysCame | CommitmentsCame | None = None


class Inquiry:
    """All questions of one client."""

    def __init__(self, network: KnownNetwork, sources: Known, rng: Random) -> None:
        self.words = Words()
        self._network = network
        self._sources = sources
        self._rng = rng
        self._questions: dict[tuple[Key, bool, Bucket], _Question] = {}
        self._fetching: dict[Bucket, anyio.Lock] = {}
        self._limit = anyio.CapacityLimiter(BUCKETS_AT_ONCE)
        self._doubts: list[tuple[Source, Place]] = []
        self._doubted: set[tuple[Key, Place]] = set()
        self._change = anyio.Event()
        network.listen(self._told)
        sources.tell(self._changed)

    @property
    def groups(self) -> int:
        """Of how many groups there are sources that have told all that they know."""
        return len({source.group for source in self._sources if source.synced})

    async def enough(self, groups: int = AGREEING) -> None:
        """Wait until there are sources of so many groups."""
        while self.groups < groups:
            await self._change.wait()

    # -- what is at hand ----------------------------------------------------------------------------
    def record(self, need: Need) -> PrekeyRecord | None:
        """The record of a prekey that may be used for what it is needed."""
        bottle = self._network.rack.get(need.place.fingerprint)
        if bottle is None or not (need.first or self._is_agreed(need)):
            return None
        return next((one for one in bottle.bundle if one.hash == need.commitment), None)

    def _is_agreed(self, need: Need) -> bool:
        if need.commitment in self._network.handed:
            return True  # the user's own folder
        return self.words.agree(need.place, need.commitment)

    # -- asking -------------------------------------------------------------------------------------
    async def fetch(self, needs: Iterable[Need], last: Fingerprint | None = None) -> list[Bucket]:
        """Fetch what is missing, as far as sources have it.

        :param last: a source that is asked only if the others don't suffice: where a route begins, it is not
            to learn anything about the rest of it.
        :returns: what was asked for.
        """
        bits = bits_for(len(self._network.rack))
        buckets: dict[Bucket, list[Need]] = {}
        for need in needs:
            if self.record(need) is None:
                buckets.setdefault(Bucket.of(need.place, bits), []).append(need)
        async with anyio.create_task_group() as tasks:
            for bucket, wanted in buckets.items():
                tasks.start_soon(self._fetch_bucket, bucket, wanted, last)
        return list(buckets)

    async def _fetch_bucket(self, bucket: Bucket, wanted: list[Need], last: Fingerprint | None) -> None:
        lock = self._fetching.setdefault(bucket, anyio.Lock())
        try:
            async with lock, self._limit:
                await self._ask_around(bucket, wanted, last)
        finally:
            if not lock.locked() and not lock.statistics().tasks_waiting:
                self._fetching.pop(bucket, None)

    async def _ask_around(self, bucket: Bucket, wanted: list[Need], last: Fingerprint | None) -> None:
        """Ask source after source until nothing is missing."""
        asked: set[tuple[Key, bool]] = set()
        while True:
            lacking = [need for need in wanted if self.record(need) is None]
            sources = [source for source in self._sources if source.synced]
            self._rng.shuffle(sources)
            sources.sort(key=lambda source: source.fingerprint == last)
            # Where no route waits, and none shows, all are heard: one honest source finds out two liars.
            most = AGREEING if last is not None else len(sources)
            questions = self._questions_for(lacking, sources, asked)[:most]
            if not questions:
                return
            asked |= {(source.key, of_records) for source, of_records in questions}
            async with anyio.create_task_group() as tasks:
                for source, of_records in questions:
                    tasks.start_soon(self._try, source, of_records, bucket, lacking)

    def _questions_for(
        self, lacking: list[Need], sources: list[Source], asked: set[tuple[Key, bool]]
    ) -> list[tuple[Source, bool]]:
        """Whom to ask now, and whether for records, which name a prekey, too, or for its hash alone."""
        without = any(self.record(need._replace(first=True)) is None for need in lacking)
        questions: list[tuple[Source, bool]] = []
        for source in sources:
            if without and (source.key, True) not in asked:
                questions.append((source, True))
                without = False
            elif (source.key, False) not in asked and any(
                not need.first and not self.words.has(need.place, need.commitment, source.witness)
                for need in lacking
            ):
                questions.append((source, False))
        return questions

    async def _try(self, source: Source, of_records: bool, bucket: Bucket, lacking: list[Need]) -> None:
        try:
            await self._ask_and_take(source, of_records, bucket, lacking)
        except Exception as fault:  # noqa: BLE001 - a full disk, a plugin's suite: it may cost this question
            _log.error("prekeys could not be taken in: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)

    async def _ask_and_take(
        self, source: Source, of_records: bool, bucket: Bucket, lacking: list[Need]
    ) -> None:
        came = await self._ask(source, of_records, bucket)
        if came is None:
            return
        rows: tuple[PrekeyRecord, ...] | tuple[object, ...] = ()
        if isinstance(came, PrekeysCame):
            rows = came.records or ()
            await self._take_records(source, bucket, came.records or ())
        else:
            rows = came.rows or ()
            for row in came.rows or ():
                if bucket.holds(row.fingerprint):
                    place = Place(row.fingerprint, bucket.suite, bucket.slot)
                    self._take_word(source, place, row.commitment)
        if len(rows) < BUCKET_CAP or bucket.bits >= BUCKET_BITS_CAP:
            return
        # Somebody has filled it with ids that he has looked for.
        for need in lacking:
            if not self.words.has(need.place, need.commitment, source.witness):
                narrow = Bucket.of(need.place, min(bucket.bits + NARROWER_BITS, BUCKET_BITS_CAP))
                await self._ask_and_take(source, of_records, narrow, [need])

    async def _ask(
        self, source: Source, of_records: bool, bucket: Bucket
    ) -> PrekeysCame | CommitmentsCame | None:
        """:returns: None if the source does not answer."""
        name = (source.key, of_records, bucket)
        question = self._questions.get(name)
        if source.over:
            return None
        if question is None:
            question = self._questions[name] = _Question()
            gossip = self._network.gossip
            (gossip.ask_prekeys if of_records else gossip.ask_commitments)(source.key, *bucket)
        with anyio.move_on_after(ANSWER_S):
            await question.over.wait()
        if self._questions.get(name) is question:
            del self._questions[name]
        if question.answer is None and not source.over:
            _log.info("%s does not answer: another source is tried", node_id(source.fingerprint))
            self._sources.replace(source)
        return question.answer

    # -- what comes ---------------------------------------------------------------------------------
    def _told(self, event: Event) -> None:
        if isinstance(event, PrekeysCame | CommitmentsCame):
            bucket = Bucket(event.suite, event.slot, event.bits, event.prefix)
            question = self._questions.pop((event.key, isinstance(event, PrekeysCame), bucket), None)
            if question is not None:
                question.answer = event
                question.over.set()
        elif isinstance(event, Forgotten | Noted):
            self._changed()

    async def _take_records(self, source: Source, bucket: Bucket, records: Iterable[PrekeyRecord]) -> None:
        network = self._network
        sender = Sender(f"source {node_id(source.fingerprint)}")
        asked_for = (bucket.suite, bucket.slot, network.charter.network_id)
        for record in records:
            if (record.suite, record.slot, record.network_id) != asked_for or not bucket.holds(
                record.fingerprint
            ):
                self._sources.lose(source, "it answers with prekeys that it was not asked for")
                return
            place = Place(record.fingerprint, record.suite, record.slot)
            if not self._take_word(source, place, record.hash):
                continue
            bottle = network.rack.get(record.fingerprint)
            if bottle is not None and all(one.hash != record.hash for one in bottle.bundle):
                # Whether it is a key at all is the intake's to say.
                network.gossip.take(replace(bottle, bundle=(record,)), sender, anyio.current_time())
                await anyio.lowlevel.checkpoint()

    def _take_word(self, source: Source, place: Place, commitment: bytes) -> bool:
        """A source has named a prekey; False if it is not one that we know the node to have signed."""
        bottle = self._network.rack.get(place.fingerprint)
        if bottle is None or source.over:
            return False
        for slot in bottle.contents.slots.get(place.suite, ()):
            if slot.slot == place.slot:
                if slot.commitment == commitment:
                    if source.fingerprint != place.fingerprint:  # nobody is a witness of his own
                        self.words.add(place, commitment, slot.expiry, source.witness)
                    return True
                self._doubt(source, place)
        return False

    # -- contradictions -----------------------------------------------------------------------------
    def _doubt(self, source: Source, place: Place) -> None:
        """A source contradicts what a node has signed. Either it lies, or the node has signed two things, and
        it can show the other: then the node is banned. Until that is known the node is not used."""
        if (source.key, place) not in self._doubted:
            self._doubted.add((source.key, place))
            self.words.doubt(place)
            self._doubts.append((source, place))
            self._changed()

    async def see_through(self) -> None:
        """Find out who is wrong where there are contradictions, until cancelled."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._doubts:
                    tasks.start_soon(self._see_through, *self._doubts.pop())
                await self._change.wait()

    async def _see_through(self, source: Source, place: Place) -> None:
        network = self._network
        if not source.over:
            network.gossip.doubt(source.key, place.fingerprint)
        with anyio.move_on_after(SHOWN_S):
            while place.fingerprint not in network.intake.bans and not source.over:
                await self._change.wait()
        self._doubted.discard((source.key, place))
        self.words.settle(place)
        if place.fingerprint not in network.intake.bans and not source.over:
            self._sources.lose(
                source, f"it names another prekey of {node_id(place.fingerprint)} than the node"
            )
            self.words.withdraw(source.group)

    def _changed(self) -> None:
        self._change.set()
        self._change = anyio.Event()
