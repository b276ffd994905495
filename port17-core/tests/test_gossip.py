"""Gossip: what one process knows, all come to know, for few bytes, and what was lost is found again."""

from __future__ import annotations

from port17.bottles.gossip_events import Learned, Synced

from .bottle_maker import NOW, Maker
from .gossip_mesh import Mesh, ring


def test_a_follower_fetches_what_its_source_has() -> None:
    mesh = Mesh()
    one, other = mesh.peer("one"), mesh.peer("other")
    makers = [Maker() for _ in range(40)]
    one.take(*(maker.bottle(name=f"n{at}") for at, maker in enumerate(makers)))
    key, _ = mesh.follow(other, one)
    mesh.run(2)
    assert other.holds() == one.holds()
    assert len(other.told(Learned)) == 40
    assert other.gossip.synced(key)
    assert len(other.told(Synced)) == 1
    assert not mesh.failed


def test_news_reach_everybody() -> None:
    mesh = Mesh()
    makers = [Maker() for _ in range(12)]
    peers = [mesh.peer(f"p{at}", maker.fingerprint) for at, maker in enumerate(makers)]
    for at, (peer, maker) in enumerate(zip(peers, makers, strict=True)):
        peer.take(maker.bottle(name=f"n{at}"))
    ring(mesh, peers, 8)
    mesh.run(3)
    assert all(peer.holds() == peers[0].holds() for peer in peers)
    assert len(peers[0].holds()) == 12
    peers[3].take(makers[3].bottle(name="n3", seq=NOW + 3, load=7))
    mesh.run(2)
    assert {peer.holds()[makers[3].fingerprint] for peer in peers} == {(0, NOW + 3)}
    assert not mesh.failed
