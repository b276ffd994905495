"""HKDF: SHA-256 against RFC 5869 and Wycheproof, BLAKE2s against HMAC and HKDF by hand.

Noise's published vectors exercise HKDF-BLAKE2s further.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17_crypto.hkdf import HKDF_BLAKE2S, HKDF_SHA256, Hkdf

from .vectors import nist, wycheproof

BLOCK_SIZE = 64
"""Bytes of a block of SHA-256 and of BLAKE2s: what HMAC pads a key to (FIPS 198-1; RFC 7693, 2.1)."""


def hmac_by_hand(hash_function: Callable[[bytes], bytes], key: bytes, message: bytes) -> bytes:
    """FIPS 198-1, section 4, word for word."""
    if len(key) > BLOCK_SIZE:
        key = hash_function(key)
    padded = key + bytes(BLOCK_SIZE - len(key))
    inner = hash_function(bytes(byte ^ 0x36 for byte in padded) + message)
    return hash_function(bytes(byte ^ 0x5C for byte in padded) + inner)


def blake2s(data: bytes) -> bytes:
    return hashlib.blake2s(data).digest()


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_the_rfc_s_examples() -> None:
    seen = 0
    for case in nist("KDF/rfc-5869-HKDF-SHA256.txt"):
        if "OKM" not in case:
            continue
        salt, ikm, info = (bytes.fromhex(case.get(field, "")) for field in ("salt", "IKM", "info"))
        key = HKDF_SHA256.extract(salt, ikm)
        assert key.hex() == case["PRK"]
        assert HKDF_SHA256.expand(key, info, int(case["L"])).hex() == case["OKM"]
        seen += 1
    assert seen == 3


def test_against_wycheproof() -> None:
    valid = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json"):
        key = HKDF_SHA256.extract(bytes.fromhex(case["salt"]), bytes.fromhex(case["ikm"]))
        info = bytes.fromhex(case["info"])
        if case["result"] == "valid":
            assert HKDF_SHA256.expand(key, info, case["size"]).hex() == case["okm"], case["tcId"]
            valid += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                HKDF_SHA256.expand(key, info, case["size"])
            refused += 1
    assert valid >= 83
    assert refused >= 3


@pytest.mark.parametrize(("kdf", "hash_function"), [(HKDF_BLAKE2S, blake2s), (HKDF_SHA256, sha256)])
@given(
    salt=st.binary(max_size=100),
    secret=st.binary(max_size=200),
    info=st.binary(max_size=80),
    length=st.integers(1, 200),
)
def test_is_rfc_5869_by_hand(
    kdf: Hkdf, hash_function: Callable[[bytes], bytes], salt: bytes, secret: bytes, info: bytes, length: int
) -> None:
    key = kdf.extract(salt, secret)
    assert key == hmac_by_hand(hash_function, salt, secret)
    stream = last = b""
    for number in range(1, 8):
        last = hmac_by_hand(hash_function, key, last + info + bytes([number]))
        stream += last
    assert kdf.expand(key, info, length) == stream[:length]


def test_hmac_is_not_the_keyed_mode_of_blake2s() -> None:
    assert HKDF_BLAKE2S.extract(b"k" * 32, b"m") != hashlib.blake2s(b"m", key=b"k" * 32).digest()


@pytest.mark.parametrize("kdf", [HKDF_BLAKE2S, HKDF_SHA256])
def test_no_more_than_255_blocks(kdf: Hkdf) -> None:
    assert len(kdf.expand(bytes(32), b"", 255 * 32)) == 255 * 32
    with pytest.raises(ValueError, match=r"."):
        kdf.expand(bytes(32), b"", 255 * 32 + 1)
