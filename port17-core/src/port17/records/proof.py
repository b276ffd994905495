"""Proof that an identity has equivocated: two things that it signed, of which it may only have signed one.

Whoever holds the two envelopes can check it, and needs nothing else. What follows from it is not said here.

Not an equivocation: one payload under two signatures, since signing may be randomised; the same number in a
label and in contents, or under two identities, of which one may have followed the other; a prekey that was
committed to, and in later contents no longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field

from port17.errors import RecordError
from port17.records.bottle import (
    CONTENTS_CAP,
    CONTENTS_KIND,
    LABEL_CAP,
    LABEL_KIND,
    Bottle,
    Contents,
    Label,
)
from port17.records.envelope import Envelope
from port17.records.framing import BytesLike
from port17.records.identity import Identity, node_id
from port17.records.record import Record
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme

IDENTITY_CAP: Final = 18 * 1024
"""Longest encoded identity, bytes: four keys of the longest kind."""
PROOF_CAP: Final = 2 * (LABEL_CAP + SIGNATURE_CAP) + IDENTITY_CAP + 1024
"""Longest proof, bytes: two full labels, their signatures, an identity and the field names. One of two
contents is a tenth of it."""


class Kind(StrEnum):
    """What was signed twice."""

    LABEL = LABEL_KIND
    """Two labels of one sequence."""
    CONTENTS = CONTENTS_KIND
    """Two contents of one sequence."""
    PREKEY = "prekey"
    """Contents that commit to two prekey records for one suite and slot."""


class Proof(Record):
    """Two envelopes of one identity that contradict each other.

    :param identity: who signed; contents don't hold the keys.
    :param one: the envelope with the smaller payload, so that a proof has one encoding.
    :param other: the one with the greater.
    """

    identity: Identity
    kind: Annotated[Kind, Field(strict=False)]
    one: Envelope
    other: Envelope

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """The proof of its encoding. Nothing is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        return cls.from_cbor(data, cap=PROOF_CAP)

    @classmethod
    def between(cls, one: Bottle, other: Bottle) -> Proof | None:
        """What two verified bottles of one node prove against it; None if they can both be."""
        if one.fingerprint != other.fingerprint:
            return None
        identity = one.label.identity
        if one.label.seq == other.label.seq and _differ(one.label_envelope, other.label_envelope):
            return _proof(identity, Kind.LABEL, one.label_envelope, other.label_envelope)
        if _differ(one.contents_envelope, other.contents_envelope):
            if one.contents.seq == other.contents.seq:
                return _proof(identity, Kind.CONTENTS, one.contents_envelope, other.contents_envelope)
            if _clash(one.contents, other.contents):
                return _proof(identity, Kind.PREKEY, one.contents_envelope, other.contents_envelope)
        return None

    def to_value(self) -> dict[str, object]:
        """The map that is encoded."""
        return {
            "identity": self.identity.to_value(),
            "kind": str(self.kind),
            "one": self.one.to_value(),
            "other": self.other.to_value(),
        }

    @property
    def fingerprint(self) -> bytes:
        """Of the identity that it convicts. 32 bytes."""
        return self.identity.fingerprint

    @property
    def reason(self) -> str:
        """What the identity did, for people."""
        what = {
            Kind.LABEL: "two labels for one sequence number",
            Kind.CONTENTS: "two contents for one second",
            Kind.PREKEY: "two prekeys for one slot",
        }
        return f"it has signed {what[self.kind]}"

    def verify(self, network_id: bytes, schemes: Mapping[str, IdentityScheme]) -> None:
        """Accepts only what convicts the identity.

        :param schemes: the identity schemes that the charter allows: what a broken one signs proves nothing.
        :raises RecordError: anything else.
        """
        try:
            self._verify(network_id, schemes)
        except RecordError as error:
            raise RecordError(
                f"no proof against {node_id(self.fingerprint)}: {error.message}", cure=error.cure
            ) from error

    def _verify(self, network_id: bytes, schemes: Mapping[str, IdentityScheme]) -> None:
        if self.one.payload >= self.other.payload:
            raise RecordError("it is not two payloads in their order")
        scheme = schemes.get(self.identity.scheme)
        if scheme is None:
            raise RecordError(f"the identity scheme {self.identity.scheme} is not allowed or not installed")
        # First what costs little: a forger is to pay for parsing alone.
        if self.kind is Kind.LABEL:
            self._verify_labels()
        else:
            self._verify_contents()
        kind = LABEL_KIND if self.kind is Kind.LABEL else CONTENTS_KIND
        for envelope in (self.one, self.other):
            envelope.verify(kind, network_id, scheme, self.identity.public)

    def _verify_labels(self) -> None:
        one, other = (Label.from_cbor(held.payload, cap=LABEL_CAP) for held in (self.one, self.other))
        if not one.identity == other.identity == self.identity:
            raise RecordError("a label is another's")
        if one.seq != other.seq:
            raise RecordError("the labels have different numbers")

    def _verify_contents(self) -> None:
        one, other = (Contents.from_cbor(held.payload, cap=CONTENTS_CAP) for held in (self.one, self.other))
        if not one.fingerprint == other.fingerprint == self.fingerprint:
            raise RecordError("contents are another's")
        if self.kind is Kind.CONTENTS and one.seq != other.seq:
            raise RecordError("the contents have different numbers")
        if self.kind is Kind.PREKEY and not _clash(one, other):
            raise RecordError("the contents commit to nothing that contradicts")


def _differ(one: Envelope, other: Envelope) -> bool:
    """Whether they say something else; under which signature does not matter."""
    return one.payload != other.payload


def _clash(one: Contents, other: Contents) -> bool:
    """Whether two contents commit to different prekeys for one suite and slot."""
    held = {(suite, slot.slot): slot.commitment for suite, slots in one.slots.items() for slot in slots}
    return any(
        held.get((suite, slot.slot), slot.commitment) != slot.commitment
        for suite, slots in other.slots.items()
        for slot in slots
    )


def _proof(identity: Identity, kind: Kind, one: Envelope, other: Envelope) -> Proof:
    first, second = sorted((one, other), key=lambda held: held.payload)
    return Proof(identity=identity, kind=kind, one=first, other=second)
