"""Deterministic CBOR: one value, one encoding, and nothing but a RecordError for everything else."""

from __future__ import annotations

import time
import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import RecordError
from port17.records import cbor

CAP = 1 << 16

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.sampled_from([0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, -1, -24, -25, -256, -257])
    | st.binary(max_size=300)
    | st.text(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=30), inner, max_size=6),
    max_leaves=30,
)


@given(VALUES)
def test_what_is_encoded_is_decoded(value: object) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data, cap=CAP) == value
    assert cbor.encode(cbor.decode(memoryview(data), cap=len(data))) == data


@given(st.dictionaries(st.text(max_size=5), VALUES, min_size=2), st.randoms())
def test_a_map_s_order_does_not_matter(value: dict[str, object], random: Random) -> None:
    pairs = list(value.items())
    random.shuffle(pairs)
    assert cbor.encode(dict(pairs)) == cbor.encode(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    try:
        value = cbor.decode(data, cap=CAP)
    except RecordError:
        return
    assert cbor.encode(value) == data


@given(VALUES, st.data())
def test_a_damaged_encoding_is_refused_or_the_encoding_of_another_value(
    value: object, data: st.DataObject
) -> None:
    damaged = bytearray(cbor.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        what = data.draw(st.sampled_from(["change", "insert", "cut"]))
        byte = data.draw(st.integers(0, 255))
        if what == "insert":
            damaged.insert(at, byte)
        elif at < len(damaged) > 1:
            damaged[at : at + 1] = [byte] if what == "change" else []
    try:
        read = cbor.decode(bytes(damaged), cap=CAP)
    except RecordError:
        return
    assert cbor.encode(read) == damaged


# RFC 8949, appendix A.
@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (1000, "1903e8"),
        (1000000, "1a000f4240"),
        (18446744073709551615, "1bffffffffffffffff"),
        (-18446744073709551616, "3bffffffffffffffff"),
        (-100, "3863"),
        (False, "f4"),
        (True, "f5"),
        (None, "f6"),
        (b"\x01\x02\x03\x04", "4401020304"),
        ("\u00fc", "62c3bc"),
        ([1, [2, 3], [4, 5]], "8301820203820405"),
        ({"a": 1, "b": [2, 3]}, "a26161016162820203"),
        ({"aa": 1, "b": 2}, "a261620262616101"),
    ],
)
def test_published_encodings(value: object, encoded: str) -> None:
    assert cbor.encode(value).hex() == encoded
    assert cbor.decode(bytes.fromhex(encoded), cap=CAP) == value


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "cut short"),
        ("0000", "after the end"),
        ("1817", "shortest"),
        ("190017", "shortest"),
        ("1900ff", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("5801ff", "shortest"),
        ("980100", "shortest"),
        ("18", "cut short"),
        ("1b00", "cut short"),
        ("42ff", "cut short"),
        ("8200", "cut short"),
        ("a16161", "cut short"),
        ("1c", "indefinite"),
        ("1f", "indefinite"),
        ("5f4100ff", "indefinite"),
        ("7f6161ff", "indefinite"),
        ("9fff", "indefinite"),
        ("bfff", "indefinite"),
        ("a2616101616102", "twice"),
        ("a2616201616102", "unsorted"),
        ("a262616101616202", "unsorted"),
        ("a10001", "not text"),
        ("a1410001", "not text"),
        ("c000", "tag"),
        ("c249010000000000000000", "tag"),
        ("d9d9f700", "tag"),
        ("f7", "float or a simple"),
        ("f0", "float or a simple"),
        ("f820", "float or a simple"),
        ("f90000", "float or a simple"),
        ("fb0000000000000000", "float or a simple"),
        ("ff", "float or a simple"),
        ("62ffff", "UTF-8"),
        ("a162ffff00", "UTF-8"),
        ("81" * 16 + "00", "deeper"),
        ("a16161" * 16 + "00", "deeper"),
    ],
)
def test_refused(encoded: str, why: str) -> None:
    with pytest.raises(RecordError, match=why):
        cbor.decode(bytes.fromhex(encoded), cap=CAP)


def test_the_deepest_nesting_is_allowed() -> None:
    data = bytes.fromhex("81" * (cbor.DEPTH_CAP - 1) + "00")
    assert cbor.encode(cbor.decode(data, cap=CAP)) == data


def test_the_cap_is_exact_and_checked_first() -> None:
    data = cbor.encode(b"x" * 100)
    assert cbor.decode(data, cap=len(data)) == b"x" * 100
    with pytest.raises(RecordError, match="at most 101"):
        cbor.decode(data, cap=len(data) - 1)


@pytest.mark.parametrize("head", ["5b", "7b", "9b", "bb"])
@pytest.mark.parametrize("claim", ["7fffffffffffffff", "ffffffffffffffff", "0000000100000000"])
def test_a_claimed_length_allocates_nothing(head: str, claim: str) -> None:
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(RecordError, match="cut short"):
        cbor.decode(bytes.fromhex(head + claim) + bytes(50), cap=CAP)
    took, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 16
    assert took < 1


def test_nested_claims_are_read_once() -> None:
    # Fifteen lists that each claim as many elements as there are bytes: work must stay linear.
    data = b"".join(b"\x99" + (4000).to_bytes(2, "big") for _ in range(15)) + bytes(4050)
    began = time.perf_counter()
    with pytest.raises(RecordError):
        cbor.decode(data, cap=CAP)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "value", [1.5, 2**64, -(2**64) - 1, {1: 2}, {b"a": 1}, object(), {1, 2}, "\ud800", [[1.0]]]
)
def test_values_that_records_do_not_have(value: object) -> None:
    with pytest.raises(RecordError):
        cbor.encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(RecordError):
        cbor.encode(endless)
