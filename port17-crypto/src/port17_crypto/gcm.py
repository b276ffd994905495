"""AES-256-GCM (NIST SP 800-38D): the AEAD part of a suite, and the head of its keystreams for the onion."""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from port17 import KEY_SIZE, Aead
from port17_crypto.keystream import sealed_zeros

SOURCE = "NIST SP 800-38D, FIPS 197"
FORGED: type[Exception] = InvalidTag
FEW = 5
"""Up to so many nonces, sealing zeros (2 us, 0.7 us each) beats the bare block cipher (5 us, 0.1 us each)."""
BLOCK_SIZE = 16
"""Bytes of an AES block."""
FIRST_BLOCK = 2
"""GCM's counter of the first keystream block under a 96-bit nonce; 1 masks the tag (SP 800-38D, 7.1)."""
COUNTER_SPAN = 32
"""Bits of GCM's block counter, the low end of the counter block; the nonce lies above it."""
NONCES = 128
"""Most nonces of one call of the cipher: what the core asks for at most."""
PATTERNS = 8
"""Numbers of blocks per nonce whose pattern is kept, some 20 KiB each; the core asks for two to five."""


def aead(key: bytes) -> Aead:
    """
    :param key: 32 bytes.
    :raises ValueError: it has another length.
    """
    return AESGCM(_aes_256(key))


def keystreams(key: bytes, first: int, count: int, length: int) -> bytes:
    """The first ``length`` bytes of GCM's keystream for each of ``count`` consecutive nonces.

    Block j of nonce N is AES(N || u32(2 + j)), so one ECB call over all counter blocks gives them all.

    :param key: 32 bytes.
    :param first: the first nonce, as a number.
    :returns: ``count * length`` bytes.
    :raises ValueError: the key has another length.
    """
    if count <= FEW or not length:
        return sealed_zeros(AESGCM(_aes_256(key)), first, count, length)
    blocks = -(-length // BLOCK_SIZE)
    stride = blocks * BLOCK_SIZE
    zero, ones = _pattern(blocks)
    # ECB is no mode of encryption here: the library offers the bare block cipher by no other name.
    encryptor = Cipher(algorithms.AES(_aes_256(key)), modes.ECB()).encryptor()
    streams: list[bytes] = []
    for start in range(first, first + count, NONCES):
        nonces = min(NONCES, first + count - start)
        rest = 8 * stride * (NONCES - nonces)
        numbers = (zero >> rest) + start * (ones >> rest)
        stream = encryptor.update(numbers.to_bytes(nonces * stride, "big"))
        if length == stride:
            streams.append(stream)
        else:
            streams += [stream[at : at + length] for at in range(0, len(stream), stride)]
    return b"".join(streams)


@lru_cache(maxsize=PATTERNS)
def _pattern(blocks: int) -> tuple[int, int]:
    """The counter blocks of the nonces 0 to 127 as one number, and a number with a 1 at every nonce's place.

    ``zero + start * ones`` are the counter blocks from nonce ``start`` on: one multiplication in place of a
    Python loop over the blocks, which cost more than the encryption. Those of fewer nonces are its front.
    """
    numbers = [(nonce << COUNTER_SPAN) + FIRST_BLOCK + j for nonce in range(NONCES) for j in range(blocks)]
    zero = b"".join(number.to_bytes(BLOCK_SIZE, "big") for number in numbers)
    one = (1 << COUNTER_SPAN).to_bytes(BLOCK_SIZE, "big")
    return int.from_bytes(zero, "big"), int.from_bytes(one * len(numbers), "big")


def _aes_256(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:  # the library would make AES-128 of a short key
        raise ValueError("an AES-256-GCM key is 32 bytes long")
    return key
