"""A revision of a network's charter: everything that may change, signed by k of n update keys.

Revisions are a chain: each names the hash of the one before it, the first names the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from port17.errors import RecordError
from port17.records.envelope import PAYLOAD_CAP, signed_bytes
from port17.records.framing import digest
from port17.records.genesis import MAX_HOPS, UPDATE_KEYS_CAP, Genesis
from port17.records.identity import Identity
from port17.records.record import LAX, DriverName, Hash, Record, Sequence64, UnixSecond
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme, SigningKey

REVISION_KIND = "revision"
REVISION_CAP = PAYLOAD_CAP
"""Longest revision, bytes: a full list of exits (36 KiB), and moderators with post-quantum keys."""
SUITES_CAP = 32
"""Most suites, or schemes, that a network allows at a time."""
MODERATORS_CAP = 16
"""Most moderators, as many as update keys."""
PUBLISHERS_CAP = 16
"""Most publishers of bootstrap lists, as many as update keys."""
EXITS_CAP = 1024
"""Most exits trusted for plain text: a list that people look through."""
DAY_S = 24 * 3600
PREKEY_LIFETIME_CAP_S = 30 * DAY_S
"""Longest prekey lifetime, seconds: it is how long early data can be decrypted by who takes a node."""
PREKEY_LIFETIME_FLOOR_S = 3
"""Shortest prekey lifetime, seconds, for networks of tests: a bottle names eight slots, a node signs another
when half of them are over, and others pass on one in ten seconds. Else less than some hours makes no sense:
nodes would do little but make keys, and clients little but fetch them."""
LEAST_HOPS = 3
"""Fewest nodes of a route whatever a charter says: with two, the entry knows the exit."""
CLOCK_SKEW_CAP_S = 3600
"""Largest clock skew, seconds: replay sets are kept for as long."""

Signature: TypeAlias = tuple[
    Annotated[int, Field(ge=0, lt=UPDATE_KEYS_CAP)], Annotated[bytes, Field(max_length=SIGNATURE_CAP)]
]
Signer: TypeAlias = tuple[IdentityScheme, SigningKey]


class Revision(Record):
    """What holds in a network from a moment on.

    :param seq: 0 for the first, then one more each.
    :param previous: hash of the revision before; of the first, the network id.
    :param not_before: Unix second from which on it holds.
    :param suites: cipher suites allowed, best first.
    :param deprecated: of these, the ones that two ends use only if they have no other in common.
    :param schemes: identity schemes allowed, best first.
    :param classical_bits: least confidentiality of a suite against an attacker without a quantum computer.
    :param quantum_category: least NIST category of a suite against one with; 0 asks for none.
    :param prekey_lifetime_s: seconds of a prekey slot.
    :param overlap_s: how long a prekey is accepted after its slot, and after this revision's start those that
        it follows.
    :param clock_skew_s: how far two clocks may differ.
    :param moderators: who may block nodes.
    :param moderators_threshold: how many of them must agree.
    :param publishers: who may sign bootstrap lists; none leaves that to the update keys.
    :param publishers_threshold: how many of them must.
    :param plain_text_exits: fingerprints of the exits trusted with unencrypted connections.
    :param least_hops: how many nodes a route has at least, up to the genesis' ``max_hops``.
    :param attack_budget_eur: what an attack on the network is to cost at least.
    :param canary_interval_s: how often a sign of life is due; 0 is never.
    """

    seq: Sequence64 = 0
    previous: Hash = bytes(32)
    not_before: UnixSecond
    suites: Annotated[tuple[DriverName, ...], Field(min_length=1, max_length=SUITES_CAP), LAX]
    deprecated: Annotated[tuple[DriverName, ...], Field(max_length=SUITES_CAP), LAX] = ()
    schemes: Annotated[tuple[DriverName, ...], Field(min_length=1, max_length=SUITES_CAP), LAX]
    classical_bits: Annotated[int, Field(ge=0, le=512)] = 128
    quantum_category: Annotated[int, Field(ge=0, le=5)] = 0
    prekey_lifetime_s: Annotated[int, Field(ge=PREKEY_LIFETIME_FLOOR_S, le=PREKEY_LIFETIME_CAP_S)] = DAY_S
    overlap_s: Annotated[int, Field(ge=0, le=PREKEY_LIFETIME_CAP_S)] = 3600
    clock_skew_s: Annotated[int, Field(ge=1, le=CLOCK_SKEW_CAP_S)] = 120
    moderators: Annotated[tuple[Identity, ...], Field(max_length=MODERATORS_CAP), LAX] = ()
    moderators_threshold: Annotated[int, Field(ge=0)] = 0
    publishers: Annotated[tuple[Identity, ...], Field(max_length=PUBLISHERS_CAP), LAX] = ()
    publishers_threshold: Annotated[int, Field(ge=0)] = 0
    plain_text_exits: Annotated[tuple[Hash, ...], Field(max_length=EXITS_CAP), LAX] = ()
    least_hops: Annotated[int, Field(ge=LEAST_HOPS, le=MAX_HOPS)] = LEAST_HOPS
    attack_budget_eur: Annotated[int, Field(ge=0, lt=1 << 53)] = 1_000_000
    canary_interval_s: Annotated[int, Field(ge=0, le=366 * DAY_S)] = 0

    @field_validator("suites", "deprecated", "schemes", "plain_text_exits")
    @classmethod
    def _once(cls, value: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an entry is there twice")
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Revision:
        if not set(self.deprecated) <= set(self.suites):
            raise ValueError("a suite is deprecated that is not allowed at all")
        if self.moderators_threshold > len({key.fingerprint for key in self.moderators}):
            raise ValueError("the moderators' threshold is above their number")
        named = len({key.fingerprint for key in self.publishers})
        if named != len(self.publishers) or not min(1, named) <= self.publishers_threshold <= named:
            raise ValueError("the publishers' threshold is 1 to their number, each counted once")
        return self


class _Signed(Record):
    payload: Annotated[bytes, Field(max_length=REVISION_CAP)]
    signatures: Annotated[
        tuple[Annotated[Signature, LAX], ...], Field(min_length=1, max_length=UPDATE_KEYS_CAP), LAX
    ]


@dataclass(frozen=True)
class SignedRevision:
    """A revision as it travels.

    :param revision: what ``payload`` says; believed by nobody until :meth:`verify` has returned.
    :param payload: the bytes that were signed.
    :param signatures: (index among the genesis's update keys, signature), by rising index.
    """

    revision: Revision
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def sign(cls, revision: Revision, network_id: bytes, genesis: Genesis, signers: Iterable[Signer]) -> Self:
        """The revision under the signatures of those who hold update keys.

        :raises RecordError: a signer's key is no update key, or there are too few signers.
        """
        payload = revision.to_cbor()
        signatures: dict[int, bytes] = {}
        indices = {identity: index for index, identity in enumerate(genesis.update_keys)}
        for scheme, key in signers:
            index = indices.get(Identity.made(scheme=scheme.name, public=key.public))
            if index is None:
                raise RecordError(
                    "a signer's key is not an update key of this network",
                    cure="Sign with the keys that the genesis names.",
                )
            message = signed_bytes(REVISION_KIND, network_id, scheme.name, payload)
            signatures[index] = scheme.sign(key, message)
        if len(signatures) < genesis.threshold:
            raise RecordError(
                f"{len(signatures)} of {genesis.threshold} signatures",
                cure="Ask more holders of update keys to sign.",
            )
        return cls(revision, payload, tuple(sorted(signatures.items())))

    @classmethod
    def from_value(cls, value: object) -> Self:
        """The signed revision of a decoded CBOR value.

        :raises RecordError: malformed or over a cap.
        """
        signed = _Signed.from_value(value)
        revision = Revision.from_cbor(signed.payload, cap=REVISION_CAP)
        return cls(revision, signed.payload, signed.signatures)

    def to_value(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"payload": self.payload, "signatures": self.signatures}

    @property
    def hash(self) -> bytes:
        """Names this revision in its successor. 32 bytes, whoever signed it."""
        return digest("revision", self.payload)

    def verify(self, network_id: bytes, genesis: Genesis, schemes: Mapping[str, IdentityScheme]) -> None:
        """Accepts only what enough update keys signed; a signature that is there must be valid.

        :raises RecordError: anything else.
        """
        indices = [index for index, _ in self.signatures]
        if indices != sorted(set(indices)):
            raise self._bad("its signatures are not in order")
        if len(indices) < genesis.threshold:
            raise self._bad(f"it has {len(indices)} of {genesis.threshold} signatures")
        for index, signature in self.signatures:
            if index >= len(genesis.update_keys):
                raise self._bad("it is signed by an update key that the network doesn't have")
            identity = genesis.update_keys[index]
            scheme = schemes.get(identity.scheme)
            if scheme is None:
                raise RecordError(
                    f"the charter's identity scheme {identity.scheme} is not installed",
                    cure="Install the distribution that brings the scheme.",
                )
            message = signed_bytes(REVISION_KIND, network_id, scheme.name, self.payload)
            if not scheme.verify(identity.public, message, signature):
                raise self._bad(f"the signature of update key {index} is not valid")

    def _bad(self, what: str) -> RecordError:
        return RecordError(
            f"revision {self.revision.seq} of the charter: {what}",
            cure="Get the charter again, from somebody you trust.",
        )
