"""Gossip: what one process knows, all come to know, for few bytes, and what was lost is found again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from port17.bottles.following import COMPARE_JITTER, COMPARE_S
from port17.bottles.gossip_events import Learned, Synced
from port17.bottles.news import AUTHOR_BURST, AUTHOR_INTERVAL_S
from port17.bottles.sync import BUCKETS, DIGEST_SIZE

from .bottle_maker import NOW, Maker
from .gossip_mesh import DELAY_S, Mesh, alike, bottles, network

COMPARING = 2 * (BUCKETS * DIGEST_SIZE + 600)
"""Bytes of one comparison and its answer where little differs."""


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


def test_prekeys_that_one_source_leaves_out_are_asked_of_another() -> None:
    mesh = Mesh()
    thief, honest, other = mesh.peer("thief"), mesh.peer("honest"), mesh.peer("other", Maker().fingerprint)
    maker = Maker()
    keys = [maker.prekey(1), maker.prekey(2)]
    honest.take(maker.bottle(prekeys=keys, bundle=keys))
    mesh.follow(other, honest, standing=False)
    mesh.run(1)
    honest.take(maker.bottle(seq=NOW + 1, prekeys=[*keys, maker.prekey(3)], bundle=[*keys, maker.prekey(3)]))
    thief.take(maker.bottle(seq=NOW + 1, prekeys=[*keys, maker.prekey(3)]))
    mesh.follow(other, thief)
    mesh.run(2)
    held = other.rack.get(maker.fingerprint)
    assert held is not None
    assert len(held.bundle) == 3, "without a comparison"


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
