"""The cold handshake of a link, from both ends (docs/protocol.md, "Cold handshake")."""

from __future__ import annotations

from dataclasses import dataclass

from .framing import framed, u8, u16, u32, u64, xor
from .handshake import BLOCK, BOX_NONCE
from .suites import Suite


@dataclass(frozen=True)
class Responder:
    """A responder as everybody knows it who has its bottle, and the network both are in.

    :param flight_blocks: the genesis says how many.
    """

    network_id: bytes
    flight_blocks: int
    suite: Suite
    fingerprint: bytes

    def cold_key(self) -> bytes:
        """What stands where a warm handshake has the hash of a prekey record."""
        return self.suite.h("cold", self.network_id, self.suite.ascii, self.fingerprint)


# -- the key schedule -------------------------------------------------------------------------------
def tag(to: Responder, salt: bytes) -> bytes:
    """What tells the responder that a flight is a cold call to it, and in which suite."""
    return to.suite.extract(to.cold_key(), framed("cold tag", salt))[:16]


def mask_key(to: Responder, salt: bytes) -> bytes:
    """The documents' m."""
    return to.suite.extract(to.cold_key(), framed("cold mask", salt))


def box_key_one(to: Responder, salt: bytes) -> bytes:
    return to.suite.expand(mask_key(to, salt), "cold box 1")


def masked(to: Responder, salt: bytes, ciphertext: bytes) -> bytes:
    """The ciphertext as it crosses the link, and back."""
    return xor(ciphertext, to.suite.expand(mask_key(to, salt), "cold ciphertext", length=len(ciphertext)))


def first(to: Responder, revision: int, ephemeral: bytes) -> bytes:
    """What flight 1 says. What a warm one has besides is empty."""
    return to.suite.h(
        "link",
        b"cold",
        to.network_id,
        u64(revision),
        to.suite.ascii,
        to.fingerprint,
        b"",
        b"",
        ephemeral,
        b"",
    )


def transcript(to: Responder, first_hash: bytes, flight_one: bytes, ciphertext: bytes) -> bytes:
    return to.suite.h("cold done", first_hash, flight_one, ciphertext)


def box_key_two(to: Responder, transcript_hash: bytes, secret: bytes) -> bytes:
    return to.suite.expand(to.suite.extract(transcript_hash, secret), "cold box 2")


def responder_signs(to: Responder, transcript_hash: bytes, answer: bytes) -> bytes:
    return framed("link cold", to.suite.ascii, transcript_hash, answer)


# -- flight 1 ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Hello:
    """What the box of flight 1 holds.

    :param stamp: minutes since the epoch.
    :param want: 0 prekeys, 1 the label.
    """

    stamp: int
    revision: int
    want: int
    ephemeral: bytes


def make_flight_one(to: Responder, salt: bytes, hello: Hello) -> bytes:
    """The whole flight."""
    head = salt + tag(to, salt)
    plaintext = (
        u32(hello.stamp) + u64(hello.revision) + u8(hello.want) + u16(len(hello.ephemeral)) + hello.ephemeral
    )
    plaintext = plaintext.ljust(to.flight_blocks * BLOCK - len(head) - 16, b"\0")
    return head + to.suite.aead.seal(box_key_one(to, salt), BOX_NONCE, plaintext, head)


def open_flight_one(to: Responder, flight: bytes) -> Hello:
    """
    :raises Forged: it isn't for this responder.
    """
    salt = flight[:16]
    assert flight[16:32] == tag(to, salt)
    plain = to.suite.aead.open(box_key_one(to, salt), BOX_NONCE, flight[32:], flight[:32])
    size = int.from_bytes(plain[13:15], "big")
    return Hello(
        stamp=int.from_bytes(plain[:4], "big"),
        revision=int.from_bytes(plain[4:12], "big"),
        want=plain[12],
        ephemeral=plain[15 : 15 + size],
    )


# -- flight 2 ---------------------------------------------------------------------------------------
def make_flight_two(
    to: Responder, salt: bytes, ciphertext: bytes, key: bytes, signature: bytes, answer: bytes
) -> bytes:
    """The whole flight.

    :param key: box key 2.
    """
    head = masked(to, salt, ciphertext)
    plaintext = u16(len(signature)) + u16(len(answer)) + signature + answer
    plaintext = plaintext.ljust(to.flight_blocks * BLOCK - len(head) - 16, b"\0")
    return head + to.suite.aead.seal(key, BOX_NONCE, plaintext, head)


def open_flight_two(to: Responder, key: bytes, flight: bytes) -> tuple[bytes, bytes]:
    """(the responder's signature, its answer).

    :param key: box key 2.
    :raises Forged: it answers another flight.
    """
    at = to.suite.kem.ciphertext_size
    plain = to.suite.aead.open(key, BOX_NONCE, flight[at:], flight[:at])
    size, said = int.from_bytes(plain[:2], "big"), int.from_bytes(plain[2:4], "big")
    return plain[4 : 4 + size], plain[4 + size : 4 + size + said]
