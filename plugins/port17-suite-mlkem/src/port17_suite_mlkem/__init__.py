"""A cipher suite by a third party: ML-KEM-768, AES-256-GCM and HKDF-SHA3-256, without an elliptic curve.

Written against what ``port17`` offers and nothing else: the onion and the ratchet come from the core.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA3_256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from port17 import KEY_SIZE, Aead, BytesLike, CipherSuite, KemKey, Level, PluginError, Status


@dataclass(frozen=True, repr=False)
class MlKemPrivate:
    """A private key, loaded; it shows nothing of itself."""

    mlkem: MLKEM768PrivateKey

    def __repr__(self) -> str:
        return "MlKemPrivate(<secret>)"


class MlKem768Aes256GcmSha3(CipherSuite):
    """For who trusts lattices more than elliptic curves. Not a hybrid: if ML-KEM falls, so does it."""

    name = "p17-1-mlkem768-aes256gcm-sha3"
    status = Status.PERMITTED
    # ML-KEM-768 is NIST category 3, which is as hard as a key search on AES-192.
    confidentiality = Level(classical=192, quantum=3)
    source = "FIPS 203; NIST SP 800-38D, FIPS 197; RFC 5869 over FIPS 202"
    public_size = 1184  # FIPS 203, table 3
    ciphertext_size = 1088
    forged = InvalidTag
    stream_cipher = True

    def __init__(self) -> None:
        try:
            self.generate()
        except UnsupportedAlgorithm as error:
            raise PluginError(
                "port17-suite-mlkem: the OpenSSL under the cryptography package has no ML-KEM-768",
                cure="Install cryptography 48 or later from its wheel: pip install -U cryptography",
            ) from error

    def generate(self) -> KemKey:
        return _pair(MLKEM768PrivateKey.generate())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return MLKEM768PublicKey.from_public_bytes(public).encapsulate()

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return _own(private).decapsulate(ciphertext)

    def private_bytes(self, private: object) -> bytes:
        return _own(private).private_bytes_raw()  # the seed d || z

    def load_private(self, stored: bytes) -> KemKey:
        return _pair(MLKEM768PrivateKey.from_seed_bytes(stored))

    def hash(self, data: BytesLike) -> bytes:
        return hashlib.sha3_256(data).digest()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, secret, "sha3_256")

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        return HKDFExpand(SHA3_256(), length, info).derive(key)

    def aead(self, key: bytes) -> Aead:
        if len(key) != KEY_SIZE:  # the library would make AES-128 of a short key
            raise ValueError("an AES-256-GCM key is 32 bytes long")
        return AESGCM(key)


def _pair(mlkem: MLKEM768PrivateKey) -> KemKey:
    return KemKey(MlKemPrivate(mlkem), mlkem.public_key().public_bytes_raw())


def _own(private: object) -> MLKEM768PrivateKey:
    if not isinstance(private, MlKemPrivate):
        raise TypeError("not a private key of this suite")
    return private.mlkem
