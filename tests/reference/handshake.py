"""The warm handshake of a link, from both ends (docs/protocol.md, "Handshake")."""

from __future__ import annotations

from dataclasses import dataclass

from .framing import framed, u8, u16, u32, u64, xor
from .ratchet import CELLS_PER_STEP, Direction, session
from .suites import Suite

BLOCK = 4096
BOX_NONCE = bytes(12)


@dataclass(frozen=True)
class Responder:
    """A responder as its initiators know it, and the network both are in.

    :param flight_blocks: the genesis says how many.
    """

    network_id: bytes
    flight_blocks: int
    suite: Suite
    fingerprint: bytes
    record_hash: bytes


# -- the key schedule -------------------------------------------------------------------------------
def tag(suite: Suite, record_hash: bytes, salt: bytes) -> bytes:
    """What tells the responder which of its prekeys is meant."""
    return suite.extract(record_hash, framed("link tag", salt))[:16]


def mask(suite: Suite, record_hash: bytes, salt: bytes) -> bytes:
    """What hides the first ciphertext."""
    key = suite.extract(record_hash, framed("link mask", salt))
    return suite.expand(key, "link mask stream", length=suite.kem.ciphertext_size)


def key_one(to: Responder, ciphertext: bytes, secret: bytes) -> bytes:
    """The documents' k."""
    salt = to.suite.h("link box", to.network_id, to.suite.ascii, to.fingerprint, to.record_hash, ciphertext)
    return to.suite.extract(salt, secret)


def first(to: Responder, revision: int, ciphertext: bytes, ephemeral: bytes, initiator: bytes) -> bytes:
    """The transcript of flight 1; initiator is empty for a client."""
    return to.suite.h(
        "link",
        b"warm",
        to.network_id,
        u64(revision),
        to.suite.ascii,
        to.fingerprint,
        to.record_hash,
        ciphertext,
        ephemeral,
        initiator,
    )


def initiator_signs(suite: Suite, first_hash: bytes) -> bytes:
    return framed("link init", suite.ascii, first_hash)


def early_key(suite: Suite, first_hash: bytes, k: bytes) -> bytes:
    return suite.extract(first_hash, k)


def early_chain(suite: Suite, early: bytes) -> Direction:
    """What the initiator's cells before END_EARLY, and END_EARLY itself, are sealed with."""
    return Direction(suite, suite.expand(early, "link early"), CELLS_PER_STEP)


def transcript(suite: Suite, first_hash: bytes, second_ciphertext: bytes) -> bytes:
    return suite.h("link done", first_hash, second_ciphertext)


def responder_signs(suite: Suite, transcript_hash: bytes) -> bytes:
    return framed("link resp", suite.ascii, transcript_hash)


def final_chains(
    suite: Suite, transcript_hash: bytes, early: bytes, secret: bytes
) -> tuple[Direction, Direction]:
    """(forward, that is from the initiator; backward)."""
    key = suite.extract(transcript_hash, early + secret)
    return session(suite, key, transcript_hash, CELLS_PER_STEP)


# -- flight 1 ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hello:
    """What the box of flight 1 holds.

    :param stamp: minutes since the epoch.
    :param initiator: a node's fingerprint; empty for a client.
    :param signature: a node's; empty for a client.
    """

    stamp: int
    revision: int
    ephemeral: bytes
    initiator: bytes
    signature: bytes


def make_flight_one(to: Responder, salt: bytes, ciphertext: bytes, secret: bytes, hello: Hello) -> bytes:
    """The whole flight. The KEM's outcome is given."""
    masked = xor(ciphertext, mask(to.suite, to.record_hash, salt))
    head = salt + tag(to.suite, to.record_hash, salt) + masked
    plaintext = (
        u32(hello.stamp)
        + u64(hello.revision)
        + u16(len(hello.ephemeral))
        + u8(1 if hello.initiator else 0)
        + u16(len(hello.signature))
        + hello.ephemeral
        + hello.initiator
        + hello.signature
    )
    plaintext = plaintext.ljust(to.flight_blocks * BLOCK - len(head) - 16, b"\0")
    box_key = to.suite.expand(key_one(to, ciphertext, secret), "link box 1")
    return head + to.suite.aead.seal(box_key, BOX_NONCE, plaintext, head)


def unmask(to: Responder, flight: bytes) -> bytes:
    """The first ciphertext of a flight whose tag is this responder's."""
    salt = flight[:16]
    assert flight[16:32] == tag(to.suite, to.record_hash, salt)
    masked = flight[32 : 32 + to.suite.kem.ciphertext_size]
    return xor(masked, mask(to.suite, to.record_hash, salt))


def open_flight_one(to: Responder, flight: bytes, secret: bytes) -> Hello:
    """
    :raises Forged: it isn't for this responder.
    """
    at = 32 + to.suite.kem.ciphertext_size
    box_key = to.suite.expand(key_one(to, unmask(to, flight), secret), "link box 1")
    plain = to.suite.aead.open(box_key, BOX_NONCE, flight[at:], flight[:at])
    key_size = int.from_bytes(plain[12:14], "big")
    signature_size = int.from_bytes(plain[15:17], "big")
    at = 17 + key_size
    node = 32 if plain[14] else 0
    return Hello(
        stamp=int.from_bytes(plain[:4], "big"),
        revision=int.from_bytes(plain[4:12], "big"),
        ephemeral=plain[17:at],
        initiator=plain[at : at + node],
        signature=plain[at + node : at + node + signature_size],
    )


# -- flight 2 ---------------------------------------------------------------------------------------
def make_flight_two(
    suite: Suite, flight_blocks: int, early: bytes, ciphertext: bytes, signature: bytes
) -> bytes:
    """The whole flight."""
    plaintext = ciphertext + u16(len(signature)) + signature
    plaintext = plaintext.ljust(flight_blocks * BLOCK - 16, b"\0")
    return suite.aead.seal(suite.expand(early, "link box 2"), BOX_NONCE, plaintext)


def open_flight_two(suite: Suite, early: bytes, flight: bytes) -> tuple[bytes, bytes]:
    """(second ciphertext, the responder's signature).

    :raises Forged: it answers another flight.
    """
    plain = suite.aead.open(suite.expand(early, "link box 2"), BOX_NONCE, flight)
    at = suite.kem.ciphertext_size
    size = int.from_bytes(plain[at : at + 2], "big")
    return plain[:at], plain[at + 2 : at + 2 + size]
