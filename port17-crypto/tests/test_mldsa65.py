"""ML-DSA-65 against NIST's and Wycheproof's answers, accepted and refused as they say.

The component signs with the empty context alone, so a signature under another context is refused too.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from port17_crypto import mldsa65

from .vectors import nist, wycheproof


def test_against_nist() -> None:
    seen = 0
    for case in nist("asymmetric/MLDSA/kat_MLDSA_65_det_pure.rsp"):
        private, public = mldsa65.load(bytes.fromhex(case["xi"]))
        message, signed, context = (bytes.fromhex(case[field]) for field in ("msg", "sm", "ctx"))
        signature = signed[: mldsa65.SIGNATURE_SIZE]
        assert public.hex() == case["pk"]
        # Their signatures are under a context: the library finds them good, and we find them another's.
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message, context)
        assert not mldsa65.verify(public, message, signature)
        assert mldsa65.verify(public, message, mldsa65.sign(private, message))
        seen += 1
    assert seen >= 100


def test_verifying_against_wycheproof() -> None:
    valid = refused = 0
    for group, case in wycheproof("Signature/wycheproof/mldsa_65_verify_test.json"):
        expected = case["result"] == "valid" and not case.get("ctx")
        public, message, signature = (
            bytes.fromhex(text) for text in (group["publicKey"], case["msg"], case["sig"])
        )
        assert mldsa65.verify(public, message, signature) == expected, case["tcId"]
        valid += expected
        refused += not expected
    assert valid >= 70
    assert refused >= 130


def test_seeds_against_wycheproof() -> None:
    valid = refused = 0
    for group, case in wycheproof("Signature/wycheproof/mldsa_65_sign_seed_test.json"):
        seed = bytes.fromhex(group["privateSeed"])
        if "IncorrectPrivateKeyLength" in case["flags"]:
            with pytest.raises(ValueError, match=r"."):
                mldsa65.load(seed)
            refused += 1
            continue
        private, public = mldsa65.load(seed)
        assert public.hex() == group["publicKey"]
        if "Internal" in case["flags"] or case["result"] != "valid":
            continue  # signed by its hash alone, or under a context that is too long
        message = bytes.fromhex(case["msg"])
        assert mldsa65.verify(public, message, bytes.fromhex(case["sig"])) is not bool(case.get("ctx"))
        assert mldsa65.verify(public, message, mldsa65.sign(private, message))
        valid += 1
    assert valid >= 80
    assert refused >= 3


def test_signatures_are_hedged() -> None:
    private, public = mldsa65.load(bytes(32))
    signatures = {mldsa65.sign(private, b"message") for _ in range(3)}
    assert len(signatures) == 3
    assert all(mldsa65.verify(public, b"message", signature) for signature in signatures)


@pytest.mark.parametrize("change", [-1, 1, -100])
def test_other_lengths_are_refused(change: int) -> None:
    private, public = mldsa65.load(bytes(32))
    signature = mldsa65.sign(private, b"message")
    assert not mldsa65.verify((public + bytes(1))[: len(public) + change], b"message", signature)
    assert not mldsa65.verify(public, b"message", (signature + bytes(1))[: len(signature) + change])
    with pytest.raises(ValueError, match=r"."):
        mldsa65.load(bytes(32 + change if change > -32 else 0))


@settings(max_examples=20)
@given(head=st.binary(max_size=64), fill=st.integers(0, 255))
def test_malformed_keys_are_false_and_never_raise(head: bytes, fill: int) -> None:
    public = (head + bytes([fill]) * mldsa65.PUBLIC_SIZE)[: mldsa65.PUBLIC_SIZE]
    signature = (head + bytes([fill]) * mldsa65.SIGNATURE_SIZE)[: mldsa65.SIGNATURE_SIZE]
    assert mldsa65.verify(public, b"message", signature) is False


def test_the_keys_of_another_algorithm_are_refused() -> None:
    with pytest.raises(TypeError):
        mldsa65.sign(object(), b"message")
