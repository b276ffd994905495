"""Buckets: every node is in one of each size, and answers are whole, in order and bounded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.buckets import (
    BUCKET_CAP,
    BUCKET_NODES,
    LEEWAY_BITS,
    BucketRefused,
    bits_for,
    bucket_of,
    commitments,
    records,
)
from port17.bottles.rack import BUCKET_BITS_CAP, MemoryRack, bucket_bounds

from .bottle_maker import NOW, SUITE, Maker


def rack_of(nodes: int, capacity: int = 1000) -> tuple[MemoryRack, list[Maker]]:
    rack = MemoryRack(MemoryRack.Config(capacity=capacity))
    makers = [Maker() for _ in range(nodes)]
    for place, maker in enumerate(makers):
        keys = [maker.prekey(5), maker.prekey(6)]
        rack.put(maker.bottle(name=f"node-{place}", prekeys=keys, bundle=keys))
    return rack, makers


@given(st.integers(0, 10_000_000))
def test_a_bucket_has_sixteen_nodes_to_twice_as_many(nodes: int) -> None:
    bits = bits_for(nodes)
    if nodes < 2 * BUCKET_NODES:
        assert bits == 0
    else:
        assert BUCKET_NODES <= nodes / 2**bits < 2 * BUCKET_NODES


@given(st.binary(min_size=32, max_size=32), st.integers(0, BUCKET_BITS_CAP))
def test_a_node_is_within_the_bounds_of_its_bucket(fingerprint: bytes, bits: int) -> None:
    first, last = bucket_bounds(bits, bucket_of(fingerprint, bits))
    assert first <= fingerprint <= last


def test_all_buckets_together_are_all_records_once_and_in_order() -> None:
    rack, makers = rack_of(80)
    bits = bits_for(80)
    found = [record for prefix in range(2**bits) for record in records(rack, SUITE, 6, bits, prefix)]
    assert [record.fingerprint for record in found] == sorted(maker.fingerprint for maker in makers)
    assert {record.slot for record in found} == {6}
    said = [row for prefix in range(2**bits) for row in commitments(rack, SUITE, 6, bits, prefix)]
    assert [(row.fingerprint, row.commitment) for row in said] == [
        (record.fingerprint, record.hash) for record in found
    ]
    assert {row.contents_seq for row in said} == {NOW}


def test_a_commitment_is_named_where_its_record_is_not_held() -> None:
    rack, maker = MemoryRack(), Maker()
    rack.put(maker.bottle(prekeys=[maker.prekey()]))
    assert records(rack, SUITE, 5, 0, 0) == ()
    assert [row.commitment for row in commitments(rack, SUITE, 5, 0, 0)] == [maker.prekey().hash]


def test_what_is_not_there_is_no_answer() -> None:
    rack, _ = rack_of(3)
    assert records(rack, "p17-1-other", 5, 0, 0) == ()
    assert records(rack, SUITE, 9, 0, 0) == ()
    assert commitments(rack, SUITE, 9, 0, 0) == ()
    assert records(MemoryRack(), SUITE, 5, 0, 0) == ()


def test_an_answer_is_bounded_however_full_a_bucket_is() -> None:
    rack, _ = rack_of(20)
    assert len(records(rack, SUITE, 5, 0, 0, cap=7)) == 7
    assert len(commitments(rack, SUITE, 5, 0, 0, cap=7)) == 7
    assert BUCKET_CAP >= 2 * BUCKET_NODES * 2**LEEWAY_BITS


@settings(max_examples=20)
@given(st.sampled_from([(-1, 0), (BUCKET_BITS_CAP + 1, 0), (3, 8), (3, -1), (0, 1)]))
def test_no_such_bucket_is_refused(asked: tuple[int, int]) -> None:
    rack, _ = rack_of(2)
    with pytest.raises(BucketRefused):
        records(rack, SUITE, 5, *asked)
    with pytest.raises(BucketRefused):
        commitments(rack, SUITE, 5, *asked)


def test_a_bucket_that_is_too_wide_is_refused() -> None:
    rack, _ = rack_of(130)
    assert bits_for(130) == 3
    assert records(rack, SUITE, 5, 3 - LEEWAY_BITS, 0)
    with pytest.raises(BucketRefused):
        records(rack, SUITE, 5, 3 - LEEWAY_BITS - 1, 0)
