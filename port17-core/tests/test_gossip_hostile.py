"""Gossip with sources that mean ill: the honest rack stays right, and what they can make us keep and verify
is bounded, each bound as it is stated beside its constant.
"""

from __future__ import annotations

import pytest

from port17.bottles import following
from port17.bottles.following import FAULTS_BURST, UNASKED_BURST
from port17.bottles.gossip import OFFERS_BURST, STRANGERS_BURST
from port17.bottles.intake import EXPIRE_S
from port17.bottles.intake import STRANGERS_BURST as LANE_BURST
from port17.bottles.sync import (
    CHUNK_CAP,
    FOLLOWER_MESSAGE_CAP,
    MESSAGE_CAP,
    STAMPS_CAP,
    Fetch,
    Given,
    Have,
    Held,
    Known,
    Notice,
    Offer,
    Said,
    Taken,
    Update,
    Whole,
)
from port17.bottles.tidings import NAMED_CAP
from port17.bottles.update import ContentsUpdate
from port17.errors import PeerViolation
from port17.records.mark import Mark, SignedMark, claim_of
from port17.records.proof import Proof

from .bottle_maker import NETWORK, NOW, SCHEME, Maker
from .gossip_mesh import Mesh, Peer
from .gossip_villain import (
    HONEST,
    MAKERS,
    SYBILS,
    Villain,
    acquainted,
    forged,
    honest,
    stamps,
    sybils,
)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def victim(mesh: Mesh) -> Peer:
    return acquainted(mesh)


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
    assert sum(map(len, victim.gossip._followed[source.key]._tidings._named.values())) <= NAMED_CAP
