"""The beacon: what a node says of itself on its local network, small enough for a datagram.

Whoever hears it calls the address that it came from, and fetches the node's bottle; a bottle with
post-quantum keys would fit no datagram.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self, TypeAlias

from pydantic import Field

from port17.errors import RecordError
from port17.records import envelope
from port17.records.bottle import CLOCK_SKEW_S, SUITES_CAP, TRANSPORTS_CAP
from port17.records.envelope import Envelope
from port17.records.framing import BytesLike
from port17.records.identity import Identity
from port17.records.record import LAX, DriverName, Hash, Record, Sequence64, UnixSecond
from port17.records.scheme import IdentityScheme, SigningKey

BEACON_KIND: Final = "beacon"
BEACON_CAP: Final = 8 * 1024
"""Longest beacon, bytes, signature and all. With Ed25519 it takes some 500, far below the 1232 that every
link carries whole (RFC 8200, section 5); with ML-DSA-65 beside it 5.7 KiB, which IP takes apart and puts
together again."""
LIFE_S: Final = 120.0
"""Seconds for which a beacon counts after it was signed, beside the clock skew: a dozen may be lost on a bad
wireless link before a node that stands is forgotten."""

Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]


class Beacon(Record):
    """What is signed.

    :param network_id: of the Port17 network; several may share a link.
    :param label: sequence of the node's present label.
    :param contents: sequence of its present contents.
    :param suites: cipher suites that it serves, as its label names them: who calls chooses among them.
    :param ports: where it listens, by transport; the host is what the beacon comes from.
    :param at: Unix second of signing.
    """

    network_id: Hash
    identity: Identity
    label: Sequence64
    contents: UnixSecond
    suites: Annotated[tuple[DriverName, ...], Field(min_length=1, max_length=SUITES_CAP), LAX]
    ports: Annotated[dict[DriverName, Port], Field(min_length=1, max_length=TRANSPORTS_CAP)]
    at: UnixSecond

    @property
    def fingerprint(self) -> bytes:
        """Of the node, 32 bytes."""
        return self.identity.fingerprint


@dataclass(frozen=True)
class SignedBeacon:
    """A beacon under its node's signature; believed by nobody until :meth:`verify` has returned."""

    envelope: Envelope
    beacon: Beacon

    @classmethod
    def seal(cls, scheme: IdentityScheme, key: SigningKey, beacon: Beacon) -> Self:
        """A node's own.

        :raises RecordError: it is over its cap.
        """
        sealed = envelope.sign(BEACON_KIND, beacon.network_id, scheme, key, beacon.to_cbor())
        if len(sealed.to_cbor()) > BEACON_CAP:
            raise RecordError(f"a beacon of more than {BEACON_CAP} bytes")
        return cls(sealed, beacon)

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """The beacon of its encoding. Nothing is verified yet.

        :raises RecordError: malformed or over its cap.
        """
        outer = Envelope.from_cbor(data, cap=BEACON_CAP)
        return cls(outer, Beacon.from_cbor(outer.payload, cap=BEACON_CAP))

    def encode(self) -> bytes:
        """The one encoding."""
        return self.envelope.to_cbor()

    def verify(
        self,
        network_id: bytes,
        schemes: Mapping[str, IdentityScheme],
        now_s: float,
        *,
        skew_s: float = CLOCK_SKEW_S,
    ) -> None:
        """Accepts only what the node has signed for this network, and lately.

        :param schemes: the identity schemes that the charter allows and that are installed.
        :param now_s: Unix time, seconds.
        :param skew_s: how far apart the clocks may be, seconds.
        :raises RecordError: anything else.
        """
        beacon = self.beacon
        if beacon.network_id != network_id:
            raise RecordError("a beacon of another network")
        ahead_s = beacon.at - now_s
        if ahead_s > skew_s:
            raise RecordError("a beacon from the future", cure="Set this machine's clock, or the node's.")
        if -ahead_s > skew_s + LIFE_S:
            raise RecordError("an old beacon", cure="Set this machine's clock, or the node's.")
        if beacon.contents > now_s + skew_s:
            raise RecordError("a beacon of contents from the future")
        scheme = schemes.get(beacon.identity.scheme)
        if scheme is None:
            raise RecordError(
                f"the identity scheme {beacon.identity.scheme} is not allowed or not installed",
                cure="Install the distribution that brings the scheme, if the charter allows it.",
            )
        self.envelope.verify(BEACON_KIND, network_id, scheme, beacon.identity.public)
