"""The frames that a cell's payload is packed with."""

from __future__ import annotations

import struct
from enum import IntEnum

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import PAYLOAD_SIZE

FRAME_HEAD = struct.Struct(">IBH")
"""Conveyor id u32, type u8, length of the data u16."""
DATA_CAP = PAYLOAD_SIZE - FRAME_HEAD.size
"""Most bytes of data in one frame: frames never span cells. 3980."""
SESSION = 0
"""The conveyor id of the session itself: RATCHET and PAD."""


class Frame(IntEnum):
    """Frame types."""

    PAD = 0
    """The rest of the payload is padding; its head is all zeros, and less than a head of zeros will do."""
    OPEN = 1
    ACCEPT = 2
    DATA = 3
    FIN = 4
    RESET = 5
    CREDIT = 6
    DATAGRAM = 7
    RATCHET = 8


def encode(ident: int, kind: Frame, data: bytes = b"") -> bytes:
    """One frame.

    :raises LocalViolation: the data is more than a cell holds; it could never be sent.
    """
    if len(data) > DATA_CAP:
        raise LocalViolation(f"a frame holds at most {DATA_CAP} bytes")
    return FRAME_HEAD.pack(ident, kind, len(data)) + data


def encode_operation(name: str, arguments: bytes) -> bytes:
    """The data of OPEN: the operation's name, its length before it, then the operation's arguments."""
    text = name.encode("ascii")
    return bytes([len(text)]) + text + arguments


def decode_operation(data: bytes) -> tuple[str, bytes]:
    """(name, arguments) of an OPEN.

    :raises PeerViolation: it is malformed.
    """
    if not data or len(data) < 1 + data[0]:
        raise PeerViolation("an OPEN frame is malformed")
    try:
        name = data[1 : 1 + data[0]].decode("ascii")
    except UnicodeDecodeError as error:
        raise PeerViolation("an operation's name is not ASCII") from error
    return name, data[1 + data[0] :]


def write_ratchet(payload: memoryview, data: bytes) -> None:
    """Fill a payload with one RATCHET frame, which shares its cell with padding alone."""
    frame = encode(SESSION, Frame.RATCHET, data)
    payload[: len(frame)] = frame
    payload[len(frame) :] = bytes(len(payload) - len(frame))
