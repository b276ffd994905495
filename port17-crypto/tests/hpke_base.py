"""HPKE's base mode (RFC 9180, 5.1) over a suite's own KEM, KDF and AEAD, to meet the library's HPKE with."""

from __future__ import annotations

from port17.wire.suite import TAG_SIZE, CipherSuite

AES_256_GCM = 2
CHACHA20_POLY1305 = 3
HKDF_SHA256 = 1


class Base:
    """One direction of HPKE without authentication of the sender.

    :param suite: whose KEM and AEAD are used.
    :param kdf: whose HKDF-SHA256 is used.
    """

    def __init__(self, suite: CipherSuite, kdf: CipherSuite, kem_id: int, aead_id: int) -> None:
        self._suite = suite
        self._kdf = kdf
        self._id = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (kem_id, HKDF_SHA256, aead_id))

    def seal(self, public: bytes, info: bytes, message: bytes) -> bytes:
        """Ciphertext of the KEM, then of the AEAD."""
        secret, encapsulated = self._suite.encapsulate(public)
        key, nonce = self.schedule(secret, info)
        sealed = bytearray(len(message) + TAG_SIZE)
        self._suite.aead(key).encrypt_into(nonce, message, b"", sealed)
        return encapsulated + bytes(sealed)

    def open(self, private: object, info: bytes, sealed: bytes) -> bytes:
        """What :meth:`seal` took."""
        split = self._suite.ciphertext_size
        key, nonce = self.schedule(self._suite.decapsulate(private, sealed[:split]), info)
        opened = bytearray(len(sealed) - split - TAG_SIZE)
        self._suite.aead(key).decrypt_into(nonce, sealed[split:], b"", opened)
        return bytes(opened)

    def schedule(self, secret: bytes, info: bytes) -> tuple[bytes, bytes]:
        """Key and first nonce (RFC 9180, 5.1, KeySchedule)."""
        context = b"\x00" + self._extract(b"", b"psk_id_hash", b"") + self._extract(b"", b"info_hash", info)
        root = self._extract(secret, b"secret", b"")
        return self._expand(root, b"key", context, 32), self._expand(root, b"base_nonce", context, 12)

    def _extract(self, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return self._kdf.extract(salt, b"HPKE-v1" + self._id + label + ikm)

    def _expand(self, key: bytes, label: bytes, context: bytes, length: int) -> bytes:
        info = length.to_bytes(2, "big") + b"HPKE-v1" + self._id + label + context
        return self._kdf.expand(key, info, length)
