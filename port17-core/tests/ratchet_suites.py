"""Suites that keep a ledger: of every nonce that a key sealed under, of every private key that lives."""

from __future__ import annotations

import weakref

from port17.records.framing import BytesLike
from port17.wire.suite import Aead, KemKey

from .wire_suites import TOY, ToySuite


class _Ledger:
    """An AEAD that writes down what it seals and opens."""

    def __init__(self, suite: LedgerSuite, key: bytes) -> None:
        self._suite = suite
        self._key = key
        self._aead = TOY.aead(key)

    def encrypt_into(
        self, nonce: BytesLike, data: BytesLike, associated_data: BytesLike | None, buf: BytesLike
    ) -> int:
        self._suite.sealed.append((self._key, bytes(nonce)))
        return self._aead.encrypt_into(nonce, data, associated_data, buf)

    def decrypt_into(
        self, nonce: BytesLike, data: BytesLike, associated_data: BytesLike | None, buf: BytesLike
    ) -> int:
        size = self._aead.decrypt_into(nonce, data, associated_data, buf)
        self._suite.opened.append((self._key, bytes(nonce)))
        return size


class LedgerSuite(ToySuite):
    """Knows what was sealed, opened, and of which keys keystreams were had."""

    def __init__(self) -> None:
        self.sealed: list[tuple[bytes, bytes]] = []
        self.opened: list[tuple[bytes, bytes]] = []
        self.streamed: set[bytes] = set()

    def aead(self, key: bytes) -> Aead:
        return _Ledger(self, key)

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        self.streamed.add(key)
        return TOY.keystreams(key, first, count, length)


class Private:
    """A private key that can be watched."""

    def __init__(self, inner: object) -> None:
        self.inner = inner


class MortalSuite(ToySuite):
    """Knows which private keys somebody still holds."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[Private]] = []

    @property
    def alive(self) -> int:
        """Private keys that somebody holds."""
        return sum(private() is not None for private in self._made)

    def generate(self) -> KemKey:
        key = super().generate()
        private = Private(key.private)
        self._made.append(weakref.ref(private))
        return KemKey(private, key.public)

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        assert isinstance(private, Private)
        return super().decapsulate(private.inner, ciphertext)
