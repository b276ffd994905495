"""Gossip: what one process knows, all come to know, for few bytes, and what was lost is found again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from port17.bottles import appetite
from port17.bottles.appetite import CRUMB_S, FAR_AGE_S
from port17.bottles.buckets import Commitment
from port17.bottles.following import COMPARE_JITTER, COMPARE_S
from port17.bottles.gossip_events import CommitmentsCame, Forgotten, Learned, Noted, PrekeysCame, Synced
from port17.bottles.intake import EXPIRE_S, Sender
from port17.bottles.news import AUTHOR_BURST, AUTHOR_INTERVAL_S, client_batch_s
from port17.bottles.outcome import Aborted, Why
from port17.bottles.sync import BUCKETS, DIGEST_SIZE, Scope
from port17.records.bottle import Bottle, Contents
from port17.records.moderation import Moderation, SignedModeration
from port17.records.proof import Proof

from .bottle_maker import NETWORK, NOW, SCHEME, SUITE, Maker
from .gossip_mesh import DELAY_S, Mesh, Peer, ring

COMPARING = 2 * (BUCKETS * DIGEST_SIZE + 600)
"""Bytes of one comparison and its answer where little differs."""
STRANGER = Sender("stranger", trusted=True)


def network(mesh: Mesh, nodes: int, chords: int = 0) -> tuple[list[Peer], list[Maker]]:
    """Nodes that know only themselves, and their lanes."""
    makers = [Maker() for _ in range(nodes)]
    peers = [mesh.peer(f"p{at}", maker.fingerprint) for at, maker in enumerate(makers)]
    for at, (peer, maker) in enumerate(zip(peers, makers, strict=True)):
        peer.take(maker.bottle(name=f"n{at}"))
    ring(mesh, peers, chords)
    return peers, makers


def alike(peers: list[Peer]) -> bool:
    return all(peer.holds() == peers[0].holds() for peer in peers)


def bottles(count: int) -> list[Bottle]:
    return [Maker().bottle(name=f"n{at}") for at in range(count)]


# -- fetching -------------------------------------------------------------------------------------------
def test_a_follower_fetches_what_its_source_has() -> None:
    mesh = Mesh()
    one, other = mesh.peer("one"), mesh.peer("other")
    one.take(*bottles(40))
    key, _ = mesh.follow(other, one)
    assert not other.gossip.synced(key)
    mesh.run(2)
    assert other.holds() == one.holds()
    assert len(other.told(Learned)) == 40
    assert other.gossip.synced(key)
    assert other.told(Synced) == [Synced(key)]
    assert not mesh.failed


def test_a_join_fetches_nothing_that_is_there() -> None:
    mesh = Mesh()
    one, other = mesh.peer("one"), mesh.peer("other")
    there = bottles(200)
    one.take(*there)
    other.take(*there[:195])
    mesh.follow(other, one)
    mesh.run(2)
    assert other.holds() == one.holds()
    sizes = sum(len(bottle.encode()) for bottle in there[195:])
    assert mesh.moved["one", "other"] < sizes + 5 * 2 * 49 + 800
    assert mesh.moved["other", "one"] < COMPARING


def test_of_several_sources_each_bottle_is_fetched_from_one() -> None:
    mesh = Mesh()
    there = bottles(600)
    sources = [mesh.peer(f"s{at}") for at in range(3)]
    for source in sources:
        source.take(*there)
    other = mesh.peer("other")
    for source in sources:
        mesh.follow(other, source)
    mesh.run(4)
    assert other.holds() == sources[0].holds()
    sizes = sum(len(bottle.encode()) for bottle in there)
    moved = sum(mesh.moved[source.name, "other"] for source in sources)
    assert moved < 1.1 * sizes + 3 * 600 * 60 + 3 * COMPARING
    assert other.verified == 600
    assert min(mesh.moved[source.name, "other"] for source in sources[:2]) > sizes / 5, "they share the work"


def test_what_one_source_does_not_give_another_does() -> None:
    mesh = Mesh()
    there = bottles(300)
    slow, quick = mesh.peer("slow"), mesh.peer("quick")
    for source in (slow, quick):
        source.take(*there)
    other = mesh.peer("other")
    _, at_slow = mesh.follow(other, slow)
    mesh.run(2.5 * DELAY_S)
    slow.pipes[at_slow].stalled = True
    mesh.follow(other, quick)
    mesh.run(5)
    assert len(other.holds()) < 300, "the slow one is still waited for"
    mesh.run(30)
    assert other.holds() == quick.holds()


def test_a_source_that_goes_is_not_waited_for() -> None:
    mesh = Mesh()
    there = bottles(300)
    one, two, other = mesh.peer("one"), mesh.peer("two"), mesh.peer("other")
    for source in (one, two):
        source.take(*there)
    key, _ = mesh.follow(other, one)
    mesh.follow(other, two)
    mesh.run(3.5 * DELAY_S)
    assert len(other.holds()) < 300
    mesh.close(other, key)
    mesh.run(2)
    assert other.holds() == two.holds()


def test_a_newcomer_offers_itself_and_fetches_the_rest() -> None:
    mesh = Mesh()
    one, other = mesh.peer("one"), mesh.peer("other")
    there = bottles(10)
    one.take(*there)
    new = Maker().bottle(name="new")
    other.take(new)
    key, _ = mesh.follow(other, one, standing=False)
    other.gossip.offer(key, new)
    mesh.run(2)
    assert one.holds() == other.holds()
    assert len(one.holds()) == 11
    taken = Maker().bottle(name="n3", since=NOW)
    other.gossip.offer(key, taken)
    mesh.run(1)
    said = [event.why for event in other.events if hasattr(event, "why")]
    assert said == ["", "name"]
    one.take(Maker().bottle(name="later"))
    mesh.run(COMPARE_S * 2)
    assert len(other.holds()) == 11, "it did not ask for news"


# -- news -----------------------------------------------------------------------------------------------
def test_news_reach_everybody_soon() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 12, 8)
    mesh.run(3)
    assert alike(peers)
    assert len(peers[0].holds()) == 12
    peers[3].take(makers[3].bottle(name="n3", seq=mesh.wall, load=7))
    mesh.run(6 * (DELAY_S + 0.05))
    assert {peer.holds()[makers[3].fingerprint] for peer in peers} == {(0, mesh.wall - 1)} or alike(peers)
    assert not mesh.failed


def test_a_change_costs_little_on_each_lane() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 16, 24)
    mesh.run(5)
    assert alike(peers)
    keys = [makers[5].prekey(slot) for slot in range(3)]
    full = makers[5].bottle(name="n5", seq=mesh.wall, prekeys=keys, bundle=keys)
    peers[5].take(full)
    mesh.run(5)
    for change in range(4):
        before = Counter(mesh.moved)
        changed = makers[5].bottle(
            name="n5", label_seq=change // 2, seq=mesh.wall, load=change, prekeys=keys, bundle=keys
        )
        size = len(changed.encode())
        peers[5].take(changed)
        mesh.run(20)
        assert alike(peers)
        lanes: Counter[frozenset[str]] = Counter()
        for pair, moved in (mesh.moved - before).items():
            lanes[frozenset(pair)] += moved
        assert max(lanes.values()) <= 2 * size + 200, "at most once each way"
        assert max(lanes.values()) <= 3 * size
        if change % 2 == 1:
            assert max(lanes.values()) < size, "contents alone, without label or prekeys"
        assert sum(lanes.values()) < 1.5 * size * len(lanes)


def test_nothing_goes_back_to_where_it_came_from() -> None:
    mesh = Mesh()
    makers = [Maker(), Maker()]
    one, two = (mesh.peer(name, maker.fingerprint) for name, maker in zip("ab", makers, strict=True))
    mesh.lane(one, two)
    mesh.run(1)
    before = Counter(mesh.moved)
    one.take(Maker().bottle())
    mesh.run(5)
    assert one.holds() == two.holds()
    assert mesh.moved["b", "a"] == before["b", "a"]


def test_an_author_who_talks_all_the_time_is_passed_on_at_times() -> None:
    mesh = Mesh()
    one, two = mesh.peer("a", Maker().fingerprint), mesh.peer("b", Maker().fingerprint)
    mesh.lane(one, two)
    mesh.run(1)
    loud, seconds = Maker(), 120
    for _ in range(seconds):
        one.take(loud.bottle(seq=mesh.wall))
        mesh.run(1)
    passed = len(two.told(Learned))
    assert (
        AUTHOR_BURST + seconds / AUTHOR_INTERVAL_S - 2
        <= passed
        <= AUTHOR_BURST + seconds / AUTHOR_INTERVAL_S + 1
    )
    mesh.run(AUTHOR_INTERVAL_S + 1)
    assert two.holds() == one.holds(), "late, and not lost"


def test_much_at_once_is_announced_and_fetched_once() -> None:
    mesh = Mesh()
    peers = [mesh.peer(f"p{at}", Maker().fingerprint) for at in range(4)]
    for at, one in enumerate(peers):
        for other in peers[at + 1 :]:
            mesh.lane(one, other)
    mesh.run(1)
    there = bottles(300)
    sizes = sum(len(bottle.encode()) for bottle in there)
    peers[0].take(*there)
    mesh.run(5)
    assert alike(peers)
    for peer in peers[1:]:
        came = sum(moved for (_, to), moved in mesh.moved.items() if to == peer.name)
        assert came < 1.2 * sizes + 300 * 3 * 60 + 3 * COMPARING


# -- healing --------------------------------------------------------------------------------------------
def test_what_was_lost_is_found_by_comparing() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 6)
    mesh.run(5)
    mesh.drop = lambda one, other, data: True
    peers[2].take(makers[2].bottle(name="n2", seq=mesh.wall, load=1))
    mesh.run(5)
    assert not alike(peers)
    mesh.drop = lambda one, other, data: False
    mesh.run(3 * COMPARE_S * (1 + COMPARE_JITTER) + 5)
    assert alike(peers)


def test_a_partition_ends() -> None:
    mesh = Mesh()
    peers, makers = network(mesh, 10)
    mesh.run(5)
    mesh.cut(peers[0], peers[9])
    mesh.cut(peers[4], peers[5])
    for at in range(10):
        peers[at].take(makers[at].bottle(name=f"n{at}", seq=mesh.wall, load=at))
    mesh.run(5)
    assert not alike(peers)
    mesh.lane(peers[0], peers[9])
    mesh.run(5)
    assert alike(peers)


def test_prekeys_that_somebody_took_away_are_found_again() -> None:
    mesh = Mesh()
    thief, honest, other = mesh.peer("thief"), mesh.peer("honest"), mesh.peer("other", Maker().fingerprint)
    maker = Maker()
    keys = [maker.prekey(1), maker.prekey(2)]
    thief.take(maker.bottle(prekeys=keys))
    mesh.follow(other, thief)
    mesh.run(1)
    honest.take(maker.bottle(prekeys=keys, bundle=keys))
    mesh.follow(other, honest)
    mesh.run(2)
    held = other.rack.get(maker.fingerprint)
    assert held is not None
    assert len(held.bundle) == 2


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
    assert outcome.why is Why.OBSOLETE


def test_a_rack_that_was_filled_before_is_compared_with() -> None:
    mesh = Mesh()
    there = bottles(30)
    one, again = mesh.peer("one", stored=there), mesh.peer("again", stored=there[:10])
    mesh.follow(again, one)
    mesh.run(2)
    assert again.holds() == one.holds()
    assert again.verified == 20


# -- clients --------------------------------------------------------------------------------------------
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
    mesh.run(1800)
    assert client.holds()[makers[5].fingerprint] == (0, NOW)
    mesh.run(3600)
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


# -- the same again ---------------------------------------------------------------------------------------
STORY = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.gossip_mesh import Mesh, ring
from port17.records.bottle import Bottle

data = Path(sys.argv[2]).read_bytes()
bottles = []
while data:
    size = int.from_bytes(data[:4], "big")
    bottles.append(Bottle.parse(data[4 : 4 + size]))
    data = data[4 + size :]
mesh, said = Mesh(), hashlib.sha256()
mesh.drop = lambda one, other, data: said.update(data)
peers = [mesh.peer(f"p{at}", bottles[at].fingerprint) for at in range(8)]
for at, bottle in enumerate(bottles):
    peers[at % 8].take(bottle)
ring(mesh, peers, 6)
mesh.run(700)
mesh.cut(peers[0], peers[1])
peers[3].take(*bottles[-3:])
mesh.run(700)
assert len(peers[0].holds()) == len(bottles)
print(said.hexdigest())
"""


def test_the_same_happens_again_in_another_process(tmp_path: Path) -> None:
    there = [bottle.encode() for bottle in bottles(60)]
    (tmp_path / "bottles").write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in there))
    said = set()
    for seed in ("1", "2"):
        core = str(Path(__file__).resolve().parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", STORY, core, str(tmp_path / "bottles")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1
