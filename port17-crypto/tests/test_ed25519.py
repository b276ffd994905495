"""Ed25519 against RFC 8032's and Wycheproof's answers, and against keys that everybody can sign for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17_crypto import ed25519

from .vectors import wycheproof

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    # Not as RFC 8032 writes them: y = p, y = p + 1.
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""y of the points whose order divides 8; each also with the sign bit set."""
SMALL_ORDER += [f"{key[:-2]}{int(key[-2:], 16) | 0x80:02x}" for key in SMALL_ORDER]


def test_against_wycheproof() -> None:
    valid = refused = 0
    for group, case in wycheproof("Signature/wycheproof/ed25519_test.json"):
        if "MixedOrderPublicKey" in case["flags"] and case["result"] == "acceptable":
            continue  # only their own maker can sign for them
        public = bytes.fromhex(group["publicKey"]["pk"])
        # "Acceptable" are keys of small order, which are not so here.
        expected = case["result"] == "valid"
        signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
        assert ed25519.verify(public, message, signature) == expected, case
        valid += expected
        refused += not expected
    assert valid >= 117
    assert refused >= 71


@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_keys_that_everybody_can_sign_for_are_refused(encoded: str) -> None:
    # With s = 0 and R = the neutral element, [s]B = R + [h]A holds whenever [h]A is neutral too: for a key of
    # order 8 for one message in eight, so among these at least one would verify.
    forged = bytes.fromhex(SMALL_ORDER[0]) + bytes(32)
    public = bytes.fromhex(encoded)
    assert not any(ed25519.verify(public, str(number).encode(), forged) for number in range(100))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_other_lengths_are_refused(size: int) -> None:
    private, public = ed25519.load(bytes(range(32)))
    signature = ed25519.sign(private, b"message")
    assert ed25519.verify(public, b"message", signature)
    assert not ed25519.verify((public + public)[:size], b"message", signature)
    assert not ed25519.verify(public, b"message", (signature + signature)[: size + (size == 64)])
    with pytest.raises(ValueError, match=r"."):
        ed25519.load(bytes(size))


@given(public=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_malformed_input_is_false_and_never_raises(public: bytes, signature: bytes) -> None:
    assert ed25519.verify(public, b"message", signature) is False


def test_the_keys_of_another_algorithm_are_refused() -> None:
    with pytest.raises(TypeError):
        ed25519.sign(object(), b"message")
