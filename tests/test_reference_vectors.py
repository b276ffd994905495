"""The reference reproduces its vectors, by itself, and its primitives are the library's."""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA3_256, SHA256, BLAKE2s, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from reference import aead, generate, hkdf, kem
from reference.aead import Aead, Forged
from reference.ratchet import Direction, nonce
from reference.recorded import FROZEN
from reference.suites import SUITES

HERE = Path(generate.__file__).parent
FOLDER_CAP = 600 * 1024
"""Bytes of all vectors: small enough to be read and kept."""


@pytest.mark.parametrize("name", generate.NAMES)
def test_the_reference_reproduces_the_vectors(name: str) -> None:
    before = generate.read()[name]
    assert before, "the file is missing: write it with python -m tests.reference.generate"
    assert generate.compute(name, before) == before


def test_the_vectors_are_small_and_all_are_named() -> None:
    paths = list((HERE / "vectors").iterdir())
    assert {path.stem for path in paths} == set(generate.NAMES)
    assert sum(path.stat().st_size for path in paths) < FOLDER_CAP


def test_the_reference_shares_no_code_with_the_product() -> None:
    modules = list(HERE.rglob("*.py"))
    assert len(modules) > 10
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
                inside = len(path.relative_to(HERE).parts)
                assert node.level <= inside, f"{path.name} imports from outside of the reference"
            assert not any(name.startswith("port17") for name in names), path.name


@pytest.mark.parametrize("name", FROZEN)
def test_the_recorded_encapsulations_are_of_the_recorded_seeds(name: str) -> None:
    """Otherwise a case could be made anew unnoticed, and would then agree with itself alone."""
    entry = generate.read()["suites"][name]["kem"]["to the seed's key"]
    suite = SUITES[name]
    secret = suite.kem.decapsulate(bytes.fromhex(entry["seed"]), bytes.fromhex(entry["ciphertext"]))
    assert secret.hex() == entry["secret"]
    changed = bytearray.fromhex(entry["ciphertext"])
    changed[-1] ^= 1
    assert suite.kem.decapsulate(bytes.fromhex(entry["seed"]), bytes(changed)) != secret


# -- its primitives ---------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 300])
@pytest.mark.parametrize(
    ("plain", "library"),
    [(aead.AES_256_GCM, AESGCM), (aead.CHACHA20_POLY1305, ChaCha20Poly1305)],
    ids=["aes-256-gcm", "chacha20-poly1305"],
)
def test_aeads_are_the_librarys(
    plain: Aead, library: type[AESGCM] | type[ChaCha20Poly1305], size: int
) -> None:
    key, nonce, text, associated = os.urandom(32), os.urandom(12), os.urandom(size), os.urandom(size // 3)
    sealed = plain.seal(key, nonce, text, associated)
    assert sealed == library(key).encrypt(nonce, text, associated)
    assert plain.open(key, nonce, sealed, associated) == text
    assert plain.keystream(key, nonce, size) == library(key).encrypt(nonce, bytes(size), None)[:size]
    with pytest.raises(Forged):
        plain.open(key, nonce, sealed[:-1] + bytes([sealed[-1] ^ 1]), associated)
    with pytest.raises(Forged):
        plain.open(key, nonce, sealed, associated + b"\0")


@pytest.mark.parametrize(
    ("name", "library"), [("sha256", SHA256()), ("blake2s", BLAKE2s(32)), ("sha3_256", SHA3_256())]
)
def test_hkdf_is_the_librarys(name: str, library: HashAlgorithm) -> None:
    for salt, secret, info, length in (
        (b"", b"", b"", 1),
        (b"salt", b"secret", b"info", 32),
        (os.urandom(200), os.urandom(70), os.urandom(90), 255 * 32),
    ):
        expected = HKDF(library, length, salt, info).derive(secret)
        assert hkdf.expand(name, hkdf.extract(name, salt, secret), info, length) == expected


def test_x25519_is_the_librarys() -> None:
    for _ in range(5):
        scalar, other = os.urandom(32), X25519PrivateKey.generate().public_key()
        theirs = X25519PrivateKey.from_private_bytes(scalar)
        assert kem.x25519(scalar, kem.BASE) == theirs.public_key().public_bytes_raw()
        assert kem.x25519(scalar, other.public_bytes_raw()) == theirs.exchange(other)
    odd = X25519PublicKey.from_public_bytes(b"\xff" * 32)  # the top bit is not of the point
    assert kem.x25519(scalar, b"\xff" * 32) == theirs.exchange(odd)


@pytest.mark.parametrize("name", SUITES)
def test_fillers_and_heads_are_seals_of_zeros(name: str) -> None:
    """As the design words them."""
    suite = SUITES[name]
    direction = Direction(suite, os.urandom(32), 2)
    direction.counter = 5
    cell_key, filler_key = direction.keys()
    sealed = suite.aead.seal(filler_key, nonce(5), bytes(17))
    assert direction.filler() == sealed[:17]
    sealed = suite.aead.seal(cell_key, nonce(5), bytes(68))
    assert direction.keystream(68) == sealed[:68]


@pytest.mark.parametrize("name", SUITES)
def test_kems_agree_with_themselves(name: str) -> None:
    scheme = SUITES[name].kem
    seed = os.urandom(scheme.seed_size)
    public = scheme.public(seed)
    secret, ciphertext = scheme.encapsulate(public)
    assert (len(public), len(ciphertext)) == (scheme.public_size, scheme.ciphertext_size)
    assert scheme.decapsulate(seed, ciphertext) == secret
    assert len(secret) == hashlib.sha256().digest_size
