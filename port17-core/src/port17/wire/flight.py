"""What the flights of the warm and the cold link handshake are made of: tag and mask first, then a box.

Which keys go in, and what the box holds, is :mod:`port17.wire.handshake`'s and :mod:`port17.wire.cold`'s.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from port17.errors import HandshakeFailed
from port17.records.framing import BytesLike, framed
from port17.wire.block import BLOCK_SIZE
from port17.wire.prekey import Network
from port17.wire.suite import TAG_SIZE, CipherSuite, nonce

SALT_SIZE = 16
"""Bytes; two flights share a mask with probability 2^-64 after 2^32 flights under one key."""
LINK_TAG_SIZE = 16
"""Bytes of the tag that selects suite and slot with one hash each."""
FINGERPRINT_SIZE = 32
BOX_NONCE = nonce(0)
"""Each box key seals exactly one box."""

Sign = Callable[[bytes], bytes]
"""A node's signature over a message."""
Verify = Callable[[bytes, bytes, bytes], bool]
"""True if (fingerprint, message, signature) is a known node's valid signature."""


@dataclass(frozen=True)
class NodeSigner:
    """How a node proves who it is.

    :param fingerprint: 32 bytes.
    :param sign: signs a message with the identity key.
    """

    fingerprint: bytes
    sign: Sign


def refused() -> HandshakeFailed:
    """The one thing that is said of a flight, whatever is wrong with it."""
    return HandshakeFailed("a link's handshake was refused")


def size(network: Network) -> int:
    """Bytes of every flight, either way."""
    return network.flight_blocks * BLOCK_SIZE


def tag(suite: CipherSuite, label: str, key: bytes, salt: bytes) -> bytes:
    """What tells the responder which of its keys a flight is for."""
    return suite.extract(key, framed(label, salt))[:LINK_TAG_SIZE]


def has_tag(flight: bytes, tag: bytes) -> bool:
    """Whether a flight carries this tag."""
    return hmac.compare_digest(flight[SALT_SIZE : SALT_SIZE + LINK_TAG_SIZE], tag)


def transcript(
    network: Network,
    mode: bytes,
    revision: int,
    suite: CipherSuite,
    responder: bytes,
    record_hash: bytes,
    ciphertext: bytes,
    ephemeral: bytes,
    initiator: bytes,
) -> bytes:
    """What a first flight says, as a hash of 32 bytes; what a mode has not is empty."""
    return suite.digest(
        "link",
        mode,
        network.network_id,
        revision.to_bytes(8, "big"),
        suite.name.encode("ascii"),
        responder,
        record_hash,
        ciphertext,
        ephemeral,
        initiator,
    )


def room(network: Network, head: BytesLike) -> int:
    """Bytes that the box of a flight can hold behind its head."""
    return size(network) - len(head) - TAG_SIZE


def seal(network: Network, suite: CipherSuite, key: bytes, head: bytes, plain: bytes) -> bytes:
    """A whole flight: the head, and a box that fills it up.

    :param plain: at most :func:`room` bytes.
    """
    held = room(network, head)
    box = bytearray(held + TAG_SIZE)
    suite.aead(key).encrypt_into(BOX_NONCE, plain.ljust(held, b"\0"), head or None, box)
    return head + bytes(box)


def opened(suite: CipherSuite, key: bytes, flight: bytes, head: int) -> bytearray:
    """What the box of a flight holds.

    :param head: bytes before it.
    :raises HandshakeFailed: it was not sealed under this key, or anything before it was altered.
    """
    plain = bytearray(len(flight) - head - TAG_SIZE)
    try:
        suite.aead(key).decrypt_into(BOX_NONCE, flight[head:], flight[:head] or None, plain)
    except suite.forged as error:
        raise refused() from error
    return plain
