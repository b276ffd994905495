"""SETUP's content and the session that comes of it (docs/protocol.md, "Circuits")."""

from __future__ import annotations

from dataclasses import dataclass

from .framing import u8, u16, u32, u64
from .ratchet import Direction, session
from .suites import Suite

SIZE = 3072
BOX_NONCE = bytes(12)


@dataclass(frozen=True)
class Hop:
    """A hop as its clients know it.

    :param revision: the number of the charter revision that the client goes by.
    """

    network_id: bytes
    revision: int
    suite: Suite
    fingerprint: bytes
    record_hash: bytes
    slot: int


def key(hop: Hop, ciphertext: bytes, secret: bytes) -> bytes:
    """What all keys of the session are made of."""
    transcript = hop.suite.h(
        "circuit",
        hop.network_id,
        u64(hop.revision),
        hop.suite.ascii,
        hop.fingerprint,
        hop.record_hash,
        ciphertext,
    )
    return hop.suite.extract(transcript, secret)


def head(hop: Hop, ciphertext: bytes) -> bytes:
    """What stands before the box."""
    return u8(len(hop.suite.ascii)) + hop.suite.ascii + u64(hop.slot) + ciphertext


def make(
    hop: Hop, ciphertext: bytes, secret: bytes, stamp: int, ratchet_public: bytes, cells_per_step: int
) -> bytes:
    """The content. The KEM's outcome is given."""
    before = head(hop, ciphertext)
    plaintext = u32(stamp) + u16(len(ratchet_public)) + ratchet_public + u16(4) + u32(cells_per_step)
    plaintext = plaintext.ljust(SIZE - len(before) - 16, b"\0")
    box_key = hop.suite.expand(key(hop, ciphertext, secret), "setup box")
    return before + hop.suite.aead.seal(box_key, BOX_NONCE, plaintext, before)


def directions(
    hop: Hop, ciphertext: bytes, secret: bytes, content: bytes, cells_per_step: int
) -> tuple[Direction, Direction]:
    """(forward, backward) of the session that a content opens."""
    box = content[len(head(hop, ciphertext)) :]
    return session(hop.suite, key(hop, ciphertext, secret), hop.suite.h("setup box", box), cells_per_step)


def ciphertext_of(hop: Hop, content: bytes) -> bytes:
    """The KEM ciphertext in a content that is for this hop's suite and slot."""
    at = len(head(hop, b""))
    assert content[:at] == head(hop, b"")
    return content[at : at + hop.suite.kem.ciphertext_size]


def open_box(hop: Hop, content: bytes, secret: bytes) -> tuple[int, bytes, int]:
    """(stamp, the client's ratchet key, cells per step).

    :raises Forged: it isn't for this hop.
    """
    ciphertext = ciphertext_of(hop, content)
    before = head(hop, ciphertext)
    box_key = hop.suite.expand(key(hop, ciphertext, secret), "setup box")
    plain = hop.suite.aead.open(box_key, BOX_NONCE, content[len(before) :], before)
    size = int.from_bytes(plain[4:6], "big")
    at = 6 + size
    assert size == hop.suite.kem.public_size
    assert plain[at : at + 2] == u16(4)
    return int.from_bytes(plain[:4], "big"), plain[6:at], int.from_bytes(plain[at + 2 : at + 6], "big")
