"""Cipher suites for the tests of the wire: all that are installed, and some that watch or lie."""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from port17.plugins.loader import Registry
from port17.records.framing import BytesLike
from port17.wire.suite import Aead, CipherSuite, KemKey, Level, Status
from port17_crypto.suites import XWingAes256GcmSha256


class ToySuite(CipherSuite):
    """A third party's suite: X25519, ChaCha20-Poly1305 and BLAKE2s, and nothing beyond the contract."""

    name = "p17-0-toy25519-chacha20poly1305-blake2s"
    status = Status.PERMITTED
    confidentiality = Level(classical=128, quantum=0)
    source = "RFC 7748, RFC 8439, RFC 5869, RFC 7693"
    public_size = 32
    ciphertext_size = 32
    forged = InvalidTag
    stream_cipher = True

    def generate(self) -> KemKey:
        private = X25519PrivateKey.generate()
        return KemKey(private, private.public_key().public_bytes_raw())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        ours = X25519PrivateKey.generate()
        return ours.exchange(X25519PublicKey.from_public_bytes(public)), ours.public_key().public_bytes_raw()

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        assert isinstance(private, X25519PrivateKey)
        return private.exchange(X25519PublicKey.from_public_bytes(ciphertext))

    def private_bytes(self, private: object) -> bytes:
        assert isinstance(private, X25519PrivateKey)
        return private.private_bytes_raw()

    def load_private(self, stored: bytes) -> KemKey:
        private = X25519PrivateKey.from_private_bytes(stored)
        return KemKey(private, private.public_key().public_bytes_raw())

    def hash(self, data: BytesLike) -> bytes:
        return hashlib.blake2s(data).digest()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, secret, "blake2s")

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        stream, last = b"", b""
        while len(stream) < length:
            last = hmac.digest(key, last + info + bytes([len(stream) // 32 + 1]), "blake2s")
            stream += last
        return stream[:length]

    def aead(self, key: bytes) -> Aead:
        return ChaCha20Poly1305(key)


GROUP = "port17.cipher_suites"
_registry = Registry()
REAL = XWingAes256GcmSha256()
TOY = ToySuite()
SUITES = (*(_registry.make(GROUP, name) for name in sorted(_registry.names(GROUP))), TOY)
"""Every installed suite, strangers' too, and one that no registry knows."""


class CountingSuite(ToySuite):
    """Counts what costs a responder most."""

    def __init__(self) -> None:
        self.decapsulations = 0
        self.encapsulations = 0

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        self.encapsulations += 1
        return super().encapsulate(public)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        self.decapsulations += 1
        return super().decapsulate(private, ciphertext)


class RecordingSuite(ToySuite):
    """Remembers every key that an AEAD or a keystream was made of, in order, each once in a row."""

    def __init__(self) -> None:
        self.cell_keys: list[bytes] = []
        self.stream_keys: list[bytes] = []

    def aead(self, key: bytes) -> Aead:
        self.cell_keys.append(key)
        return super().aead(key)

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        if self.stream_keys[-1:] != [key]:
            self.stream_keys.append(key)
        return CipherSuite.keystreams(super(), key, first, count, length)  # type: ignore[arg-type]


class Lies:
    """Stands where a struct does, and packs other values than it is asked to."""

    def __init__(self, true: struct.Struct, *fields: int) -> None:
        self.size = true.size
        self._bytes = true.pack(*fields)

    def pack(self, *fields: int) -> bytes:
        """The lie."""
        return self._bytes
