"""One source of ours: what it says that it has, what we ask it for, and how much of its word and of its
bottles is looked at.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Final

from port17.bottles.appetite import Appetite
from port17.bottles.buckets import Commitment
from port17.bottles.fetches import Fetches
from port17.bottles.gossip_events import CommitmentsCame, Key, OfferAnswered, PrekeysCame, Synced
from port17.bottles.holdings import Holdings
from port17.bottles.intake import EXPIRE_S, Sender
from port17.bottles.news import Acquaintance
from port17.bottles.outcome import Aborted, Outcome, Why
from port17.bottles.parcels import Parcels
from port17.bottles.serving import detail_of
from port17.bottles.stamp_index import is_whole
from port17.bottles.sync import (
    MESSAGE_CAP,
    VERSION,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Follow,
    FromFollower,
    FromSource,
    Given,
    Have,
    Held,
    Known,
    Notice,
    Offer,
    Refused,
    Said,
    Scope,
    Taken,
    Update,
    Want,
    Whole,
)
from port17.bottles.sync_codec import Inbox, Outbox, encode, from_source
from port17.bottles.tidings import Tidings
from port17.errors import LocalViolation, PeerViolation, RecordError
from port17.records.bottle import Bottle
from port17.records.prekey import PREKEY_CAP, PrekeyRecord
from port17.wire.quota import TokenBucket

COMPARE_S: Final = 600.0
"""Seconds between two comparisons with a source: what a lost message has hidden is found by then."""
NEAR_COMPARE_S: Final = 3 * 3600.0
"""The same of a client that is told of near nodes alone: what it compares are labels."""
COMPARE_JITTER: Final = 0.2
"""By how much of itself that time varies, so that not everybody compares at once."""
COMPARE_SOON_S: Final = 60.0
"""Seconds after which is compared again, where not all that a source said was looked at."""
UNASKED_BURST: Final = 8192
"""Bottles that a source may send at once without being asked: a partition ends."""
UNASKED_RATE: Final = 64.0
"""The same per second later: all changes of a network of 100,000. What is beyond is not looked at, and costs
no verification; it is found by comparing."""
STAMPS_BURST: Final = 524_288
"""Stamps that a source may show us at once: all of the largest rack, at four comparisons."""
STAMPS_RATE: Final = 1024.0
"""The same per second later: some times what comparing every ten minutes takes where everything differs."""
FAULTS_BURST: Final = 16
"""Things that a source may send which nobody who verifies would send: it may believe another revision of the
charter, and its clock may be wrong."""
FAULTS_RATE: Final = 0.1
"""The same per second later. Beyond it the source is left: each costs us a verification in vain."""
ASKS_CAP: Final = 48
"""Most buckets that a source is asked for at a time; below what it allows."""
FAULTS: Final = frozenset({Why.OVERSIZED, Why.MALFORMED, Why.FORGED, Why.FUTURE, Why.STRAY})
"""What a source that verifies does not send."""
JUDGED: Final = frozenset({Why.BLOCKED, Why.NAME, Why.REFUSED, Why.FULL})
"""Why a bottle is not taken that its node has signed."""


class Following:
    """See the module."""

    def __init__(
        self,
        key: Key,
        source: bytes,
        holdings: Holdings,
        fetches: Fetches,
        parcels: Parcels,
        appetite: Appetite,
        rng: random.Random,
        ready: Callable[[], None],
        *,
        scope: Scope,
        bundles: bool,
        local: bool,
        trusted: bool,
        standing: bool,
    ) -> None:
        """Parameters as of :meth:`~port17.bottles.gossip.Gossip.follow`."""
        self.inbox: Inbox[FromSource] = Inbox(from_source, MESSAGE_CAP)
        self.acquaintance = Acquaintance()
        self.ready = ready
        self.synced = False
        self.source = source
        self._key = key
        self._holdings = holdings
        self._fetches = fetches
        self._parcels = parcels
        self._rng = rng
        self._scope = scope
        self._bundles = bundles
        self._local = local
        self._standing = standing
        self._sender = Sender(f"source {source.hex()}", local=local, trusted=trusted)
        self._appetite = appetite if scope is Scope.NEAR else None
        self._out = Outbox()
        follow = Follow(VERSION, scope, bundles, local, standing, holdings.own)
        self._control: deque[FromFollower] = deque([follow])
        self._asked: list[Ask] = []
        self._offered = 0
        self._doubts: deque[bytes] = deque()
        self._doubted: dict[bytes, None] = {}
        self._tidings = Tidings(holdings)
        self._comparing = False
        self._compared = False
        self._compare_s = -math.inf
        self._unasked = TokenBucket(UNASKED_RATE, UNASKED_BURST)
        self._stamps = TokenBucket(STAMPS_RATE, STAMPS_BURST)
        self._faults = TokenBucket(FAULTS_RATE, FAULTS_BURST)
        fetches.begin(key, whole=bundles)

    # -- what we ask ---------------------------------------------------------------------------------
    def offer(self, bottle: Bottle) -> None:
        """Give it a bottle."""
        self._offered += 1
        self._control.append(Offer(bottle.encode()))
        self.ready()

    def ask(self, ask: Ask) -> None:
        """Ask for a bucket.

        :raises LocalViolation: too many are asked for, or this one twice.
        """
        if len(self._asked) >= ASKS_CAP or ask in self._asked:
            raise LocalViolation("a source is asked for too many buckets, or for one twice")
        self._asked.append(ask)
        self._control.append(ask)
        self.ready()

    def doubt(self, fingerprint: bytes) -> None:
        """Ask for all that it holds of a node, whatever we hold."""
        if len(self._doubted) < ASKS_CAP:
            self._doubts.append(fingerprint)
            self._doubted[fingerprint] = None
            self.ready()

    @property
    def is_near(self) -> bool:
        """Whether it tells only of near nodes."""
        return self._appetite is not None

    # -- what is sent --------------------------------------------------------------------------------
    def due_s(self, now_s: float) -> float:
        """When :meth:`pull` or :meth:`tick` has something to do."""
        if (
            self._out
            or self._control
            or self._doubts
            or self._fetches.waits(self._key)
            or self._tidings.waits(nodes=self._asks_nodes)
        ):
            return now_s
        moments = [self._fetches.late_s(self._key), self._fetches.again_s(self._key)]
        if not self._comparing:
            moments.append(self._compare_s)
        return min(moments)

    def pull(self, now_s: float) -> bytes:
        """What is to be sent now; empty if nothing."""
        return self._out.pull(lambda: self._encoded(now_s))

    def _encoded(self, now_s: float) -> bytes | None:
        message = self._next(now_s)
        return None if message is None else encode(message)

    def _next(self, now_s: float) -> FromFollower | None:
        if self._control:
            return self._control.popleft()
        if self._doubts:
            return Want((self._fetches.doubt(self._key, self._doubts.popleft(), now_s),))
        if not self._comparing and now_s >= self._compare_s:
            return self._compare(now_s)
        fetch = self._tidings.next(nodes=self._asks_nodes)
        if fetch is not None:
            return fetch
        held = self._fetches.next(self._key, now_s, self._room)
        return Want(held) if held else None

    @property
    def _asks_nodes(self) -> bool:
        """Bottles are on their way from the source, or about to be asked for."""
        waited = self._fetches.late_s(self._key) < math.inf
        return self._comparing or waited or self._fetches.waits(self._key)

    def _room(self) -> float:
        return self._holdings.intake.room(self._sender, self._holdings.terms().now_s)

    def _compare(self, now_s: float) -> Compare:
        self._comparing = True
        period_s = COMPARE_S if self._appetite is None else NEAR_COMPARE_S
        self._compare_s = now_s + period_s * self._rng.uniform(1 - COMPARE_JITTER, 1 + COMPARE_JITTER)
        holdings = self._holdings
        return Compare(
            holdings.index.digests(detail_of(self._scope, bundles=self._bundles), self._local),
            holdings.notices(Notice.PROOF),
            holdings.notices(Notice.MARK),
            holdings.order,
        )

    # -- what comes ----------------------------------------------------------------------------------
    def step(self, now_s: float) -> None:
        """Deal with one message, if there is one.

        :raises PeerViolation: it is not allowed.
        """
        message = self.inbox.next()
        match message:
            case Differ(held=held) if self._comparing:
                self._claimed(held, now_s, announced=False)
            case Compared() if self._comparing:
                self._comparing = False
                self._compared = True
                self._tidings.compared()
                if not self._standing:
                    self._compare_s = math.inf
                if self._fetches.overflowed(self._key):
                    self._compare_soon(now_s)
            case Have(held=held) if self._standing:
                self._claimed(held, now_s, announced=True)
            case Given():
                if not self._fetches.given(self._key, now_s):
                    raise PeerViolation("a source of SYNC answers what nobody has asked")
            case Whole() | Update():
                self._bottle(message, now_s)
            case Known(kind=kind, ids=ids) if self._comparing:
                for _ in ids:
                    self._count_stamp(now_s)
                self._tidings.named(kind, ids)
            case Said():
                try:
                    self._tidings.take(message, now_s)
                except RecordError as error:
                    self._fault(error.message, now_s)
            case Taken(why=why) if self._offered:
                self._offered -= 1
                self._holdings.tell(OfferAnswered(self._key, why))
            case Answer(ask=ask) if ask in self._asked:
                self._asked.remove(ask)
                try:
                    self._answered(message)
                except RecordError as error:
                    raise PeerViolation(f"a source of SYNC sends no prekeys: {error.message}") from error
            case Refused(reason=reason):
                raise PeerViolation(f"a source of SYNC does not serve us: {reason}")
            case None:
                return
            case _:
                raise PeerViolation("a source of SYNC answers what nobody has asked")
        self.look()

    def look(self) -> None:
        """Whether all has come, and whether there is something to ask."""
        if self._compared and not self.synced and not self._fetches.open(self._key):
            self.synced = True
            self._holdings.tell(Synced(self._key))
        if self._fetches.waits(self._key) or self._tidings.waits(nodes=self._asks_nodes):
            self.ready()

    def _answered(self, answer: Answer) -> None:
        ask, rows = answer.ask, answer.rows
        where = (self._key, ask.suite, ask.slot, ask.bits, ask.prefix)
        if not ask.records:
            told = None if rows is None else tuple(one for one in rows if isinstance(one, Commitment))
            self._holdings.tell(CommitmentsCame(*where, told))
            return
        found: list[PrekeyRecord] | None = None if rows is None else []
        for row in rows or ():
            if found is not None and isinstance(row, bytes):
                found.append(PrekeyRecord.from_cbor(row, cap=PREKEY_CAP))
        self._holdings.tell(PrekeysCame(*where, None if found is None else tuple(found)))

    # -- stamps --------------------------------------------------------------------------------------
    def _claimed(self, shown: tuple[Held, ...], now_s: float, *, announced: bool) -> None:
        """The source says that it holds this.

        :param announced: it has come to it just now; else it is there.
        """
        terms, intake = self._holdings.terms(), self._holdings.intake
        for held in shown:
            self._count_stamp(now_s)
            if held.contents_seq > terms.now_s + terms.skew_s or held.contents_seq + EXPIRE_S < terms.now_s:
                continue
            self.acquaintance.note(held)
            if held.fingerprint in intake.bans or held.fingerprint in intake.blocked:
                continue
            entry = self._holdings.index.get(held.fingerprint)
            if self._appetite is None or entry is None or held.label_seq > entry.label_seq:
                self._fetches.claim(self._key, held, now_s)
            elif announced and held.contents_seq > entry.contents_seq:
                self._appetite.announce(self._key, held)

    def _count_stamp(self, now_s: float) -> None:
        if not self._stamps.take(now_s):
            raise PeerViolation("a source of SYNC claims to have more than there can be")

    def _compare_soon(self, now_s: float) -> None:
        self._compare_s = min(self._compare_s, now_s + COMPARE_SOON_S)

    # -- bottles -------------------------------------------------------------------------------------
    def _bottle(self, message: Whole | Update, now_s: float) -> None:
        data = message.bottle if isinstance(message, Whole) else message.contents
        seen = self._parcels.get(data)
        if seen is not None and self._holdings.index.covers(seen):
            self._came(seen, message, now_s)
            return
        if not self._unasked.take(now_s):
            self._compare_soon(now_s)
            return
        try:
            bottle = self._parsed(message, now_s)
        except RecordError as error:
            self._fault(error.message, now_s)
            return
        if bottle is None:
            return
        held = Held(bottle.fingerprint, *bottle.sequence, is_whole(bottle))
        if self._fetches.asked(self._key, held.fingerprint):
            self._unasked.put(1)
        if isinstance(message, Update) and self._appetite is not None:
            self._appetite.ate(len(data))
        doubted = held.fingerprint in self._doubted
        self._doubted.pop(held.fingerprint, None)
        if doubted or not (self._holdings.is_old(bottle) or self._fetches.refused(held, now_s)):
            outcome = self._holdings.take(bottle, self._sender, now_s)
            self._judge(outcome, held, now_s)
            if not isinstance(outcome, Aborted):
                self._parcels.note(data, held)
                if self._bundles:
                    # Whoever passes contents on without their prekeys is not to hide these.
                    self._fetches.seek(held.fingerprint, self._key, now_s)
        self._came(held, message, now_s)

    def _parsed(self, message: Whole | Update, now_s: float) -> Bottle | None:
        """:returns: None if the label is not held; it is asked for."""
        if isinstance(message, Whole):
            return self._parcels.bottle(message.bottle)
        update = self._parcels.update(message.contents)
        if update.contents.fingerprint != message.fingerprint:
            raise RecordError("contents of another node than is said")
        held = self._holdings.intake.rack.get(message.fingerprint)
        if held is None:
            self._claimed((Held(message.fingerprint, 0, update.contents.seq, False),), now_s, announced=True)
            return None
        return update.onto(held)

    def _judge(self, outcome: Outcome, held: Held, now_s: float) -> None:
        if not isinstance(outcome, Aborted):
            return
        if outcome.why in FAULTS:
            self._fault(outcome.text, now_s)
        elif outcome.why is Why.BUSY:
            self._compare_soon(now_s)
        elif outcome.why in JUDGED:
            self._fetches.refuse(held, now_s)

    def _came(self, held: Held, message: Whole | Update, now_s: float) -> None:
        # Who sends contents alone leaves out the records that are no news, not those that it lacks.
        self.acquaintance.note(held._replace(whole=True) if isinstance(message, Update) else held)
        self._fetches.came(self._key, held.fingerprint, now_s)

    def _fault(self, what: str, now_s: float) -> None:
        if not self._faults.take(now_s):
            raise PeerViolation(f"a source of SYNC sends what nobody who verifies would: {what}")
