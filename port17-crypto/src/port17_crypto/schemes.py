"""The identity schemes of this distribution (PROTOCOL.md, "Suites and identity schemes")."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from port17.records.framing import BytesLike
from port17.records.scheme import IdentityScheme, SigningKey


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
        try:
            Ed25519PublicKey.from_public_bytes(public[0][1]).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def private_bytes(self, key: SigningKey) -> bytes:
        return _private(key).private_bytes_raw()

    def load_private(self, stored: bytes) -> SigningKey:
        return _pair(Ed25519PrivateKey.from_private_bytes(stored))


def _pair(private: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(private, (("ed25519", private.public_key().public_bytes_raw()),))


def _private(key: SigningKey) -> Ed25519PrivateKey:
    if not isinstance(key.private, Ed25519PrivateKey):
        raise TypeError("not a private key of this scheme")
    return key.private
