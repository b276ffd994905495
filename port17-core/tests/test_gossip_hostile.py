"""Gossip with those who mean ill: the honest rack stays right, and what they can make us keep, verify or send
is bounded, each bound as it is stated beside its constant.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import following, serving
from port17.bottles.fetches import CLAIMS_CAP, DISAPPOINTMENTS, PATIENCE_S
from port17.bottles.following import FAULTS_BURST, UNASKED_BURST
from port17.bottles.gossip import OFFERS_BURST, STRANGERS_BURST
from port17.bottles.gossip_events import Key, PrekeysCame
from port17.bottles.intake import EXPIRE_S, Sender
from port17.bottles.intake import STRANGERS_BURST as LANE_BURST
from port17.bottles.serving import ASKS_UNDER_WAY, COMPARES_BURST, PULL_CAP, REPLIES_CAP, WANTS_UNDER_WAY
from port17.bottles.sync import (
    BUCKETS,
    CHUNK_CAP,
    FOLLOWER_MESSAGE_CAP,
    MESSAGE_CAP,
    NO_DIGEST,
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
    Given,
    Have,
    Held,
    Known,
    Message,
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
from port17.bottles.sync_codec import Inbox, encode, from_follower, from_source
from port17.bottles.update import ContentsUpdate
from port17.errors import PeerViolation
from port17.records.bottle import BOTTLE_CAP, Bottle
from port17.records.mark import Mark, SignedMark, claim_of
from port17.records.proof import Proof

from .bottle_maker import NETWORK, NOW, SCHEME, Maker
from .gossip_mesh import Mesh, Peer

SYBILS = 10_000
EMPTY = (NO_DIGEST,) * BUCKETS
HELLO = Follow(VERSION, Scope.ALL, True, False, True, None)


class Villain:
    """Whoever talks to a gossip by hand.

    :param key: of the SYNC, at the gossip.
    """

    def __init__(self, peer: Peer, key: Key, decode: Callable[[bytes], Message]) -> None:
        self.peer, self.key = peer, key
        self._inbox: Inbox[Message] = Inbox(decode, MESSAGE_CAP)

    @classmethod
    def source(cls, peer: Peer, *, trusted: bool = False, scope: Scope = Scope.ALL) -> Villain:
        """One that the gossip follows."""
        name = len(peer.mesh.peers).to_bytes(32, "big")
        key = peer.gossip.follow(name, lambda: None, trusted=trusted, scope=scope)
        villain = cls(peer, key, from_follower)
        villain.hear()
        return villain

    @classmethod
    def follower(cls, peer: Peer, name: str = "villain", first: Message | None = HELLO) -> Villain:
        """One that follows the gossip."""
        villain = cls(peer, peer.gossip.serve(Sender(name), lambda: None), from_source)
        if first is not None:
            villain.say(first)
        return villain

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.raw(encode(message))

    def raw(self, data: bytes) -> None:
        for at in range(0, len(data), CHUNK_CAP):
            self.peer.gossip.heard(self.key, data[at : at + CHUNK_CAP])
            while self.peer.gossip.step(self.key, self.peer.mesh.now_s):
                pass

    def hear(self) -> list[Message]:
        """All that the gossip says now."""
        heard: list[Message] = []
        while data := self.peer.gossip.pull(self.key, self.peer.mesh.now_s):
            self._inbox.feed(data)
            while self._inbox.waits:
                message = self._inbox.next()
                assert message is not None
                heard.append(message)
        return heard

    def wants(self) -> list[Held]:
        return [held for message in self.hear() if isinstance(message, Want) for held in message.held]


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def victim(mesh: Mesh) -> Peer:
    """A node that knows ten honest ones."""
    peer = mesh.peer("victim", Maker().fingerprint)
    peer.take(*HONEST)
    peer.verified = 0
    return peer


MAKERS = [Maker() for _ in range(10)]
HONEST = [maker.bottle(name=f"n{at}", seq=NOW) for at, maker in enumerate(MAKERS)]


@cache
def sybils() -> tuple[bytes, ...]:
    """As they travel."""
    return tuple(Maker().bottle(name=f"sybil{at}").encode() for at in range(SYBILS))


@cache
def stamps() -> tuple[Held, ...]:
    return tuple(Held(Bottle.parse(data).fingerprint, 0, NOW, True) for data in sybils())


def honest(peer: Peer) -> bool:
    """Whether the victim still knows of the honest nodes what they have signed."""
    return all(peer.rack.get(bottle.fingerprint) == bottle for bottle in HONEST)


def forged(bottle: Bottle) -> Bottle:
    envelope = bottle.contents_envelope
    flipped = bytes([envelope.signature[0] ^ 1]) + envelope.signature[1:]
    return replace(bottle, contents_envelope=envelope.model_copy(update={"signature": flipped}))


# -- what a source sends ----------------------------------------------------------------------------------
def test_who_forges_is_left_after_few_verifications(victim: Peer) -> None:
    source = Villain.source(victim)
    fakes = [forged(MAKERS[0].bottle(name="n0", seq=NOW + 1, load=load)) for load in range(100)]
    with pytest.raises(PeerViolation):
        source.say(*(Whole(fake.encode()) for fake in fakes))
    assert victim.verified == FAULTS_BURST + 1
    assert honest(victim)


def test_contents_can_be_forged_no_better(victim: Peer) -> None:
    source = Villain.source(victim)
    fakes = [forged(MAKERS[0].bottle(name="n0", seq=NOW + 1, load=load)) for load in range(100)]
    with pytest.raises(PeerViolation):
        source.say(*(Update(MAKERS[0].fingerprint, ContentsUpdate.of(fake).encode()) for fake in fakes))
    assert victim.verified == FAULTS_BURST + 1
    other = ContentsUpdate.of(MAKERS[1].bottle(name="n1", seq=NOW + 2)).encode()
    Villain.source(victim).say(Update(MAKERS[0].fingerprint, other))
    assert honest(victim), "contents under another node's name"


def test_numbers_that_were_forged_keep_no_true_ones_out(mesh: Mesh, victim: Peer) -> None:
    source = Villain.source(victim)
    true = MAKERS[0].bottle(name="n0", seq=NOW + 5)
    source.say(Whole(forged(MAKERS[0].bottle(name="n0", label_seq=9, seq=NOW + 100)).encode()))
    mesh.peer("another")
    Villain.source(victim).say(Whole(true.encode()))
    assert victim.rack.get(MAKERS[0].fingerprint) == true
    newest = MAKERS[0].bottle(name="n0", seq=NOW + 6)
    honest_source = Villain.source(victim)
    honest_source.say(Have((Held(MAKERS[0].fingerprint, 0, NOW + 6, True),)))
    assert len(honest_source.wants()) == 1
    honest_source.say(Whole(newest.encode()), Given())
    assert victim.rack.get(MAKERS[0].fingerprint) == newest


def test_what_comes_again_in_the_same_bytes_is_not_even_parsed(
    victim: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, new, parsed = Villain.source(victim), Maker().bottle(name="new"), []
    parse = victim.gossip._parcels.bottle
    monkeypatch.setattr(victim.gossip._parcels, "bottle", lambda data: parsed.append(1) or parse(data))
    source.say(*[Whole(new.encode())] * 50)
    assert len(parsed) == 1
    victim.rack.remove(new.fingerprint)
    victim.gossip.forget(new.fingerprint)
    source.say(Whole(new.encode()))
    assert new.fingerprint in victim.holds(), "what was forgotten is learned again"


def test_what_is_replayed_costs_no_verification(victim: Peer) -> None:
    newer = MAKERS[0].bottle(name="n0", seq=NOW + 5)
    victim.take(newer)
    before = victim.verified
    source = Villain.source(victim)
    old = [MAKERS[0].bottle(name="n0", seq=NOW - at) for at in range(1, 40)]
    source.say(*(Whole(bottle.encode()) for bottle in old))
    source.say(*(Update(bottle.fingerprint, ContentsUpdate.of(bottle).encode()) for bottle in old))
    source.say(*(Whole(bottle.encode()) for bottle in [newer, *HONEST[1:]] * 20))
    assert victim.verified == before
    assert victim.rack.get(MAKERS[0].fingerprint) == newer


def test_who_equivocates_is_banned_and_the_proof_passed_on(mesh: Mesh, victim: Peer) -> None:
    other = mesh.peer("other")
    mesh.follow(other, victim)
    mesh.run(1)
    source = Villain.source(victim)
    source.say(Whole(MAKERS[0].bottle(name="n0", seq=NOW, load=9).encode()))
    mesh.run(1)
    for peer in (victim, other):
        assert MAKERS[0].fingerprint in peer.intake.bans
        assert MAKERS[0].fingerprint not in peer.holds()
    source.say(
        Whole(MAKERS[0].bottle(name="n0", seq=NOW + 9).encode()),
        Have((Held(MAKERS[0].fingerprint, 1, NOW + 9, True),)),
    )
    assert MAKERS[0].fingerprint not in victim.holds()
    assert source.wants() == [], "and never asked for again"


def test_who_gives_two_prekeys_for_one_slot_is_found_out_by_asking(victim: Peer) -> None:
    maker = Maker()
    victim.take(maker.bottle(name="two", seq=NOW, prekeys=[maker.prekey(5, filler=1)]))
    source = Villain.source(victim)
    older = maker.bottle(name="two", seq=NOW - 60, prekeys=[maker.prekey(5, filler=2)])
    source.say(Whole(older.encode()))
    assert maker.fingerprint in victim.holds(), "what is older is not looked at"
    victim.gossip.doubt(source.key, maker.fingerprint)
    assert source.wants() == [Held(maker.fingerprint, 0, 0, False)]
    source.say(Whole(older.encode()), Given())
    assert maker.fingerprint in victim.intake.bans


def test_what_is_oversized_is_not_read(victim: Peer) -> None:
    source = Villain.source(victim)
    with pytest.raises(PeerViolation):
        source.raw((MESSAGE_CAP + 1).to_bytes(4, "big"))
    follower = Villain.follower(victim)
    with pytest.raises(PeerViolation):
        follower.raw((FOLLOWER_MESSAGE_CAP + 1).to_bytes(4, "big"))
    for make in (lambda: Villain.source(victim), lambda: Villain.follower(victim)):
        stuffed = make()
        victim.gossip.heard(stuffed.key, FOLLOWER_MESSAGE_CAP.to_bytes(4, "big"))
        with pytest.raises(PeerViolation):
            for _ in range(20):
                victim.gossip.heard(stuffed.key, bytes(CHUNK_CAP))
    assert victim.verified == 0


def test_what_is_of_the_future_or_long_past_is_not_taken_nor_asked_for(victim: Peer) -> None:
    source = Villain.source(victim)
    late = MAKERS[0].bottle(name="n0", seq=NOW + 1000)
    source.say(Whole(late.encode()))
    source.say(
        Have((Held(MAKERS[0].fingerprint, 0, NOW + 1000, True), Held(bytes(32), 0, NOW - EXPIRE_S - 1, True)))
    )
    assert source.wants() == []
    assert honest(victim)
    dead = Maker()
    source.say(Whole(dead.bottle(name="dead", seq=NOW - EXPIRE_S - 1).encode()))
    assert dead.fingerprint not in victim.holds()


def test_a_squatter_is_refused_once(victim: Peer) -> None:
    squatter = Maker()
    bottle = squatter.bottle(name="n4", since=NOW)
    held = Held(squatter.fingerprint, 0, NOW, True)
    before = victim.verified
    for _ in range(3):
        source = Villain.source(victim)
        source.say(Have((held,)))
        for wanted in source.wants():
            assert wanted.fingerprint == squatter.fingerprint
            source.say(Whole(bottle.encode()), Given())
    assert victim.verified == before + 1, "others who have it are not asked for it again"
    assert squatter.fingerprint not in victim.holds()
    assert victim.intake.names.holder("n4", NOW) == MAKERS[4].fingerprint


# -- ten thousand ----------------------------------------------------------------------------------------
def test_ten_thousand_sybils_pushed_by_one_source(mesh: Mesh, victim: Peer) -> None:
    source = Villain.source(victim)
    source.say(*map(Whole, sybils()))
    assert victim.verified == LANE_BURST, "who brings strangers brings so many and no more"
    assert len(victim.rack) == len(HONEST) + LANE_BURST
    assert honest(victim)
    newcomer = Maker().bottle(name="newcomer")
    Villain.source(victim).say(Whole(newcomer.encode()))
    assert newcomer.fingerprint not in victim.holds(), "the same source by another link is the same"
    mesh.peer("another")
    Villain.source(victim).say(Whole(newcomer.encode()))
    assert newcomer.fingerprint in victim.holds(), "others are not in its way"


def test_ten_thousand_sybils_claimed_by_one_source(victim: Peer) -> None:
    source = Villain.source(victim)
    by_name = dict(zip((held.fingerprint for held in stamps()), sybils(), strict=True))
    source.say(*(Have(stamps()[at : at + STAMPS_CAP]) for at in range(0, SYBILS, STAMPS_CAP)))
    fetched = 0
    while wanted := source.wants():
        fetched += len(wanted)
        source.say(*(Whole(by_name[held.fingerprint]) for held in wanted), Given())
    assert fetched == victim.verified == LANE_BURST, "what it may not bring is not fetched either"
    assert honest(victim)


def test_ten_thousand_sybils_offered_over_many_links(victim: Peer) -> None:
    answers: list[str] = []
    for at in range(0, SYBILS, 10):
        follower = Villain.follower(victim, f"link {at}")
        follower.say(*map(Offer, sybils()[at : at + 10]))
        answers += [message.why for message in follower.hear() if isinstance(message, Taken)]
    assert answers.count("") == victim.verified == STRANGERS_BURST
    assert set(answers) == {"", "busy"}
    one = Villain.follower(victim, "one link")
    one.say(*(Offer(forged(bottle).encode()) for bottle in HONEST))
    before = victim.verified
    again = Villain.follower(victim, "one link")
    again.say(*(Offer(forged(bottle).encode()) for bottle in HONEST))
    assert victim.verified == before == STRANGERS_BURST + OFFERS_BURST, (
        "a link is the same after it is opened anew"
    )
    assert honest(victim)


def test_a_full_rack_keeps_whom_it_knows(mesh: Mesh) -> None:
    small = mesh.peer("small", capacity=100)
    small.take(*HONEST)
    source = Villain.source(small)
    source.say(*map(Whole, sybils()[:500]))
    assert len(small.rack) == 100
    assert honest(small)
    newer = MAKERS[0].bottle(name="n0", seq=NOW + 1)
    source.say(Whole(newer.encode()))
    assert small.rack.get(MAKERS[0].fingerprint) == newer


def test_what_nobody_asked_for_is_looked_at_so_often(victim: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "UNASKED_BURST", 50)
    source = Villain.source(victim, trusted=True)
    before = victim.verified
    source.say(*map(Whole, sybils()[:300]))
    assert victim.verified == before + 50
    assert UNASKED_BURST <= 8192


# -- marks, proofs ---------------------------------------------------------------------------------------
def test_marks_of_sybils_harm_nobody(mesh: Mesh, victim: Peer) -> None:
    about = Maker()
    victim.take(about.bottle(name="target", addresses={"tcp": ["9.9.9.9:4000"]}))
    target = victim.rack.get(about.fingerprint)
    assert target is not None
    crowd = [Maker() for _ in range(100)]
    victim.take(
        *(
            one.bottle(name=f"crowd{at}", addresses={"tcp": [f"9.8.7.{at}:4000"]})
            for at, one in enumerate(crowd)
        )
    )
    source = Villain.source(victim)
    for one in crowd:
        mark = Mark.made(
            about=about.fingerprint, claim=claim_of(target.label), by=one.fingerprint, seq=NOW, failure="gone"
        )
        source.say(Said("mark", SignedMark.seal(NETWORK, SCHEME, one.key, mark).encode()))
    assert victim.intake.checks.unreachable(about.fingerprint) == ""
    assert len(victim.gossip.marks) == 0, "nor are they passed on"
    held = victim.rack.held(about.fingerprint)
    assert held is not None
    assert held.distrust == ""


def test_proofs_that_prove_nothing_cost_the_source_its_place(victim: Peer) -> None:
    source = Villain.source(victim)
    proof = Proof.between(HONEST[0], MAKERS[0].bottle(name="n0", seq=NOW, load=4))
    assert proof is not None
    bad = proof.model_copy(update={"one": proof.one.model_copy(update={"signature": bytes(64)})})
    with pytest.raises(PeerViolation):
        source.say(*[Said("proof", bad.to_cbor())] * 100)
    assert honest(victim)


def test_proofs_and_marks_are_not_asked_for_without_end(victim: Peer) -> None:
    source = Villain.source(victim)
    names = [at.to_bytes(32, "big") for at in range(20_000)]
    source.say(*(Known(Notice.PROOF, tuple(names[at : at + 500])) for at in range(0, 20_000, 500)))
    asked = [name for message in source.hear() if isinstance(message, Fetch) for name in message.ids]
    assert len(asked) <= 1024


# -- what a follower asks ---------------------------------------------------------------------------------
def test_wants_are_bounded(victim: Peer) -> None:
    held = tuple(Held(bottle.fingerprint, 0, 0, False) for bottle in HONEST) * 25
    follower = Villain.follower(victim)
    follower.say(*[Want(held)] * (WANTS_UNDER_WAY // len(held) - 1))
    follower.hear()
    follower.say(*[Want(held)] * (WANTS_UNDER_WAY // len(held) - 1))
    with pytest.raises(PeerViolation):
        follower.say(*[Want(held)] * 4)
    empty = Villain.follower(victim)
    with pytest.raises(PeerViolation):
        empty.say(*[Want(())] * (WANTS_UNDER_WAY + 1))


def test_wants_are_bounded_over_time(victim: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WANTS_BURST", 100)
    follower = Villain.follower(victim)
    held = tuple(Held(bottle.fingerprint, 0, 0, False) for bottle in HONEST)
    with pytest.raises(PeerViolation):
        for _ in range(11):
            follower.say(Want(held))
            follower.hear()


def test_the_answer_to_a_comparison_waits_as_few_numbers(mesh: Mesh) -> None:
    big = mesh.peer("big", stored=[Bottle.parse(data) for data in sybils()[:2000]])
    readers = [Villain.follower(big, f"reader {at}") for at in range(20)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for reader in readers:
            reader.say(Compare(EMPTY, bytes(16), bytes(16), b""))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20 * 16 * 1024
    assert sum(len(one.held) for one in readers[0].hear() if isinstance(one, Differ)) == 2000


def test_compares_are_bounded(victim: Peer) -> None:
    compare = Compare(EMPTY, b"", b"", b"")
    follower = Villain.follower(victim)
    follower.say(compare)
    with pytest.raises(PeerViolation):
        follower.say(compare)
    again = Villain.follower(victim)
    for _ in range(COMPARES_BURST):
        again.say(compare)
        assert again.hear()[-1] == Compared()
    with pytest.raises(PeerViolation):
        again.say(compare)


def test_questions_are_bounded(victim: Peer) -> None:
    asks = [Ask(True, "p17-1-test", slot, 0, 0) for slot in range(ASKS_UNDER_WAY + 1)]
    follower = Villain.follower(victim)
    with pytest.raises(PeerViolation):
        follower.say(*asks)
    again = Villain.follower(victim)
    with pytest.raises(PeerViolation):
        again.say(*[Fetch(Notice.PROOF, (bytes(32),) * 512)] * 5)
    offering = Villain.follower(victim)
    with pytest.raises(PeerViolation):
        offering.say(*[Offer(b"")] * (REPLIES_CAP + 1))
    assert victim.verified == 0


def test_a_bucket_that_is_too_wide_is_not_answered(mesh: Mesh) -> None:
    big = mesh.peer("big", stored=[Bottle.parse(data) for data in sybils()[:600]])
    follower = Villain.follower(big)
    follower.say(Ask(True, "p17-1-test", 1, 0, 0), Ask(False, "p17-1-test", 1, 5, 99))
    assert follower.hear() == [
        Answer(Ask(True, "p17-1-test", 1, 0, 0), None),
        Answer(Ask(False, "p17-1-test", 1, 5, 99), None),
    ]


def test_a_follower_says_first_what_it_follows_and_once(victim: Peer) -> None:
    with pytest.raises(PeerViolation):
        Villain.follower(victim, first=Compare(EMPTY, b"", b"", b""))
    with pytest.raises(PeerViolation):
        Villain.follower(victim).say(HELLO)
    stranger = Villain.follower(victim, first=replace(HELLO, version=VERSION + 1))
    (said,) = stranger.hear()
    assert isinstance(said, Refused)


# -- a source that claims much and gives nothing -----------------------------------------------------------
def test_claims_are_bounded_and_nobody_waits_long(mesh: Mesh, victim: Peer) -> None:
    liar = Villain.source(victim, trusted=True)
    invented = [Held(at.to_bytes(32, "little"), 9, NOW, True) for at in range(CLAIMS_CAP + 3000)]
    liar.say(*(Have(tuple(invented[at : at + STAMPS_CAP])) for at in range(0, len(invented), STAMPS_CAP)))
    fetches = victim.gossip._fetches
    assert len(fetches._lacks) == CLAIMS_CAP
    news = Maker()
    liar.say(
        Have(
            (
                Held(news.fingerprint, 3, NOW, True),
                *(Held(one.fingerprint, 8, NOW + 9, True) for one in HONEST),
            )
        )
    )
    asked = 0
    for _ in range(DISAPPOINTMENTS + 2):
        asked += len(liar.wants())
        mesh.now_s += PATIENCE_S + 1
        victim.gossip.tick(mesh.now_s)
    assert asked <= 2 * WANTS_CAP * DISAPPOINTMENTS
    liar.say(Have(tuple(invented[:10])))
    assert liar.wants() == [], "its word counts for nothing any more"
    victim.gossip.gone(liar.key)
    assert not fetches._lacks
    assert honest(victim)


def test_what_a_liar_claims_comes_from_the_honest(mesh: Mesh, victim: Peer) -> None:
    source = mesh.peer("source")
    there = [Maker().bottle(name=f"new{at}") for at in range(30)]
    source.take(*there)
    liar = Villain.source(victim, trusted=True)
    liar.say(Have(tuple(Held(one.fingerprint, 5, NOW, True) for one in there)))
    assert len(liar.wants()) == 30
    mesh.follow(victim, source)
    mesh.run(PATIENCE_S + 2)
    assert all(one.fingerprint in victim.holds() for one in there)


def test_a_source_answers_only_what_it_was_asked(victim: Peer) -> None:
    ask = Ask(True, "p17-1-test", 1, 0, 0)
    for message in (
        Given(),
        Differ(0, ()),
        Compared(),
        Compared(),
        Known(Notice.MARK, ()),
        Taken(""),
        Answer(ask, ()),
    ):
        source = Villain.source(victim)
        if isinstance(message, Differ | Compared | Known):
            source.say(Compared())
        with pytest.raises(PeerViolation):
            source.say(message)
    source = Villain.source(victim)
    victim.gossip.ask_prekeys(source.key, "p17-1-test", 1, 0, 0)
    with pytest.raises(PeerViolation):
        source.say(Answer(ask, (b"no record",)))
    assert not victim.told(PrekeysCame)


def test_stamps_are_bounded(victim: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STAMPS_BURST", 5000)
    source = Villain.source(victim)
    known = tuple(Held(bottle.fingerprint, 0, NOW, True) for bottle in HONEST) * 100
    with pytest.raises(PeerViolation):
        source.say(*[Have(known)] * 6)


# -- a follower that does not read -------------------------------------------------------------------------
def test_a_slow_reader_costs_no_memory_and_gets_the_newest(mesh: Mesh, victim: Peer) -> None:
    reader = Villain.follower(victim)
    serving = victim.gossip._served[reader.key]
    for second in range(1, 300):
        mesh.now_s += 10
        victim.take(MAKERS[second % 10].bottle(name=f"n{second % 10}", seq=NOW + second * 10))
        victim.gossip.tick(mesh.now_s)
    assert len(serving._out) == 0
    got = [message for message in reader.hear() if isinstance(message, Update | Whole)]
    assert len(got) == 10
    seqs = {ContentsUpdate.parse(one.contents).contents.seq for one in got if isinstance(one, Update)}
    assert min(seqs) > NOW + 289 * 10
    wanting = Villain.follower(victim)
    wanting.say(*[Want(tuple(Held(one.fingerprint, 0, 0, False) for one in HONEST) * 25)] * 3)
    assert len(victim.gossip.pull(wanting.key, mesh.now_s)) == PULL_CAP
    assert len(victim.gossip._served[wanting.key]._out) <= BOTTLE_CAP


# -- anything ----------------------------------------------------------------------------------------------
MESSAGES = st.sampled_from(
    [
        HELLO,
        Compare(EMPTY, b"", bytes(16), b""),
        Want((Held(HONEST[0].fingerprint, 0, 0, False),)),
        Fetch(Notice.MARK, (bytes(72),)),
        Offer(HONEST[1].encode()),
        Offer(b"\x80"),
        Ask(False, "x", 1, 0, 0),
        Compared(),
        Given(),
        Differ(3, (Held(bytes([3]) * 32, 1, NOW, True),)),
        Have((Held(HONEST[0].fingerprint, 9, NOW + 1, True),)),
        Whole(HONEST[2].encode()),
        Whole(b"\x83"),
        Update(HONEST[3].fingerprint, ContentsUpdate.of(HONEST[3]).encode()),
        Update(bytes(32), ContentsUpdate.of(HONEST[3]).encode()),
        Update(HONEST[3].fingerprint, b"\x80"),
        Known(Notice.PROOF, (bytes(32),)),
        Said("proof", b"\xa0"),
        Said("mark", b"\xa0"),
        Said("moderation", b"\xa0"),
        Taken("name"),
        Refused("no"),
    ]
)


def pieces() -> Iterator[st.SearchStrategy[bytes]]:
    yield MESSAGES.map(encode)
    yield st.binary(max_size=40)
    yield st.binary(max_size=60).map(lambda data: len(data).to_bytes(4, "big") + data)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.lists(st.one_of(*pieces()), max_size=12), st.integers(0, 40))
def test_whatever_is_said_it_is_a_violation_or_harmless(
    source: bool, said: list[bytes], pause_s: int
) -> None:
    mesh = Mesh()
    peer = mesh.peer("victim", Maker().fingerprint)
    peer.take(*HONEST)
    villain = Villain.source(peer) if source else Villain.follower(peer, first=None)
    try:
        for data in said:
            villain.raw(data)
            villain.hear()
            mesh.now_s += pause_s
            peer.gossip.tick(mesh.now_s)
    except PeerViolation:
        peer.gossip.gone(villain.key)
    assert honest(peer)
    assert len(peer.rack) == len(HONEST)
    peer.gossip.tick(mesh.now_s + 1)
    assert peer.gossip.due_s > mesh.now_s
