"""Gossip with sources that claim what they don't have, and with whoever writes anything at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import following
from port17.bottles.fetches import CLAIMS_CAP, DISAPPOINTMENTS, FORGIVEN_S, PATIENCE_S
from port17.bottles.gossip_events import PrekeysCame
from port17.bottles.sync import (
    STAMPS_CAP,
    WANTS_CAP,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Fetch,
    Given,
    Have,
    Held,
    Known,
    Notice,
    Offer,
    Refused,
    Said,
    Taken,
    Update,
    Want,
    Whole,
)
from port17.bottles.sync_codec import encode
from port17.bottles.update import ContentsUpdate
from port17.errors import PeerViolation

from .bottle_maker import NOW, Maker
from .gossip_mesh import Mesh, Peer
from .gossip_villain import (
    EMPTY,
    HELLO,
    HONEST,
    Villain,
    acquainted,
    honest,
)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def victim(mesh: Mesh) -> Peer:
    return acquainted(mesh)


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
    for _ in range(DISAPPOINTMENTS):
        asked += len(liar.wants())
        mesh.now_s += PATIENCE_S + 1
        victim.gossip.tick(mesh.now_s)
        liar.say(Given(), Given())
    assert asked == 2 * WANTS_CAP * DISAPPOINTMENTS
    liar.say(Have(tuple(invented[:10])))
    assert liar.wants() == [], "its word counts for nothing any more"
    mesh.now_s += FORGIVEN_S
    liar.say(Have(tuple(invented[:10])))
    assert len(liar.wants()) == 10, "for some time"
    mesh.now_s += PATIENCE_S + 1
    victim.gossip.tick(mesh.now_s)
    liar.say(Given(), Have(tuple(invented[:10])))
    assert len(liar.wants()) == 10, "and what was is forgiven"
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
