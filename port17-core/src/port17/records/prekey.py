"""The prekey record: one ephemeral KEM key of a node, for one suite and one slot of time.

Contents of a bottle carry only its hash; the record is fetched when the node is about to be used.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field

from port17.records.framing import digest
from port17.records.record import DriverName, Hash, Record, Sequence64, UnixSecond

PUBLIC_CAP = 1400
"""Longest KEM public key, bytes: the cipher-suite contract allows no longer one."""
PREKEY_CAP = PUBLIC_CAP + 400
"""Longest encoded record, bytes: the key, two hashes, a name, two numbers and the field names."""


class PrekeyRecord(Record):
    """A node's public prekey.

    :param suite: the cipher suite's name.
    :param slot: slot number, Unix time divided by the charter's prekey lifetime.
    :param expiry: Unix second from which on the key is not used.
    :param public: the KEM public key; its size is the suite's to check.
    """

    network_id: Hash
    fingerprint: Hash
    suite: DriverName
    slot: Sequence64
    expiry: UnixSecond
    public: Annotated[bytes, Field(min_length=1, max_length=PUBLIC_CAP, repr=False)]

    @cached_property  # asked of every record of a bottle, whenever anything of the bottle has changed
    def hash(self) -> bytes:
        """The commitment (docs/protocol.md, "Records"): over every field. 32 bytes."""
        return digest(
            "prekey",
            self.network_id,
            self.fingerprint,
            self.suite.encode("ascii"),
            self.slot.to_bytes(8, "big"),
            self.expiry.to_bytes(8, "big"),
            self.public,
        )
