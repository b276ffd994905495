"""Deterministic CBOR (RFC 8949, 4.2.1), narrowed to what the protocol's records and frames use.

The values are None, bool, int of 64 bits, bytes, text, lists, and maps with text keys. One value has one
encoding, so whoever holds the bytes of a signed record can hash and forward them as received.
"""

from __future__ import annotations

import cbor2

from port17.errors import RecordError
from port17.records.framing import BytesLike

DEPTH_CAP = 16
"""Deepest nesting. The deepest record, a revision, has six levels; recursion stays far from its limit."""

_UINT, _NINT, _BYTES, _TEXT, _LIST, _MAP, _TAG = range(7)
_INLINE = 24
"""Arguments below this stand in the initial byte itself; 24 to 27 say how many bytes follow."""
_SIMPLE = frozenset((0xF4, 0xF5, 0xF6))
"""false, true, null: the only values of major type 7 that are allowed."""


def encode(value: object) -> bytes:
    """The one encoding of a value.

    :raises RecordError: the value has a type, a size or a depth that records do not have.
    """
    try:
        data = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, UnicodeError, RecursionError, TypeError, ValueError) as error:
        raise RecordError(f"not encodable in a record: {type(value).__name__}") from error
    _check(data)
    return data


def decode(data: BytesLike, *, cap: int) -> object:
    """The value of an encoding, if it is the one encoding of that value.

    Nothing is allocated in proportion to a length that the data only claims to have.

    :param cap: most bytes accepted.
    :raises RecordError: anything else: too long, malformed, not deterministic, trailing bytes.
    """
    if len(data) > cap:  # before the copy
        raise RecordError(f"a record of {len(data)} bytes, where at most {cap} are allowed")
    data = bytes(data)
    _check(data)
    try:
        value: object = cbor2.loads(data)
    except (cbor2.CBORError, UnicodeError, ValueError) as error:  # text that is not UTF-8
        raise RecordError("malformed CBOR: text that is not UTF-8") from error
    return value


def restore(data: bytes) -> object:
    """The value of an encoding that :func:`decode` or :func:`encode` has passed before, and that has lain
    where nobody else writes: it is not checked again, which takes most of the time.

    :raises RecordError: it is no longer one.
    """
    try:
        value: object = cbor2.loads(data)
    except (cbor2.CBORError, UnicodeError, ValueError) as error:
        raise RecordError("malformed CBOR, where it was well-formed before") from error
    return value


def _check(data: bytes) -> None:
    """Refuses everything but one well-formed, deterministic item. Reads every byte at most twice."""
    end = _item(data, 0, DEPTH_CAP)
    if end != len(data):
        raise _malformed("bytes after the end", end)


def _item(data: bytes, at: int, depth: int) -> int:
    """Checks the item at an offset and returns where it ends."""
    if at >= len(data):
        raise _malformed("cut short", at)
    if depth == 0:
        raise _malformed(f"nested deeper than {DEPTH_CAP}", at)
    initial = data[at]
    major = initial >> 5
    if major > _TAG:
        if initial not in _SIMPLE:
            raise _malformed("a float or a simple value that records do not have", at)
        return at + 1
    if major == _TAG:
        raise _malformed("a tag", at)
    start = at
    argument, at = _argument(data, at)
    if major in (_UINT, _NINT):
        return at
    # Every element takes a byte at least, so this bounds the loops below before they run.
    if argument > len(data) - at:
        raise _malformed("cut short", start)
    if major in (_BYTES, _TEXT):
        return at + argument
    if major == _LIST:
        for _ in range(argument):
            at = _item(data, at, depth - 1)
        return at
    previous = b""
    for _ in range(argument):
        if at >= len(data) or data[at] >> 5 != _TEXT:
            raise _malformed("a map key that is not text", at)
        value_at = _item(data, at, depth - 1)
        key = data[at:value_at]
        if key <= previous:
            raise _malformed("map keys unsorted or there twice", at)
        previous = key
        at = _item(data, value_at, depth - 1)
    return at


def _argument(data: bytes, at: int) -> tuple[int, int]:
    """The argument of an initial byte, in its shortest form, and where it ends."""
    short = data[at] & 0x1F
    if short < _INLINE:
        return short, at + 1
    if short > _INLINE + 3:
        raise _malformed("an indefinite length or a reserved one", at)
    size = 1 << (short - _INLINE)
    end = at + 1 + size
    if end > len(data):
        raise _malformed("cut short", at)
    argument = int.from_bytes(data[at + 1 : end], "big")
    if argument < (_INLINE if size == 1 else 1 << (size * 4)):
        raise _malformed("a number not in its shortest form", at)
    return argument, end


def _malformed(what: str, at: int) -> RecordError:
    return RecordError(f"malformed CBOR at byte {at}: {what}")
