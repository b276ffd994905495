"""The envelope in which an identity's signed payloads travel.

Signed are the kind, the network, the scheme and the payload exactly as received: nobody re-encodes to
verify, and a signature made for one kind or one network is worth nothing for another.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from port17.errors import RecordError
from port17.records.framing import BytesLike, digest, framed
from port17.records.record import DriverName, Record
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme, SigningKey

PAYLOAD_CAP = 64 * 1024
"""Longest payload, bytes; every kind of payload has a narrower cap of its own."""


class Envelope(Record):
    """A payload and the signature of one identity over it.

    :param scheme: the identity scheme's name.
    :param payload: the bytes that were signed.
    :param signature: of all components together.
    """

    scheme: DriverName
    payload: Annotated[bytes, Field(max_length=PAYLOAD_CAP, repr=False)]
    signature: Annotated[bytes, Field(max_length=SIGNATURE_CAP, repr=False)]

    def hash(self, kind: str) -> bytes:
        """Names the payload among all of its kind, whatever the signature. 32 bytes."""
        return digest(f"envelope:{kind}", self.scheme.encode("ascii"), self.payload)

    def verify(
        self, kind: str, network_id: bytes, scheme: IdentityScheme, public: tuple[tuple[str, bytes], ...]
    ) -> None:
        """Accepts only the signature of an identity over this payload.

        :param kind: what the payload must be.
        :param public: the identity's (algorithm, public key) of every component.
        :raises RecordError: it is not signed by that identity for that use.
        """
        if self.scheme != scheme.name:
            raise RecordError(f"a {kind} signed under {self.scheme}, not under {scheme.name}")
        if not scheme.verify(
            public, signed_bytes(kind, network_id, scheme.name, self.payload), self.signature
        ):
            raise RecordError(f"a {kind} whose signature is not valid in this network")


def sign(kind: str, network_id: bytes, scheme: IdentityScheme, key: SigningKey, payload: bytes) -> Envelope:
    """The envelope of a payload.

    :param kind: what the payload is, ASCII, distinct for every use.
    :raises RecordError: the payload is over its cap.
    """
    signature = scheme.sign(key, signed_bytes(kind, network_id, scheme.name, payload))
    return Envelope.made(scheme=scheme.name, payload=payload, signature=signature)


def signed_bytes(kind: str, network_id: bytes, scheme: str, payload: BytesLike) -> bytes:
    """What a signature of an identity is over."""
    return framed("signed", kind.encode("ascii"), network_id, scheme.encode("ascii"), payload)
