"""AES-256-GCM against Wycheproof, and its keystreams against what sealing gives."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from port17.wire.suite import TAG_SIZE, nonce
from port17_crypto import gcm

from .vectors import wycheproof

KEYS = st.binary(min_size=32, max_size=32)


def sealed_zeros(key: bytes, first: int, count: int, length: int) -> bytes:
    aead = AESGCM(key)
    return b"".join(
        aead.encrypt(nonce(number), bytes(length), None)[:length] for number in range(first, first + count)
    )


def test_against_wycheproof() -> None:
    valid = forged = 0
    for group, case in wycheproof("Cipher/wycheproof/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        aead = gcm.aead(bytes.fromhex(case["key"]))
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
            with pytest.raises(gcm.FORGED):
                aead.decrypt_into(iv, sealed, aad, opened)
            forged += 1
    assert valid >= 39
    assert forged >= 27


@given(
    key=KEYS,
    first=st.integers(0, 2**64 - 1) | st.sampled_from([2**32 - 1, 2**63]),
    count=st.integers(0, 40),
    length=st.integers(0, 130) | st.sampled_from([16, 17, 32, 68]),
)
def test_keystreams_are_sealed_zeros(key: bytes, first: int, count: int, length: int) -> None:
    first = min(first, 2**64 - 1 - count)
    assert gcm.keystreams(key, first, count, length) == sealed_zeros(key, first, count, length)


@pytest.mark.parametrize(
    ("count", "length"),
    [(gcm.NONCES + 1, 16), (600, 40), (3, 4072), (1, 16 * gcm.NONCES + 1), (gcm.FEW, 68), (gcm.FEW + 1, 68)],
)
def test_keystreams_across_batches_and_ways(count: int, length: int) -> None:
    key = bytes(range(32))
    assert gcm.keystreams(key, 7, count, length) == sealed_zeros(key, 7, count, length)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
@pytest.mark.parametrize("count", [1, gcm.FEW + 1])
def test_a_shorter_aes_is_refused(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        gcm.aead(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        gcm.keystreams(bytes(size), 0, count, 1)
