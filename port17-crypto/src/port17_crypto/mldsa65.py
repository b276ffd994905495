"""ML-DSA-65 (FIPS 204) as a component of identity schemes. The private key is kept as its seed."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from port17 import BytesLike

ALGORITHM = "ml-dsa-65"
SEED_SIZE = 32
"""Bytes of the seed xi (FIPS 204, algorithm 1)."""
PUBLIC_SIZE = 1952
"""Bytes of a public key (FIPS 204, table 2)."""
SIGNATURE_SIZE = 3309
"""Bytes of a signature (FIPS 204, table 2)."""
SOURCE = "FIPS 204"


def load(seed: bytes) -> tuple[object, bytes]:
    """The private key of a seed, and its public key.

    :raises ValueError: the seed has another length.
    """
    private = MLDSA65PrivateKey.from_seed_bytes(seed)
    return private, private.public_key().public_bytes_raw()


def sign(private: object, message: BytesLike) -> bytes:
    """A signature of 3309 bytes with an empty context, hedged with fresh randomness (FIPS 204, 3.4)."""
    if not isinstance(private, MLDSA65PrivateKey):
        raise TypeError("not a private key of ML-DSA-65")
    return private.sign(message)


def verify(public: bytes, message: BytesLike, signature: bytes) -> bool:
    """True if the signature is valid. Malformed keys are False."""
    try:
        MLDSA65PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
