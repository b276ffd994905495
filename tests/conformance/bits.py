"""Bits to change in what must not be changed."""

from __future__ import annotations


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit changed, counted from the front."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def edge_bits(data: bytes | bytearray) -> list[int]:
    """The bits of the first and the last byte, which encodings like to mask."""
    return [*range(8), *range(len(data) * 8 - 8, len(data) * 8)]
