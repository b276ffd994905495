"""Length-prefixed, labelled inputs for every hash, signature and key derivation of the protocol.

One encoding, so that no two inputs of different meaning can have the same bytes (docs/protocol.md,
"Notation").
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview

PROTOCOL_LABEL = b"port17/1"
"""First input of everything: another protocol, or another version of this one, never collides."""


def framed(label: str, *parts: BytesLike) -> bytes:
    """The injective encoding of a label and any number of byte strings.

    :param label: ASCII name of the use, distinct for every use in the protocol.
    :param parts: any lengths up to 2^32 - 1 bytes each.
    :returns: each of ``port17/1``, the label and the parts, preceded by its length as u32 big-endian.
    """
    pieces = bytearray()
    for part in (PROTOCOL_LABEL, label.encode("ascii"), *parts):
        pieces += len(part).to_bytes(4, "big")
        pieces += part
    return bytes(pieces)


def digest(label: str, *parts: BytesLike) -> bytes:
    """SHA-256 of :func:`framed`: the protocol's ``H`` where no suite is chosen yet. 32 bytes."""
    return hashlib.sha256(framed(label, *parts)).digest()
