"""The bottle: a node's signed record about itself, in a slow part (label) and a fast one (contents).

Whether a bottle is wanted, new or trusted is for its intake to say; here is what makes one valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from port17.errors import RecordError
from port17.records import cbor, envelope
from port17.records.envelope import Envelope
from port17.records.exit_rules import RULE_LENGTH_CAP, RULES_CAP, ExitRules
from port17.records.framing import BytesLike
from port17.records.identity import Identity, node_id
from port17.records.prekey import PREKEY_CAP, PrekeyRecord
from port17.records.record import (
    LAX,
    DriverName,
    Hash,
    PortName,
    Record,
    Sequence64,
    UnixSecond,
)
from port17.records.scheme import IdentityScheme, SigningKey
from port17.records.succession import Predecessors, believed

LABEL_KIND = "label"
CONTENTS_KIND = "contents"

LABEL_CAP = 48 * 1024
"""Longest label, bytes: post-quantum keys (4 KiB), predecessors (17 KiB), all addresses (19 KiB), and some
hundred exit rules."""
CONTENTS_CAP = 16 * 1024
"""Longest contents, bytes: it travels with every change of load. Full slots and lanes take 10 KiB."""
TRANSPORTS_CAP = 8
"""Most transports of one node; every address may be verified by others, so they are few."""
ADDRESSES_CAP = 8
"""Most addresses per transport: IPv4 and IPv6 on a few uplinks."""
ADDRESS_LENGTH_CAP = 300
"""Longest address, characters: a host name of 253, a port, and a transport's parameter."""
SUITES_CAP = 8
"""Most suites that a node serves; each costs a prekey per slot."""
SLOTS_CAP = 8
"""Most prekey slots per suite: the current one, the next ones, and those in overlap."""
LANES_CAP = 128
"""Most lanes in contents: 44 bytes each; the map of the mesh stays some KiB per node."""
FLAGS_CAP = 16
"""Most flags; a flag is one word about a node."""
OFFLINE = "offline"
"""The flag of the last contents of a node that leaves."""
LATENCY_CAP_US = 60_000_000
"""Longest latency of a lane, microseconds: a minute; a link that slow is dead."""
CAPACITY_CAP = 1 << 44
"""Largest capacity of a lane, bytes per second: above any network card there is."""
LOAD_CAP = 1000
"""Full load, in permille."""
BUNDLE_CAP = SUITES_CAP * SLOTS_CAP
"""Most prekey records with a bottle: one for every slot that contents can name."""
BOTTLE_CAP = 2 * (LABEL_CAP + CONTENTS_CAP) + BUNDLE_CAP * PREKEY_CAP
"""Longest bottle, bytes: its parts, their signatures and every prekey record."""
PREKEY_AHEAD_CAP_S = 90 * 24 * 3600
"""Latest expiry of a prekey after now, seconds: a key that lives longer is no forward secrecy."""
CLOCK_SKEW_S = 120
"""Clock skew allowed where no charter says another, seconds."""

Address: TypeAlias = Annotated[str, Field(min_length=1, max_length=ADDRESS_LENGTH_CAP, pattern=r"^[!-~]+$")]
Addresses: TypeAlias = Annotated[tuple[Address, ...], Field(max_length=ADDRESSES_CAP), LAX]
Rule: TypeAlias = Annotated[str, Field(max_length=RULE_LENGTH_CAP)]


class Slot(NamedTuple):
    """A prekey that the node holds, by its commitment.

    :param slot: slot number.
    :param expiry: Unix second from which on the prekey is not used.
    :param commitment: hash of its prekey record.
    """

    slot: Sequence64
    expiry: UnixSecond
    commitment: Hash


class Lane(NamedTuple):
    """A lane that the node keeps, as it sees it. Only a lane that both ends name counts.

    :param fingerprint: of the node at the other end.
    :param latency_us: round trip, microseconds.
    :param capacity: bytes per second, as far as the node knows; 0 says nothing.
    """

    fingerprint: Hash
    latency_us: Annotated[int, Field(ge=0, le=LATENCY_CAP_US)]
    capacity: Annotated[int, Field(ge=0, le=CAPACITY_CAP)]


def _row(value: object) -> object:
    """A list, as the row is signed; pydantic would take a map with the row's names too."""
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return value


Slots: TypeAlias = Annotated[
    tuple[Annotated[Slot, BeforeValidator(_row)], ...], Field(max_length=SLOTS_CAP), LAX
]


