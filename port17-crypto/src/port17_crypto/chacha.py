"""ChaCha20-Poly1305 (RFC 8439): the AEAD part of a suite, and the head of its keystreams for the onion."""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from port17 import Aead
from port17_crypto.keystream import sealed_zeros

SOURCE = "RFC 8439"
FORGED: type[Exception] = InvalidTag
FEW = 6
"""Up to so many nonces, sealing zeros (2 us and 1 us each) beats the bare cipher (4 us and 0.65 us each)."""
FIRST_BLOCK = 1
"""The payload's first block counter; block 0 is the one-time key of Poly1305 (RFC 8439, section 2.8)."""
_START = struct.pack("<I4x", FIRST_BLOCK)
"""What the bare cipher takes in front of a nonce's number: the block counter, and the nonce's four zeros."""


def aead(key: bytes) -> Aead:
    """
    :param key: 32 bytes.
    :raises ValueError: it has another length.
    """
    return ChaCha20Poly1305(key)


def keystreams(key: bytes, first: int, count: int, length: int) -> bytes:
    """The first ``length`` bytes of the payload's keystream for each of ``count`` consecutive nonces.

    :param key: 32 bytes.
    :param first: the first nonce, as a number.
    :returns: ``count * length`` bytes.
    :raises ValueError: the key has another length.
    """
    if count <= FEW:
        return sealed_zeros(ChaCha20Poly1305(key), first, count, length)
    zeros = bytes(length)
    # One cipher whose nonce is set anew: to make an object costs more than to encrypt.
    encryptor = Cipher(algorithms.ChaCha20(key, _START + bytes(8)), None).encryptor()
    reset, update = encryptor.reset_nonce, encryptor.update
    streams: list[bytes] = []
    for number in range(first, first + count):
        reset(_START + number.to_bytes(8, "big"))
        streams.append(update(zeros))
    return b"".join(streams)
