"""The cipher suites of this distribution: each a whole of KEM, AEAD and KDF (docs/protocol.md).

The parts are modules and :class:`~port17_crypto.hkdf.Hkdf`; users see wholes only.
"""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm

from port17 import Aead, BytesLike, CipherSuite, KemKey, Level, PluginError, Status
from port17_crypto import chacha, gcm, x25519, xwing
from port17_crypto.hkdf import HKDF_BLAKE2S, HKDF_SHA256, Hkdf


class Kem(Protocol):
    """What a KEM's module offers; the contract of each function is the suite's method of that name."""

    PUBLIC_SIZE: int
    CIPHERTEXT_SIZE: int
    LEVEL: Level
    SOURCE: str

    def generate(self) -> tuple[object, bytes]: ...

    def load(self, stored: bytes) -> tuple[object, bytes]: ...

    def stored(self, private: object) -> bytes: ...

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]: ...

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes: ...


class StreamAead(Protocol):
    """What an AEAD's module offers. Its ciphertext is the plaintext XOR a keystream of key and nonce."""

    FORGED: type[Exception]
    SOURCE: str

    def aead(self, key: bytes) -> Aead: ...

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes: ...


class Whole(CipherSuite):
    """A suite of three parts. A subclass names itself and them, and what it takes from each."""

    kem: Kem
    cipher: StreamAead
    kdf: Hkdf
    stream_cipher = True

    def __init__(self) -> None:
        try:
            self.kem.generate()
            self.aead(bytes(32))
        except UnsupportedAlgorithm as error:
            raise PluginError(
                f"port17-crypto: the OpenSSL under the cryptography package cannot do {self.name}: {error}",
                cure="Install cryptography 48 or later from its wheel: pip install -U cryptography",
            ) from error

    def generate(self) -> KemKey:
        return KemKey(*self.kem.generate())

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        return self.kem.encapsulate(public)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return self.kem.decapsulate(private, ciphertext)

    def private_bytes(self, private: object) -> bytes:
        return self.kem.stored(private)

    def load_private(self, stored: bytes) -> KemKey:
        return KemKey(*self.kem.load(stored))

    def hash(self, data: BytesLike) -> bytes:
        return self.kdf.hash(data)

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return self.kdf.extract(salt, secret)

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        return self.kdf.expand(key, info, length)

    def aead(self, key: bytes) -> Aead:
        return self.cipher.aead(key)

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        return self.cipher.keystreams(key, first, count, length)


class XWingAes256GcmSha256(Whole):
    """The default: X-Wing, AES-256-GCM, HKDF-SHA-256."""

    name = "p17-1-xwing-aes256gcm-sha256"
    status = Status.RECOMMENDED
    # AEAD and hash are of 256 bits: never the weakest part.
    confidentiality = xwing.LEVEL
    source = f"{xwing.SOURCE}; {gcm.SOURCE}; {HKDF_SHA256.source}"
    public_size = xwing.PUBLIC_SIZE
    ciphertext_size = xwing.CIPHERTEXT_SIZE
    forged = gcm.FORGED
    kem, cipher, kdf = xwing, gcm, HKDF_SHA256


class XWingChaCha20Poly1305Blake2s(Whole):
    """As strong as the default, and of another family: X-Wing, ChaCha20-Poly1305, HKDF-BLAKE2s. Faster where
    the processor has no AES instructions."""

    name = "p17-1-xwing-chacha20poly1305-blake2s"
    status = Status.RECOMMENDED
    # AEAD and hash are of 256 bits: never the weakest part.
    confidentiality = xwing.LEVEL
    source = f"{xwing.SOURCE}; {chacha.SOURCE}; {HKDF_BLAKE2S.source}"
    public_size = xwing.PUBLIC_SIZE
    ciphertext_size = xwing.CIPHERTEXT_SIZE
    forged = chacha.FORGED
    kem, cipher, kdf = xwing, chacha, HKDF_BLAKE2S


class X25519ChaCha20Poly1305Blake2s(Whole):
    """Small and fast, nothing against quantum computers: DHKEM(X25519), ChaCha20-Poly1305, HKDF-BLAKE2s."""

    name = "p17-1-x25519-chacha20poly1305-blake2s"
    status = Status.PERMITTED
    # AEAD and hash are of 256 bits: never the weakest part.
    confidentiality = x25519.LEVEL
    source = f"{x25519.SOURCE}; {chacha.SOURCE}; {HKDF_BLAKE2S.source}"
    public_size = x25519.PUBLIC_SIZE
    ciphertext_size = x25519.CIPHERTEXT_SIZE
    forged = chacha.FORGED
    kem, cipher, kdf = x25519, chacha, HKDF_BLAKE2S
