"""Ed25519 against its contract and Wycheproof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.records.scheme import SigningKey
from port17_crypto.schemes import Ed25519

SCHEME = Ed25519()
KEY = SCHEME.generate()


def test_against_wycheproof(wycheproof: Callable[[str], Iterator[Any]]) -> None:
    valid = refused = 0
    for group, case in wycheproof("Signature/wycheproof/ed25519_test.json"):
        if case["result"] == "acceptable":  # keys with a torsion part: only their own maker can sign for them
            continue
        public = (("ed25519", bytes.fromhex(group["publicKey"]["pk"])),)
        expected = case["result"] == "valid"
        assert SCHEME.verify(public, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])) == expected, case
        valid += expected
        refused += not expected
    assert valid > 50
    assert refused > 40


ENCODED_SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]


@pytest.mark.parametrize("encoded", ENCODED_SMALL_ORDER)
def test_keys_that_everybody_can_sign_for_are_refused(encoded: str) -> None:
    # With s = 0 and R = the neutral element, [s]B = R + [h]A holds whenever [h]A is neutral too: for a key of
    # order 8 for one message in eight, so among these at least one would verify.
    forged = bytes.fromhex(ENCODED_SMALL_ORDER[0]) + bytes(32)
    public = (("ed25519", bytes.fromhex(encoded)),)
    assert not any(SCHEME.verify(public, str(number).encode(), forged) for number in range(100))


@given(message=st.binary(max_size=200), bit=st.integers(0, 64 * 8 - 1))
def test_a_changed_signature_is_not_valid(message: bytes, bit: int) -> None:
    signature = bytearray(SCHEME.sign(KEY, message))
    assert len(signature) == SCHEME.signature_size
    assert SCHEME.verify(KEY.public, message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not SCHEME.verify(KEY.public, message, bytes(signature))
    assert not SCHEME.verify(KEY.public, message + b"\x00", SCHEME.sign(KEY, message))


@given(
    public=st.lists(
        st.tuples(st.sampled_from(["ed25519", "ml-dsa-65", ""]), st.binary(max_size=40)), max_size=3
    ),
    signature=st.binary(max_size=70),
)
def test_malformed_keys_are_false_and_never_raise(public: list[tuple[str, bytes]], signature: bytes) -> None:
    assert SCHEME.verify(tuple(public), b"message", signature) is False


def test_a_key_of_a_composite_is_not_taken_for_ours() -> None:
    signature = SCHEME.sign(KEY, b"message")
    assert not SCHEME.verify((*KEY.public, *KEY.public), b"message", signature)
    assert not SCHEME.verify((("ed448", KEY.public[0][1]),), b"message", signature)


def test_a_stored_key_signs_as_before() -> None:
    loaded = SCHEME.load_private(SCHEME.private_bytes(KEY))
    assert loaded.public == KEY.public
    assert SCHEME.verify(KEY.public, b"message", SCHEME.sign(loaded, b"message"))


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        SCHEME.load_private(bytes(31))
    with pytest.raises(TypeError):
        SCHEME.sign(SigningKey(object(), KEY.public), b"message")


def test_a_signing_key_shows_nothing() -> None:
    assert SCHEME.private_bytes(KEY).hex() not in repr(KEY)
    assert repr(KEY) == "SigningKey(private=<secret>)"
