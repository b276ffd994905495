"""The warm link handshake: one flight each way, every byte of which looks random.

docs/protocol.md, "Handshake". Flight 1 is ``salt (16) | tag (16) | masked KEM ciphertext | box``, flight 2
one box; both have the charter's number of blocks. The cold one is :mod:`port17.wire.cold`'s.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from port17.errors import HandshakeFailed
from port17.records.framing import digest, framed
from port17.wire import flight as flights
from port17.wire import kem
from port17.wire.flight import FINGERPRINT_SIZE, LINK_TAG_SIZE, SALT_SIZE, refused
from port17.wire.flight import NodeSigner as NodeSigner
from port17.wire.flight import Sign as Sign
from port17.wire.flight import Verify as Verify
from port17.wire.onion import xor
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.ratchet import Chain, Session
from port17.wire.replay import REPLAY_KEY_SIZE, ReplaySet, stamp
from port17.wire.suite import KEY_SIZE, CipherSuite

BOX_HEAD = struct.Struct(">IQHBH")
"""Stamp (minutes), revision, ephemeral key's length, 1 if an identity follows, signature's length."""


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
    return flights.tag(suite, "link tag", record_hash, salt)


def _mask(suite: CipherSuite, record_hash: bytes, salt: bytes) -> bytes:
    key = suite.extract(record_hash, framed("link mask", salt))
    return suite.expand(key, framed("link mask stream"), suite.ciphertext_size)


class _Schedule:
    """The keys of one handshake, the same at both ends."""

    def __init__(self, network: Network, suite: CipherSuite, responder: bytes, record_hash: bytes) -> None:
        self._network = network
        self._suite = suite
        self._responder = responder
        self._record_hash = record_hash

    def first_box(self, ciphertext: bytes, secret: bytes) -> bytes:
        salt = self._suite.digest(
            "link box",
            self._network.network_id,
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
        self._first = flights.transcript(
            self._network,
            b"warm",
            revision,
            self._suite,
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
        if len(plain) > flights.room(network, head):
            raise HandshakeFailed(
                "the identity's signature does not fit into a handshake flight",
                cure="use an identity scheme that the charter's flight_blocks allow",
            )
        self.flight = flights.seal(network, suite, box_key, head, plain)
        """Flight 1."""
        self.early = self._schedule.early()
        """What cells right after flight 1 are sealed with."""

    def finish(self, flight: bytes, verify: Verify) -> Established:
        """Take flight 2.

        :raises HandshakeFailed: it is not the responder's.
        """
        suite = self._suite
        if len(flight) != flights.size(self._network):
            raise refused()
        plain = flights.opened(suite, self._schedule.second_box(), flight, 0)
        at = suite.ciphertext_size
        ciphertext = bytes(plain[:at])
        size = int.from_bytes(plain[at : at + 2], "big")
        signature = bytes(plain[at + 2 : at + 2 + size])
        message = self._schedule.second_flight(ciphertext)
        if not verify(self._to.fingerprint, message, signature):
            raise refused()
        try:
            secret = kem.decapsulate(suite, self._ephemeral.private, ciphertext)
        except ValueError as error:
            raise refused() from error
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
    if len(flight) != flights.size(network):
        raise refused()
    salt = flight[:SALT_SIZE]
    own = next((p for p in prekeys if flights.has_tag(flight, _tag(p.suite, p.record_hash, salt))), None)
    if own is None:
        raise refused()
    suite = own.suite
    at = SALT_SIZE + LINK_TAG_SIZE + suite.ciphertext_size
    masked = flight[SALT_SIZE + LINK_TAG_SIZE : at]
    ciphertext = xor(masked, _mask(suite, own.record_hash, salt))
    replay_key = digest("link replay", own.record_hash, ciphertext)[:REPLAY_KEY_SIZE]
    if replays.seen(replay_key):
        raise refused()
    try:
        secret = kem.decapsulate(suite, own.key.private, ciphertext)
    except ValueError as error:
        raise refused() from error
    schedule = _Schedule(network, suite, signer.fingerprint, own.record_hash)
    plain = flights.opened(suite, schedule.first_box(ciphertext, secret), flight, at)
    minutes, revision, key_size, is_node, signature_size = BOX_HEAD.unpack_from(plain)
    at = BOX_HEAD.size + key_size
    ephemeral = bytes(plain[BOX_HEAD.size : at])
    initiator = bytes(plain[at : at + FINGERPRINT_SIZE]) if is_node else b""
    at += len(initiator)
    signature = bytes(plain[at : at + signature_size])
    if key_size != suite.public_size or revision not in network.revisions or is_node > 1:
        raise refused()
    message = schedule.first_flight(revision, ephemeral, initiator)
    replays.admit(replay_key, minutes, now_s)
    if is_node and not verify(initiator, message, signature):
        raise refused()
    try:
        secret, second = kem.encapsulate(suite, ephemeral)
    except ValueError as error:
        raise refused() from error
    signature = signer.sign(schedule.second_flight(second))
    answer = second + len(signature).to_bytes(2, "big") + signature
    if len(answer) > flights.room(network, b""):
        raise HandshakeFailed("the identity's signature does not fit into a handshake flight")
    return flights.seal(network, suite, schedule.second_box(), b"", answer), Established(
        schedule.early(), schedule.session(secret), initiator or None, schedule.transcript
    )
