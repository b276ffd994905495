"""What npm's @noble packages answered once, an implementation with no code in common: noble.json.

``interop/live.py`` wrote it, and does the same both ways against an installed copy: ``nox -s interop``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from port17_crypto import hkdf
from port17_crypto.schemes import Ed25519MlDsa65
from port17_crypto.suites import CipherSuite, X25519ChaCha20Poly1305Blake2s, XWingAes256GcmSha256

FROZEN = json.loads((Path(__file__).parent / "interop/noble.json").read_text("utf-8"))
SUITES: dict[str, CipherSuite] = {
    "xwing": XWingAes256GcmSha256(),
    "x25519": X25519ChaCha20Poly1305Blake2s(),
}
HKDFS = {"sha256": hkdf.HKDF_SHA256, "blake2s": hkdf.HKDF_BLAKE2S}


def test_says_who_answered() -> None:
    assert "@noble/post-quantum" in FROZEN["by"]
    assert {case["kem"] for case in FROZEN["kems"]} == set(SUITES)
    assert {case["hash"] for case in FROZEN["hkdf"]} == set(HKDFS)


@pytest.mark.parametrize("case", FROZEN["kems"], ids=lambda case: case["kem"])
def test_their_ciphertexts_hold_their_secrets(case: dict[str, str]) -> None:
    suite = SUITES[case["kem"]]
    key = suite.load_private(bytes.fromhex(case["seed"]))
    assert hashlib.sha256(key.public).hexdigest() == case["public_sha256"]
    ciphertext = bytes.fromhex(case["ciphertext"])
    assert suite.decapsulate(key.private, ciphertext).hex() == case["secret"]
    assert suite.decapsulate(key.private, bytes([ciphertext[0] ^ 1]) + ciphertext[1:]).hex() != case["secret"]


@pytest.mark.parametrize("case", FROZEN["hkdf"], ids=lambda case: f"{case['hash']}-{len(case['stream'])}")
def test_their_keys_are_ours(case: dict[str, str]) -> None:
    kdf = HKDFS[case["hash"]]
    key = kdf.extract(bytes.fromhex(case["salt"]), bytes.fromhex(case["secret"]))
    assert key.hex() == case["key"]
    stream = kdf.expand(key, bytes.fromhex(case["info"]), len(case["stream"]) // 2)
    assert stream.hex() == case["stream"]


@pytest.mark.parametrize("case", FROZEN["composite"])
def test_their_composite_signatures_are_good(case: dict[str, str]) -> None:
    scheme = Ed25519MlDsa65()
    key = scheme.load_private(bytes.fromhex(case["seed"]))
    public = b"".join(part for _, part in key.public)
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    assert hashlib.sha256(public).hexdigest() == case["public_sha256"]
    assert scheme.verify(key.public, message, signature)
    assert not scheme.verify(key.public, message + b"!", signature)
