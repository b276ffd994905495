"""What clients are told by gossip, and what they fetch."""

from __future__ import annotations

from collections import Counter

import pytest

from port17.bottles import appetite
from port17.bottles.appetite import CRUMB_S, FAR_AGE_S, FAR_LOOK_S, FAR_TURN
from port17.bottles.buckets import Commitment
from port17.bottles.gossip_events import CommitmentsCame, Key, Learned, PrekeysCame
from port17.bottles.news import client_batch_s
from port17.bottles.rack import MemoryRack
from port17.bottles.stamp_index import StampIndex
from port17.bottles.sync import Held, Scope
from port17.records.bottle import Bottle, Contents

from .bottle_maker import NETWORK, NOW, SCHEME, SUITE, Maker
from .gossip_mesh import Mesh, Peer, bottles


def laned(makers: list[Maker], lanes: list[tuple[int, int]], seq: int) -> list[Bottle]:
    """Bottles of nodes that name each other as neighbours."""
    found = []
    for at, maker in enumerate(makers):
        ends = [other for pair in lanes if at in pair for other in pair if other != at]
        bottle = maker.bottle(name=f"n{at}", seq=seq)
        rows = [(makers[other].fingerprint, 1000, 0) for other in ends]
        contents = Contents.made(**{**bottle.contents.model_dump(), "lanes": rows})
        found.append(Bottle.seal(NETWORK, SCHEME, maker.key, bottle.label, contents))
    return found


CHAIN = [(at, at + 1) for at in range(5)]
"""Six nodes in a row."""


def near_client(mesh: Mesh, makers: list[Maker], lanes: list[tuple[int, int]] = CHAIN) -> tuple[Peer, Peer]:
    """The first of a row, and a client of it that holds all."""
    source, client = mesh.peer("source", makers[0].fingerprint), mesh.peer("client")
    source.take(*laned(makers, lanes, NOW))
    mesh.follow(client, source, scope=Scope.NEAR, bundles=False)
    mesh.run(3)
    assert client.holds() == source.holds()
    return source, client


def test_a_client_of_a_large_network_is_told_of_what_is_near() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(6)]
    source, client = near_client(mesh, makers)
    source.take(*laned(makers, CHAIN, NOW + 2))
    mesh.run(CRUMB_S + 5)
    seqs = [client.holds()[maker.fingerprint][1] - NOW for maker in makers]
    assert seqs == [2, 2, 2, 0, 0, 0], "itself, and those within two lanes"
    new = Maker().bottle(name="new")
    source.take(new)
    mesh.run(5)
    assert new.fingerprint in client.holds(), "of labels it is told of all"
    source.take(makers[5].bottle(name="n5", label_seq=1, seq=NOW + 9))
    mesh.run(5)
    assert client.holds()[makers[5].fingerprint] == (1, NOW + 9)


def test_a_client_fetches_what_is_far_when_it_is_old() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(6)]
    source, client = near_client(mesh, makers)
    mesh.run(FAR_AGE_S - 3600)
    source.take(*laned(makers, CHAIN, mesh.wall))
    mesh.run(600)
    assert client.holds()[makers[5].fingerprint] == (0, NOW)
    mesh.run(3600 + FAR_LOOK_S + CRUMB_S)
    assert client.holds() == source.holds()


def test_a_client_comes_back_and_is_told_what_is_near_at_once() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(6)]
    source = mesh.peer("source", makers[0].fingerprint)
    source.take(*laned(makers, CHAIN, NOW + 60))
    client = mesh.peer("client", stored=laned(makers, CHAIN, NOW))
    mesh.run(60)
    mesh.follow(client, source, scope=Scope.NEAR, bundles=False)
    mesh.run(CRUMB_S + 5)
    assert [client.holds()[maker.fingerprint][1] - NOW for maker in makers] == [60, 60, 60, 0, 0, 0]


def test_who_wants_no_news_is_told_none() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(6)]
    source, client = mesh.peer("source", makers[0].fingerprint), mesh.peer("client")
    source.take(*laned(makers, CHAIN, NOW))
    mesh.follow(client, source, scope=Scope.NEAR, bundles=False, standing=False)
    mesh.run(60)
    assert client.holds() == source.holds()
    assert not mesh.failed


