"""The gossip: how one process and those that it is connected with keep each other's racks alike.

It decides about bytes and the time and opens nothing: whoever moves the bytes calls :meth:`Gossip.heard`,
:meth:`Gossip.step` and :meth:`Gossip.pull`. What becomes of a bottle is the intake's to say.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from port17.bottles.address_checks import Check
from port17.bottles.appetite import Appetite
from port17.bottles.fetches import Fetches
from port17.bottles.following import Following
from port17.bottles.gossip_events import Event, Key
from port17.bottles.holdings import Holdings
from port17.bottles.intake import Intake, Sender
from port17.bottles.marks import Marks
from port17.bottles.news import NODE_BATCH_S, Acquaintance
from port17.bottles.outcome import Aborted, Outcome, Why
from port17.bottles.parcels import Parcels
from port17.bottles.serving import ASKS_BURST, ASKS_RATE, Serving
from port17.bottles.sync import Ask, Offer, Scope
from port17.bottles.update import ContentsUpdate
from port17.bottles.validation import Terms
from port17.errors import RecordError
from port17.records.bottle import Bottle
from port17.records.mark import SignedMark
from port17.records.moderation import SignedModeration
from port17.records.proof import Proof
from port17.wire.quota import TokenBucket

OFFERS_BURST: Final = 4
"""Bottles that may be offered over one link at once: a newcomer's own, and once more where its name was
another's."""
OFFERS_RATE: Final = 1 / 30
"""The same per second later. Each costs two verifications."""
STRANGERS_BURST: Final = 256
"""Unknown nodes that may be offered over all links together at once: a network that begins."""
STRANGERS_RATE: Final = 4.0
"""The same per second later: whoever invents nodes and offers them over many links fills no rack faster than
over one lane."""
ORIGINS_CAP: Final = 1024
"""Most links whose offers and questions are counted, as many as a node has."""
EXPIRE_EVERY_S: Final = 3600.0
"""Seconds between two looks for nodes that have signed nothing for long."""
OUTDATE_EVERY_S: Final = 300.0
"""Seconds between two looks for marks that have ended."""
IDLE_S: Final = 60.0
"""Longest time between two calls of :meth:`Gossip.tick`, seconds: moderators' word may have changed."""


@dataclass(slots=True)
class _Origin:
    """What may still be asked over one link: SYNC can be opened anew at any time."""

    offers: TokenBucket = field(default_factory=lambda: TokenBucket(OFFERS_RATE, OFFERS_BURST))
    asks: TokenBucket = field(default_factory=lambda: TokenBucket(ASKS_RATE, ASKS_BURST))


