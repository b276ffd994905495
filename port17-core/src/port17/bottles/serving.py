"""One follower of ours: what he has asked for, and what of it and of the news he is sent next.

Nothing is put together before it is sent, so that whoever reads slowly, or not at all, costs what he has
asked for and no bytes of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from port17.bottles.buckets import BucketRefused, commitments, records
from port17.bottles.holdings import Holdings, fresh_records, records_after
from port17.bottles.intake import Sender
from port17.bottles.news import MODERATION, NODE_BATCH_S, Acquaintance, Feed, Item, Kind, client_batch_s
from port17.bottles.stamp_index import Detail, Entry
from port17.bottles.sync import (
    BUCKETS,
    FOLLOWER_MESSAGE_CAP,
    IDS_CAP,
    STAMPS_CAP,
    VERSION,
    WANTS_CAP,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Fetch,
    Follow,
    FromFollower,
    Given,
    Have,
    Held,
    Known,
    Notice,
    Offer,
    Refused,
    Scope,
    Taken,
    Want,
)
from port17.bottles.sync_codec import Inbox, Outbox, encode, from_follower
from port17.errors import PeerViolation
from port17.wire.quota import TokenBucket

COMPARES_BURST: Final = 8
"""Comparisons that a follower may ask for at once: some in the first minute, when much comes."""
COMPARES_RATE: Final = 1 / 60
"""The same per second later: ten times as often as anybody does."""
WANTS_BURST: Final = 262_144
"""Nodes that a follower may want at once: all of the largest rack, twice."""
WANTS_RATE: Final = 64.0
"""The same per second later: all changes of a network of 100,000."""
WANTS_UNDER_WAY: Final = 4 * WANTS_CAP
"""Most nodes that are wanted and not sent yet, some 100 KiB: twice what a follower asks for at a time."""
IDS_UNDER_WAY: Final = 4 * IDS_CAP
"""Most proofs and marks that are wanted and not sent yet."""
KNOWN_NOTICES_CAP: Final = 16_384
"""Most proofs or marks that are named in one answer, 1.2 MiB; of more, the first."""
NOTICES_RATE: Final = 16.0
"""Proofs and marks per second that a follower may ask for, once he has asked for all that there can be."""
NOTICES_BURST: Final = 131_072
ASKS_UNDER_WAY: Final = 64
"""Most buckets that are asked for and not answered yet: a client asks for as many as its route has hops."""
ASKS_BURST: Final = 256
"""Buckets that a follower may ask for at once: some of each, for a hundred routes."""
ASKS_RATE: Final = 2.0
"""The same per second later. Each costs us up to a hundred bottles read."""
REPLIES_CAP: Final = 256
"""Most replies that wait for a follower who does not read them."""
PUSHED_CAP: Final = 32
"""Most nodes of one batch of news that are sent without being asked for; of more, each follower is told what
there is, and asks for what nobody else has brought."""


class Serving:
    """See the module."""

    def __init__(
        self,
        holdings: Holdings,
        sender: Sender,
        ready: Callable[[], None],
        offered: Callable[[Offer, Sender, float], str],
        acquainted: Callable[[bytes], Acquaintance | None],
        asks: TokenBucket | None = None,
    ) -> None:
        """
        :param asks: of buckets that may be asked for over the follower's link, by all SYNCs over it together.
        :param offered: takes a bottle that the follower offers; says why not, or nothing.
        :param acquainted: what is known of what a node holds, which we follow too.
        """
        self.inbox: Inbox[FromFollower] = Inbox(from_follower, FOLLOWER_MESSAGE_CAP)
        self.ready = ready
        self._holdings = holdings
        self._sender = sender
        self._offered = offered
        self._acquainted = acquainted
        self._follow: Follow | None = None
        self._feed: Feed | None = None
        self._out = Outbox()
        self._control: deque[bytes] = deque()
        self._differing: deque[tuple[int, int]] = deque()
        """Buckets that are still to be shown, from which node on."""
        self._comparing = False
        self._naming: deque[tuple[Notice, int]] = deque()
        """Proofs and marks that are still to be named, from which on."""
        self._lists = False
        """The moderators' list is still to be sent."""
        self._wants: deque[Held | None] = deque()
        """What is wanted; None is the end of one question."""
        self._wanted = 0
        self._items: deque[Item] = deque()
        self._asks: deque[Ask] = deque()
        self._compares = TokenBucket(COMPARES_RATE, COMPARES_BURST)
        self._want_budget = TokenBucket(WANTS_RATE, WANTS_BURST)
        self._item_budget = TokenBucket(NOTICES_RATE, NOTICES_BURST)
        self._ask_budget = asks or TokenBucket(ASKS_RATE, ASKS_BURST)
        self._may_answer = True
        """No bucket has been read in this pull."""

    # -- what comes ----------------------------------------------------------------------------------
    def step(self, now_s: float) -> None:
        """Deal with one message, if there is one.

        :raises PeerViolation: it is not allowed.
        """
        message = self.inbox.next()
        if message is None:
            return
        if isinstance(message, Follow) is (self._follow is not None):
            raise PeerViolation("a follower of SYNC says twice what it follows, or not at first")
        match message:
            case Follow():
                self._begin(message, now_s)
            case Compare():
                self._compare(message, now_s)
            case Want(held=held):
                self._wanted += 1 + len(held)
                if self._wanted > WANTS_UNDER_WAY or not all(self._want_budget.take(now_s) for _ in held):
                    raise PeerViolation("a follower of SYNC wants more than it reads")
                self._wants.extend(held)
                self._wants.append(None)
            case Fetch(kind=kind, ids=ids):
                if len(self._items) + len(ids) > IDS_UNDER_WAY or not all(
                    self._item_budget.take(now_s) for _ in ids
                ):
                    raise PeerViolation("a follower of SYNC wants more proofs or marks than it reads")
                self._items.extend((Kind(kind.value), name) for name in ids)
            case Offer():
                if len(self._control) >= REPLIES_CAP:
                    raise PeerViolation("a follower of SYNC offers bottles and does not read what it is told")
                self._control.append(encode(Taken(self._offered(message, self._sender, now_s))))
            case Ask():
                if len(self._asks) >= ASKS_UNDER_WAY:
                    raise PeerViolation("a follower of SYNC asks for more prekeys than it reads")
                self._asks.append(message)
        self.ready()

    def _begin(self, follow: Follow, now_s: float) -> None:
        self._follow = follow
        if follow.version != VERSION:
            self._control.append(encode(Refused("another version of SYNC")))
            return
        if follow.news:
            self._feed = Feed(self._holdings.news)
        if follow.news and follow.scope is Scope.NEAR:
            # What is far is fetched when it is old; of what is near, the newest is to be known at once.
            near = sorted(self._near(now_s))
            entries = [(one, self._holdings.index.shown(one, self._local)) for one in near]
            self._announce([_held(one, entry) for one, entry in entries if entry is not None])

    def _compare(self, compare: Compare, now_s: float) -> None:
        if self._comparing or not self._compares.take(now_s):
            raise PeerViolation("a follower of SYNC compares again and again")
        self._comparing = True
        holdings = self._holdings
        ours = holdings.index.digests(self._detail, self._local)
        self._differing.extend((at, 0) for at in range(BUCKETS) if ours[at] != compare.buckets[at])
        for kind, theirs in ((Notice.PROOF, compare.proofs), (Notice.MARK, compare.marks)):
            if theirs and theirs != holdings.notices(kind):
                self._naming.append((kind, 0))
        self._lists = holdings.order > compare.moderation

    # -- what is sent --------------------------------------------------------------------------------
    def due_s(self, now_s: float) -> float:
        """When :meth:`pull` has something."""
        if self._out or self._control or self._comparing or self._wants or self._items or self._asks:
            return now_s
        return math.inf if self._feed is None else self._feed.due_s(self._interval_s, now_s)

    def pull(self, now_s: float) -> bytes:
        """What is to be sent now; empty if nothing."""
        self._may_answer = True
        return self._out.pull(lambda: self._next(now_s))

    def _next(self, now_s: float) -> bytes | None:
        """The next message, which is empty if it has come to nothing; None if there is none."""
        if self._control:
            return self._control.popleft()
        if self._asks and self._may_answer:
            # Many bottles are read for few bytes: others have their turn before the next one.
            self._may_answer = False
            return self._answer(self._asks.popleft(), now_s)
        if self._feed is not None:
            batch = self._feed.batch(self._interval_s, now_s)
            if batch:
                return self._news(self._feed, batch, now_s)
        if self._comparing:
            return self._compared()
        if self._items:
            said = self._holdings.said(self._items.popleft())
            return b"" if said is None else encode(said)
        if self._wants:
            return self._give(self._wants.popleft())
        return None

    def _answer(self, ask: Ask, now_s: float) -> bytes:
        rack = self._holdings.intake.rack
        where = (rack, ask.suite, ask.slot, ask.bits, ask.prefix)
        try:
            if not self._ask_budget.take(now_s):
                return encode(Answer(ask, None))
            if ask.records:
                return encode(Answer(ask, tuple(one.to_cbor() for one in records(*where))))
            return encode(Answer(ask, commitments(*where)))
        except BucketRefused:
            return encode(Answer(ask, None))

    def _compared(self) -> bytes:
        """The next part of the answer to a comparison."""
        if self._differing:
            number, at = self._differing.popleft()
            held = self._holdings.index.bucket(number, self._local)
            if at + STAMPS_CAP < len(held):
                self._differing.appendleft((number, at + STAMPS_CAP))
            return encode(Differ(number, tuple(held[at : at + STAMPS_CAP]))) if held else b""
        if self._naming:
            kind, at = self._naming.popleft()
            ids = self._holdings.ids(kind)[at : at + IDS_CAP]
            if len(ids) == IDS_CAP and at + IDS_CAP < KNOWN_NOTICES_CAP:
                self._naming.append((kind, at + IDS_CAP))
            return encode(Known(kind, tuple(ids))) if ids else b""
        if self._lists:
            self._lists = False
            said = self._holdings.said(MODERATION)
            return b"" if said is None else encode(said)
        self._comparing = False
        return encode(Compared())

    def _give(self, held: Held | None) -> bytes:
        self._wanted -= 1
        if held is None:
            return encode(Given())
        entry = self._holdings.index.shown(held.fingerprint, self._local)
        if entry is None:
            return b""
        if entry.label_seq > held.label_seq or (held.label_seq, held.contents_seq) == (0, 0):
            return self._holdings.whole(held.fingerprint, bundle=self._bundles)
        lacks = self._bundles and entry.contents_seq == held.contents_seq and entry.whole and not held.whole
        if entry.contents_seq <= held.contents_seq and not lacks:
            return b""
        records: frozenset[bytes] | None = None
        if not self._bundles:
            records = frozenset()
        elif held.whole and not entry.read:
            records = records_after(entry, held.contents_seq)
        return self._holdings.update(held.fingerprint, records=records)

    # -- news ----------------------------------------------------------------------------------------
    def _news(self, feed: Feed, batch: list[Item], now_s: float) -> bytes:
        """One message or some; takes away from the batch what they say."""
        item = batch[-1]
        if item[0] is not Kind.NODE:
            batch.pop()
            said = None if feed.overtaken(item) else self._holdings.said(item)
            return b"" if said is None else encode(said)
        nodes: list[Item] = []
        while batch and batch[-1][0] is Kind.NODE and len(nodes) < STAMPS_CAP:
            nodes.append(batch.pop())
        due = self._due(feed, nodes, now_s)
        if not due:
            return b""
        if self._bundles and len(due) <= PUSHED_CAP:
            return b"".join(self._pushed(feed, fingerprint, entry) for fingerprint, entry in due)
        return encode(Have(tuple(_held(fingerprint, entry) for fingerprint, entry in due)))

    def _due(self, feed: Feed, nodes: list[Item], now_s: float) -> list[tuple[bytes, Entry]]:
        """Of a batch, what this follower is to know and may not know yet."""
        follow = self._follow
        assert follow is not None
        peer = None if follow.fingerprint is None else self._acquainted(follow.fingerprint)
        near = self._near(now_s) if follow.scope is Scope.NEAR else None
        due = []
        for item in nodes:
            fingerprint = item[1]
            entry = self._holdings.index.shown(fingerprint, self._local)
            if entry is None or feed.overtaken(item):
                continue
            if near is not None and entry.label_at <= feed.base and fingerprint not in near:
                continue
            known = None if peer is None else peer.get(fingerprint)
            if known is None or not _has(known, entry):
                due.append((fingerprint, entry))
        return due

    def _pushed(self, feed: Feed, fingerprint: bytes, entry: Entry) -> bytes:
        if entry.label_at > feed.base:
            return self._holdings.whole(fingerprint, bundle=True)
        assert self._follow is not None
        peer = None if self._follow.fingerprint is None else self._acquainted(self._follow.fingerprint)
        known = None if peer is None else peer.get(fingerprint)
        incomplete = known is not None and not known.whole
        records = None if incomplete else fresh_records(entry, feed.base)
        return self._holdings.update(fingerprint, records=records)

    def _announce(self, held: list[Held]) -> None:
        for at in range(0, len(held), STAMPS_CAP):
            self._control.append(encode(Have(tuple(held[at : at + STAMPS_CAP]))))

    # -- what he follows -----------------------------------------------------------------------------
    @property
    def _bundles(self) -> bool:
        return self._follow is not None and self._follow.bundles

    @property
    def _local(self) -> bool:
        """Whether local bottles are for him: he must ask for them, and be on the local network."""
        return self._follow is not None and self._follow.local and self._sender.local

    @property
    def _detail(self) -> Detail:
        assert self._follow is not None
        return detail_of(self._follow.scope, bundles=self._follow.bundles)

    @property
    def _interval_s(self) -> float:
        if self._bundles:
            return NODE_BATCH_S
        near = self._follow is not None and self._follow.scope is Scope.NEAR
        return client_batch_s(len(self._holdings.index), near=near)

    def _near(self, now_s: float) -> frozenset[bytes]:
        own = self._holdings.own
        return frozenset() if own is None else self._holdings.near.nodes(own, now_s)


def detail_of(scope: Scope, *, bundles: bool) -> Detail:
    """How closely a follower's rack is compared with its source's."""
    if scope is Scope.NEAR:
        return Detail.LABELS
    return Detail.PREKEYS if bundles else Detail.CONTENTS


def _held(fingerprint: bytes, entry: Entry) -> Held:
    return Held(fingerprint, entry.label_seq, entry.contents_seq, entry.whole)


def _has(known: Held, entry: Entry) -> bool:
    """Whether a peer that holds the one lacks nothing of the other."""
    if known.label_seq < entry.label_seq or known.contents_seq < entry.contents_seq:
        return False
    return known.contents_seq > entry.contents_seq or known.whole or not entry.whole
