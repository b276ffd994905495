"""DHKEM(X25519, HKDF-SHA256) against RFC 9180's vectors, RFC 7748, Wycheproof, and the library's HPKE."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from port17_crypto import x25519
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s, XWingAes256GcmSha256

from . import vectors
from .hpke_base import CHACHA20_POLY1305, Base
from .low_order import LOW_ORDER

KEM_ID = 0x0020


def test_published_secrets() -> None:
    cases = vectors.hpke("classical", KEM_ID) + vectors.hpke("post-quantum", KEM_ID)
    seen = 0
    for case in cases:
        if case["mode"] in (2, 3):  # authenticated by the sender's key, which enters the exchange
            continue
        private, public = x25519.load(bytes.fromhex(case["skRm"]))
        encapsulated = bytes.fromhex(case["enc"])
        assert public.hex() == case["pkRm"]
        assert x25519.decapsulate(private, encapsulated).hex() == case["shared_secret"]
        if "skEm" in case:
            ephemeral = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["skEm"]))
            exchanged = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
            assert x25519.derive(exchanged, encapsulated, public).hex() == case["shared_secret"]
        seen += 1
    assert seen > 30


def test_the_exchange_of_rfc_7748() -> None:
    seen = 0
    for case in vectors.nist("asymmetric/X25519/rfc7748.txt"):
        if "OUTPUT_U" not in case:
            continue
        private, public = x25519.load(bytes.fromhex(case["INPUT_SCALAR"]))
        point = bytes.fromhex(case["INPUT_U"])
        expected = x25519.derive(bytes.fromhex(case["OUTPUT_U"]), point, public)
        assert x25519.decapsulate(private, point) == expected
        seen += 1
    assert seen >= 2


def test_against_wycheproof() -> None:
    agreed = refused = 0
    for _, case in vectors.wycheproof("Protocol/wycheproof/x25519_test.json"):
        private, public = x25519.load(bytes.fromhex(case["private"]))
        point = bytes.fromhex(case["public"])
        if "ZeroSharedSecret" in case["flags"]:
            with pytest.raises(ValueError, match=r"."):
                x25519.decapsulate(private, point)
            with pytest.raises(ValueError, match=r"."):
                x25519.encapsulate(point)
            refused += 1
            continue
        expected = x25519.derive(bytes.fromhex(case["shared"]), point, public)
        assert x25519.decapsulate(private, point) == expected, case["tcId"]
        agreed += 1
    assert agreed > 480
    assert refused > 25


@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_points_of_low_order_are_refused(point: bytes) -> None:
    private, _ = x25519.generate()
    with pytest.raises(ValueError, match=r"."):
        x25519.encapsulate(point)
    with pytest.raises(ValueError, match=r"."):
        x25519.decapsulate(private, point)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_other_lengths_are_refused(size: int) -> None:
    private, _ = x25519.generate()
    with pytest.raises(ValueError, match=r"."):
        x25519.encapsulate(bytes([9]) * size)
    with pytest.raises(ValueError, match=r"."):
        x25519.decapsulate(private, bytes([9]) * size)
    with pytest.raises(ValueError, match=r"."):
        x25519.load(bytes([9]) * size)


def test_the_bit_that_x25519_ignores_counts() -> None:
    private, public = x25519.generate()
    secret, ciphertext = x25519.encapsulate(public)
    flipped = ciphertext[:-1] + bytes([ciphertext[-1] ^ 0x80])
    assert x25519.decapsulate(private, flipped) != secret


@settings(max_examples=30)
@given(seed=st.binary(min_size=32, max_size=32))
def test_both_ends_agree(seed: bytes) -> None:
    private, public = x25519.load(seed)
    secret, ciphertext = x25519.encapsulate(public)
    assert x25519.stored(private) == seed
    assert x25519.decapsulate(private, ciphertext) == secret


def test_the_keys_of_another_kem_are_refused() -> None:
    for other in (X25519PrivateKey.generate(), bytes(32), None):
        with pytest.raises(TypeError):
            x25519.decapsulate(other, bytes([9]) * 32)
        with pytest.raises(TypeError):
            x25519.stored(other)


# -- the library's own DHKEM, which it offers only inside HPKE ----------------------------------------
SUITE = X25519ChaCha20Poly1305Blake2s()
OURS = Base(SUITE, XWingAes256GcmSha256(), KEM_ID, CHACHA20_POLY1305)
THEIRS = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)


def test_opens_what_the_library_sealed() -> None:
    key = SUITE.generate()
    message = os.urandom(100)
    sealed = THEIRS.encrypt(message, X25519PublicKey.from_public_bytes(key.public), b"info")
    assert OURS.open(key.private, b"info", sealed) == message
    with pytest.raises(InvalidTag):
        OURS.open(key.private, b"other", sealed)


def test_the_library_opens_what_was_sealed_here() -> None:
    key = SUITE.generate()
    message = os.urandom(100)
    sealed = OURS.seal(key.public, b"info", message)
    private = X25519PrivateKey.from_private_bytes(SUITE.private_bytes(key.private))
    assert THEIRS.decrypt(sealed, private, b"info") == message
    with pytest.raises(InvalidTag):
        THEIRS.decrypt(sealed, private, b"other")
