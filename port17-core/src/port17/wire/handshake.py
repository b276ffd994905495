"""The warm link handshake: one flight each way, every byte of which looks random.

docs/protocol.md, "Handshake". Flight 1 is ``salt (16) | tag (16) | masked KEM ciphertext | box``, flight 2
one box; both have the charter's number of blocks. The cold handshake belongs to Seagulls.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from port17.errors import HandshakeFailed
from port17.records.framing import digest, framed
from port17.wire import kem
from port17.wire.block import BLOCK_SIZE
from port17.wire.onion import xor
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.ratchet import Chain, Session
from port17.wire.replay import REPLAY_KEY_SIZE, ReplaySet, stamp
from port17.wire.suite import KEY_SIZE, TAG_SIZE, CipherSuite, nonce

SALT_SIZE = 16
"""Bytes; two flights share a mask with probability 2^-64 after 2^32 flights to one prekey."""
LINK_TAG_SIZE = 16
"""Bytes of the tag that selects suite and slot with one hash each."""
BOX_HEAD = struct.Struct(">IQHBH")
"""Stamp (minutes), revision, ephemeral key's length, 1 if an identity follows, signature's length."""
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


@dataclass(frozen=True)
class Established:
    """A link's keys once both flights have passed.

    :param early: what the initiator seals with until END_EARLY.
    :param session: what both use after; forward is from the initiator.
    :param initiator: fingerprint of the node that called, None if a client did.
    :param transcript: 32 bytes that name this link and nothing else.
    """

    early: Chain
    session: Session
    initiator: bytes | None
    transcript: bytes


def _tag(suite: CipherSuite, record_hash: bytes, salt: bytes) -> bytes:
    return suite.extract(record_hash, framed("link tag", salt))[:LINK_TAG_SIZE]


def _mask(suite: CipherSuite, record_hash: bytes, salt: bytes) -> bytes:
    key = suite.extract(record_hash, framed("link mask", salt))
    return suite.expand(key, framed("link mask stream"), suite.ciphertext_size)


class _Schedule:
    """The keys of one handshake, the same at both ends."""

    def __init__(self, network: Network, suite: CipherSuite, responder: bytes, record_hash: bytes) -> None:
        self._network_id = network.network_id
        self._suite = suite
        self._responder = responder
        self._record_hash = record_hash

    def first_box(self, ciphertext: bytes, secret: bytes) -> bytes:
        salt = self._suite.digest(
            "link box",
            self._network_id,
            self._suite.name.encode("ascii"),
            self._responder,
            self._record_hash,
            ciphertext,
        )
        self._ciphertext = ciphertext
        self._key = self._suite.extract(salt, secret)
        return self._suite.expand(self._key, framed("link box 1"), KEY_SIZE)

    def first_flight(self, revision: int, ephemeral: bytes, initiator: bytes) -> bytes:
        """Bind what flight 1's box held. Returns what the initiator signs."""
        self._first = self._suite.digest(
            "link",
            b"warm",
            self._network_id,
            revision.to_bytes(8, "big"),
            self._suite.name.encode("ascii"),
            self._responder,
            self._record_hash,
            self._ciphertext,
            ephemeral,
            initiator,
        )
        self._early = self._suite.extract(self._first, self._key)
        return framed("link init", self._suite.name.encode("ascii"), self._first)

    def early(self) -> Chain:
        return Chain(self._suite, self._suite.expand(self._early, framed("link early"), KEY_SIZE))

    def second_box(self) -> bytes:
        return self._suite.expand(self._early, framed("link box 2"), KEY_SIZE)

    def second_flight(self, ciphertext: bytes) -> bytes:
        """Bind flight 2's ciphertext. Returns what the responder signs."""
        self.transcript = self._suite.digest("link done", self._first, ciphertext)
        return framed("link resp", self._suite.name.encode("ascii"), self.transcript)

    def session(self, secret: bytes) -> Session:
        key = self._suite.extract(self.transcript, self._early + secret)
        return Session(self._suite, key, self.transcript)


