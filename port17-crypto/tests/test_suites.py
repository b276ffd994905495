"""The default suite against its contract, and its AEAD and KDF against Wycheproof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given
from hypothesis import strategies as st

from port17 import PluginError
from port17.wire.suite import (
    CIPHERTEXT_CAP,
    NAME_CAP,
    NAME_PATTERN,
    PUBLIC_KEY_CAP,
    TAG_SIZE,
    CipherSuite,
    nonce,
)
from port17_crypto import gcm, xwing
from port17_crypto.suites import XWingAes256GcmSha256

SUITE = XWingAes256GcmSha256()
KEYS = st.binary(min_size=32, max_size=32)


def test_keeps_within_the_contract() -> None:
    assert NAME_PATTERN.match(SUITE.name)
    assert len(SUITE.name) <= NAME_CAP
    assert SUITE.public_size <= PUBLIC_KEY_CAP
    assert SUITE.ciphertext_size <= CIPHERTEXT_CAP
    key = SUITE.generate()
    assert len(key.public) == SUITE.public_size
    assert len(SUITE.encapsulate(key.public)[1]) == SUITE.ciphertext_size


def test_a_library_without_ml_kem_is_a_plugin_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported() -> None:
        raise UnsupportedAlgorithm("no ML-KEM")

    monkeypatch.setattr(xwing, "generate", unsupported)
    with pytest.raises(PluginError, match=r"port17-crypto: .*xwing.*: no ML-KEM") as raised:
        XWingAes256GcmSha256()
    assert "cryptography 48" in raised.value.cure


@given(
    key=KEYS,
    first=st.integers(0, 2**64 - 1) | st.sampled_from([2**32 - 1, 2**63]),
    count=st.integers(0, 40),
    length=st.integers(0, 130) | st.sampled_from([16, 17, 32, 68]),
)
def test_fast_keystreams_are_the_contract_s(key: bytes, first: int, count: int, length: int) -> None:
    first = min(first, 2**64 - 1 - count)
    assert SUITE.keystreams(key, first, count, length) == CipherSuite.keystreams(
        SUITE, key, first, count, length
    )


@pytest.mark.parametrize(
    ("count", "length"), [(gcm.BATCH + 1, 16), (600, 40), (3, 4072), (1, 16 * gcm.BATCH + 1)]
)
def test_keystreams_across_batches(count: int, length: int) -> None:
    key = bytes(range(32))
    assert SUITE.keystreams(key, 7, count, length) == CipherSuite.keystreams(SUITE, key, 7, count, length)


@given(key=KEYS, counter=st.integers(0, 2**64 - 1), data=st.binary(max_size=200))
def test_a_ciphertext_is_the_plaintext_xor_the_keystream(key: bytes, counter: int, data: bytes) -> None:
    sealed = bytearray(len(data) + TAG_SIZE)
    SUITE.aead(key).encrypt_into(nonce(counter), data, None, sealed)
    stream = SUITE.keystreams(key, counter, 1, len(data))
    assert sealed[: len(data)] == bytes(a ^ b for a, b in zip(data, stream, strict=True))


@given(key=KEYS, data=st.binary(max_size=100), bit=st.integers(min_value=0))
def test_a_changed_bit_is_forged(key: bytes, data: bytes, bit: int) -> None:
    sealed = bytearray(len(data) + TAG_SIZE)
    aead = SUITE.aead(key)
    aead.encrypt_into(nonce(1), data, b"ad", sealed)
    opened = bytearray(len(data))
    aead.decrypt_into(nonce(1), sealed, b"ad", opened)
    assert opened == data
    bit %= len(sealed) * 8
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SUITE.forged):
        aead.decrypt_into(nonce(1), sealed, b"ad", opened)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_shorter_aes_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SUITE.aead(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        SUITE.keystreams(bytes(size), 0, 1, 1)


def test_aead_against_wycheproof(wycheproof: Callable[[str], Iterator[Any]]) -> None:
    valid = forged = 0
    for group, case in wycheproof("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        aead = SUITE.aead(bytes.fromhex(case["key"]))
        iv, aad, message = (bytes.fromhex(case[field]) for field in ("iv", "aad", "msg"))
        sealed = bytes.fromhex(case["ct"] + case["tag"])
        opened = bytearray(len(message))
        if case["result"] == "valid":
            got = bytearray(len(message) + TAG_SIZE)
            aead.encrypt_into(iv, message, aad, got)
            assert got == sealed, case["tcId"]
            aead.decrypt_into(iv, sealed, aad, opened)
            assert opened == message
            valid += 1
        else:
            with pytest.raises(SUITE.forged):
                aead.decrypt_into(iv, sealed, aad, opened)
            forged += 1
    assert valid > 30
    assert forged > 20


def test_kdf_against_wycheproof(wycheproof: Callable[[str], Iterator[Any]]) -> None:
    valid = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/hkdf_sha256_test.json"):
        key = SUITE.extract(bytes.fromhex(case["salt"]), bytes.fromhex(case["ikm"]))
        if case["result"] == "valid":
            assert SUITE.expand(key, bytes.fromhex(case["info"]), case["size"]).hex() == case["okm"], case[
                "tcId"
            ]
            valid += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                SUITE.expand(key, bytes.fromhex(case["info"]), case["size"])
            refused += 1
    assert valid > 50
    assert refused > 0
