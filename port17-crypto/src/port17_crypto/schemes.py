"""The identity schemes of this distribution (PROTOCOL.md, "Suites and identity schemes")."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from port17 import BytesLike, IdentityScheme, SigningKey

FIELD = 2**255 - 19
"""Modulus of the field that Ed25519's points lie over (RFC 8032, 5.1)."""
CURVE_D = -121665 * pow(121666, -1, FIELD) % FIELD
"""The curve's constant d (RFC 8032, 5.1)."""


class Ed25519(IdentityScheme):
    """Ed25519 (RFC 8032). Claims nothing against an attacker with a quantum computer."""

    name = "ed25519"
    status = "recommended"
    algorithms = ("ed25519",)
    signature_size = 64

    def generate(self) -> SigningKey:
        return _pair(Ed25519PrivateKey.generate())

    def sign(self, key: SigningKey, message: BytesLike) -> bytes:
        return _private(key).sign(message)

    def verify(self, public: tuple[tuple[str, bytes], ...], message: BytesLike, signature: bytes) -> bool:
        if tuple(algorithm for algorithm, _ in public) != self.algorithms:
            return False
        key = public[0][1]
        if _small_order(key):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def private_bytes(self, key: SigningKey) -> bytes:
        return _private(key).private_bytes_raw()

    def load_private(self, stored: bytes) -> SigningKey:
        return _pair(Ed25519PrivateKey.from_private_bytes(stored))


def _small_order(key: bytes) -> bool:
    """Whether a public key is one of the eight points that everybody can sign for.

    The library takes them, as RFC 8032 allows. Their y solve y = 0 (order 4), y^2 = 1 (orders 1 and 2), or
    d y^4 + 2 y^2 = 1 (order 8: twice the point has y = 0), however they are written.
    """
    y = int.from_bytes(key, "little") % (1 << 255)
    square = y * y % FIELD
    return y * (square - 1) * (CURVE_D * square * square + 2 * square - 1) % FIELD == 0


def _pair(private: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(private, (("ed25519", private.public_key().public_bytes_raw()),))


def _private(key: SigningKey) -> Ed25519PrivateKey:
    if not isinstance(key.private, Ed25519PrivateKey):
        raise TypeError("not a private key of this scheme")
    return key.private
