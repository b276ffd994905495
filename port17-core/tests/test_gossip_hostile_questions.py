"""What costs a gossip more than whoever causes it: buckets are read bottle by bottle, and anybody can invent
nodes and convict them."""

from __future__ import annotations

import time

import pytest

from port17.bottles import bans, gossip, serving
from port17.bottles.gossip_events import Noted
from port17.bottles.serving import ASKS_UNDER_WAY
from port17.bottles.sync import IDS_CAP, Answer, Ask, Have, Held, Known, Notice, Said
from port17.bottles.tidings import NAMED_CAP
from port17.records.proof import Proof

from .bottle_maker import NOW, Maker
from .gossip_mesh import Mesh
from .gossip_villain import HONEST, MAKERS, Villain, acquainted


def asks(count: int) -> list[Ask]:
    return [Ask(False, "p17-1-none", slot, 0, 0) for slot in range(count)]


def test_others_have_their_turn_between_two_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh()
    victim = acquainted(mesh)
    follower, read = Villain.follower(victim), 0
    get = victim.rack.get

    def counted(fingerprint: bytes) -> object:
        nonlocal read
        read += 1
        return get(fingerprint)

    monkeypatch.setattr(victim.rack, "get", counted)
    follower.say(*asks(ASKS_UNDER_WAY))
    for number in range(1, ASKS_UNDER_WAY + 1):
        assert victim.gossip.pull(follower.key, mesh.now_s)
        assert read == number * len(HONEST)
    assert not victim.gossip.pull(follower.key, mesh.now_s)


def test_proofs_against_invented_nodes_have_nothing_thought_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bans, "BANS_CAP", 20)
    victim = acquainted(Mesh())
    source = Villain.source(victim)

    def convicted(maker: Maker, name: str) -> Said:
        proof = Proof.between(maker.bottle(name=name, seq=NOW), maker.bottle(name=name, seq=NOW, load=9))
        assert proof is not None
        return Said("proof", proof.to_cbor())

    source.say(*(convicted(Maker(), f"invented{at}") for at in range(30)))
    assert len(victim.intake.bans) == 10
    assert {event.of_us for event in victim.told(Noted) if isinstance(event, Noted)} == {False}
    source.say(convicted(MAKERS[0], "n0"))
    assert MAKERS[0].fingerprint in victim.intake.bans, "there is room for who is met"
    assert victim.events[-1] == Noted()


def test_what_was_named_is_not_counted_with_every_message() -> None:
    victim = acquainted(Mesh())
    source = Villain.source(victim)
    source.say(Have(tuple(Held(bytes([at]) * 32, 1, NOW, True) for at in range(200))))
    source.hear()
    names = [at.to_bytes(72, "big") for at in range(NAMED_CAP)]
    for at in range(0, NAMED_CAP, IDS_CAP):
        source.say(Known(Notice.MARK, tuple(names[at : at + IDS_CAP])))
    begun_s = time.process_time()
    for _ in range(200):
        source.say(Have((Held(HONEST[0].fingerprint, 0, NOW, True),)))
        source.hear()
    assert time.process_time() - begun_s < 1.5, "0.06 s; it was 8"


def test_who_opens_sync_anew_may_not_ask_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gossip, serving):
        monkeypatch.setattr(module, "ASKS_BURST", 10)
    victim = acquainted(Mesh())

    def answered(name: str) -> int:
        follower = Villain.follower(victim, name)
        follower.say(*asks(10))
        heard = follower.hear()
        victim.gossip.gone(follower.key)
        return sum(isinstance(one, Answer) and one.rows is not None for one in heard)

    assert [answered("one link") for _ in range(3)] == [10, 0, 0]
    assert answered("another") == 10
