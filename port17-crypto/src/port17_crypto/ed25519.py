"""Ed25519 (RFC 8032) as a component of identity schemes; keys that everybody can sign for are refused."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from port17 import BytesLike

ALGORITHM = "ed25519"
SEED_SIZE = 32
"""Bytes of a private key (RFC 8032, 5.1.5)."""
PUBLIC_SIZE = 32
"""Bytes of a public key (RFC 8032, 5.1.5)."""
SIGNATURE_SIZE = 64
"""Bytes of a signature (RFC 8032, 5.1.6)."""
SOURCE = "RFC 8032"
FIELD = 2**255 - 19
"""Modulus of the field that the curve's points lie over (RFC 8032, 5.1)."""
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD
"""The curve's constant d (RFC 8032, 5.1)."""


def load(seed: bytes) -> tuple[object, bytes]:
    """The private key of a seed, and its public key.

    :raises ValueError: the seed has another length.
    """
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return private, private.public_key().public_bytes_raw()


def sign(private: object, message: BytesLike) -> bytes:
    """A signature of 64 bytes; the same for the same message."""
    if not isinstance(private, Ed25519PrivateKey):
        raise TypeError("not a private key of Ed25519")
    return private.sign(message)


def verify(public: bytes, message: BytesLike, signature: bytes) -> bool:
    """True if the signature is valid. Malformed keys, and those of low order, are False."""
    if _small_order(public):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _small_order(key: bytes) -> bool:
    """Whether a public key is one of the eight points that everybody can sign for.

    The library takes them, as RFC 8032 allows. Their y solve y = 0 (order 4), y^2 = 1 (orders 1 and 2), or
    d y^4 + 2 y^2 = 1 (order 8: twice the point has y = 0), however they are written.
    """
    y = int.from_bytes(key, "little") % (1 << 255)
    square = y * y % FIELD
    return y * (square - 1) * (CURVE_D * square * square + 2 * square - 1) % FIELD == 0