class Label(Record):
    """The slow part: who the node is and what it serves.

    :param name: PortName, unique in the network.
    :param group: mark of the owner; the empty text is a node without a mark.
    :param addresses: transport name to addresses; empty for a node that serves only in the middle.
    :param suites: cipher suites served, in the node's order of preference.
    :param exit: rules as :class:`~port17.records.exit_rules.ExitRules` reads them; None is no exit.
    :param flavour: a local bottle never leaves its local network.
    :param predecessors: the identities that this one has taken the place of, the newest first.
    :param since: Unix second from which on the node has claimed its PortName without a break. By its own
        word: docs/names.md says what that is worth.
    :param seq: grows with every change.
    """

    identity: Identity
    name: PortName
    group: PortName | Literal[""] = ""
    addresses: Annotated[dict[DriverName, Addresses], Field(default_factory=dict, max_length=TRANSPORTS_CAP)]
    suites: Annotated[tuple[DriverName, ...], Field(min_length=1, max_length=SUITES_CAP), LAX]
    exit: Annotated[tuple[Rule, ...], Field(max_length=RULES_CAP), LAX] | None = None
    flavour: Literal["public", "local"] = "public"
    predecessors: Predecessors = ()
    since: UnixSecond = 0
    seq: Sequence64 = 0

    @field_validator("suites")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a suite is there twice")
        return value

    @field_validator("exit")
    @classmethod
    def _rules(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        try:
            ExitRules.parse(value or ())
        except RecordError as error:
            raise ValueError("not an exit rule") from error
        return value


class Contents(Record):
    """The fast part: what changes by the minute.

    :param fingerprint: of the node, so that contents stand alone in a proof.
    :param seq: Unix second of signing.
    :param slots: suite name to the slots that the node holds prekeys for.
    :param lanes: the lanes that stand.
    :param load: permille of what the node can do.
    :param flags: one word each.
    """

    fingerprint: Hash
    seq: UnixSecond
    slots: Annotated[dict[DriverName, Slots], Field(default_factory=dict, max_length=SUITES_CAP)]
    lanes: Annotated[
        tuple[Annotated[Lane, BeforeValidator(_row)], ...], Field(max_length=LANES_CAP), LAX
    ] = ()
    load: Annotated[int, Field(ge=0, le=LOAD_CAP)] = 0
    flags: Annotated[tuple[DriverName, ...], Field(max_length=FLAGS_CAP), LAX] = ()

    @field_validator("slots")
    @classmethod
    def _slots_once(cls, value: dict[str, tuple[Slot, ...]]) -> dict[str, tuple[Slot, ...]]:
        for slots in value.values():
            if len({slot.slot for slot in slots}) != len(slots):
                raise ValueError("a slot is there twice")
        return value

    @field_validator("lanes")
    @classmethod
    def _lanes_once(cls, value: tuple[Lane, ...]) -> tuple[Lane, ...]:
        if len({lane.fingerprint for lane in value}) != len(value):
            raise ValueError("a lane is there twice")
        return value


@dataclass(frozen=True)
class Bottle:
    """A label and contents under their signatures, and as many prekey records as the sender added.

    The parts are parsed but believed by nobody until :meth:`verify` has returned.

    :param label_envelope: holds ``label``.
    :param contents_envelope: holds ``contents``.
    :param bundle: prekey records; the same bottle with another bundle is the same bottle.
    """

    label_envelope: Envelope
    contents_envelope: Envelope
    bundle: tuple[PrekeyRecord, ...]
    label: Label
    contents: Contents

    @classmethod
    def of(
        cls, label_envelope: Envelope, contents_envelope: Envelope, bundle: Iterable[PrekeyRecord] = ()
    ) -> Self:
        """The bottle of its signed parts.

        :raises RecordError: a payload is malformed or over its cap.
        """
        return cls(
            label_envelope,
            contents_envelope,
            tuple(bundle),
            Label.from_cbor(label_envelope.payload, cap=LABEL_CAP),
            Contents.from_cbor(contents_envelope.payload, cap=CONTENTS_CAP),
        )

    @classmethod
    def seal(
        cls,
        network_id: bytes,
        scheme: IdentityScheme,
        key: SigningKey,
        label: Label,
        contents: Contents,
        bundle: Iterable[PrekeyRecord] = (),
    ) -> Self:
        """A node's own bottle, signed.

        :raises RecordError: a part is over its cap.
        """
        return cls.of(
            envelope.sign(LABEL_KIND, network_id, scheme, key, label.to_cbor()),
            envelope.sign(CONTENTS_KIND, network_id, scheme, key, contents.to_cbor()),
            bundle,
        )

    @classmethod
    def parse(cls, data: BytesLike, cap: int = BOTTLE_CAP) -> Self:
        """The bottle of its encoding. Nothing is verified yet.

        :param cap: most bytes accepted.
        :raises RecordError: malformed or over a cap.
        """
        value = cbor.decode(data, cap=cap)
        if not (isinstance(value, list) and len(value) == 3):
            raise RecordError("not a bottle: a list of label, contents and bundle")
        label, contents, bundle = value
        if not (isinstance(bundle, list) and len(bundle) <= BUNDLE_CAP):
            raise RecordError(f"not a bottle: the bundle is a list of at most {BUNDLE_CAP} prekey records")
        return cls.of(
            Envelope.from_value(label),
            Envelope.from_value(contents),
            map(PrekeyRecord.from_value, bundle),
        )

    def encode(self) -> bytes:
        """The one encoding; signed payloads stand in it as they were received."""
        return cbor.encode(
            [
                self.label_envelope.to_value(),
                self.contents_envelope.to_value(),
                [record.to_value() for record in self.bundle],
            ]
        )

    @property
    def fingerprint(self) -> bytes:
        """Of the identity that the label names. 32 bytes."""
        return self.label.identity.fingerprint

    @property
    def node_id(self) -> str:
        """The fingerprint as people see it."""
        return node_id(self.fingerprint)

    @property
    def sequence(self) -> tuple[int, int]:
        """Which of two bottles of one node is newer."""
        return self.label.seq, self.contents.seq

    def succeeds(self, network_id: bytes, schemes: Mapping[str, IdentityScheme]) -> tuple[bytes, ...]:
        """Fingerprints of the identities whose place this one has taken, the newest first.

        :param schemes: the identity schemes that are allowed; the word of any other counts for nothing.
        :raises RecordError: a predecessor has not signed that.
        """
        return believed(self.label.predecessors, self.label.identity, network_id, schemes)

    def verify(
        self,
        network_id: bytes,
        schemes: Mapping[str, IdentityScheme],
        now: float,
        *,
        skew_s: float = CLOCK_SKEW_S,
    ) -> None:
        """Accepts only what the named node signed for this network, with keys that it committed to.

        Prekeys that have expired don't make a bottle invalid: it says still who the node is.

        :param schemes: the identity schemes that the charter and the configuration allow.
        :param now: Unix time, seconds.
        :param skew_s: how far the signer's clock may be ahead, seconds.
        :raises RecordError: anything else; names the node, the check and, where there is one, the cure.
        """
        try:
            self._verify(network_id, schemes, now, skew_s)
        except RecordError as error:
            raise RecordError(f"bottle of {self.node_id}: {error.message}", cure=error.cure) from error

    def _verify(
        self, network_id: bytes, schemes: Mapping[str, IdentityScheme], now: float, skew_s: float
    ) -> None:
        identity = self.label.identity
        scheme = schemes.get(identity.scheme)
        if scheme is None:
            raise RecordError(
                f"the identity scheme {identity.scheme} is not allowed or not installed",
                cure="Install the distribution that brings the scheme, if the charter allows it.",
            )
        self.label_envelope.verify(LABEL_KIND, network_id, scheme, identity.public)
        self.contents_envelope.verify(CONTENTS_KIND, network_id, scheme, identity.public)
        if self.contents.fingerprint != identity.fingerprint:
            raise RecordError("the contents are another node's")
        self.succeeds(network_id, schemes)
        if self.contents.seq > now + skew_s:
            raise RecordError(
                f"the contents were signed {self.contents.seq - now:.0f} s in the future",
                cure="Set this machine's clock, or the node's.",
            )
        slots = self._slots()
        for suite, slot in slots.values():
            if suite not in self.label.suites:
                raise RecordError(f"a prekey slot of the suite {suite}, which the label does not serve")
            if slot.expiry > now + PREKEY_AHEAD_CAP_S:
                raise RecordError("a prekey that is to live longer than any charter allows")
        self._verify_bundle(network_id, slots)

    def _slots(self) -> dict[bytes, tuple[str, Slot]]:
        """Every commitment in contents, with what it is for."""
        return {
            slot.commitment: (suite, slot) for suite, slots in self.contents.slots.items() for slot in slots
        }

    def _verify_bundle(self, network_id: bytes, slots: Mapping[bytes, tuple[str, Slot]]) -> None:
        seen: set[bytes] = set()
        for record in self.bundle:
            commitment = record.hash
            if commitment in seen:
                raise RecordError("a prekey record is there twice")
            seen.add(commitment)
            suite, slot = slots.get(commitment, ("", None))
            if slot is None:
                raise RecordError("a prekey record that the contents do not commit to")
            # The hash covers these, but a node could commit to a record that says something else.
            if (record.network_id, record.fingerprint) != (network_id, self.fingerprint):
                raise RecordError("a prekey record of another node or network")
            if (record.suite, record.slot, record.expiry) != (suite, slot.slot, slot.expiry):
                raise RecordError("a prekey record for another slot than the contents say")
