"""The KEMs: X-Wing, DHKEM(X25519) of RFC 9180, and ML-KEM-768 alone.

A private key is always its seed. ML-KEM is the library's; all else is here.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from . import hkdf

PRIME = 2**255 - 19
"""Of the field that X25519 counts in."""
BASE = (9).to_bytes(32, "little")
"""X25519's base point."""


def x25519(scalar: bytes, point: bytes) -> bytes:
    """X25519 (RFC 7748, section 5)."""
    k = int.from_bytes(scalar, "little") & ~7 & ~(1 << 255) | 1 << 254
    u = int.from_bytes(point, "little") % 2**255
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in range(254, -1, -1):
        swap = k >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a % PRIME, c * b % PRIME
        x3, z3 = (da + cb) ** 2 % PRIME, u * (da - cb) ** 2 % PRIME
        aa, bb = a * a % PRIME, b * b % PRIME
        x2, z2 = aa * bb % PRIME, (aa - bb) * (aa + 121665 * (aa - bb)) % PRIME
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little")


@dataclass(frozen=True)
class Kem(ABC):
    """Sizes in bytes."""

    seed_size: int
    public_size: int
    ciphertext_size: int

    @abstractmethod
    def public(self, seed: bytes) -> bytes:
        """The public key of a private one."""

    @abstractmethod
    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """(shared secret, ciphertext) of fresh randomness."""

    @abstractmethod
    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        """The shared secret, 32 bytes."""


class MlKem768(Kem):
    """FIPS 203; the seed is d || z."""

    def public(self, seed: bytes) -> bytes:
        return MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        return MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(ciphertext)


class XWing(Kem):
    """draft-connolly-cfrg-xwing-kem; the seed is expanded to ML-KEM's and X25519's keys."""

    def _expanded(self, seed: bytes) -> tuple[bytes, bytes]:
        expanded = hashlib.shake_256(seed).digest(96)
        return expanded[:64], expanded[64:]

    def _combined(self, ss_m: bytes, ss_x: bytes, ct_x: bytes, pk_x: bytes) -> bytes:
        return hashlib.sha3_256(ss_m + ss_x + ct_x + pk_x + bytes.fromhex("5c2e2f2f5e5c")).digest()

    def public(self, seed: bytes) -> bytes:
        mlkem, scalar = self._expanded(seed)
        return ML_KEM_768.public(mlkem) + x25519(scalar, BASE)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        pk_m, pk_x = public[:1184], public[1184:]
        ss_m, ct_m = ML_KEM_768.encapsulate(pk_m)
        scalar = os.urandom(32)
        ct_x = x25519(scalar, BASE)
        return self._combined(ss_m, x25519(scalar, pk_x), ct_x, pk_x), ct_m + ct_x

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        mlkem, scalar = self._expanded(seed)
        ct_m, ct_x = ciphertext[:1088], ciphertext[1088:]
        ss_m = ML_KEM_768.decapsulate(mlkem, ct_m)
        return self._combined(ss_m, x25519(scalar, ct_x), ct_x, x25519(scalar, BASE))


class DhKem(Kem):
    """DHKEM(X25519, HKDF-SHA256) (RFC 9180, section 4.1); the seed is the raw private key."""

    def _derived(self, shared: bytes, ciphertext: bytes, public: bytes) -> bytes:
        suite_id = b"KEM" + (0x0020).to_bytes(2, "big")
        labelled = b"HPKE-v1" + suite_id + b"eae_prk" + shared
        key = hkdf.extract("sha256", b"", labelled)
        context = ciphertext + public
        info = (32).to_bytes(2, "big") + b"HPKE-v1" + suite_id + b"shared_secret" + context
        return hkdf.expand("sha256", key, info, 32)

    def public(self, seed: bytes) -> bytes:
        return x25519(seed, BASE)

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        scalar = os.urandom(32)
        ciphertext = x25519(scalar, BASE)
        return self._derived(x25519(scalar, public), ciphertext, public), ciphertext

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        return self._derived(x25519(seed, ciphertext), ciphertext, self.public(seed))


ML_KEM_768 = MlKem768(64, 1184, 1088)
X_WING = XWing(32, 1216, 1120)
DHKEM_X25519 = DhKem(32, 32, 32)
