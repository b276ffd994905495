"""The cipher suites by name: a KEM, an AEAD, and HKDF over a hash (docs/protocol.md, "Cipher suites")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from . import hkdf
from .aead import AES_256_GCM, CHACHA20_POLY1305, Aead
from .framing import framed
from .kem import DHKEM_X25519, ML_KEM_768, X_WING, Kem


@dataclass(frozen=True)
class Suite:
    """A whole suite.

    :param hash_name: as hashlib calls it.
    """

    name: str
    kem: Kem
    aead: Aead
    hash_name: str

    @property
    def ascii(self) -> bytes:
        """The name, as transcripts take it."""
        return self.name.encode("ascii")

    def h(self, label: str, *parts: bytes) -> bytes:
        """H of the documents where the suite is in use. 32 bytes."""
        return hashlib.new(self.hash_name, framed(label, *parts)).digest()

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """Extract of the documents. 32 bytes."""
        return hkdf.extract(self.hash_name, salt, secret)

    def expand(self, key: bytes, label: str, *parts: bytes, length: int = 32) -> bytes:
        """Expand of the documents, whose info is framed."""
        return hkdf.expand(self.hash_name, key, framed(label, *parts), length)


SUITES = {
    suite.name: suite
    for suite in (
        Suite("p17-1-xwing-aes256gcm-sha256", X_WING, AES_256_GCM, "sha256"),
        Suite("p17-1-xwing-chacha20poly1305-blake2s", X_WING, CHACHA20_POLY1305, "blake2s"),
        Suite("p17-1-x25519-chacha20poly1305-blake2s", DHKEM_X25519, CHACHA20_POLY1305, "blake2s"),
        Suite("p17-1-mlkem768-aes256gcm-sha3", ML_KEM_768, AES_256_GCM, "sha3_256"),
    )
}
