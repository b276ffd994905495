"""What a gossip holds, and what follows when something of it changes: the way to the intake, and from it into
the index and the news.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from port17.bottles.address_checks import Check
from port17.bottles.gossip_events import CheckDue, Event, Forgotten, Learned, Noted
from port17.bottles.intake import (
    EXPIRE_S,
    Action,
    Forward,
    ForwardLocally,
    ForwardProof,
    Intake,
    Sender,
    Taken,
)
from port17.bottles.near import Near
from port17.bottles.news import MODERATION, Item, Kind, News
from port17.bottles.outcome import Distrusted, Outcome, Stored
from port17.bottles.stamp_index import Entry, StampIndex
from port17.bottles.sync import DIGEST_SIZE, Message, Notice, Said, Update, Whole
from port17.bottles.sync_codec import encode
from port17.bottles.update import ContentsUpdate
from port17.bottles.validation import Terms
from port17.records.bottle import Bottle
from port17.records.framing import digest
from port17.records.mark import SignedMark
from port17.records.moderation import SignedModeration
from port17.records.proof import Proof

ENCODED_CAP: Final = 256
"""Most messages that are kept encoded for the next follower: of the usual length, some 500 KiB."""

ALONE_S: Final = 24 * 3600
"""Seconds in which somebody signs contents, where one is connected with anybody: nodes do every hour."""


class Holdings:
    """See the module. Times are of the gossip's clock."""

    def __init__(
        self,
        intake: Intake,
        terms: Callable[[], Terms],
        moderate: Callable[[SignedModeration], bool],
        tell: Callable[[Event], None],
    ) -> None:
        """Parameters as of :class:`~port17.bottles.gossip.Gossip`."""
        self.own: bytes | None = None
        """Fingerprint of the node that this is."""
        self.intake = intake
        self.terms = terms
        self.tell = tell
        self.index = StampIndex(intake.rack)
        self.news = News(self.index)
        self.near = Near(intake.rack, self.index)
        self.moderation: SignedModeration | None = None
        """The newest list, to be passed on."""
        self._moderate = moderate
        self._encoded: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._blocked: object = None
        self._named: dict[Notice, tuple[bytes, list[bytes]]] = {}
        """What names the proofs and the marks that were held when their digest was this."""
        self._proofs: tuple[int, bytes] = (-1, b"")

    # -- bottles -------------------------------------------------------------------------------------
    def take(self, offered: bytes | Bottle, sender: Sender, now_s: float) -> Outcome:
        """Everything that becomes of a bottle."""
        taken = self.intake.take(offered, sender, self.terms())
        self.obey(taken, now_s)
        return taken.outcome

    def obey(self, taken: Taken, now_s: float) -> None:
        """Do what the intake says."""
        outcome = taken.outcome
        if isinstance(outcome, Stored | Distrusted):
            self.tell(Learned(outcome.bottle.fingerprint, outcome.part))
        changed = False
        for action in taken.next:
            match action:
                case Forward(bottle=bottle) | ForwardLocally(bottle=bottle):
                    # Whom it reaches is said by its flavour, and by what the others hold.
                    if not changed:
                        changed = True
                        self._changed(bottle, now_s)
                case ForwardProof():
                    self._banned(action.proof)
                case Check():
                    self.tell(CheckDue(action))

    def _changed(self, bottle: Bottle, now_s: float) -> None:
        change = self.index.put(bottle)
        if change is not None:
            self.news.changed(bottle.fingerprint, change, now_s)

    def is_old(self, bottle: Bottle) -> bool:
        """Whether a bottle has nothing newer than what is held, and contradicts nothing of it."""
        entry = self.index.get(bottle.fingerprint)
        if entry is None or bottle.sequence == (entry.label_seq, entry.contents_seq):
            return False
        if bottle.label.seq > entry.label_seq or bottle.contents.seq > entry.contents_seq:
            return False
        held = self.intake.rack.get(bottle.fingerprint)
        if held is None:
            return False
        same_label = bottle.label_envelope.payload == held.label_envelope.payload
        same_contents = bottle.contents_envelope.payload == held.contents_envelope.payload
        return (same_label or bottle.label.seq < held.label.seq) and (
            same_contents or bottle.contents.seq < held.contents.seq
        )

    def drop(self, *fingerprints: bytes) -> None:
        """Nodes have left the rack."""
        for fingerprint in fingerprints:
            self.index.drop(fingerprint)
            self.news.drop((Kind.NODE, fingerprint))

    def expire(self) -> None:
        """Forget who has long signed nothing; look whether the store holds what it should."""
        rack, now_s = self.intake.rack, self.terms().now_s
        gone = () if self._is_alone(now_s) else rack.expire(now_s - EXPIRE_S)
        for fingerprint in gone:
            self.intake.forget(fingerprint)
        for fingerprint in sorted({*gone, *self.index.reload()}):
            self.drop(fingerprint)
            self.tell(Forgotten(fingerprint))

    def _is_alone(self, now_s: float) -> bool:
        """Whether it is we who were away: nobody else has signed anything lately that we know of. Old bottles
        are what leads back then."""
        stamps = self.intake.rack.stamps()
        newest = max((one.contents_seq for one in stamps if one.fingerprint != self.own), default=0)
        return newest + ALONE_S < now_s

    def look_at_blocks(self) -> None:
        """Whom moderators block is not passed on."""
        if self.intake.blocked is not self._blocked:
            self._blocked = self.intake.blocked
            self.index.hide(self.intake.blocked)

    # -- proofs, marks, lists ------------------------------------------------------------------------
    def convict(self, proof: Proof) -> None:
        """Take a proof.

        :raises RecordError: it proves nothing.
        """
        self._follow(self.intake.convict(proof, self.terms()))

    def _follow(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, ForwardProof):
                self._banned(action.proof)

    def _banned(self, proof: Proof) -> None:
        fingerprint = proof.fingerprint
        met = self.index.get(fingerprint) is not None
        if met:
            self.drop(fingerprint)
            self.tell(Forgotten(fingerprint))
        self.news.note((Kind.PROOF, fingerprint))
        self.tell(Noted(of_us=met))

    def attest(self, mark: SignedMark, now_s: float) -> bool:
        """Take a mark; False if it is no news.

        :raises RecordError: it is not signed by the node that it names.
        """
        attested = self.intake.attest(mark, self.terms())
        if attested.taken is not None:
            self.obey(attested.taken, now_s)
        if attested.news:
            self.news.note((Kind.MARK, mark_id(mark)[:-8]))
        return attested.news

    def consider(self, moderation: SignedModeration) -> bool:
        """Take a moderators' list; False if it is no news.

        :raises RecordError: it is not signed well enough.
        """
        if not self._moderate(moderation):
            return False
        self.moderation = moderation
        self.news.note(MODERATION)
        self.tell(Noted())
        self.look_at_blocks()
        return True

    @property
    def order(self) -> bytes:
        """Which moderators' list is held, as it is written in a comparison; empty if none is."""
        return b"" if self.moderation is None else order_of(self.moderation)

    def notices(self, kind: Notice) -> bytes:
        """The digest of all proofs or marks that are held."""
        if kind is Notice.MARK:
            return self.intake.checks.marks.digest[:DIGEST_SIZE]
        bans = self.intake.bans
        if self._proofs[0] != len(bans):
            self._proofs = len(bans), digest("sync proofs", *self._ids(kind))[:DIGEST_SIZE]
        return self._proofs[1]

    def ids(self, kind: Notice) -> list[bytes]:
        """What names each of them, in the same order everywhere."""
        now = self.notices(kind)
        known = self._named.get(kind)
        if known is None or known[0] != now:
            known = self._named[kind] = now, self._ids(kind)
        return known[1]

    def _ids(self, kind: Notice) -> list[bytes]:
        if kind is Notice.MARK:
            return [mark_id(mark) for mark in self.intake.checks.marks]
        return sorted(proof.fingerprint for proof in self.intake.bans)

    def lacks(self, kind: Notice, name: bytes) -> bool:
        """Whether a proof or a mark that somebody names is worth asking for."""
        if kind is Notice.PROOF:
            bans = self.intake.bans
            return name not in bans and bans.has_room(met=self.index.get(name) is not None)
        about, by, seq = name[:32], name[32:64], int.from_bytes(name[64:], "big")
        held = self.intake.checks.marks.get(about, by)
        known = self.index.get(about) is not None and self.index.get(by) is not None
        return known and (held is None or held.mark.seq < seq)

    def said(self, item: Item) -> Said | None:
        """A proof, a mark or the list as it is sent; None if it is no more."""
        kind, name = item
        if kind is Kind.PROOF:
            proof = self.intake.bans.proof(name)
            return None if proof is None else Said("proof", proof.to_cbor())
        if kind is Kind.MARK:
            mark = self.intake.checks.marks.get(name[:32], name[32:64])
            return None if mark is None else Said("mark", mark.encode())
        return None if self.moderation is None else Said("moderation", self.moderation.encode())

    # -- messages ------------------------------------------------------------------------------------
    def whole(self, fingerprint: bytes, *, bundle: bool) -> bytes:
        """The message with a node's bottle; empty if it is no more.

        :param bundle: with its prekey records.
        """
        entry = self.index.get(fingerprint)
        if entry is None:
            return b""
        key = (fingerprint, entry.label_seq, entry.contents_seq, len(entry.records_at), entry.whole, bundle)

        def message() -> Message | None:
            rack = self.intake.rack
            if bundle:
                data = rack.encoded(fingerprint)
                return None if data is None else Whole(data)
            bottle = rack.get(fingerprint)
            return None if bottle is None else Whole(Bottle.encode(_bare(bottle)))

        return self._cached(key, message)

    def update(self, fingerprint: bytes, *, records: frozenset[bytes] | None) -> bytes:
        """The message with a node's contents; empty if it is no more.

        :param records: commitments of the prekey records that go with it; None for all.
        """
        entry = self.index.get(fingerprint)
        if entry is None:
            return b""
        key = (fingerprint, entry.contents_seq, len(entry.records_at), records)

        def message() -> Message | None:
            bottle = self.intake.rack.get(fingerprint)
            if bottle is None:
                return None
            bundle = [one for one in bottle.bundle if records is None or one.hash in records]
            return Update(fingerprint, ContentsUpdate.of(bottle, bundle).encode())

        return self._cached(key, message)

    def _cached(self, key: tuple[object, ...], make: Callable[[], Message | None]) -> bytes:
        data = self._encoded.get(key)
        if data is None:
            message = make()
            if message is None:
                return b""
            data = self._encoded[key] = encode(message)
            if len(self._encoded) > ENCODED_CAP:
                self._encoded.popitem(last=False)
        return data


def fresh_records(entry: Entry, base: int) -> frozenset[bytes]:
    """Commitments of the prekey records that became news after a serial."""
    return frozenset(one for one, at in entry.records_at.items() if at > base)


def records_after(entry: Entry, contents_seq: int) -> frozenset[bytes]:
    """Commitments of the prekey records that somebody lacks who had all that older contents commit to."""
    return frozenset(one for one, seq in entry.records_with.items() if seq > contents_seq)


def mark_id(mark: SignedMark) -> bytes:
    """What names a mark in messages."""
    said = mark.mark
    return said.about + said.by + said.seq.to_bytes(8, "big")


def order_of(moderation: SignedModeration) -> bytes:
    """Which of two moderators' lists holds: the one for which this is greater."""
    seq, name = moderation.order
    return seq.to_bytes(8, "big") + name


def _bare(bottle: Bottle) -> Bottle:
    return Bottle(
        label_envelope=bottle.label_envelope,
        contents_envelope=bottle.contents_envelope,
        bundle=(),
        label=bottle.label,
        contents=bottle.contents,
    )
