"""How the messages of SYNC stand in a stream: each a list in deterministic CBOR behind its length as u32.

Whoever reads has a cap for the bytes that wait and for every list; what breaks one costs the peer its SYNC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from port17.bottles.buckets import BUCKET_CAP, Commitment
from port17.bottles.sync import (
    BUCKETS,
    CHUNK_CAP,
    DIGEST_SIZE,
    FOLLOWER_MESSAGE_CAP,
    ID_SIZES,
    IDS_CAP,
    LENGTH_SIZE,
    MESSAGE_CAP,
    ORDER_SIZE,
    PULL_CAP,
    REASON_CAP,
    STAMP_SIZE,
    STAMPS_CAP,
    WANTS_CAP,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Fetch,
    Follow,
    FromFollower,
    FromSource,
    Given,
    Have,
    Held,
    Known,
    Message,
    Notice,
    Offer,
    Refused,
    Said,
    Scope,
    Taken,
    Update,
    Want,
    Whole,
)
from port17.bottles.update import UPDATE_CAP
from port17.errors import PeerViolation, RecordError
from port17.records import cbor
from port17.records.bottle import BOTTLE_CAP
from port17.records.mark import MARK_CAP
from port17.records.moderation import MODERATION_CAP
from port17.records.prekey import PREKEY_CAP
from port17.records.proof import PROOF_CAP
from port17.records.record import FAR_FUTURE_S, HASH_SIZE, NAME_CAP

_SEQUENCE_CAP: Final = (1 << 63) - 1
_U64_CAP: Final = (1 << 64) - 1
_ROW_SIZE: Final = HASH_SIZE + 8 + HASH_SIZE
"""Bytes of a commitment: whose, of which contents, and to what."""
_SAID: Final[Mapping[str, int]] = {"proof": PROOF_CAP, "mark": MARK_CAP, "moderation": MODERATION_CAP}
_ASKS: Final[Mapping[str, bool]] = {"prekeys": True, "commitments": False}

M = TypeVar("M")


# -- values ------------------------------------------------------------------------------------------
def _broken(what: str) -> PeerViolation:
    return PeerViolation(f"a message of SYNC with {what}")


def _int(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _broken("a number out of its range")
    return value


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise _broken("something that is neither true nor false where one of them belongs")
    return value


def _bytes(value: object, most: int, *, least: int = 0) -> bytes:
    if not isinstance(value, bytes) or not least <= len(value) <= most:
        raise _broken("bytes that are none, too few or too many")
    return value


def _either(value: object, *sizes: int) -> bytes:
    if not isinstance(value, bytes) or len(value) not in sizes:
        raise _broken("bytes of another size")
    return value


def _text(value: object, most: int) -> str:
    """Printable ASCII: it may be logged."""
    if not isinstance(value, str) or len(value) > most or not (value.isascii() and value.isprintable()):
        raise _broken("a text that is none, too long or not printable")
    return value


def _notice(value: object) -> Notice:
    try:
        return Notice(_text(value, NAME_CAP))
    except ValueError as error:
        raise _broken("a kind that nobody knows") from error


def _scope(value: object) -> Scope:
    try:
        return Scope(_text(value, NAME_CAP))
    except ValueError as error:
        raise _broken("a scope that nobody knows") from error


def _rows(value: object, size: int, most: int) -> list[bytes]:
    """Rows of one size behind each other."""
    data = _bytes(value, size * most)
    if len(data) % size:
        raise _broken("a row that is cut short")
    return [data[at : at + size] for at in range(0, len(data), size)]


def pack_held(held: Held) -> bytes:
    """A stamp as it stands in messages and under digests."""
    return (
        held.fingerprint
        + held.label_seq.to_bytes(8, "big")
        + held.contents_seq.to_bytes(8, "big")
        + (b"\1" if held.whole else b"\0")
    )


def _held(row: bytes) -> Held:
    label_seq = int.from_bytes(row[HASH_SIZE : HASH_SIZE + 8], "big")
    contents_seq = int.from_bytes(row[HASH_SIZE + 8 : HASH_SIZE + 16], "big")
    if label_seq > _SEQUENCE_CAP or contents_seq > FAR_FUTURE_S or row[-1] > 1:
        raise _broken("a stamp out of its range")
    return Held(row[:HASH_SIZE], label_seq, contents_seq, bool(row[-1]))


def _stamps(value: object, most: int) -> tuple[Held, ...]:
    return tuple(map(_held, _rows(value, STAMP_SIZE, most)))


def _ids(kind: Notice, value: object) -> tuple[bytes, ...]:
    return tuple(_rows(value, ID_SIZES[kind], IDS_CAP))


def _ask(kind: str, suite: object, slot: object, bits: object, prefix: object) -> Ask:
    return Ask(
        _ASKS[kind],
        _text(suite, NAME_CAP),
        _int(slot, _SEQUENCE_CAP),
        _int(bits, 64),
        _int(prefix, _U64_CAP),
    )


# -- encoding ----------------------------------------------------------------------------------------
def encode(message: Message) -> bytes:
    """A message as it stands in the stream, its length included."""
    data = cbor.encode(_value(message))
    return len(data).to_bytes(LENGTH_SIZE, "big") + data


def _value(message: Message) -> list[object]:
    match message:
        case Follow(version, scope, bundles, local, news, fingerprint):
            return ["follow", version, str(scope), bundles, local, news, fingerprint]
        case Compare(buckets, proofs, marks, moderation):
            return ["compare", b"".join(buckets), proofs, marks, moderation]
        case Want(held):
            return ["want", b"".join(map(pack_held, held))]
        case Fetch(kind, ids):
            return ["fetch", str(kind), b"".join(ids)]
        case Offer(bottle):
            return ["offer", bottle]
        case Ask():
            return _asked(message)
        case Differ(bucket, held):
            return ["differ", bucket, b"".join(map(pack_held, held))]
        case Compared():
            return ["compared"]
        case Given():
            return ["given"]
        case Have(held):
            return ["have", b"".join(map(pack_held, held))]
        case Whole(bottle):
            return ["bottle", bottle]
        case Update(fingerprint, contents):
            return ["contents", fingerprint, contents]
        case Known(kind, ids):
            return ["known", str(kind), b"".join(ids)]
        case Said(said, data):
            return [said, data]
        case Taken(why):
            return ["taken", why]
        case Answer(ask, rows):
            return [*_asked(ask), None if rows is None else _answer(ask, rows)]
        case Refused(reason):
            return ["refused", reason]


def _asked(ask: Ask) -> list[object]:
    return ["prekeys" if ask.records else "commitments", ask.suite, ask.slot, ask.bits, ask.prefix]


def _answer(ask: Ask, rows: tuple[bytes, ...] | tuple[Commitment, ...]) -> object:
    return list(rows) if ask.records else b"".join(_row(row) for row in rows if isinstance(row, Commitment))


def _row(row: Commitment) -> bytes:
    return row.fingerprint + row.contents_seq.to_bytes(8, "big") + row.commitment


# -- decoding ----------------------------------------------------------------------------------------
def from_follower(data: bytes) -> FromFollower:
    """A follower's message of its encoding, without the length.

    :raises PeerViolation: it is none.
    """
    match _list(data, FOLLOWER_MESSAGE_CAP):
        case ["follow", version, scope, bundles, local, news, fingerprint]:
            return Follow(
                _int(version, _SEQUENCE_CAP),
                _scope(scope),
                _bool(bundles),
                _bool(local),
                _bool(news),
                None if fingerprint is None else _either(fingerprint, HASH_SIZE),
            )
        case ["compare", buckets, proofs, marks, moderation]:
            digests = _rows(buckets, DIGEST_SIZE, BUCKETS)
            if len(digests) != BUCKETS:
                raise _broken("too few buckets")
            return Compare(
                tuple(digests),
                _either(proofs, 0, DIGEST_SIZE),
                _either(marks, 0, DIGEST_SIZE),
                _either(moderation, 0, ORDER_SIZE),
            )
        case ["want", held]:
            return Want(_stamps(held, WANTS_CAP))
        case ["fetch", kind, ids]:
            return Fetch(_notice(kind), _ids(_notice(kind), ids))
        case ["offer", bottle]:
            return Offer(_bytes(bottle, BOTTLE_CAP))
        case ["prekeys" | "commitments" as kind, suite, slot, bits, prefix]:
            return _ask(kind, suite, slot, bits, prefix)
    raise _broken("a kind or a shape that no follower sends")


def from_source(data: bytes) -> FromSource:
    """A source's message; as :func:`from_follower`."""
    match _list(data, MESSAGE_CAP):
        case ["differ", bucket, held]:
            return Differ(_int(bucket, BUCKETS - 1), _stamps(held, STAMPS_CAP))
        case ["compared"]:
            return Compared()
        case ["given"]:
            return Given()
        case ["have", held]:
            return Have(_stamps(held, STAMPS_CAP))
        case ["bottle", bottle]:
            return Whole(_bytes(bottle, BOTTLE_CAP))
        case ["contents", fingerprint, contents]:
            return Update(_either(fingerprint, HASH_SIZE), _bytes(contents, UPDATE_CAP))
        case ["known", kind, ids]:
            return Known(_notice(kind), _ids(_notice(kind), ids))
        case ["proof" | "mark" | "moderation" as said, noted]:
            return Said(said, _bytes(noted, _SAID[said]))
        case ["taken", why]:
            return Taken(_text(why, REASON_CAP))
        case ["prekeys" | "commitments" as kind, suite, slot, bits, prefix, rows]:
            return Answer(_ask(kind, suite, slot, bits, prefix), _answered(kind, rows))
        case ["refused", reason]:
            return Refused(_text(reason, REASON_CAP))
    raise _broken("a kind or a shape that no source sends")


