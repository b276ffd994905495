"""ChaCha20-Poly1305 against Wycheproof and RFC 8439, and its keystreams against what sealing gives."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from port17.wire.suite import TAG_SIZE, nonce
from port17_crypto import chacha

from .vectors import wycheproof

KEYS = st.binary(min_size=32, max_size=32)


def sealed_zeros(key: bytes, first: int, count: int, length: int) -> bytes:
    aead = ChaCha20Poly1305(key)
    return b"".join(
        aead.encrypt(nonce(number), bytes(length), None)[:length] for number in range(first, first + count)
    )


def test_against_wycheproof() -> None:
    valid = forged = refused = 0
    for group, case in wycheproof("Cipher/wycheproof/chacha20_poly1305_test.json"):
        aead = chacha.aead(bytes.fromhex(case["key"]))
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
        elif group["ivSize"] != 96:
            with pytest.raises(ValueError, match=r"[Nn]once"):
                aead.decrypt_into(iv, sealed, aad, opened)
            refused += 1
        else:
            with pytest.raises(chacha.FORGED):
                aead.decrypt_into(iv, sealed, aad, opened)
            forged += 1
    assert valid >= 256
    assert forged >= 60
    assert refused >= 9


def test_the_keystream_of_the_rfc_s_example() -> None:
    # RFC 8439, A.1, test vector 2: key and nonce of zeros, block counter 1.
    expected = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
    assert chacha.keystreams(bytes(32), 0, 1, 32).hex() == expected
    assert chacha.keystreams(bytes(32), 0, chacha.FEW + 1, 32)[:32].hex() == expected


@given(
    key=KEYS,
    first=st.integers(0, 2**64 - 1) | st.sampled_from([2**32 - 1, 2**63]),
    count=st.integers(0, 40),
    length=st.integers(0, 130) | st.sampled_from([17, 34, 51, 64, 65, 68]),
)
def test_keystreams_are_sealed_zeros(key: bytes, first: int, count: int, length: int) -> None:
    first = min(first, 2**64 - 1 - count)
    assert chacha.keystreams(key, first, count, length) == sealed_zeros(key, first, count, length)


@pytest.mark.parametrize(("count", "length"), [(chacha.FEW, 68), (chacha.FEW + 1, 68), (9, 4072), (300, 17)])
def test_keystreams_either_way(count: int, length: int) -> None:
    key = bytes(range(32))
    assert chacha.keystreams(key, 7, count, length) == sealed_zeros(key, 7, count, length)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
@pytest.mark.parametrize("count", [1, chacha.FEW + 1])
def test_other_key_lengths_are_refused(size: int, count: int) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|256"):
        chacha.aead(bytes(size))
    with pytest.raises(ValueError, match=r"32 bytes|256|key"):
        chacha.keystreams(bytes(size), 0, count, 1)
