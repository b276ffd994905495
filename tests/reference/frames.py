"""What payloads are packed with, as far as circuits themselves need it (docs/protocol.md, "Conveyors")."""

from __future__ import annotations

from .framing import u8, u16, u32
from .onion import PAYLOAD

PAD, OPEN, ACCEPT, DATA, FIN, RESET, CREDIT, DATAGRAM, RATCHET = range(9)
SESSION = 0
"""The conveyor of the session itself."""


def payload(*frames: tuple[int, int, bytes]) -> bytes:
    """Of (conveyor, type, data), and padding."""
    packed = b"".join(u32(conveyor) + u8(kind) + u16(len(data)) + data for conveyor, kind, data in frames)
    assert len(packed) <= PAYLOAD
    return packed.ljust(PAYLOAD, b"\0")


def unpack(packed: bytes) -> list[tuple[int, int, bytes]]:
    """The frames before the padding."""
    frames, at = [], 0
    while len(packed) - at >= 7 and packed[at + 4] != PAD:
        size = int.from_bytes(packed[at + 5 : at + 7], "big")
        data = packed[at + 7 : at + 7 + size]
        assert len(data) == size
        frames.append((int.from_bytes(packed[at : at + 4], "big"), packed[at + 4], data))
        at += 7 + size
    return frames


def operation(name: str, arguments: bytes) -> bytes:
    """The data of OPEN."""
    return u8(len(name)) + name.encode("ascii") + arguments
