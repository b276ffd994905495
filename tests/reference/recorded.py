"""What the vectors hold that a second run could not make again, and how bytes are written in them."""

from __future__ import annotations

import hashlib
from typing import Any

from .suites import Suite

DEFAULT = "p17-1-xwing-aes256gcm-sha256"
"""The suite whose long values are written out; of the others' there is the hash alone."""
LONG = 1500
"""Bytes; what is longer than that is written as a size, a hash and, for the default suite, itself."""
FROZEN = (
    DEFAULT,
    "p17-1-xwing-chacha20poly1305-blake2s",
    "p17-1-x25519-chacha20poly1305-blake2s",
)
"""The suites that there are vectors of."""


def fixed(name: str, size: int = 32) -> bytes:
    """Bytes that look like any others and are always the same for one name."""
    return hashlib.shake_256(b"port17 vectors: " + name.encode("ascii")).digest(size)


def long(suite: Suite, data: bytes) -> Any:
    """A value of thousands of bytes, as it stands in a vector."""
    written: dict[str, Any] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if suite.name == DEFAULT:
        written["hex"] = data.hex()
    return written


def same(data: bytes, written: dict[str, Any]) -> bool:
    """Whether bytes are what a vector says in short."""
    if "hex" in written:
        assert data.hex() == written["hex"]
    return len(data) == written["size"] and hashlib.sha256(data).hexdigest() == written["sha256"]


class Recorded:
    """Encapsulations and signatures, taken from the vectors of before if they are there, else made."""

    def __init__(self, before: dict[str, Any]) -> None:
        """:param before: what :attr:`now` was then."""
        self._before = before
        self.now: dict[str, Any] = {}

    def encapsulation(self, suite: Suite, name: str, seed: bytes) -> tuple[bytes, bytes]:
        """(secret, ciphertext) to the key of a seed."""
        entry = self.now.get(name, self._before.get(name))
        if entry is None or entry["seed"] != seed.hex():
            secret, ciphertext = suite.kem.encapsulate(suite.kem.public(seed))
        else:
            ciphertext = bytes.fromhex(entry["ciphertext"])
            secret = suite.kem.decapsulate(seed, ciphertext)
        self.now[name] = {"seed": seed.hex(), "ciphertext": ciphertext.hex(), "secret": secret.hex()}
        return secret, ciphertext
