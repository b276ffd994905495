"""Who a node or a moderator is: the public keys of an identity and what is derived from them."""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from typing import Annotated, TypeAlias

from pydantic import Field

from port17.errors import RecordError
from port17.records import scheme as schemes
from port17.records.record import LAX, DriverName, Record

COMPONENTS_CAP = 4
"""Most component keys of one scheme: composites have two, and a reserve."""
NODE_ID_SIZE = 20
"""Bytes of the fingerprint that a node id shows: 160 bits, enough for people; transcripts use all 32."""

PublicKey: TypeAlias = tuple[
    DriverName, Annotated[bytes, Field(min_length=1, max_length=schemes.PUBLIC_KEY_CAP)]
]


class Identity(Record):
    """An identity's public half.

    :param scheme: the identity scheme's name.
    :param public: (algorithm, public key) of every component, in the scheme's order.
    """

    scheme: DriverName
    public: Annotated[
        tuple[Annotated[PublicKey, LAX], ...], Field(min_length=1, max_length=COMPONENTS_CAP), LAX
    ]

    @cached_property  # what a bottle is found by
    def fingerprint(self) -> bytes:
        """32 bytes over every (algorithm, public key) in order."""
        return schemes.fingerprint(self.public)

    @property
    def node_id(self) -> str:
        """The fingerprint as people see it."""
        return node_id(self.fingerprint)


def node_id(fingerprint: bytes) -> str:
    """The first 20 bytes of a fingerprint in base32, lower case: 32 characters."""
    return base64.b32encode(fingerprint[:NODE_ID_SIZE]).decode("ascii").lower()


def parse_node_id(text: str) -> bytes:
    """The first 20 bytes of the fingerprint that a node id shows.

    :raises RecordError: the text is no node id.
    """
    try:
        prefix = base64.b32decode(text.strip().upper())
    except (binascii.Error, ValueError) as error:
        raise RecordError("not a node id", cure="A node id is 32 letters and digits from 2 to 7.") from error
    if len(prefix) != NODE_ID_SIZE:
        raise RecordError("not a node id", cure="A node id is 32 letters and digits from 2 to 7.")
    return prefix
