"""What a network's moderators say of its nodes: one list, signed by k of the n that the charter names.

A newer list takes the place of an older one as a whole. What follows from an entry is not said here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from port17.errors import RecordError
from port17.records import cbor
from port17.records.cosigning import Cosignature, Office, in_order
from port17.records.envelope import PAYLOAD_CAP
from port17.records.framing import BytesLike, digest
from port17.records.identity import Identity
from port17.records.record import LAX, Hash, PortName, Record, UnixSecond
from port17.records.revision import MODERATORS_CAP, Revision, Signer
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme

MODERATION_KIND: Final = "moderation"
ENTRIES_CAP: Final = 200
"""Most entries: a list that k people have read. With the longest reasons it fits its payload's cap."""
REASON_CAP: Final = 120
"""Longest reason, characters: a line."""
MODERATION_CAP: Final = PAYLOAD_CAP + MODERATORS_CAP * (SIGNATURE_CAP + 64) + 64
"""Longest signed list, bytes: the payload, and every moderator's signature."""
TERM_CAP_S: Final = 366 * 24 * 3600
"""Longest time from a list's signing to an entry's expiry, seconds: what holds longer is decided anew."""
REASON_PATTERN: Final = r"^[ -~]+$"
"""Printable ASCII: it is shown on terminals, and can do no harm there."""

Moderators: TypeAlias = Mapping[bytes, Identity]
"""Identities of moderators by fingerprint."""


class Action(StrEnum):
    """What moderators can say of a node."""

    BLOCK = "block"
    """It is part of no route and of no lane, and its bottle is not passed on."""
    DISTRUST = "distrust"
    """No route uses it; otherwise it stays."""
    TRUSTED_EXIT = "trusted_exit"
    """It may have unencrypted connections, like the exits that the charter trusts."""
    OWNER_VERIFIED = "owner_verified"
    """A PortName is its own, whoever claimed it first."""
    SAME_OWNER = "same_owner"
    """One person or firm runs it and all the others of which that is said by the same name."""


NAMED: Final = (Action.OWNER_VERIFIED, Action.SAME_OWNER)
"""What is said with a name."""


class Entry(Record):
    """What is said of one node.

    :param fingerprint: of the node.
    :param name: of ``owner_verified`` the PortName that is its own, of ``same_owner`` what its owner is
        called; else empty.
    :param reason: for people.
    :param expiry: Unix second from which on the entry says nothing.
    """

    action: Annotated[Action, Field(strict=False)]
    fingerprint: Hash
    name: PortName | Literal[""] = ""
    reason: Annotated[str, Field(max_length=REASON_CAP, pattern=REASON_PATTERN)]
    expiry: UnixSecond

    @model_validator(mode="after")
    def _named(self) -> Entry:
        if (self.action in NAMED) != bool(self.name):
            raise ValueError("a name belongs to owner_verified and same_owner, and to nothing else")
        return self

    def to_value(self) -> dict[str, object]:
        """The map that is encoded."""
        return {**self.model_dump(), "action": str(self.action)}


class Moderation(Record):
    """A list.

    :param seq: Unix second of signing; the newest list holds.
    :param entries: all that is said from then on.
    """

    seq: UnixSecond
    entries: Annotated[tuple[Entry, ...], Field(max_length=ENTRIES_CAP), LAX] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Moderation:
        said = [
            (entry.action, entry.fingerprint, "" if entry.action is Action.SAME_OWNER else entry.name.lower())
            for entry in self.entries
        ]
        owned = [entry.name.lower() for entry in self.entries if entry.action is Action.OWNER_VERIFIED]
        if len(set(said)) != len(said) or len(set(owned)) != len(owned):
            raise ValueError("an entry is there twice")
        if any(entry.expiry > self.seq + TERM_CAP_S for entry in self.entries):
            raise ValueError("an entry that holds for more than a year")
        return self

    def to_value(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"seq": self.seq, "entries": [entry.to_value() for entry in self.entries]}


