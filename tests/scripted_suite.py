"""A suite of the product's that draws nothing by chance: keys and encapsulations are given to it.

So every byte that the product sends can be compared with a vector's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from port17.plugins.loader import Registry
from port17.records.framing import BytesLike
from port17.wire.suite import Aead, CipherSuite, KemKey

_registry = Registry()


def product_suite(name: str) -> CipherSuite:
    """The product's suite, found as the product finds it."""
    suite = _registry.make("port17.cipher_suites", name, None)
    assert isinstance(suite, CipherSuite)
    return suite


class Scripted(CipherSuite):
    """One of the product's suites. What is asked of its randomness was queued before, in that order."""

    def __init__(self, name: str) -> None:
        self._suite = product_suite(name)
        self.name = name
        self.status = self._suite.status
        self.confidentiality = self._suite.confidentiality
        self.source = self._suite.source
        self.public_size = self._suite.public_size
        self.ciphertext_size = self._suite.ciphertext_size
        self.forged = self._suite.forged
        self.stream_cipher = self._suite.stream_cipher
        self._keys: deque[KemKey] = deque()
        self._outcomes: deque[tuple[bytes, bytes, bytes]] = deque()

    def will_generate(self, seed: str | bytes) -> KemKey:
        """The next key that is generated is this seed's."""
        key = self.load_private(bytes.fromhex(seed) if isinstance(seed, str) else seed)
        self._keys.append(key)
        return key

    def will_encapsulate(self, entry: Mapping[str, Any]) -> None:
        """The next encapsulation is to the key of the entry's seed, with the entry's outcome."""
        seed, ciphertext, secret = (bytes.fromhex(entry[it]) for it in ("seed", "ciphertext", "secret"))
        self._outcomes.append((self.load_private(seed).public, secret, ciphertext))

    @property
    def used_up(self) -> bool:
        """All that was queued has been asked for."""
        return not self._keys and not self._outcomes

    def generate(self) -> KemKey:
        return self._keys.popleft()

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        expected, secret, ciphertext = self._outcomes.popleft()
        assert bytes(public) == expected, "encapsulated to another key than the vector's"
        return secret, ciphertext

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return self._suite.decapsulate(private, ciphertext)

    def private_bytes(self, private: object) -> bytes:
        return self._suite.private_bytes(private)

    def load_private(self, stored: bytes) -> KemKey:
        return self._suite.load_private(stored)

    def hash(self, data: BytesLike) -> bytes:
        return self._suite.hash(data)

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return self._suite.extract(salt, secret)

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        return self._suite.expand(key, info, length)

    def aead(self, key: bytes) -> Aead:
        return self._suite.aead(key)

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        return self._suite.keystreams(key, first, count, length)
