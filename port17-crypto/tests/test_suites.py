"""The suites as wholes: that each is made of the parts that its name says, and what it does without them.

Each part has its known answers in a test of its own; the contract's tests ask what every suite must keep.
"""

from __future__ import annotations

import hmac

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from port17 import CipherSuite, Level, PluginError, Status
from port17.wire.suite import TAG_SIZE, nonce
from port17_crypto import x25519, xwing
from port17_crypto.suites import (
    Whole,
    X25519ChaCha20Poly1305Blake2s,
    XWingAes256GcmSha256,
    XWingChaCha20Poly1305Blake2s,
)
from port17_crypto.x25519 import X25519Private
from port17_crypto.xwing import XWingPrivate

SUITES = {
    suite.name: suite
    for suite in (XWingAes256GcmSha256(), XWingChaCha20Poly1305Blake2s(), X25519ChaCha20Poly1305Blake2s())
}
KEMS = {"xwing": (XWingPrivate, 1216, 1120), "x25519": (X25519Private, 32, 32)}
AEADS = {"aes256gcm": AESGCM, "chacha20poly1305": ChaCha20Poly1305}
HASHES = {"sha256": "sha256", "blake2s": "blake2s"}


@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_is_made_of_what_its_name_says(suite: CipherSuite) -> None:
    _, _, kem, cipher, kdf = suite.name.split("-")
    private, public_size, ciphertext_size = KEMS[kem]
    key = suite.generate()
    assert isinstance(key.private, private)
    assert (suite.public_size, suite.ciphertext_size) == (public_size, ciphertext_size)
    sealed = bytearray(3 + TAG_SIZE)
    suite.aead(b"k" * 32).encrypt_into(nonce(1), b"abc", b"ad", sealed)
    assert sealed == AEADS[cipher](b"k" * 32).encrypt(nonce(1), b"abc", b"ad")
    assert suite.extract(b"salt", b"secret") == hmac.digest(b"salt", b"secret", HASHES[kdf])
    assert suite.expand(b"k" * 32, b"info", 32) == hmac.digest(b"k" * 32, b"info\x01", HASHES[kdf])


def test_says_of_itself_what_is_so() -> None:
    told = {name: (suite.status, suite.confidentiality) for name, suite in SUITES.items()}
    assert told == {
        "p17-1-xwing-aes256gcm-sha256": (Status.RECOMMENDED, Level(128, 3)),
        "p17-1-xwing-chacha20poly1305-blake2s": (Status.RECOMMENDED, Level(128, 3)),
        "p17-1-x25519-chacha20poly1305-blake2s": (Status.PERMITTED, Level(128, 0)),
    }


@pytest.mark.parametrize(
    ("suite", "kem"), [(XWingAes256GcmSha256, xwing), (X25519ChaCha20Poly1305Blake2s, x25519)]
)
def test_a_library_without_its_kem_is_a_plugin_error_with_a_cure(
    suite: type[Whole], kem: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported() -> None:
        raise UnsupportedAlgorithm("not in this build")

    monkeypatch.setattr(kem, "generate", unsupported)
    with pytest.raises(PluginError, match=rf"port17-crypto: .*{suite.name}: not in this build") as raised:
        suite()
    assert "cryptography 48" in raised.value.cure


def test_no_suite_takes_another_s_keys() -> None:
    ours, theirs = SUITES["p17-1-xwing-aes256gcm-sha256"], SUITES["p17-1-x25519-chacha20poly1305-blake2s"]
    for suite, other in ((ours, theirs), (theirs, ours)):
        with pytest.raises(TypeError):
            suite.decapsulate(other.generate().private, bytes(suite.ciphertext_size))
        with pytest.raises(TypeError):
            suite.private_bytes(other.generate().private)
