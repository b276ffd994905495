"""The genesis of a network: what can never change. Its hash is the network's id, so it needs no signature."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from port17.errors import RecordError
from port17.records.framing import BytesLike, digest
from port17.records.identity import Identity
from port17.records.record import LAX, PortName, Record, UnixSecond

FORMAT = 1
"""Version of the protocol's records. A number: of a literal 1, True would be taken for it."""
CELL_SIZE = 4096
"""Bytes of a block on a link. The only size of version 1: the onion's arithmetic is laid out for it."""
MAX_HOPS = 5
"""Longest circuit. The only one of version 1: it fixes the onion's HEAD."""
FLIGHT_BLOCKS = 2
"""Blocks of a handshake flight: X-Wing and a post-quantum signature fit into two."""
FLIGHT_BLOCKS_CAP = 8
"""Most blocks of a flight: what a stranger can make a node read before it answers."""
UPDATE_KEYS_CAP = 16
"""Most update keys: people who must be able to meet."""
GENESIS_CAP = 256 * 1024
"""Longest genesis, bytes: sixteen composite post-quantum identities, four keys of 4 KiB at most each."""


class Genesis(Record):
    """What a network is founded on.

    :param format: version of the protocol's records.
    :param name: for people; two networks may have the same.
    :param created: Unix second.
    :param cell_size: bytes of a block on a link.
    :param max_hops: longest circuit.
    :param flight_blocks: blocks of a handshake flight.
    :param update_keys: the identities that may sign revisions.
    :param threshold: how many of them must.
    """

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    name: PortName
    created: UnixSecond
    cell_size: int = CELL_SIZE
    max_hops: int = MAX_HOPS
    flight_blocks: Annotated[int, Field(ge=FLIGHT_BLOCKS, le=FLIGHT_BLOCKS_CAP)] = FLIGHT_BLOCKS
    update_keys: Annotated[tuple[Identity, ...], Field(min_length=1, max_length=UPDATE_KEYS_CAP), LAX]
    threshold: Annotated[int, Field(ge=1)] = 1

    @field_validator("cell_size")
    @classmethod
    def _cell_size(cls, value: int) -> int:
        if value != CELL_SIZE:
            raise ValueError(f"version 1 of the protocol knows blocks of {CELL_SIZE} bytes only, not {value}")
        return value

    @field_validator("max_hops")
    @classmethod
    def _max_hops(cls, value: int) -> int:
        if value != MAX_HOPS:
            raise ValueError(
                f"version 1 of the protocol knows circuits of up to {MAX_HOPS} hops only, not {value}"
            )
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Genesis:
        if len({key.fingerprint for key in self.update_keys}) != len(self.update_keys):
            raise ValueError("an update key is there twice")
        if self.threshold > len(self.update_keys):
            raise ValueError("the threshold is above the number of update keys")
        return self


def network_id(genesis_payload: BytesLike) -> bytes:
    """The id of the network founded on a genesis as received. 32 bytes."""
    return digest("genesis", genesis_payload)


def read_genesis(payload: BytesLike) -> Genesis:
    """The genesis of its encoding.

    :raises RecordError: malformed, over a cap, or of a version that this program doesn't speak.
    """
    try:
        return Genesis.from_cbor(payload, cap=GENESIS_CAP)
    except RecordError as error:
        raise RecordError(
            error.message, cure="Get the charter again from where you had it, or a newer Port17."
        ) from error
