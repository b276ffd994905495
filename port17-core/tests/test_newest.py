"""Which parts of a node's bottles are kept: the same, whatever order they came in and whatever keeps them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.newest import Kept, newest
from port17.bottles.rack import BottleStore, MemoryRack, Racked
from port17.bottles.sqlite_rack import SqliteRack
from port17.records.bottle import Bottle, Contents, Label
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord

from .rack_writer import NETWORK, SCHEME, SUITE, signer

LIFE = 8
"""Times that the node signs something new."""
WINDOW = 3
"""Slots that it has keys for at any time."""
KEY = signer(1)
IDENTITY = Identity.made(scheme="ed25519", public=KEY.public)


def prekey(slot: int) -> PrekeyRecord:
    return PrekeyRecord.made(
        network_id=NETWORK,
        fingerprint=IDENTITY.fingerprint,
        suite=SUITE,
        slot=slot,
        expiry=slot + 100,
        public=bytes([slot + 1]) * 32,
    )


def signed(label_seq: int, seq: int, bundle: tuple[int, ...]) -> Bottle:
    """What an honest node says at a moment: its keys follow the time, and none comes back."""
    slots = [prekey(slot) for slot in range(seq, seq + WINDOW)]
    label = Label.made(identity=IDENTITY, name="oak", suites=[SUITE], seq=label_seq)
    contents = Contents.made(
        fingerprint=IDENTITY.fingerprint,
        seq=seq,
        slots={SUITE: [[record.slot, record.expiry, record.hash] for record in slots]},
    )
    return Bottle.seal(NETWORK, SCHEME, KEY, label, contents, [slots[index] for index in bundle])


MOMENTS = [[signed(seq // 2, seq, bundle) for bundle in ((), (0,), (1, 2), (0, 1, 2))] for seq in range(LIFE)]
"""An honest life: a new label at every second moment; each bottle with some prekeys or none."""
some_bottles = st.lists(st.tuples(st.integers(0, LIFE - 1), st.integers(0, 3)), min_size=1, max_size=12)


def final(store: BottleStore, bottles: list[Bottle]) -> Bottle:
    for bottle in bottles:
        assert store.put(bottle) in (Kept.STORED, Kept.UNCHANGED, Kept.OLDER)
    held = store.get(IDENTITY.fingerprint)
    assert held is not None
    held.verify(NETWORK, {"ed25519": SCHEME}, LIFE)
    return held


@given(some_bottles, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_an_honest_node_s_bottles_come_is_all_one(
    chosen: list[tuple[int, int]], chance: object
) -> None:
    bottles = [MOMENTS[moment][bundle] for moment, bundle in chosen]
    one = final(MemoryRack(), bottles)
    chance.shuffle(bottles)  # type: ignore[attr-defined]
    other = final(MemoryRack(), bottles)
    assert (one.label, one.contents) == (other.label, other.contents)
    assert {record.slot for record in one.bundle} == {record.slot for record in other.bundle}
    assert one.sequence == max(bottle.sequence for bottle in bottles)
    known = {record.slot for bottle in bottles for record in bottle.bundle}
    named = {slot.slot for slot in one.contents.slots[SUITE]}
    assert {record.slot for record in one.bundle} == known & named


@given(st.lists(some_bottles, min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_every_store_keeps_the_same(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("rack")
    lasting, memory = SqliteRack(), MemoryRack()
    lasting.open(NETWORK, folder)
    with closing(lasting):
        for number, batch in enumerate(batches):
            entries = [
                Racked(MOMENTS[moment][bundle], float(number), "late" * bundle) for moment, bundle in batch
            ]
            assert lasting.put_all(entries) == memory.put_all(entries)
            assert lasting.held(IDENTITY.fingerprint) == memory.held(IDENTITY.fingerprint)
            assert list(lasting.stamps()) == list(memory.stamps())


def test_a_part_that_came_with_another_is_joined_with_what_is_held() -> None:
    early, late = signed(0, 5, (0,)), signed(3, 4, (0, 2))
    joined, kept = newest(early, late)
    assert kept is Kept.STORED
    assert joined.sequence == (3, 5)
    # Of the older contents' keys, those that the newer contents name, too.
    assert {record.slot for record in joined.bundle} == {5, 6}
    assert newest(joined, early) == (joined, Kept.OLDER)
    assert newest(joined, joined) == (joined, Kept.UNCHANGED)


def test_a_second_signature_of_the_same_says_nothing_new() -> None:
    held = signed(1, 1, ())
    forged = held.contents_envelope.model_copy(update={"signature": bytes(64)})
    other = Bottle(held.label_envelope, forged, (), held.label, held.contents)
    assert newest(held, other) == (held, Kept.UNCHANGED)
