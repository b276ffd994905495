"""The cipher suites of this distribution: each a whole of KEM, AEAD and KDF (PROTOCOL.md, "Suites")."""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from port17 import KEY_SIZE, Aead, CipherSuite, KemKey, Level, PluginError, Status
from port17_crypto import gcm, xwing


class XWingAes256GcmSha256(CipherSuite):
    """The default: X-Wing, AES-256-GCM, HKDF-SHA-256."""

    name = "p17-1-xwing-aes256gcm-sha256"
    status = Status.RECOMMENDED
    # X25519 and SHA-256 as a random oracle give 128 bits; ML-KEM-768 is NIST category 3.
    confidentiality = Level(classical=128, quantum=3)
    source = "draft-connolly-cfrg-xwing-kem, FIPS 203, RFC 7748; NIST SP 800-38D; RFC 5869, FIPS 180-4"
    public_size = xwing.PUBLIC_SIZE
    ciphertext_size = xwing.CIPHERTEXT_SIZE
    forged = InvalidTag
    stream_cipher = True

    def __init__(self) -> None:
        try:
            xwing.expand(bytes(xwing.SEED_SIZE))
        except UnsupportedAlgorithm as error:
            raise PluginError(
                "port17-crypto: the OpenSSL under the cryptography package has no ML-KEM-768",
                cure="Install cryptography 48 or later from its wheel: pip install -U cryptography",
            ) from error

    def generate(self) -> KemKey:
        return KemKey(*xwing.generate())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return xwing.encapsulate(public)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return xwing.decapsulate(_xwing(private), ciphertext)

    def private_bytes(self, private: object) -> bytes:
        return _xwing(private).seed

    def load_private(self, stored: bytes) -> KemKey:
        return KemKey(*xwing.expand(stored))

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, secret, "sha256")

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        return HKDFExpand(SHA256(), length, info).derive(key)

    def aead(self, key: bytes) -> Aead:
        return AESGCM(_aes_key(key))

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        return gcm.keystreams(_aes_key(key), first, count, length)


def _aes_key(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:  # the library would make AES-128 of a short key
        raise ValueError("an AES-256-GCM key is 32 bytes long")
    return key


def _xwing(private: object) -> xwing.XWingPrivate:
    if not isinstance(private, xwing.XWingPrivate):
        raise TypeError("not a private key of this suite")
    return private
