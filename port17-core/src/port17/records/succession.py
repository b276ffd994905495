"""Rotation of an identity: the old key's word that a new one has taken its place.

The successor's label carries it and is signed by the new key, so that both have signed (docs/protocol.md,
"Records"). Who follows whom, over all bottles that are known, is :mod:`port17.bottles.successors`' to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

from pydantic import Field

from port17.errors import RecordError
from port17.records.envelope import signed_bytes
from port17.records.identity import Identity
from port17.records.record import LAX, Hash, Record
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme, SigningKey

SUCCESSOR_KIND = "successor"
PREDECESSORS_CAP = 3
"""Most predecessors that a label names, the newest first: who has missed that many rotations in a row looks
the node up anew. Each takes up to 5.5 KB with a composite scheme's key and signature."""


class _Word(Record):
    """What the old key signs, with the network around it."""

    predecessor: Hash
    successor: Hash


class Predecessor(Record):
    """An identity that has handed over, and its signature on that.

    :param identity: of the one that handed over.
    :param signature: over both fingerprints, for one network, under the old identity's scheme.
    """

    identity: Identity
    signature: Annotated[bytes, Field(max_length=SIGNATURE_CAP, repr=False)]


Predecessors: TypeAlias = Annotated[tuple[Predecessor, ...], Field(max_length=PREDECESSORS_CAP), LAX]


def hand_over(network_id: bytes, scheme: IdentityScheme, key: SigningKey, successor: Identity) -> Predecessor:
    """The old identity's word for its successor.

    :param scheme: of the old identity.
    :param key: the old identity's; not needed any more afterwards.
    """
    old = Identity.made(scheme=scheme.name, public=key.public)
    message = _message(network_id, old, successor.fingerprint)
    return Predecessor.made(identity=old.to_value(), signature=scheme.sign(key, message))


def believed(
    predecessors: Sequence[Predecessor],
    successor: Identity,
    network_id: bytes,
    schemes: Mapping[str, IdentityScheme],
) -> tuple[bytes, ...]:
    """The fingerprints that an identity has taken over from, the newest first.

    The word of a scheme that is not allowed is worth nothing, nor is what lies behind it: who broke the
    scheme could name himself anybody's successor.

    :param predecessors: each handed over to the one before, the first to ``successor``.
    :param schemes: the identity schemes that are allowed.
    :raises RecordError: an identity is there twice, or a signature under an allowed scheme is not valid.
    """
    chain = [successor.fingerprint, *(one.identity.fingerprint for one in predecessors)]
    if len(set(chain)) != len(chain):
        raise RecordError("an identity is its own predecessor")
    for at, one in enumerate(predecessors):
        scheme = schemes.get(one.identity.scheme)
        if scheme is None:
            return tuple(chain[1 : at + 1])
        message = _message(network_id, one.identity, chain[at])
        if not scheme.verify(one.identity.public, message, one.signature):
            raise RecordError("a predecessor's signature is not valid in this network")
    return tuple(chain[1:])


def _message(network_id: bytes, old: Identity, successor: bytes) -> bytes:
    word = _Word.made(predecessor=old.fingerprint, successor=successor)
    return signed_bytes(SUCCESSOR_KIND, network_id, old.scheme, word.to_cbor())