def _answered(kind: str, rows: object) -> tuple[bytes, ...] | tuple[Commitment, ...] | None:
    if rows is None:
        return None
    if not _ASKS[kind]:
        return tuple(map(_commitment, _rows(rows, _ROW_SIZE, BUCKET_CAP)))
    if not isinstance(rows, list) or len(rows) > BUCKET_CAP:
        raise _broken("too many prekey records")
    return tuple(_bytes(row, PREKEY_CAP) for row in rows)


def _commitment(row: bytes) -> Commitment:
    seq = int.from_bytes(row[HASH_SIZE : HASH_SIZE + 8], "big")
    return Commitment(row[:HASH_SIZE], _int(seq, FAR_FUTURE_S), row[HASH_SIZE + 8 :])


def _list(data: bytes, cap: int) -> list[object]:
    try:
        value = cbor.decode(data, cap=cap)
    except RecordError as error:
        raise _broken("malformed CBOR") from error
    if not isinstance(value, list):
        raise _broken("something other than a list")
    return value


class Inbox(Generic[M]):
    """What has come of a stream and was not dealt with."""

    def __init__(self, decode: Callable[[bytes], M], cap: int) -> None:
        """:param cap: longest message, bytes, without its length."""
        self._decode = decode
        self._cap = cap
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take over bytes.

        :raises PeerViolation: a message is over its cap, or more waits than a message and a read.
        """
        self._buffer += data
        if len(self._buffer) > LENGTH_SIZE + self._cap + CHUNK_CAP:
            raise PeerViolation("more of SYNC came than is dealt with at once")
        self._next_size()

    @property
    def waits(self) -> bool:
        """Whether a whole message is there."""
        size = self._next_size()
        return size is not None and len(self._buffer) >= LENGTH_SIZE + size

    def next(self) -> M | None:
        """The next message, if the whole of it is there.

        :raises PeerViolation: it is none.
        """
        if not self.waits:
            return None
        end = LENGTH_SIZE + int.from_bytes(self._buffer[:LENGTH_SIZE], "big")
        data = bytes(self._buffer[LENGTH_SIZE:end])
        del self._buffer[:end]
        return self._decode(data)

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._buffer)

    def _next_size(self) -> int | None:
        if len(self._buffer) < LENGTH_SIZE:
            return None
        size = int.from_bytes(self._buffer[:LENGTH_SIZE], "big")
        if size > self._cap:
            raise PeerViolation(f"a message of SYNC of {size} bytes, where at most {self._cap} are read")
        return size


class Outbox:
    """What is to be sent and was not yet: never more than a pull and one message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def pull(self, more: Callable[[], bytes | None]) -> bytes:
        """What is to be sent now, at most :data:`PULL_CAP` bytes; empty if nothing.

        :param more: gives the next message, which is empty if it has come to nothing; None if there is none.
        """
        while len(self._buffer) < PULL_CAP:
            data = more()
            if data is None:
                break
            self._buffer += data
        data = bytes(self._buffer[:PULL_CAP])
        del self._buffer[:PULL_CAP]
        return data

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._buffer)
