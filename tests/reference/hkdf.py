"""HMAC (RFC 2104) and HKDF (RFC 5869), from a bare hash."""

from __future__ import annotations

import hashlib


def hmac(hash_name: str, key: bytes, message: bytes) -> bytes:
    """HMAC with a hash that hashlib knows by this name."""
    block_size = hashlib.new(hash_name).block_size
    if len(key) > block_size:
        key = hashlib.new(hash_name, key).digest()
    key = key.ljust(block_size, b"\0")
    inner = hashlib.new(hash_name, bytes(b ^ 0x36 for b in key) + message).digest()
    return hashlib.new(hash_name, bytes(b ^ 0x5C for b in key) + inner).digest()


def extract(hash_name: str, salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract."""
    return hmac(hash_name, salt, secret)


def expand(hash_name: str, key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand."""
    stream, last, index = b"", b"", 1
    while len(stream) < length:
        last = hmac(hash_name, key, last + info + bytes([index]))
        stream += last
        index += 1
    return stream[:length]
