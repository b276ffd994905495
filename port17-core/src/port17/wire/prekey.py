"""What the wire needs of a responder: its prekeys, seen from outside and from inside."""

from __future__ import annotations

from dataclasses import dataclass

from port17.wire.suite import CipherSuite, KemKey


@dataclass(frozen=True)
class ResponderKey:
    """A responder as its initiators know it.

    :param fingerprint: 32 bytes, of its identity.
    :param record_hash: 32 bytes, of the prekey record (its commitment).
    :param slot: prekey id.
    :param public: the KEM public key.
    """

    suite: CipherSuite
    fingerprint: bytes
    record_hash: bytes
    slot: int
    public: bytes


@dataclass(frozen=True)
class OwnPrekey:
    """The same from inside.

    :param expiry_s: Unix second after which it is not used.
    """

    suite: CipherSuite
    record_hash: bytes
    slot: int
    key: KemKey
    expiry_s: float


@dataclass(frozen=True)
class Network:
    """What every transcript of a network binds.

    :param network_id: 32 bytes, H of the genesis.
    :param revisions: the charter revisions accepted now, the current one first.
    :param flight_blocks: blocks of one handshake flight.
    :param skew_s: clock skew allowed, seconds.
    """

    network_id: bytes
    revisions: tuple[int, ...]
    flight_blocks: int
    skew_s: float