class Initiator:
    """The end that dials."""

    def __init__(
        self,
        network: Network,
        to: ResponderKey,
        now_s: float,
        *,
        signer: NodeSigner | None = None,
    ) -> None:
        """
        :param signer: a node's own identity; None for a client, which has none.
        :raises HandshakeFailed: the responder's prekey is unusable.
        """
        self._to = to
        self._network = network
        suite = self._suite = to.suite
        self._schedule = _Schedule(network, suite, to.fingerprint, to.record_hash)
        try:
            secret, ciphertext = kem.encapsulate(suite, to.public)
        except ValueError as error:
            raise HandshakeFailed("a node's prekey is unusable") from error
        salt = os.urandom(SALT_SIZE)
        masked = xor(ciphertext, _mask(suite, to.record_hash, salt))
        head = salt + _tag(suite, to.record_hash, salt) + masked
        box_key = self._schedule.first_box(ciphertext, secret)
        self._ephemeral = suite.generate()
        self._initiator = signer.fingerprint if signer else b""
        message = self._schedule.first_flight(network.revisions[0], self._ephemeral.public, self._initiator)
        signature = signer.sign(message) if signer else b""
        plain = (
            BOX_HEAD.pack(
                stamp(now_s),
                network.revisions[0],
                len(self._ephemeral.public),
                1 if signer else 0,
                len(signature),
            )
            + self._ephemeral.public
            + self._initiator
            + signature
        )
        room = network.flight_blocks * BLOCK_SIZE - len(head) - TAG_SIZE
        if len(plain) > room:
            raise HandshakeFailed(
                "the identity's signature does not fit into a handshake flight",
                cure="use an identity scheme that the charter's flight_blocks allow",
            )
        box = bytearray(room + TAG_SIZE)
        suite.aead(box_key).encrypt_into(BOX_NONCE, plain.ljust(room, b"\0"), head, box)
        self.flight = head + bytes(box)
        """Flight 1."""
        self.early = self._schedule.early()
        """What cells right after flight 1 are sealed with."""

    def finish(self, flight: bytes, verify: Verify) -> Established:
        """Take flight 2.

        :raises HandshakeFailed: it is not the responder's.
        """
        suite = self._suite
        if len(flight) != self._network.flight_blocks * BLOCK_SIZE:
            raise HandshakeFailed("a link's handshake was refused")
        plain = bytearray(len(flight) - TAG_SIZE)
        try:
            suite.aead(self._schedule.second_box()).decrypt_into(BOX_NONCE, flight, None, plain)
        except suite.forged as error:
            raise HandshakeFailed("a link's handshake was refused") from error
        at = suite.ciphertext_size
        ciphertext = bytes(plain[:at])
        size = int.from_bytes(plain[at : at + 2], "big")
        signature = bytes(plain[at + 2 : at + 2 + size])
        message = self._schedule.second_flight(ciphertext)
        if not verify(self._to.fingerprint, message, signature):
            raise HandshakeFailed("a link's handshake was refused")
        try:
            secret = kem.decapsulate(suite, self._ephemeral.private, ciphertext)
        except ValueError as error:
            raise HandshakeFailed("a link's handshake was refused") from error
        return Established(
            self.early,
            self._schedule.session(secret),
            self._initiator or None,
            self._schedule.transcript,
        )


def respond(
    network: Network,
    signer: NodeSigner,
    prekeys: Iterable[OwnPrekey],
    replays: ReplaySet,
    verify: Verify,
    flight: bytes,
    now_s: float,
) -> tuple[bytes, Established]:
    """Answer flight 1.

    :param prekeys: the node's own in force; each costs one hash.
    :param flight: ``flight_blocks`` blocks.
    :returns: (flight 2, the link's keys).
    :raises HandshakeFailed: anything is wrong; the caller then stays silent.
    :raises PeerViolation: it is a replay or its stamp is refused.
    """
    if len(flight) != network.flight_blocks * BLOCK_SIZE:
        raise HandshakeFailed("a link's handshake was refused")
    salt, tag = flight[:SALT_SIZE], flight[SALT_SIZE : SALT_SIZE + LINK_TAG_SIZE]
    own = next(
        (p for p in prekeys if hmac.compare_digest(tag, _tag(p.suite, p.record_hash, salt))),
        None,
    )
    if own is None:
        raise HandshakeFailed("a link's handshake was refused")
    suite = own.suite
    at = SALT_SIZE + LINK_TAG_SIZE + suite.ciphertext_size
    masked = flight[SALT_SIZE + LINK_TAG_SIZE : at]
    ciphertext = xor(masked, _mask(suite, own.record_hash, salt))
    replay_key = digest("link replay", own.record_hash, ciphertext)[:REPLAY_KEY_SIZE]
    if replays.seen(replay_key):
        raise HandshakeFailed("a link's handshake was refused")
    try:
        secret = kem.decapsulate(suite, own.key.private, ciphertext)
    except ValueError as error:
        raise HandshakeFailed("a link's handshake was refused") from error
    schedule = _Schedule(network, suite, signer.fingerprint, own.record_hash)
    plain = bytearray(len(flight) - at - TAG_SIZE)
    try:
        suite.aead(schedule.first_box(ciphertext, secret)).decrypt_into(
            BOX_NONCE, flight[at:], flight[:at], plain
        )
    except suite.forged as error:
        raise HandshakeFailed("a link's handshake was refused") from error
    minutes, revision, key_size, is_node, signature_size = BOX_HEAD.unpack_from(plain)
    at = BOX_HEAD.size + key_size
    ephemeral = bytes(plain[BOX_HEAD.size : at])
    initiator = bytes(plain[at : at + FINGERPRINT_SIZE]) if is_node else b""
    at += len(initiator)
    signature = bytes(plain[at : at + signature_size])
    if key_size != suite.public_size or revision not in network.revisions or is_node > 1:
        raise HandshakeFailed("a link's handshake was refused")
    message = schedule.first_flight(revision, ephemeral, initiator)
    replays.admit(replay_key, minutes, now_s)
    if is_node and not verify(initiator, message, signature):
        raise HandshakeFailed("a link's handshake was refused")
    try:
        secret, second = kem.encapsulate(suite, ephemeral)
    except ValueError as error:
        raise HandshakeFailed("a link's handshake was refused") from error
    signature = signer.sign(schedule.second_flight(second))
    answer = second + len(signature).to_bytes(2, "big") + signature
    room = network.flight_blocks * BLOCK_SIZE - TAG_SIZE
    if len(answer) > room:
        raise HandshakeFailed("the identity's signature does not fit into a handshake flight")
    box = bytearray(room + TAG_SIZE)
    suite.aead(schedule.second_box()).encrypt_into(BOX_NONCE, answer.ljust(room, b"\0"), None, box)
    return bytes(box), Established(
        schedule.early(), schedule.session(secret), initiator or None, schedule.transcript
    )
