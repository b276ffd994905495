"""What else travels by gossip, and what does not: proofs, lists, local bottles, the end of a node."""

from __future__ import annotations

from port17.bottles.gossip_events import Forgotten, Noted
from port17.bottles.intake import EXPIRE_S, Sender
from port17.bottles.outcome import Aborted, Why
from port17.bottles.sync import IDS_CAP
from port17.records.bottle import Bottle
from port17.records.moderation import Moderation, SignedModeration
from port17.records.proof import Proof

from .bottle_maker import NETWORK, NOW, SCHEME, Maker
from .gossip_mesh import Mesh, alike, bottles, network

STRANGER = Sender("stranger", trusted=True)


# -- what else travels ----------------------------------------------------------------------------------
def test_proofs_travel_and_ban() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 6)
    mesh.run(5)
    cheat = makers[4]
    one, other = cheat.bottle(name="n4", seq=NOW + 1), cheat.bottle(name="n4", seq=NOW + 1, load=5)
    peers[0].take(one)
    mesh.run(2)
    peers[0].take(other)
    mesh.run(2)
    assert all(cheat.fingerprint in peer.intake.bans for peer in peers)
    assert all(cheat.fingerprint not in peer.holds() for peer in peers)
    assert all(Forgotten(cheat.fingerprint) in peer.events and Noted() in peer.events for peer in peers)
    late = mesh.peer("late")
    late.take(one)
    mesh.follow(late, peers[1])
    mesh.run(2)
    assert cheat.fingerprint in late.intake.bans, "who comes later is told, too"
    assert alike([late, *peers])


def test_a_proof_from_a_file_is_passed_on() -> None:
    mesh = Mesh()
    one, two = mesh.peer("one"), mesh.peer("two")
    mesh.follow(two, one)
    mesh.run(1)
    cheat = Maker()
    proof = Proof.between(cheat.bottle(), cheat.bottle(load=3))
    assert proof is not None
    one.gossip.convict(proof, mesh.now_s)
    mesh.run(1)
    assert cheat.fingerprint in two.intake.bans


def test_all_proofs_are_named_whole_lists_of_them_too() -> None:
    mesh = Mesh()
    one, two = mesh.peer("one"), mesh.peer("two")
    for _ in range(IDS_CAP + 20):
        cheat = Maker()
        proof = Proof.between(cheat.bottle(), cheat.bottle(load=3))
        assert proof is not None
        one.gossip.convict(proof, mesh.now_s)
    mesh.follow(two, one)
    mesh.run(2)
    assert set(two.intake.bans.reasons) == set(one.intake.bans.reasons)


def test_the_newest_moderators_list_travels() -> None:
    mesh = Mesh()
    peers, _ = network(mesh, 5)
    mesh.run(3)
    older, newer = (SignedModeration.of(Moderation.made(seq=NOW + at)) for at in (1, 2))
    assert peers[2].gossip.consider(newer, mesh.now_s)
    mesh.run(2)
    assert not peers[0].gossip.consider(older, mesh.now_s)
    late = mesh.peer("late")
    mesh.follow(late, peers[0])
    mesh.run(2)
    assert all(peer.lists == [newer] for peer in [late, *peers])


def test_whom_moderators_block_is_not_passed_on() -> None:
    mesh = Mesh()
    one, two = mesh.peer("one"), mesh.peer("two")
    bad, good = Maker(), Maker()
    one.take(bad.bottle(name="bad"), good.bottle(name="good"))
    one.intake.blocked = {bad.fingerprint: "blocked"}
    mesh.run(1)
    mesh.follow(two, one)
    mesh.run(2)
    assert list(two.holds()) == [good.fingerprint]


# -- whose bottle is whose ------------------------------------------------------------------------------
def test_local_bottles_stay_local() -> None:
    mesh = Mesh()
    one, near, far, liar = (mesh.peer(name) for name in ("one", "near", "far", "liar"))
    here, public = Maker().bottle(name="here", flavour="local"), Maker().bottle(name="there")
    one.take(here, public)
    mesh.follow(near, one, local=True, served_as_local=True)
    mesh.follow(far, one)
    mesh.follow(liar, one, local=True)
    mesh.run(2)
    assert set(near.holds()) == {here.fingerprint, public.fingerprint}
    assert list(far.holds()) == list(liar.holds()) == [public.fingerprint]
    again = Maker().bottle(name="again", flavour="local")
    one.take(again)
    mesh.run(2)
    assert again.fingerprint in near.holds()
    assert again.fingerprint not in far.holds()
    assert again.fingerprint not in liar.holds()


def test_who_goes_offline_is_known_to_be() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 5)
    mesh.run(3)
    bottle = makers[0].bottle(name="n0", seq=mesh.wall)
    contents = bottle.contents.model_copy(update={"flags": ("offline",)})
    peers[0].take(Bottle.seal(NETWORK, SCHEME, makers[0].key, bottle.label, contents))
    mesh.run(2)
    for peer in peers:
        held = peer.rack.get(makers[0].fingerprint)
        assert held is not None
        assert held.contents.flags == ("offline",)


def test_whoever_signs_nothing_for_a_fortnight_is_forgotten_everywhere() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 4)
    mesh.run(3)
    gone = makers[3].bottle(name="n3", seq=NOW)
    for _ in range(15):
        mesh.run(24 * 3600)
        for at in range(3):
            peers[at].take(makers[at].bottle(name=f"n{at}", seq=mesh.wall))
    mesh.run(5)
    assert mesh.wall > NOW + EXPIRE_S
    for peer in peers:
        assert makers[3].fingerprint not in peer.holds()
        assert Forgotten(makers[3].fingerprint) in peer.events
    outcome = peers[0].take(gone, sender=STRANGER)
    assert isinstance(outcome, Aborted)
    assert outcome.why is Why.EXPIRED


def test_a_rack_that_was_filled_before_is_compared_with() -> None:
    mesh = Mesh()
    there = bottles(30)
    one, again = mesh.peer("one", stored=there), mesh.peer("again", stored=there[:10])
    mesh.follow(again, one)
    mesh.run(2)
    assert again.holds() == one.holds()
    assert again.verified == 20
