"""An identity's public half as people hand it to each other: signed by itself, so that it is whole.

It says who holds a key, not that anybody trusts them; it is of no network.
"""

from __future__ import annotations

from collections.abc import Mapping

from port17.errors import RecordError
from port17.records import envelope
from port17.records.envelope import Envelope
from port17.records.framing import BytesLike
from port17.records.identity import Identity
from port17.records.record import HASH_SIZE
from port17.records.scheme import IdentityScheme, SigningKey

CARD_KIND = "identity"
CARD_CAP = 32 * 1024
"""Longest card, bytes: four keys and four signatures of the longest kind."""
NO_NETWORK = bytes(HASH_SIZE)


def card(scheme: IdentityScheme, key: SigningKey) -> bytes:
    """The card of whoever holds a key."""
    identity = Identity.made(scheme=scheme.name, public=key.public)
    return envelope.sign(CARD_KIND, NO_NETWORK, scheme, key, identity.to_cbor()).to_cbor()


def read_card(data: BytesLike, schemes: Mapping[str, IdentityScheme]) -> Identity:
    """The identity of a card.

    :param schemes: those installed.
    :raises RecordError: it is no card, or not as its holder signed it.
    """
    held = Envelope.from_cbor(data, cap=CARD_CAP)
    identity = Identity.from_cbor(held.payload, cap=CARD_CAP)
    scheme = schemes.get(identity.scheme)
    if scheme is None:
        raise RecordError(
            f"the identity scheme {identity.scheme} is not installed",
            cure="Install the distribution that brings the scheme.",
        )
    held.verify(CARD_KIND, NO_NETWORK, scheme, identity.public)
    return identity
