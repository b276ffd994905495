"""Length-prefixed inputs and H (docs/protocol.md, "Notation")."""

from __future__ import annotations

import hashlib


def u8(number: int) -> bytes:
    return number.to_bytes(1, "big")


def u16(number: int) -> bytes:
    return number.to_bytes(2, "big")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def framed(label: str, *parts: bytes) -> bytes:
    """The protocol's name, the label and every part, each behind its length."""
    return b"".join(u32(len(part)) + part for part in (b"port17/1", label.encode("ascii"), *parts))


def h(label: str, *parts: bytes) -> bytes:
    """SHA-256 of the framed parts, whatever the suite. 32 bytes."""
    return hashlib.sha256(framed(label, *parts)).digest()


def xor(left: bytes, right: bytes) -> bytes:
    """Byte by byte; both have one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
