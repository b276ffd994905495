"""What the bottle-store contract promises, asked of every installed store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conformance.conftest import registry

from port17 import (
    Bottle,
    BottleStore,
    ConfigError,
    Identity,
    Kept,
    Naming,
    PrekeyRecord,
    Racked,
    SigningKey,
    Stamp,
)
from port17.records.bottle import Contents, Label
from port17.records.succession import hand_over

NETWORK = bytes(range(32))
SCHEME = registry.make("port17.identity_schemes", "ed25519")
SUITE, OTHER_SUITE = "p17-1-test", "p17-1-other"
MANY = 300
"""Bottles that no store reads in one go."""

Opened = Callable[[], BottleStore]


@pytest.fixture
def opened(request: pytest.FixtureRequest, store: BottleStore, tmp_path: Path) -> Iterator[Opened]:
    """Opens the store; and again, as the next process would."""
    group, name = request.node.callspec.params["store"]
    stores = [store]

    def open_next() -> BottleStore:
        stores[-1].close()
        stores.append(registry.make(group, name, None))
        stores[-1].open(NETWORK, tmp_path / "state")
        return stores[-1]

    yield open_next
    for one in stores:
        one.close()


@pytest.fixture
def rack(opened: Opened) -> BottleStore:
    return opened()


class Node:
    """Who signs bottles."""

    def __init__(self, name: str = "oak") -> None:
        self.key: SigningKey = SCHEME.generate()
        self.identity = Identity.made(scheme="ed25519", public=self.key.public)
        self.fingerprint = self.identity.fingerprint
        self.name = name

    def prekey(self, slot: int, suite: str = SUITE) -> PrekeyRecord:
        return PrekeyRecord.made(
            network_id=NETWORK,
            fingerprint=self.fingerprint,
            suite=suite,
            slot=slot,
            expiry=slot + 1000,
            public=slot.to_bytes(32, "big"),
        )

    def bottle(
        self,
        label: int = 1,
        contents: int = 1,
        *,
        commits: tuple[PrekeyRecord, ...] = (),
        bundle: tuple[PrekeyRecord, ...] = (),
        suites: tuple[str, ...] = (SUITE, OTHER_SUITE),
        load: int = 0,
        name: str = "",
        group: str = "",
        **label_fields: object,
    ) -> Bottle:
        slots: dict[str, list[list[object]]] = {}
        for record in commits:
            slots.setdefault(record.suite, []).append([record.slot, record.expiry, record.hash])
        return Bottle.seal(
            NETWORK,
            SCHEME,
            self.key,
            Label.made(
                identity=self.identity,
                name=name or self.name,
                group=group,
                suites=list(suites),
                seq=label,
                **label_fields,
            ),
            Contents.made(fingerprint=self.fingerprint, seq=contents, slots=slots, load=load),
            bundle,
        )


def verified(bottle: Bottle | None) -> Bottle:
    assert bottle is not None
    bottle.verify(NETWORK, {"ed25519": SCHEME}, now=10_000)
    return bottle


def test_is_named_as_its_entry_point(store: BottleStore, entry_point: str) -> None:
    assert store.name == entry_point
    assert isinstance(store.lasting, bool)
    assert store.capacity > 0


def test_an_empty_store_is_a_store(rack: BottleStore) -> None:
    nobody = Node().fingerprint
    assert rack
    assert len(rack) == 0
    assert list(rack) == []
    assert list(rack.stamps()) == []
    assert rack.get(nobody) is None
    assert rack.held(nobody) is None
    assert rack.encoded(nobody) is None
    assert rack.named("oak") == ()
    assert rack.bucket(0, 0) == ()
    assert rack.expire(1e12) == ()
    assert not rack.mark(nobody, "no")
    assert rack.put_all([]) == []
    rack.remove(nobody)


def test_gives_back_what_was_put(rack: BottleStore) -> None:
    node = Node()
    keys = tuple(node.prekey(slot) for slot in (7, 8))
    bottle = node.bottle(3, 5, commits=keys, bundle=keys, group="foresters")
    assert rack.put(bottle, received=12.5, distrust="unreachable") is Kept.STORED
    assert rack.get(node.fingerprint) == bottle
    assert rack.held(node.fingerprint) == Racked(bottle, 12.5, "unreachable")
    assert rack.encoded(node.fingerprint) == bottle.encode()
    assert list(rack) == [bottle]
    assert list(rack.stamps()) == [Stamp(node.fingerprint, 3, 5)]
    verified(rack.get(node.fingerprint))


def test_the_newest_of_each_part_is_kept(rack: BottleStore) -> None:
    node = Node()
    assert rack.put(node.bottle(1, 5)) is Kept.STORED
    assert rack.put(node.bottle(1, 5)) is Kept.UNCHANGED
    assert rack.put(node.bottle(1, 4)) is Kept.OLDER
    assert rack.put(node.bottle(0, 5)) is Kept.OLDER
    assert rack.put(node.bottle(2, 3)) is Kept.STORED
    assert list(rack.stamps()) == [Stamp(node.fingerprint, 2, 5)]
    assert rack.put(node.bottle(1, 9)) is Kept.STORED
    assert list(rack.stamps()) == [Stamp(node.fingerprint, 2, 9)]
    assert verified(rack.get(node.fingerprint)).sequence == (2, 9)
    assert rack.put(node.bottle(1, 5)) is Kept.OLDER
    assert len(rack) == 1


def test_true_means_that_all_of_it_is_held(rack: BottleStore) -> None:
    node = Node()
    assert rack.put(node.bottle(2, 2))
    assert rack.put(node.bottle(2, 2))
    assert not rack.put(node.bottle(1, 2))
    assert not rack.put(node.bottle(2, 2, load=7))


def test_a_second_statement_under_one_number_changes_nothing(rack: BottleStore) -> None:
    node = Node()
    first = node.bottle(1, 1)
    rack.put(first)
    assert rack.put(node.bottle(1, 1, load=7)) is Kept.CLASH
    assert rack.put(node.bottle(1, 2, group="others")) is Kept.CLASH
    assert rack.put(node.bottle(2, 1, load=7)) is Kept.CLASH
    assert rack.get(node.fingerprint) == first


def test_parts_that_do_not_belong_together_are_not_joined(rack: BottleStore) -> None:
    node = Node()
    held = node.bottle(2, 2, suites=(OTHER_SUITE,))
    rack.put(held)
    assert rack.put(node.bottle(1, 3, commits=(node.prekey(7),))) is Kept.CLASH
    assert rack.get(node.fingerprint) == held


def test_prekey_records_are_collected_as_long_as_contents_name_them(rack: BottleStore) -> None:
    node = Node()
    old, present, future = (node.prekey(slot) for slot in (1, 2, 3))
    rack.put(node.bottle(1, 1, commits=(old, present), bundle=(old, present)))
    assert rack.put(node.bottle(1, 2, commits=(present, future))) is Kept.STORED
    assert verified(rack.get(node.fingerprint)).bundle == (present,)
    # An old bottle brings what the new contents still name, and nothing else.
    assert rack.put(node.bottle(1, 1, commits=(old, present), bundle=(old, present))) is Kept.OLDER
    assert rack.put(node.bottle(1, 2, commits=(present, future), bundle=(future,))) is Kept.STORED
    assert verified(rack.get(node.fingerprint)).bundle == (present, future)
    assert rack.put(node.bottle(1, 2, commits=(present, future))) is Kept.UNCHANGED
    assert verified(rack.get(node.fingerprint)).bundle == (present, future)


def test_marks_and_times(rack: BottleStore) -> None:
    node = Node()
    keys = (node.prekey(7),)
    rack.put(node.bottle(1, 1, commits=keys), received=1.0)
    assert rack.mark(node.fingerprint, "nobody answers")
    assert list(rack.trusted()) == []
    assert rack.distrusted() == {node.fingerprint: "nobody answers"}
    assert len(list(rack)) == 1
    # What says nothing new about the node changes no opinion of it.
    rack.put(node.bottle(1, 1, commits=keys, bundle=keys), received=2.0)
    held = rack.held(node.fingerprint)
    assert held == Racked(node.bottle(1, 1, commits=keys, bundle=keys), 1.0, "nobody answers")
    assert rack.mark(node.fingerprint)
    assert list(rack.trusted()) == list(rack)
    assert rack.distrusted() == {}
    rack.put(node.bottle(1, 2), received=3.0, distrust="too loud")
    assert rack.held(node.fingerprint) == Racked(node.bottle(1, 2), 3.0, "too loud")


def test_names_are_found_whatever_their_case(rack: BottleStore) -> None:
    one, two, third = Node("Oak"), Node("oak"), Node("oak-2")
    for node in (one, two, third):
        rack.put(node.bottle())
    assert rack.named("OAK") == tuple(sorted((one.fingerprint, two.fingerprint)))
    rack.put(one.bottle(2, name="elm"))
    assert rack.named("oak") == (two.fingerprint,)
    assert rack.named("elm") == (one.fingerprint,)
    rack.remove(two.fingerprint)
    assert rack.named("oak") == ()
    assert rack.named("o%") == ()
    assert rack.named("' OR 1=1") == ()


def test_what_names_say_is_read_without_bottles(rack: BottleStore) -> None:
    one, two = sorted((Node("Oak"), Node("elm")), key=lambda node: node.fingerprint)
    rack.put(one.bottle(3, 4, since=77, flavour="local"))
    rack.put(two.bottle(5, 6))
    assert list(rack.namings()) == [
        Naming(one.fingerprint, one.name, 77, "local", 3, 4),
        Naming(two.fingerprint, two.name, 0, "public", 5, 6),
    ]
    rack.put(one.bottle(4, 4, since=78))
    assert next(rack.namings()) == Naming(one.fingerprint, one.name, 78, "public", 4, 4)


def test_successors_are_found_among_all(rack: BottleStore) -> None:
    old, heir, other = Node("oak"), Node("oak"), Node("elm")
    word = hand_over(NETWORK, SCHEME, old.key, heir.identity)
    for bottle in (old.bottle(), heir.bottle(predecessors=[word]), other.bottle()):
        rack.put(bottle)
    assert [bottle.fingerprint for bottle in rack.successors()] == [heir.fingerprint]
    assert rack.put(heir.bottle(2, 1)) is Kept.STORED
    assert list(rack.successors()) == []


def test_buckets_and_stamps_of_many(rack: BottleStore) -> None:
    nodes = [Node(f"node-{number}") for number in range(MANY)]
    assert set(rack.put_all(Racked(node.bottle(2, number)) for number, node in enumerate(nodes))) == {
        Kept.STORED
    }
    fingerprints = sorted(node.fingerprint for node in nodes)
    assert len(rack) == MANY
    assert [stamp.fingerprint for stamp in rack.stamps()] == fingerprints
    assert {stamp.contents_seq for stamp in rack.stamps()} == set(range(MANY))
    assert sorted(bottle.fingerprint for bottle in rack) == fingerprints
    assert sorted(bottle.fingerprint for bottle in rack.trusted()) == fingerprints
    for bits in (0, 1, 5, 8, 11, 64):
        assert [f for value in range(1 << min(bits, 11)) for f in rack.bucket(bits, value)] == [
            f for f in fingerprints if bits < 12
        ]
        for fingerprint in fingerprints[:20]:
            value = int.from_bytes(fingerprint, "big") >> 256 - bits
            assert fingerprint in rack.bucket(bits, value)
    for bits, value in ((-1, 0), (65, 0), (3, 8), (3, -1)):
        with pytest.raises(ValueError, match="prefix"):
            rack.bucket(bits, value)


def test_a_store_may_be_changed_while_it_is_read(rack: BottleStore) -> None:
    nodes = [Node(f"node-{number}") for number in range(MANY)]
    rack.put_all(Racked(node.bottle()) for node in nodes)
    seen: list[bytes] = []
    for number, bottle in enumerate(rack):
        seen.append(bottle.fingerprint)
        if number < MANY:
            rack.put(Node(f"late-{number}").bottle())
            rack.remove(bottle.fingerprint)
    assert len(set(seen)) == len(seen)
    assert set(seen) == {node.fingerprint for node in nodes}
    assert len(rack) == MANY
    for stamp in rack.stamps():
        rack.remove(stamp.fingerprint)
    assert len(rack) == 0


def test_a_batch_knows_what_it_has_put_itself(rack: BottleStore) -> None:
    node, other = Node(), Node()
    outcomes = rack.put_all(
        map(
            Racked,
            (node.bottle(1, 2), node.bottle(1, 1), node.bottle(2, 1), other.bottle(), node.bottle(2, 2)),
        )
    )
    assert outcomes == [Kept.STORED, Kept.OLDER, Kept.STORED, Kept.STORED, Kept.UNCHANGED]
    assert len(rack) == 2
    assert verified(rack.get(node.fingerprint)).sequence == (2, 2)


def test_a_batch_that_fails_leaves_nothing(rack: BottleStore) -> None:
    node, other = Node(), Node()
    rack.put(node.bottle(1, 1))

    def entries() -> Iterator[Racked]:
        yield Racked(other.bottle())
        yield Racked(node.bottle(2, 2))
        raise KeyError("the source has failed")

    with pytest.raises(KeyError):
        rack.put_all(entries())
    assert list(rack.stamps()) == [Stamp(node.fingerprint, 1, 1)]
    with pytest.raises((TypeError, AttributeError)):
        rack.write([Racked(other.bottle()), Racked(None)])  # type: ignore[arg-type]
    assert list(rack.stamps()) == [Stamp(node.fingerprint, 1, 1)]
    assert len(rack) == 1
    assert rack.put(other.bottle()) is Kept.STORED


def test_at_its_capacity_it_refuses_strangers_and_evicts_nobody(rack: BottleStore) -> None:
    known = [Node(), Node()]
    rack.capacity = 2
    for node in known:
        assert rack.put(node.bottle())
    stranger = Node()
    assert rack.put(stranger.bottle()) is Kept.FULL
    assert rack.put_all(map(Racked, (known[0].bottle(2, 2), stranger.bottle()))) == [Kept.STORED, Kept.FULL]
    assert len(rack) == 2
    rack.remove(known[0].fingerprint)
    assert rack.put(stranger.bottle()) is Kept.STORED


def test_who_has_not_signed_for_long_is_forgotten(rack: BottleStore) -> None:
    nodes = [Node(f"node-{number}") for number in range(20)]
    rack.put_all(Racked(node.bottle(1, 100 + number)) for number, node in enumerate(nodes))
    assert set(rack.expire(110)) == {node.fingerprint for node in nodes[:10]}
    assert {stamp.contents_seq for stamp in rack.stamps()} == set(range(110, 120))
    rack.remove(*(node.fingerprint for node in nodes))
    assert len(rack) == 0


def test_a_lasting_store_is_found_again_and_is_one_network_s(opened: Opened, tmp_path: Path) -> None:
    rack = opened()
    node, distrusted, gone = Node("oak"), Node("elm"), Node("ash")
    keys = (node.prekey(7),)
    rack.put(node.bottle(3, 4, commits=keys, bundle=keys), received=9.5)
    rack.put_all([Racked(distrusted.bottle(), 1.0, "nobody answers"), Racked(gone.bottle())])
    rack.remove(gone.fingerprint)
    again = opened()
    if not again.lasting:
        assert len(again) == 0
        return
    assert len(again) == 2
    assert again.held(node.fingerprint) == Racked(node.bottle(3, 4, commits=keys, bundle=keys), 9.5)
    assert again.held(distrusted.fingerprint) == Racked(distrusted.bottle(), 1.0, "nobody answers")
    assert again.named("oak") == (node.fingerprint,)
    assert again.put(node.bottle(2, 4, commits=keys)) is Kept.OLDER
    again.close()
    foreign = type(again)()
    with pytest.raises(ConfigError, match="another network"):
        foreign.open(bytes(32), tmp_path / "state")
    foreign.close()
    assert len(opened()) == 2
