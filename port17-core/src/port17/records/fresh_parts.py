"""What a node says of itself to who holds no prekey of it: prekeys, and of its bottle's parts what fits.

Who has signed it for whom is :mod:`port17.wire.cold`'s; what is made of it the intake's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

from pydantic import BeforeValidator, Field

from port17.errors import RecordError
from port17.records.bottle import SLOTS_CAP, Bottle
from port17.records.envelope import Envelope
from port17.records.framing import BytesLike
from port17.records.prekey import PUBLIC_CAP, PrekeyRecord
from port17.records.record import FAR_FUTURE_S, LAX, Record, Sequence64, UnixSecond

FRESH_CAP = 0xFFFF
"""Longest answer, bytes: its length is a u16; eight blocks of a flight hold less."""
LEAST = 2
"""Prekeys that an answer has at least, if the node has them: the present slot's and the next one's, so that
who asks just before a slot ends need not ask again."""


class Prekey(NamedTuple):
    """A prekey record without what the asker knows: network, node and suite."""

    slot: Sequence64
    expiry: UnixSecond
    public: Annotated[bytes, Field(min_length=1, max_length=PUBLIC_CAP)]


def _row(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return value


class FreshParts(Record):
    """An answer.

    :param prekeys: of the suite that was asked in, by slot.
    :param label: the label's envelope; None if it didn't fit.
    :param contents: the contents' envelope; None if it didn't fit.
    """

    prekeys: Annotated[
        tuple[Annotated[Prekey, BeforeValidator(_row)], ...], Field(min_length=1, max_length=SLOTS_CAP), LAX
    ]
    label: Envelope | None = None
    contents: Envelope | None = None

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """The parts of an answer. Nothing in it is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        return cls.from_cbor(data, cap=FRESH_CAP)

    @classmethod
    def fitting(
        cls, room: int, bottle: Bottle, records: Sequence[PrekeyRecord], *, label_first: bool
    ) -> bytes:
        """The encoding of as much as fits.

        The first :data:`LEAST` prekeys come before all else; then contents and label; then further prekeys.

        :param room: bytes.
        :param bottle: the node's own.
        :param records: of the suite that was asked in, unexpired, the present slot's first.
        :param label_first: the asker cannot do without it.
        :raises RecordError: not even the first prekeys fit, or there are none.
        """
        prekeys = [Prekey(record.slot, record.expiry, record.public) for record in records[:SLOTS_CAP]]
        parts = cls.made(prekeys=prekeys[:LEAST])
        best = parts.to_cbor()
        if len(best) > room:
            raise RecordError(
                f"{LEAST} prekeys take {len(best)} bytes, and a handshake flight has room for {room}"
            )
        envelopes = {"contents": bottle.contents_envelope, "label": bottle.label_envelope}
        for name in sorted(envelopes, reverse=label_first):
            parts, best = _with(parts, best, room, {name: envelopes[name]})
        for count in range(LEAST + 1, len(prekeys) + 1):
            parts, best = _with(parts, best, room, {"prekeys": tuple(prekeys[:count])})
        return best

    @classmethod
    def least(cls, public_size: int) -> int:
        """Bytes of the shortest answer.

        :param public_size: bytes of a prekey's public key.
        """
        row = FAR_FUTURE_S, FAR_FUTURE_S, bytes(public_size)
        return len(cls.made(prekeys=[row] * LEAST).to_cbor())

    def records(self, network_id: bytes, fingerprint: bytes, suite: str) -> list[PrekeyRecord]:
        """The prekeys as records of the node that was asked."""
        return [
            PrekeyRecord.made(
                network_id=network_id,
                fingerprint=fingerprint,
                suite=suite,
                slot=prekey.slot,
                expiry=prekey.expiry,
                public=prekey.public,
            )
            for prekey in self.prekeys
        ]


def _with(parts: FreshParts, best: bytes, room: int, more: dict[str, object]) -> tuple[FreshParts, bytes]:
    """The same parts and one more, if it fits."""
    larger = parts.model_copy(update=more)
    encoded = larger.to_cbor()
    return (larger, encoded) if len(encoded) <= room else (parts, best)
