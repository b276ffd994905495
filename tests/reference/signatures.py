"""The identity schemes: Ed25519 alone, and Ed25519 with ML-DSA-65 (docs/protocol.md, "Identity schemes").

The two algorithms are the library's.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from .records import composite_signed

SCHEMES = {"ed25519": ["ed25519"], "ed25519-mldsa65": ["ed25519", "ml-dsa-65"]}
"""Scheme to its algorithms. Every algorithm's private key is a seed of 32 bytes."""
SIGNATURE_SIZES = {"ed25519": 64, "ml-dsa-65": 3309}


def public(scheme: str, seed: bytes) -> list[tuple[str, bytes]]:
    """(algorithm, public key) of every component; the seeds are joined."""
    return [
        (algorithm, _public(algorithm, seed[32 * index : 32 * index + 32]))
        for index, algorithm in enumerate(SCHEMES[scheme])
    ]


def sign(scheme: str, seed: bytes, message: bytes) -> bytes:
    """All components' signatures, joined."""
    message = _message(scheme, public(scheme, seed), message)
    return b"".join(
        _sign(algorithm, seed[32 * index : 32 * index + 32], message)
        for index, algorithm in enumerate(SCHEMES[scheme])
    )


def verify(scheme: str, components: list[tuple[str, bytes]], message: bytes, signature: bytes) -> bool:
    """Whether every component's signature is good."""
    assert [algorithm for algorithm, _ in components] == SCHEMES[scheme]
    message = _message(scheme, components, message)
    good = True
    for algorithm, key in components:
        size = SIGNATURE_SIZES[algorithm]
        good = _verify(algorithm, key, message, signature[:size]) and good
        signature = signature[size:]
    return good and not signature


def _message(scheme: str, components: list[tuple[str, bytes]], message: bytes) -> bytes:
    return message if len(components) == 1 else composite_signed(scheme, components, message)


def _public(algorithm: str, seed: bytes) -> bytes:
    if algorithm == "ed25519":
        return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return MLDSA65PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()


def _sign(algorithm: str, seed: bytes, message: bytes) -> bytes:
    if algorithm == "ed25519":
        return Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    return MLDSA65PrivateKey.from_seed_bytes(seed).sign(message)


def _verify(algorithm: str, key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        if algorithm == "ed25519":
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        else:
            MLDSA65PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True
