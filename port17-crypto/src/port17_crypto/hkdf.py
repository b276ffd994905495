"""HKDF (RFC 5869) over HMAC with any hash of 32 bytes: the KDF part of a suite.

Composed of the library's HMAC and expand step.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256, BLAKE2s, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from port17 import BytesLike

HASH_SIZE = 32
"""Bytes of every hash here, and so of an extracted key."""


class Hkdf:
    """Both halves of HKDF.

    :param hash_name: as :mod:`hashlib` knows the hash; it has 32 bytes.
    :param algorithm: the same hash, as the library knows it.
    :param source: where it is specified.
    """

    def __init__(self, hash_name: str, algorithm: HashAlgorithm, source: str) -> None:
        self._hash_name = hash_name
        self._algorithm = algorithm
        self.source = source

    def hash(self, data: BytesLike) -> bytes:
        """The bare hash, 32 bytes."""
        return hashlib.new(self._hash_name, data).digest()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """HMAC(salt, secret), 32 bytes (RFC 5869, section 2.2)."""
        return hmac.digest(salt, secret, self._hash_name)

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        """
        :param key: 32 bytes, from :meth:`extract` or of its quality.
        :param length: 1 to 8160 bytes (RFC 5869, section 2.3).
        :raises ValueError: more is asked for.
        """
        return HKDFExpand(self._algorithm, length, info).derive(key)


HKDF_SHA256 = Hkdf("sha256", SHA256(), "RFC 5869 over FIPS 180-4")
# HMAC over the unkeyed hash, as Noise does it; BLAKE2's own keyed mode is not HMAC.
HKDF_BLAKE2S = Hkdf("blake2s", BLAKE2s(HASH_SIZE), "RFC 5869 over RFC 7693")