def test_a_client_has_an_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appetite, "BURST", 20_000)
    monkeypatch.setattr(appetite, "RATE", 5.0)
    mesh = Mesh()
    makers = [Maker() for _ in range(3)]
    source, client = near_client(mesh, makers, CHAIN[:2])
    hours, before = 3, len(client.told(Learned))
    for _ in range(hours * 60):
        mesh.run(60)
        source.take(*laned(makers, CHAIN[:2], mesh.wall))
    fetched = len(client.told(Learned)) - before
    allowed = 20_000 + hours * 3600 * appetite.RATE
    assert 0.6 < fetched * 420 / allowed < 1.5, "as many as fit, at 420 bytes each"
    assert fetched < hours * 60 * 3 / 2


def test_what_is_far_has_its_share() -> None:
    makers = [Maker() for _ in range(60)]
    rack = MemoryRack()
    for at, maker in enumerate(makers):
        rack.put(maker.bottle(name=f"n{at}", seq=NOW - FAR_AGE_S - 10))
    eater, key = appetite.Appetite(StampIndex(rack)), Key(1)
    for maker in makers[:30]:
        eater.announce(key, Held(maker.fingerprint, 0, NOW, False))
    eater._level = 20 * appetite.EXPECTED_SIZE
    asked = [held.fingerprint for _, held in eater.morsels([key], 0.0, NOW)]
    near = {maker.fingerprint for maker in makers[:30]}
    assert len(asked) == 20
    assert sum(one in near for one in asked) == 20 * (FAR_TURN - 1) // FAR_TURN
    assert eater.morsels([key], 1.0, NOW) == [], "and then it has had enough"


def test_clients_have_no_prekeys_and_ask_for_buckets_of_them() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(5)]
    source, client = mesh.peer("source", makers[0].fingerprint), mesh.peer("client")
    for at, maker in enumerate(makers):
        keys = [maker.prekey(5), maker.prekey(6)]
        source.take(maker.bottle(name=f"n{at}", prekeys=keys, bundle=keys))
    key, _ = mesh.follow(client, source, bundles=False)
    mesh.run(2)
    assert client.holds() == source.holds()
    assert not any(bottle.bundle for bottle in client.rack)
    client.gossip.ask_prekeys(key, SUITE, 6, 0, 0)
    client.gossip.ask_commitments(key, SUITE, 5, 1, 0)
    mesh.run(1)
    (prekeys,), (commitments,) = client.told(PrekeysCame), client.told(CommitmentsCame)
    assert isinstance(prekeys, PrekeysCame)
    assert isinstance(commitments, CommitmentsCame)
    by_name = sorted(makers, key=lambda maker: maker.fingerprint)
    assert prekeys == PrekeysCame(key, SUITE, 6, 0, 0, tuple(maker.prekey(6) for maker in by_name))
    assert commitments.rows == tuple(
        Commitment(maker.fingerprint, NOW, maker.prekey(5).hash)
        for maker in by_name
        if maker.fingerprint[0] < 0x80
    )


def test_clients_are_told_in_batches_and_fetch_from_one() -> None:
    mesh = Mesh()
    there = bottles(1000)
    sources = [mesh.peer(f"s{at}", Maker().fingerprint, stored=there) for at in range(2)]
    client = mesh.peer("client", stored=there)
    for source in sources:
        mesh.follow(client, source, bundles=False)
    mesh.lane(*sources)
    mesh.run(10)
    before = Counter(mesh.moved)
    loud = Maker()
    for second in range(6):
        sources[0].take(loud.bottle(name="loud", seq=mesh.wall, load=second))
        mesh.run(1)
    mesh.run(2 * client_batch_s(1000))
    assert client.holds() == sources[0].holds()
    size = len(loud.bottle(name="loud").encode())
    moved = mesh.moved - before
    assert moved["s0", "client"] + moved["s1", "client"] < 3 * (size + 200)