class _Signed(Record):
    payload: Annotated[bytes, Field(max_length=PAYLOAD_CAP)]
    signatures: Annotated[tuple[Annotated[Cosignature, LAX], ...], Field(max_length=MODERATORS_CAP), LAX]


@dataclass(frozen=True)
class SignedModeration:
    """A list as it travels.

    :param moderation: what ``payload`` says; believed by nobody until :meth:`verify` has returned.
    :param payload: the bytes that were signed.
    :param signatures: (moderator's fingerprint, signature), by rising fingerprint.
    """

    moderation: Moderation
    payload: bytes
    signatures: tuple[Cosignature, ...] = ()

    @classmethod
    def of(cls, moderation: Moderation) -> Self:
        """A list that nobody has signed yet.

        :raises RecordError: it is over its cap.
        """
        payload = moderation.to_cbor()
        if len(payload) > PAYLOAD_CAP:
            raise RecordError(
                f"a list of {len(payload)} bytes: at most {PAYLOAD_CAP} are allowed",
                cure="Write shorter reasons, or fewer entries.",
            )
        return cls(moderation, payload)

    def signed(self, network_id: bytes, revision: Revision, signers: Iterable[Signer]) -> Self:
        """The same list with more signatures.

        :raises RecordError: a signer is no moderator.
        """
        signatures = _office(revision).cosign(network_id, self.payload, self.signatures, signers)
        return type(self)(self.moderation, self.payload, signatures)

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """The list of its encoding. Nothing is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        signed = _Signed.from_value(cbor.decode(data, cap=MODERATION_CAP))
        if not in_order(signed.signatures):
            raise RecordError("a list whose signatures are not in order")
        moderation = Moderation.from_cbor(signed.payload, cap=PAYLOAD_CAP)
        return cls(moderation, signed.payload, signed.signatures)

    def encode(self) -> bytes:
        """The one encoding; the signed payload stands in it as it was received."""
        return cbor.encode({"payload": self.payload, "signatures": self.signatures})

    @property
    def order(self) -> tuple[int, bytes]:
        """Which of two lists holds: the later; of two of one second the same one everywhere."""
        return self.moderation.seq, digest("moderation", self.payload)

    def signers(
        self, network_id: bytes, revision: Revision, schemes: Mapping[str, IdentityScheme]
    ) -> frozenset[bytes]:
        """The fingerprints of the present moderators who have signed. Who is none any more does no harm, nor
        does a signature of a broken scheme: it counts for nothing.

        :raises RecordError: a present moderator's signature is not valid, or his scheme is not installed.
        """
        return _office(revision).signers(network_id, self.payload, self.signatures, schemes)

    def verify(
        self,
        network_id: bytes,
        revision: Revision,
        schemes: Mapping[str, IdentityScheme],
        now_s: float,
        *,
        ignored: Collection[bytes] = (),
    ) -> None:
        """Accepts only what enough of the present moderators have signed.

        :param schemes: every identity scheme that is installed.
        :param now_s: Unix time, seconds.
        :param ignored: fingerprints of moderators whose signatures are not to count.
        :raises RecordError: anything else.
        """
        if not revision.moderators_threshold:
            raise RecordError(
                "the charter names no moderators", cure="`port17 charter amend --moderator FILE` does."
            )
        if self.moderation.seq > now_s + revision.clock_skew_s:
            raise RecordError("a list from the future", cure="Set this machine's clock, or the signer's.")
        counted = self.signers(network_id, revision, schemes) - set(ignored)
        if len(counted) < revision.moderators_threshold:
            raise RecordError(
                f"a list with {len(counted)} of {revision.moderators_threshold} moderators' signatures",
                cure="Ask more moderators to sign: `port17 moderate cosign FILE`.",
            )


def moderators(revision: Revision) -> Moderators:
    """Who may sign, by fingerprint."""
    return {identity.fingerprint: identity for identity in revision.moderators}


def _office(revision: Revision) -> Office:
    return Office(MODERATION_KIND, "a moderator", moderators(revision), revision.moderators_threshold)
