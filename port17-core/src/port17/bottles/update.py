"""Newer contents of a node, as they travel to whoever holds its label: most of what changes in a network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from port17.errors import RecordError
from port17.records import cbor
from port17.records.bottle import BUNDLE_CAP, CONTENTS_CAP, Bottle, Contents
from port17.records.envelope import Envelope
from port17.records.prekey import PREKEY_CAP, PrekeyRecord
from port17.records.scheme import SIGNATURE_CAP

UPDATE_CAP: Final = CONTENTS_CAP + SIGNATURE_CAP + BUNDLE_CAP * PREKEY_CAP + 512
"""Longest update, bytes: contents, their signature, every prekey record, and the names of the fields."""


@dataclass(frozen=True)
class ContentsUpdate:
    """See the module. Verified as part of the bottle that it makes.

    :param contents: what the envelope says.
    :param bundle: prekey records that the receiver may lack.
    """

    envelope: Envelope
    contents: Contents
    bundle: tuple[PrekeyRecord, ...] = ()

    @classmethod
    def of(cls, bottle: Bottle, bundle: Iterable[PrekeyRecord] = ()) -> Self:
        """The contents of a bottle, and some of its prekey records."""
        return cls(bottle.contents_envelope, bottle.contents, tuple(bundle))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The update of its encoding. Nothing is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        value = cbor.decode(data, cap=UPDATE_CAP)
        if not (isinstance(value, list) and len(value) == 2):
            raise RecordError("not an update: a list of contents and bundle")
        contents, bundle = value
        if not (isinstance(bundle, list) and len(bundle) <= BUNDLE_CAP):
            raise RecordError(f"not an update: the bundle is a list of at most {BUNDLE_CAP} prekey records")
        envelope = Envelope.from_value(contents)
        return cls(
            envelope,
            Contents.from_cbor(envelope.payload, cap=CONTENTS_CAP),
            tuple(map(PrekeyRecord.from_value, bundle)),
        )

    def encode(self) -> bytes:
        """The one encoding; the signed payload stands in it as it was received."""
        return cbor.encode([self.envelope.to_value(), [record.to_value() for record in self.bundle]])

    def onto(self, held: Bottle) -> Bottle:
        """The bottle that these contents make with the label of the one that is held."""
        return Bottle(
            label_envelope=held.label_envelope,
            contents_envelope=self.envelope,
            bundle=self.bundle,
            label=held.label,
            contents=self.contents,
        )
