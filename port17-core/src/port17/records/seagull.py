"""The Seagull: what is asked of a node for the sake of others' fresh prekeys, and what comes back.

Who may ask, how often, and who is asked in turn is the operation's; whether what came is believed the
intake's, since it is nodes' own signed parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Self

from pydantic import Field

from port17.errors import RecordError
from port17.records.bottle import CONTENTS_CAP, LABEL_CAP, SLOTS_CAP, Bottle
from port17.records.framing import BytesLike
from port17.records.prekey import PREKEY_CAP
from port17.records.record import HASH_SIZE, LAX, DriverName, Hash, Record
from port17.records.scheme import SIGNATURE_CAP

NAME: Final = "SEAGULL"
"""The operation's wire name."""
BATCH: Final = 16
"""Nodes that are asked for at once, always so many: whom the asker is about to use is one of them, the others
are decoys; as many as a bucket has."""
ASKED_CAP: Final = BATCH * (HASH_SIZE + 2) + 256
"""Longest request, bytes."""
ANSWER_CAP: Final = LABEL_CAP + CONTENTS_CAP + 2 * (SIGNATURE_CAP + 256) + SLOTS_CAP * PREKEY_CAP
"""Longest answer about one node, bytes: its two parts under their signatures, and one suite's prekeys."""
LENGTH: Final = 4
"""Bytes of an answer's length."""


class Asked(Record):
    """A request.

    :param suite: the cipher suite whose prekeys are wanted.
    :param nodes: fingerprints; :data:`BATCH` of them, each once unless the network has fewer.
    """

    suite: DriverName
    nodes: Annotated[tuple[Hash, ...], Field(min_length=BATCH, max_length=BATCH), LAX]

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """
        :raises RecordError: malformed, or of another number of nodes.
        """
        return cls.from_cbor(data, cap=ASKED_CAP)


def answer(bottle: Bottle | None, suite: str, now_s: float) -> bytes:
    """What is said of one node, with its length before it; nothing but a length of zero if nothing fresh is
    known of it.

    :param suite: prekeys of no other go with it.
    :param now_s: Unix time; prekeys that have expired do not go with it.
    """
    if bottle is None:
        return bytes(LENGTH)
    records = [record for record in bottle.bundle if record.suite == suite and record.expiry > now_s]
    encoded = replace(bottle, bundle=tuple(records[:SLOTS_CAP])).encode()
    return len(encoded).to_bytes(LENGTH, "big") + encoded


class Answers:
    """What comes back, taken apart as it comes.

    :param wanted: how many answers are due.
    """

    def __init__(self, wanted: int = BATCH) -> None:
        self._left = wanted
        self._buffer = b""

    @property
    def over(self) -> bool:
        """All have come."""
        return self._left == 0

    def take(self, data: bytes) -> list[Bottle]:
        """More bytes.

        :returns: the bottles that are whole now; nothing in them is verified yet.
        :raises RecordError: longer than any answer, malformed, or more than was asked for.
        """
        self._buffer += data
        found: list[Bottle] = []
        while len(self._buffer) >= LENGTH:
            size = int.from_bytes(self._buffer[:LENGTH], "big")
            if size > ANSWER_CAP or not self._left:
                raise RecordError("an answer to a Seagull that is longer than any")
            if len(self._buffer) < LENGTH + size:
                break
            encoded, self._buffer = self._buffer[LENGTH : LENGTH + size], self._buffer[LENGTH + size :]
            self._left -= 1
            if encoded:
                found.append(Bottle.parse(encoded, cap=ANSWER_CAP))
        return found