class Gossip:
    """See the module. One for each process."""

    def __init__(
        self,
        intake: Intake,
        terms: Callable[[], Terms],
        *,
        moderate: Callable[[SignedModeration], bool],
        tell: Callable[[Event], None],
        rng: random.Random,
        parse: Callable[[bytes], Bottle] = Bottle.parse,
        parse_update: Callable[[bytes], ContentsUpdate] = ContentsUpdate.parse,
    ) -> None:
        """
        :param terms: what holds in the network now, with the wall clock.
        :param moderate: takes over a moderators' list if it is newer than the one held; raises
            :class:`~port17.errors.RecordError` if it is not signed well enough.
        :param tell: called with each event, while a method of this runs: it notes it, and calls nothing here.
        :param rng: decides about times alone.
        :param parse: what makes a bottle of bytes; many gossips in one process may share what was parsed.
        :param parse_update: the same for contents that come without their label.
        """
        self.due_s = -math.inf
        """When :meth:`tick` is to be called next."""
        self._intake = intake
        self._rng = rng
        self._holdings = Holdings(intake, terms, moderate, tell)
        self._fetches = Fetches(self._holdings.index)
        self._parcels = Parcels(parse, parse_update)
        self._appetite = Appetite(self._holdings.index)
        self._served: dict[Key, Serving] = {}
        self._followed: dict[Key, Following] = {}
        self._origins: OrderedDict[str, _Origin] = OrderedDict()
        self._strangers = TokenBucket(STRANGERS_RATE, STRANGERS_BURST)
        self._expire_s = -math.inf
        self._outdate_s = -math.inf
        self._ticked = 0
        """The serial of the news at the last tick."""
        self._last = 0

    @property
    def own(self) -> bytes | None:
        """Fingerprint of the node that this is; None for a client."""
        return self._holdings.own

    @own.setter
    def own(self, fingerprint: bytes | None) -> None:
        self._holdings.own = fingerprint

    @property
    def marks(self) -> Marks:
        """What nodes say of each other's addresses."""
        return self._intake.checks.marks

    # -- who is connected ----------------------------------------------------------------------------
    def serve(self, sender: Sender, ready: Callable[[], None]) -> Key:
        """Somebody has opened SYNC on us.

        :param sender: the link that he came over.
        :param ready: called when :meth:`pull` would give something; it notes that, and calls nothing here.
        """
        key = self._key()
        asks = self._origin(sender).asks
        self._served[key] = Serving(self._holdings, sender, ready, self._offered, self._acquainted, asks)
        return key

    def follow(
        self,
        source: bytes,
        ready: Callable[[], None],
        *,
        scope: Scope = Scope.ALL,
        bundles: bool = True,
        local: bool = False,
        trusted: bool = False,
        standing: bool = True,
    ) -> Key:
        """We have opened SYNC on a node.

        :param source: its fingerprint.
        :param scope: of which nodes contents are wanted.
        :param bundles: prekey records are wanted too.
        :param local: it is on our local network: local bottles are wanted, and taken.
        :param trusted: as :class:`~port17.bottles.intake.Sender`.
        :param standing: to be told of news; else only what is there now is fetched.
        """
        key = self._key()
        self._followed[key] = Following(
            key,
            source,
            self._holdings,
            self._fetches,
            self._parcels,
            self._appetite,
            self._rng,
            ready,
            scope=scope,
            bundles=bundles,
            local=local,
            trusted=trusted,
            standing=standing,
        )
        ready()
        return key

    def gone(self, key: Key) -> None:
        """A SYNC has ended; what it was asked for, others are."""
        self._served.pop(key, None)
        if self._followed.pop(key, None) is not None:
            self._fetches.gone(key)
            self._appetite.gone(key)
            self._look()

    def _key(self) -> Key:
        self._last += 1
        return Key(self._last)

    # -- bytes ---------------------------------------------------------------------------------------
    def heard(self, key: Key, data: bytes) -> None:
        """Bytes have come; all messages that are whole are to be dealt with before more come.

        :param data: at most :data:`~port17.bottles.sync.CHUNK_CAP` bytes.
        :raises PeerViolation: more than may lie unread.
        """
        self._peer(key).inbox.feed(data)

    def step(self, key: Key, now_s: float) -> bool:
        """Deal with one message.

        :param now_s: of any clock that never goes back, the same for all calls.
        :returns: True if more wait.
        :raises PeerViolation: the peer has broken the protocol, or used up our patience; the SYNC is over.
        """
        peer = self._peer(key)
        peer.step(now_s)
        if self._fetches.released:
            self._look()
        self._settle(now_s)
        return peer.inbox.waits

    def pull(self, key: Key, now_s: float) -> bytes:
        """What is to be sent now, at most 64 KiB; empty if nothing is due."""
        peer = self._peer(key)
        data = peer.pull(now_s)
        self.due_s = min(self.due_s, max(now_s, peer.due_s(now_s)))
        return data

    def _peer(self, key: Key) -> Serving | Following:
        return self._served[key] if key in self._served else self._followed[key]

    # -- as a follower -------------------------------------------------------------------------------
    def offer(self, key: Key, bottle: Bottle) -> None:
        """Give a source our own bottle, as a newcomer does;
        :class:`~port17.bottles.gossip_events.OfferAnswered` follows."""
        self._followed[key].offer(bottle)

    def synced(self, key: Key) -> bool:
        """Whether a source had nothing more that we lack when it was last compared with."""
        return self._followed[key].synced

    def ask_prekeys(self, key: Key, suite: str, slot: int, bits: int, prefix: int) -> None:
        """Ask a source for the prekey records of a bucket;
        :class:`~port17.bottles.gossip_events.PrekeysCame` follows.

        :raises LocalViolation: too many are asked for, or this one twice.
        """
        self._followed[key].ask(Ask(True, suite, slot, bits, prefix))

    def ask_commitments(self, key: Key, suite: str, slot: int, bits: int, prefix: int) -> None:
        """Ask a source what the nodes of a bucket commit to;
        :class:`~port17.bottles.gossip_events.CommitmentsCame` follows. As :meth:`ask_prekeys`."""
        self._followed[key].ask(Ask(False, suite, slot, bits, prefix))

    def doubt(self, key: Key, fingerprint: bytes) -> None:
        """Ask a source for the whole bottle that it holds of a node, though ours is as new: what it says of
        the node's prekeys contradicts what the node has signed. If it shows other contents, they go through
        the intake, which finds the equivocation; if it shows none, whoever asked draws its own
        conclusions."""
        self._followed[key].doubt(fingerprint)

    # -- what comes in otherwise ---------------------------------------------------------------------
    def take(self, bottle: bytes | Bottle, sender: Sender, now_s: float) -> Outcome:
        """A bottle from elsewhere: a folder, a bootstrap list, our own publication."""
        outcome = self._holdings.take(bottle, sender, now_s)
        self._settle(now_s)
        return outcome

    def convict(self, proof: Proof, now_s: float) -> None:
        """A proof from elsewhere.

        :raises RecordError: it proves nothing.
        """
        self._holdings.convict(proof)
        self._settle(now_s)

    def consider(self, moderation: SignedModeration, now_s: float) -> bool:
        """A moderators' list from elsewhere.

        :returns: False if it is no news.
        :raises RecordError: it is not signed well enough.
        """
        news = self._holdings.consider(moderation)
        self._settle(now_s)
        return news

    def mark(self, mark: SignedMark, now_s: float) -> bool:
        """A mark that this node has signed, to be passed on; False if it is no news.

        :raises RecordError: it is not signed by the node that it names.
        """
        news = self._holdings.attest(mark, now_s)
        self._settle(now_s)
        return news

    def checked(self, check: Check, failure: str, now_s: float) -> None:
        """The result of a :class:`~port17.bottles.gossip_events.CheckDue`.

        :param failure: what is wrong; empty if the same identity answered at every address.
        """
        taken = self._intake.checked(check, failure, self._holdings.terms())
        if taken is not None:
            self._holdings.obey(taken, now_s)
            self._settle(now_s)

    def forget(self, *fingerprints: bytes) -> None:
        """Nodes have left the rack otherwise than by this."""
        self._holdings.drop(*fingerprints)

    def _offered(self, offer: Offer, sender: Sender, now_s: float) -> str:
        if not self._origin(sender).offers.take(now_s):
            return Why.BUSY
        try:
            bottle = self._parcels.bottle(offer.bottle)
        except RecordError:
            return Why.MALFORMED
        stranger = self._holdings.index.get(bottle.fingerprint) is None
        if stranger and not self._strangers.take(now_s):
            return Why.BUSY
        outcome = self._holdings.take(bottle, sender, now_s)
        return str(outcome.why) if isinstance(outcome, Aborted) else ""

    def _origin(self, sender: Sender) -> _Origin:
        origin = self._origins.get(sender.name)
        if origin is None:
            while len(self._origins) >= ORIGINS_CAP:
                self._origins.popitem(last=False)
            origin = self._origins[sender.name] = _Origin()
        self._origins.move_to_end(sender.name)
        return origin

    def _acquainted(self, fingerprint: bytes) -> Acquaintance | None:
        for following in self._followed.values():
            if following.source == fingerprint:
                return following.acquaintance
        return None

    # -- time ----------------------------------------------------------------------------------------
    def tick(self, now_s: float) -> None:
        """Time has passed; to be called when ``due_s`` is reached."""
        holdings = self._holdings
        holdings.look_at_blocks()
        holdings.news.release(now_s)
        if now_s >= self._expire_s:
            self._expire_s = now_s + EXPIRE_EVERY_S
            holdings.expire()
        if now_s >= self._outdate_s:
            self._outdate_s = now_s + OUTDATE_EVERY_S
            for taken in self._intake.outdate(holdings.terms()):
                holdings.obey(taken, now_s)
        keys = [key for key, following in self._followed.items() if following.is_near]
        for key, held in self._appetite.morsels(keys, now_s, holdings.terms().now_s):
            self._fetches.claim(key, held, now_s)
        for key in self._followed:
            self._fetches.give_up(key, now_s)
            self._fetches.look_again(key, now_s)
        self._look()
        moments = [
            now_s + IDLE_S,
            self._expire_s,
            self._outdate_s,
            holdings.news.due_s,
            self._appetite.due_s(bool(keys)),
        ]
        peers: list[Serving | Following] = [*self._served.values(), *self._followed.values()]
        for peer in peers:
            due_s = peer.due_s(now_s)
            if due_s <= now_s:
                peer.ready()
            else:
                moments.append(due_s)
        self._ticked = holdings.news.serial
        self.due_s = min(moments)

    def _settle(self, now_s: float) -> None:
        """What has become news is due to followers soon: not at once, since more may come."""
        news = self._holdings.news
        if news.serial != self._ticked and self._served:
            self.due_s = min(self.due_s, now_s + NODE_BATCH_S)
        self.due_s = min(self.due_s, news.due_s, max(now_s, self._appetite.ask_s))

    def _look(self) -> None:
        """Somebody has not given what he was asked for; others may be asked."""
        self._fetches.released = False
        for following in self._followed.values():
            following.look()
