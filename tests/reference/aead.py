"""AES-256-GCM (SP 800-38D) and ChaCha20-Poly1305 (RFC 8439), the plain way: a keystream and a tag.

Only the AES block itself is the library's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .framing import xor

TAG_SIZE = 16


class Forged(Exception):
    """A tag is wrong."""


@dataclass(frozen=True)
class Aead:
    """An AEAD whose ciphertext is the plaintext XOR a keystream.

    :param keystream: of (key, nonce, length).
    :param tag: of (key, nonce, associated data, ciphertext).
    """

    keystream: Callable[[bytes, bytes, int], bytes]
    tag: Callable[[bytes, bytes, bytes, bytes], bytes]

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Ciphertext, then tag."""
        ciphertext = xor(plaintext, self.keystream(key, nonce, len(plaintext)))
        return ciphertext + self.tag(key, nonce, associated, ciphertext)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
        """The plaintext.

        :raises Forged: the tag is wrong.
        """
        ciphertext, tag = sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]
        if tag != self.tag(key, nonce, associated, ciphertext):
            raise Forged
        return xor(ciphertext, self.keystream(key, nonce, len(ciphertext)))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


# -- AES-256-GCM ------------------------------------------------------------------------------------
def _aes(key: bytes, blocks: bytes) -> bytes:
    assert len(key) == 32
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)


def _gcm_keystream(key: bytes, nonce: bytes, length: int) -> bytes:
    blocks = -(-length // 16)
    # Block 1 masks the tag; the first one of the keystream is block 2.
    return _aes(key, b"".join(nonce + struct.pack(">I", 2 + index) for index in range(blocks)))[:length]


def _shifted(subkey: int) -> list[int]:
    """The subkey times 1, x, x^2, ... in GCM's field (SP 800-38D, 6.3): the highest bit counts 1."""
    rows = [subkey]
    for _ in range(127):
        last = rows[-1]
        rows.append(last >> 1 ^ (0xE1 << 120 if last & 1 else 0))
    return rows


def _gcm_tag(key: bytes, nonce: bytes, associated: bytes, ciphertext: bytes) -> bytes:
    rows = _shifted(int.from_bytes(_aes(key, bytes(16)), "big"))
    lengths = struct.pack(">QQ", 8 * len(associated), 8 * len(ciphertext))
    hashed = _padded(associated) + _padded(ciphertext) + lengths
    y = 0
    for at in range(0, len(hashed), 16):
        y ^= int.from_bytes(hashed[at : at + 16], "big")
        product = 0
        for coefficient, row in zip(f"{y:0128b}", rows, strict=True):
            if coefficient == "1":
                product ^= row
        y = product
    return xor(y.to_bytes(16, "big"), _aes(key, nonce + struct.pack(">I", 1)))


AES_256_GCM = Aead(_gcm_keystream, _gcm_tag)


# -- ChaCha20-Poly1305 ------------------------------------------------------------------------------
_ROUNDS = (
    *((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)),
    *((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)),
)
_WORD = 0xFFFF_FFFF


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _WORD


def _chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    x = list(start)
    for _ in range(10):
        for ia, ib, ic, id_ in _ROUNDS:
            a, b, c, d = x[ia], x[ib], x[ic], x[id_]
            a = a + b & _WORD
            d = _turned(d ^ a, 16)
            c = c + d & _WORD
            b = _turned(b ^ c, 12)
            a = a + b & _WORD
            d = _turned(d ^ a, 8)
            c = c + d & _WORD
            b = _turned(b ^ c, 7)
            x[ia], x[ib], x[ic], x[id_] = a, b, c, d
    return struct.pack("<16I", *((a + b) & _WORD for a, b in zip(x, start, strict=True)))


def _chacha20_keystream(key: bytes, nonce: bytes, length: int) -> bytes:
    blocks = -(-length // 64)
    # Block 0 is Poly1305's key; the first one of the keystream is block 1.
    return b"".join(_chacha20_block(key, 1 + index, nonce) for index in range(blocks))[:length]


def _poly1305_tag(key: bytes, nonce: bytes, associated: bytes, ciphertext: bytes) -> bytes:
    once = _chacha20_block(key, 0, nonce)
    r = int.from_bytes(once[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    s = int.from_bytes(once[16:32], "little")
    lengths = struct.pack("<QQ", len(associated), len(ciphertext))
    hashed = _padded(associated) + _padded(ciphertext) + lengths
    total = 0
    for at in range(0, len(hashed), 16):
        total = (total + int.from_bytes(hashed[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return ((total + s) % 2**128).to_bytes(16, "little")


CHACHA20_POLY1305 = Aead(_chacha20_keystream, _poly1305_tag)
