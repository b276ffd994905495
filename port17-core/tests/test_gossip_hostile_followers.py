"""Gossip with followers that ask without end, and with those who do not read what they are sent."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from port17.bottles import serving
from port17.bottles.news import CLIENT_BATCH_S, Kind
from port17.bottles.serving import ASKS_UNDER_WAY, COMPARES_BURST, REPLIES_CAP, WANTS_UNDER_WAY
from port17.bottles.stamp_index import Entry
from port17.bottles.sync import (
    PULL_CAP,
    STAMP_SIZE,
    STAMPS_CAP,
    VERSION,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Fetch,
    Have,
    Held,
    Notice,
    Offer,
    Refused,
    Update,
    Want,
    Whole,
)
from port17.bottles.update import ContentsUpdate
from port17.errors import PeerViolation
from port17.records.bottle import BOTTLE_CAP, Bottle

from .bottle_maker import NOW
from .gossip_mesh import Mesh, Peer
from .gossip_villain import (
    EMPTY,
    HELLO,
    HONEST,
    MAKERS,
    Villain,
    acquainted,
    sybils,
)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


@pytest.fixture
def victim(mesh: Mesh) -> Peer:
    return acquainted(mesh)


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


def test_a_bucket_that_somebody_has_filled_is_shown_in_parts(victim: Peer) -> None:
    index = victim.gossip._holdings.index
    for at in range(5000):
        index._put(b"\7" + at.to_bytes(31, "big"), Entry(0, NOW, True, False))
    reader = Villain.follower(victim)
    reader.say(Compare(EMPTY, b"", b"", b""))
    victim.gossip.pull(reader.key, victim.mesh.now_s)
    assert len(victim.gossip._served[reader.key]._out) <= STAMPS_CAP * STAMP_SIZE + 100
    again = Villain.follower(victim)
    again.say(Compare(EMPTY, b"", b"", b""))
    shown = [one for one in again.hear() if isinstance(one, Differ) and one.bucket == 7]
    assert max(len(one.held) for one in shown) == STAMPS_CAP
    assert len({held for one in shown for held in one.held}) == 5000 + sum(
        bottle.fingerprint[0] == 7 for bottle in HONEST
    )


def test_what_changes_while_it_waits_is_told_once(mesh: Mesh, victim: Peer) -> None:
    reader = Villain.follower(victim, first=replace(HELLO, bundles=False))
    names = [at.to_bytes(32, "little") for at in range(3 * STAMPS_CAP)]
    holdings = victim.gossip._holdings
    for name in names:
        holdings.index._put(name, Entry(0, NOW, True, False))
        holdings.news.note((Kind.NODE, name))
    first = victim.gossip.pull(reader.key, mesh.now_s)
    holdings.news.note((Kind.NODE, names[-1]))
    mesh.now_s += CLIENT_BATCH_S
    told = [held.fingerprint for one in reader.hear(first) if isinstance(one, Have) for held in one.held]
    assert told == [*names[:-1], names[-1]]


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
