"""Keystreams had by sealing zeros: the way that every stream cipher has, and the fastest for a few nonces."""

from __future__ import annotations

import struct
from typing import Protocol

_pack_nonce = struct.Struct(">4xQ").pack
"""The nonce of a number: four zero bytes and a u64 (docs/protocol.md, "Ratchet")."""


class Sealer(Protocol):
    """An AEAD of the library under one key."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def sealed_zeros(sealer: Sealer, first: int, count: int, length: int) -> bytes:
    """The first ``length`` bytes of the keystreams of ``count`` consecutive nonces, one after the other."""
    seal = sealer.encrypt
    zeros = bytes(length)
    if count == 1:  # what a ratchet that steps with every cell asks for
        return seal(_pack_nonce(first), zeros, None)[:length]
    return b"".join(
        [seal(_pack_nonce(number), zeros, None)[:length] for number in range(first, first + count)]
    )
