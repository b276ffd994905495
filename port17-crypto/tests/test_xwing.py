"""X-Wing against HPKE's published vectors, Wycheproof's for its halves, and the library's own X-Wing."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from port17_crypto import xwing
from port17_crypto.suites import XWingAes256GcmSha256
from port17_crypto.xwing import XWingPrivate

from .hpke_base import AES_256_GCM, Base
from .vectors import hpke as hpke_vectors
from .vectors import nist, wycheproof

KEM_ID = 0x647A
SUITE = XWingAes256GcmSha256()


def test_seeds_and_ciphertexts_of_the_published_vectors() -> None:
    cases = hpke_vectors("post-quantum", KEM_ID)
    assert len(cases) >= 4
    for case in cases:
        private, public = xwing.load(bytes.fromhex(case["skRm"]))
        assert public.hex() == case["pkRm"]
        assert xwing.decapsulate(private, bytes.fromhex(case["enc"])).hex() == case["shared_secret"]


def test_both_ends_agree_and_no_two_secrets_are_alike() -> None:
    private, public = xwing.generate()
    secrets = set()
    for _ in range(3):
        secret, ciphertext = xwing.encapsulate(public)
        assert (len(public), len(secret), len(ciphertext)) == (1216, 32, 1120)
        assert xwing.decapsulate(private, ciphertext) == secret
        secrets.add(secret)
    assert len(secrets) == 3


@given(at=st.integers(0, xwing.CIPHERTEXT_SIZE * 8 - 2))
def test_a_changed_ciphertext_never_gives_the_secret(at: int) -> None:
    # The topmost bit of an X25519 point is ignored by X25519 (RFC 7748, 5), but not by the combiner; it is
    # excluded only to keep the bound simple, and tried below.
    private, public = xwing.generate()
    secret, ciphertext = xwing.encapsulate(public)
    changed = bytearray(ciphertext)
    changed[at // 8] ^= 1 << at % 8
    try:
        got = xwing.decapsulate(private, bytes(changed))
    except ValueError:
        return
    assert got != secret


def test_the_bit_that_x25519_ignores_counts_in_the_combiner() -> None:
    private, public = xwing.generate()
    secret, ciphertext = xwing.encapsulate(public)
    assert xwing.decapsulate(private, ciphertext[:-1] + bytes([ciphertext[-1] ^ 0x80])) != secret


def test_a_key_loaded_from_its_seed_is_the_same_key() -> None:
    key = SUITE.generate()
    stored = SUITE.private_bytes(key.private)
    loaded = SUITE.load_private(stored)
    secret, ciphertext = SUITE.encapsulate(key.public)
    assert len(stored) == 32
    assert loaded.public == key.public
    assert SUITE.decapsulate(loaded.private, ciphertext) == secret


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SUITE.load_private(bytes(size))


@pytest.mark.parametrize("change", [-1, 1, -32, 32])
def test_other_lengths_are_refused(change: int) -> None:
    key = SUITE.generate()
    _, ciphertext = SUITE.encapsulate(key.public)
    with pytest.raises(ValueError, match="1216 bytes"):
        SUITE.encapsulate((key.public + bytes(32))[: xwing.PUBLIC_SIZE + change])
    with pytest.raises(ValueError, match="1120 bytes"):
        SUITE.decapsulate(key.private, (ciphertext + bytes(32))[: xwing.CIPHERTEXT_SIZE + change])


@given(data=st.binary(max_size=64), fill=st.integers(0, 255))
def test_hostile_keys_and_ciphertexts_raise_nothing_but_value_errors(data: bytes, fill: int) -> None:
    key = SUITE.load_private(bytes(32))
    public = (data + bytes([fill]) * xwing.PUBLIC_SIZE)[: xwing.PUBLIC_SIZE]
    ciphertext = (data + bytes([fill]) * xwing.CIPHERTEXT_SIZE)[: xwing.CIPHERTEXT_SIZE]
    for attempt in (lambda: SUITE.encapsulate(public), lambda: SUITE.decapsulate(key.private, ciphertext)):
        try:
            attempt()
        except ValueError:
            continue


def test_a_private_key_shows_nothing() -> None:
    key = SUITE.generate()
    seed = SUITE.private_bytes(key.private)
    for shown in (repr(key), str(key), repr(key.private), str(key.private)):
        assert "secret" in shown
        assert seed.hex() not in shown
        assert repr(seed) not in shown


def test_the_keys_of_another_kem_are_refused() -> None:
    with pytest.raises(TypeError):
        SUITE.decapsulate(X25519PrivateKey.generate(), bytes(xwing.CIPHERTEXT_SIZE))


# -- the halves -----------------------------------------------------------------------------------
def test_x25519_half_against_wycheproof() -> None:
    mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    mlkem_public = mlkem.public_key().public_bytes_raw()
    mlkem_secret, mlkem_ciphertext = mlkem.public_key().encapsulate()
    agreed = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/x25519_test.json"):
        x25519 = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
        x25519_public = x25519.public_key().public_bytes_raw()
        private = XWingPrivate(bytes(32), mlkem, x25519, x25519_public)
        theirs = bytes.fromhex(case["public"])
        if case["shared"] == "00" * 32:  # a point of low order
            with pytest.raises(ValueError, match=r"."):
                xwing.decapsulate(private, mlkem_ciphertext + theirs)
            with pytest.raises(ValueError, match=r"."):
                xwing.encapsulate(mlkem_public + theirs)
            refused += 1
        else:
            expected = xwing.combine(mlkem_secret, bytes.fromhex(case["shared"]), theirs, x25519_public)
            assert xwing.decapsulate(private, mlkem_ciphertext + theirs) == expected, case["tcId"]
            agreed += 1
    assert agreed > 400
    assert refused > 10


def test_mlkem_half_against_wycheproof() -> None:
    x25519 = X25519PrivateKey.from_private_bytes(bytes(32))
    x25519_public = x25519.public_key().public_bytes_raw()
    theirs = X25519PrivateKey.generate()
    point = theirs.public_key().public_bytes_raw()
    x25519_secret = theirs.exchange(x25519.public_key())
    agreed = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/mlkem_768_test.json"):
        seed, ciphertext = bytes.fromhex(case["seed"]), bytes.fromhex(case["c"])
        if len(seed) != xwing.MLKEM_SEED_SIZE:
            with pytest.raises(ValueError, match=r"."):
                MLKEM768PrivateKey.from_seed_bytes(seed)
            refused += 1
            continue
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed)
        private = XWingPrivate(bytes(32), mlkem, x25519, x25519_public)
        if len(ciphertext) != xwing.MLKEM_CIPHERTEXT_SIZE:
            with pytest.raises(ValueError, match="1120 bytes"):
                xwing.decapsulate(private, ciphertext + point)
            refused += 1
            continue
        expected = xwing.combine(bytes.fromhex(case["K"]), x25519_secret, point, x25519_public)
        assert (xwing.decapsulate(private, ciphertext + point) == expected) == (case["result"] == "valid")
        agreed += 1
    assert agreed > 50
    assert refused > 0


def test_mlkem_half_against_nist() -> None:
    x25519 = X25519PrivateKey.from_private_bytes(bytes(32))
    x25519_public = x25519.public_key().public_bytes_raw()
    theirs = X25519PrivateKey.generate()
    point = theirs.public_key().public_bytes_raw()
    x25519_secret = theirs.exchange(x25519.public_key())
    seen = 0
    for case in nist("asymmetric/MLKEM/kat_MLKEM_768.rsp"):
        mlkem = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(case["d"] + case["z"]))
        assert mlkem.public_key().public_bytes_raw().hex() == case["pk"]
        private = XWingPrivate(bytes(32), mlkem, x25519, x25519_public)
        # The second of each is a ciphertext that was made for nobody: its secret is the implicit rejection's.
        for ciphertext, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            expected = xwing.combine(bytes.fromhex(case[secret]), x25519_secret, point, x25519_public)
            assert xwing.decapsulate(private, bytes.fromhex(case[ciphertext]) + point) == expected
        seen += 1
    assert seen >= 1000


def test_mlkem_public_keys_against_wycheproof() -> None:
    point = X25519PrivateKey.generate().public_key().public_bytes_raw()
    valid = refused = 0
    for _, case in wycheproof("Protocol/wycheproof/mlkem_768_encaps_test.json"):
        public = bytes.fromhex(case["ek"]) + point
        if case["result"] == "valid":
            assert len(xwing.encapsulate(public)[0]) == 32
            valid += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                xwing.encapsulate(public)
            refused += 1
    assert valid > 0
    assert refused > 100


# -- the library's own X-Wing, which it offers only inside HPKE ---------------------------------------
OURS = Base(SUITE, SUITE, KEM_ID, AES_256_GCM)
THEIRS = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def test_opens_what_the_library_sealed() -> None:
    private, public = xwing.generate()
    their_view = hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[: xwing.MLKEM_PUBLIC_SIZE]),
        X25519PublicKey.from_public_bytes(public[xwing.MLKEM_PUBLIC_SIZE :]),
    )
    message = os.urandom(100)
    sealed = THEIRS.encrypt(message, their_view, b"info")
    assert OURS.open(private, b"info", sealed) == message
    with pytest.raises(InvalidTag):
        OURS.open(private, b"other", sealed)


def test_the_library_opens_what_was_sealed_here() -> None:
    private, public = xwing.generate()
    message = os.urandom(100)
    sealed = OURS.seal(public, b"info", message)
    their_view = hpke.MLKEM768X25519PrivateKey(private.mlkem, private.x25519)
    assert THEIRS.decrypt(sealed, their_view, b"info") == message
    with pytest.raises(InvalidTag):
        THEIRS.decrypt(sealed, their_view, b"other")
