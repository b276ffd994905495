"""Input that no honest peer sends, once each: a ValueError of the KEMs, False of the schemes, nothing else.

What the core makes of them is tested there.
"""

from __future__ import annotations

import os

import pytest

from port17 import CipherSuite, IdentityScheme
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65
from port17_crypto.suites import (
    X25519ChaCha20Poly1305Blake2s,
    XWingAes256GcmSha256,
    XWingChaCha20Poly1305Blake2s,
)

from .low_order import FIELD, LOW_ORDER

XWING = XWingAes256GcmSha256()
X25519 = X25519ChaCha20Poly1305Blake2s()
SUITES = (XWING, XWingChaCha20Poly1305Blake2s(), X25519)
SCHEMES = (Ed25519(), Ed25519MlDsa65())
POINT_SIZE = 32
"""Every public key and ciphertext here ends with an X25519 point."""
MLKEM_Q = 3329
"""ML-KEM's modulus (FIPS 203, section 2.3): what a coefficient of a public key stays below."""

every_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)


@every_suite
@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_public_key_of_low_order(suite: CipherSuite, point: bytes) -> None:
    public = suite.generate().public[:-POINT_SIZE] + point
    with pytest.raises(ValueError, match=r"."):
        suite.encapsulate(public)


@every_suite
@pytest.mark.parametrize("point", LOW_ORDER.values(), ids=LOW_ORDER)
def test_a_ciphertext_of_low_order(suite: CipherSuite, point: bytes) -> None:
    key = suite.generate()
    _, ciphertext = suite.encapsulate(key.public)
    with pytest.raises(ValueError, match=r"."):
        suite.decapsulate(key.private, ciphertext[:-POINT_SIZE] + point)


@every_suite
def test_a_point_written_in_another_way_is_another_key(suite: CipherSuite) -> None:
    # u = 9 + p is the base point, as u = 9 is: both are taken, with different secrets, as the bytes count.
    key = suite.generate()
    _, ciphertext = suite.encapsulate(key.public)
    head = ciphertext[:-POINT_SIZE]
    plain, long = (suite.decapsulate(key.private, head + u.to_bytes(32, "little")) for u in (9, 9 + FIELD))
    assert plain != long


@every_suite
def test_a_public_key_of_another_length(suite: CipherSuite) -> None:
    public = suite.generate().public
    for wrong in (b"", public[:1], public[:-1], public[1:], public + b"\0", public * 2, public[-16:]):
        with pytest.raises(ValueError, match=r"."):
            suite.encapsulate(wrong)


@every_suite
def test_a_ciphertext_of_another_length(suite: CipherSuite) -> None:
    key = suite.generate()
    _, ciphertext = suite.encapsulate(key.public)
    for wrong in (b"", ciphertext[:1], ciphertext[:-1], ciphertext[1:], ciphertext + b"\0", ciphertext * 2):
        with pytest.raises(ValueError, match=r"."):
            suite.decapsulate(key.private, wrong)


@every_suite
def test_a_stored_key_of_another_length(suite: CipherSuite) -> None:
    for size in (0, 1, 31, 33, 64, 96):
        with pytest.raises(ValueError, match=r"."):
            suite.load_private(os.urandom(size))


@every_suite
def test_a_symmetric_key_of_another_length(suite: CipherSuite) -> None:
    for size in (0, 1, 16, 24, 31, 33, 64):
        with pytest.raises(ValueError, match=r"."):
            suite.aead(bytes(size))


@every_suite
def test_a_ciphertext_of_another_suite(suite: CipherSuite) -> None:
    key = suite.generate()
    other = XWING if suite.ciphertext_size != XWING.ciphertext_size else X25519
    _, ciphertext = other.encapsulate(other.generate().public)
    with pytest.raises(ValueError, match=r"."):
        suite.decapsulate(key.private, ciphertext)
    with pytest.raises(ValueError, match=r"."):
        suite.encapsulate(other.generate().public)


@pytest.mark.parametrize("value", [MLKEM_Q, MLKEM_Q + 1, 0xFFF])
@pytest.mark.parametrize("index", [0, 1, 767])
def test_a_coefficient_that_is_not_below_q(value: int, index: int) -> None:
    # Two coefficients of 12 bits in three bytes, little-endian (FIPS 203, algorithm 5); 768 of them.
    public = bytearray(XWING.generate().public)
    at = index // 2 * 3
    pair = int.from_bytes(public[at : at + 3], "little")
    shift = 12 * (index % 2)
    pair = pair & ~(0xFFF << shift) | value << shift
    public[at : at + 3] = pair.to_bytes(3, "little")
    with pytest.raises(ValueError, match=r"."):
        XWING.encapsulate(bytes(public))


def test_the_halves_of_a_public_key_swapped() -> None:
    public = XWING.generate().public
    with pytest.raises(ValueError, match=r"."):
        XWING.encapsulate(b"\xff" * POINT_SIZE + public[:-POINT_SIZE])


def test_a_forged_lattice_half_gives_a_secret_that_nobody_has() -> None:
    key = XWING.generate()
    secret, ciphertext = XWING.encapsulate(key.public)
    forged = os.urandom(len(ciphertext) - POINT_SIZE) + ciphertext[-POINT_SIZE:]
    outcomes = {XWING.decapsulate(key.private, forged) for _ in range(2)}
    assert len(outcomes) == 1
    assert outcomes.isdisjoint({secret, bytes(32)})


@every_scheme
def test_a_signature_of_another_length(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    good = scheme.sign(key, b"m")
    for wrong in (b"", good[:1], good[:-1], good[1:], good + b"\0", good * 2, good[:64], good[64:]):
        if wrong != good:
            assert scheme.verify(key.public, b"m", wrong) is False


@every_scheme
def test_a_public_key_of_another_length_or_none(scheme: IdentityScheme) -> None:
    key = scheme.generate()
    good = scheme.sign(key, b"m")
    for index, (algorithm, public) in enumerate(key.public):
        for wrong in (b"", public[:-1], public + b"\0", bytes(len(public)), b"\xff" * len(public)):
            keys = (*key.public[:index], (algorithm, wrong), *key.public[index + 1 :])
            assert scheme.verify(keys, b"m", good) is False


@every_scheme
def test_a_stored_identity_of_another_length(scheme: IdentityScheme) -> None:
    stored = scheme.private_bytes(scheme.generate())
    for wrong in (b"", stored[:-1], stored + b"\0", stored * 2, stored[: len(stored) // 2]):
        with pytest.raises(ValueError, match=r"."):
            scheme.load_private(wrong)
