"""The cold handshake: who holds no prekey of a node that can still be used asks it for fresh ones.

docs/protocol.md, "Cold handshake". One flight each way, as long and as random as those of a warm one, and
both ends close. What an answer says is :mod:`port17.records.fresh_parts`'s; nothing travels under these keys.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from port17.errors import HandshakeFailed
from port17.records.framing import digest, framed
from port17.wire import flight as flights
from port17.wire import kem
from port17.wire.flight import LINK_TAG_SIZE, SALT_SIZE, NodeSigner, refused
from port17.wire.onion import xor
from port17.wire.prekey import Network
from port17.wire.quota import TokenBucket
from port17.wire.replay import REPLAY_KEY_SIZE, ReplaySet, stamp
from port17.wire.suite import KEY_SIZE, TAG_SIZE, CipherSuite

HEAD_SIZE = SALT_SIZE + LINK_TAG_SIZE
CALL_HEAD = struct.Struct(">IQBH")
"""Stamp (minutes), revision, what is wanted, ephemeral key's length."""
ANSWER_HEAD = struct.Struct(">HH")
"""The signature's length and the answer's."""
ANSWERS_PER_S, ANSWERS_BURST = 20.0, 100.0
"""Cold calls that a node answers per second, and at once. Whoever has its bottle can call, and nothing is
known of them: at 0.5 ms each (2 ms with ML-DSA) all of them together take 1 to 4 % of a core."""


class Want(IntEnum):
    """What a caller would rather have, where not all of it fits."""

    PREKEYS = 0
    """Prekeys and contents: it has the node's label."""
    LABEL = 1
    """The label: it knows the node by no more than its fingerprint."""


class Say(Protocol):
    """What a node says of itself, in at most ``room`` bytes."""

    def __call__(self, suite: CipherSuite, want: Want, room: int) -> bytes:
        """:raises HandshakeFailed: it has nothing to say, or it does not fit."""


Check = Callable[[bytes, bytes, bytes], bool]
"""True if (answer, message, signature): the message is signed by the node that was called. A caller that does
not know the node's keys finds them in the answer, and checks them by the fingerprint."""


@dataclass(frozen=True)
class _Keys:
    """Those of one flight 1, which everybody has who has the fingerprint."""

    suite: CipherSuite
    mask: bytes = field(repr=False)

    @classmethod
    def of(cls, suite: CipherSuite, key: bytes, salt: bytes) -> _Keys:
        return cls(suite, suite.extract(key, framed("cold mask", salt)))

    def box(self) -> bytes:
        return self.suite.expand(self.mask, framed("cold box 1"), KEY_SIZE)

    def masked(self, ciphertext: bytes) -> bytes:
        stream = self.suite.expand(self.mask, framed("cold ciphertext"), len(ciphertext))
        return xor(ciphertext, stream)


@dataclass(frozen=True)
class _Bound:
    """What both ends know after flight 2's ciphertext."""

    suite: CipherSuite
    transcript: bytes

    @classmethod
    def of(
        cls,
        network: Network,
        suite: CipherSuite,
        responder: bytes,
        revision: int,
        ephemeral: bytes,
        flight: bytes,
        ciphertext: bytes,
    ) -> _Bound:
        first = flights.transcript(network, b"cold", revision, suite, responder, b"", b"", ephemeral, b"")
        return cls(suite, suite.digest("cold done", first, flight, ciphertext))

    def box(self, secret: bytes) -> bytes:
        key = self.suite.extract(self.transcript, secret)
        return self.suite.expand(key, framed("cold box 2"), KEY_SIZE)

    def signs(self, answer: bytes) -> bytes:
        """What the responder signs."""
        return framed("link cold", self.suite.name.encode("ascii"), self.transcript, answer)


def _cold_key(network: Network, suite: CipherSuite, responder: bytes) -> bytes:
    """Takes the place of a prekey record's hash; known to whoever knows the responder."""
    return suite.digest("cold", network.network_id, suite.name.encode("ascii"), responder)


def _tag(suite: CipherSuite, key: bytes, salt: bytes) -> bytes:
    return flights.tag(suite, "cold tag", key, salt)


def answer_room(network: Network, suite: CipherSuite, signature_size: int) -> int:
    """Bytes of an answer that fit into flight 2; below zero if not even the signature does."""
    return flights.size(network) - suite.ciphertext_size - TAG_SIZE - ANSWER_HEAD.size - signature_size


class ColdCaller:
    """The end that asks. It has no identity, whoever it is."""

    def __init__(
        self,
        network: Network,
        suite: CipherSuite,
        responder: bytes,
        now_s: float,
        want: Want = Want.PREKEYS,
    ) -> None:
        """
        :param suite: the one to use with the responder.
        :param responder: its fingerprint, 32 bytes.
        """
        self._network = network
        self._suite = suite
        self._responder = responder
        self._ephemeral = suite.generate()
        key = _cold_key(network, suite, responder)
        salt = os.urandom(SALT_SIZE)
        self._keys = _Keys.of(suite, key, salt)
        public = self._ephemeral.public
        plain = CALL_HEAD.pack(stamp(now_s), network.revisions[0], want, len(public)) + public
        head = salt + _tag(suite, key, salt)
        self.flight = flights.seal(network, suite, self._keys.box(), head, plain)
        """Flight 1."""

    def finish(self, flight: bytes, check: Check) -> bytes:
        """Take flight 2.

        :returns: the answer, which the responder has signed for this call.
        :raises HandshakeFailed: it is not the responder's.
        """
        suite = self._suite
        if len(flight) != flights.size(self._network):
            raise refused()
        at = suite.ciphertext_size
        ciphertext = self._keys.masked(flight[:at])
        bound = _Bound.of(
            self._network,
            suite,
            self._responder,
            self._network.revisions[0],
            self._ephemeral.public,
            self.flight,
            ciphertext,
        )
        try:
            secret = kem.decapsulate(suite, self._ephemeral.private, ciphertext)
        except ValueError as error:
            raise refused() from error
        plain = flights.opened(suite, bound.box(secret), flight, at)
        signature_size, answer_size = ANSWER_HEAD.unpack_from(plain)
        at = ANSWER_HEAD.size + signature_size
        answer = bytes(plain[at : at + answer_size])
        if len(answer) != answer_size or not check(
            answer, bound.signs(answer), bytes(plain[ANSWER_HEAD.size : at])
        ):
            raise refused()
        return answer


class ColdResponder:
    """The end that answers: one for each node, since what all of its callers may cost is bounded."""

    def __init__(self, signer: NodeSigner, signature_size: int, replays: ReplaySet, say: Say) -> None:
        """
        :param signature_size: bytes of the signer's signatures.
        :param replays: of first flights of links, warm ones as well.
        """
        self._signer = signer
        self._signature_size = signature_size
        self._replays = replays
        self._say = say
        self._quota = TokenBucket(ANSWERS_PER_S, ANSWERS_BURST)
        self._keys: dict[tuple[bytes, str], bytes] = {}

    def answer(
        self,
        network: Network,
        suites: Mapping[str, CipherSuite],
        flight: bytes,
        now_s: float,
        elapsed_s: float,
    ) -> bytes | None:
        """Answer flight 1, if it is one of these.

        :param suites: those served, by name; each costs one hash.
        :param now_s: Unix time.
        :param elapsed_s: by a clock that nobody sets.
        :returns: flight 2; None if it is no cold call to this node.
        :raises HandshakeFailed: it is, and anything is wrong with it; the caller then stays silent.
        :raises PeerViolation: it is a replay, its stamp is refused, or there are too many.
        """
        if len(flight) != flights.size(network):
            raise refused()
        salt = flight[:SALT_SIZE]
        for suite in suites.values():
            key = self._key(network, suite)
            if flights.has_tag(flight, _tag(suite, key, salt)):
                return self._answer(network, suite, _Keys.of(suite, key, salt), flight, now_s, elapsed_s)
        return None

    def _key(self, network: Network, suite: CipherSuite) -> bytes:
        place = network.network_id, suite.name
        if place not in self._keys:
            self._keys[place] = _cold_key(network, suite, self._signer.fingerprint)
        return self._keys[place]

    def _answer(
        self,
        network: Network,
        suite: CipherSuite,
        keys: _Keys,
        flight: bytes,
        now_s: float,
        elapsed_s: float,
    ) -> bytes:
        plain = flights.opened(suite, keys.box(), flight, HEAD_SIZE)
        minutes, revision, want, key_size = CALL_HEAD.unpack_from(plain)
        if key_size != suite.public_size or revision not in network.revisions or want > Want.LABEL:
            raise refused()
        ephemeral = bytes(plain[CALL_HEAD.size : CALL_HEAD.size + key_size])
        replay_key = digest("cold replay", self._signer.fingerprint, ephemeral)[:REPLAY_KEY_SIZE]
        # Before the quota, so that what was heard once costs no true caller its answer; and the entry after
        # it, so that the set has room for warm calls whatever comes.
        self._replays.check(replay_key, minutes, now_s)
        if not self._quota.take(elapsed_s):
            raise HandshakeFailed("more cold calls than are answered")
        self._replays.admit(replay_key, minutes, now_s)
        try:
            secret, ciphertext = kem.encapsulate(suite, ephemeral)
        except ValueError as error:
            raise refused() from error
        bound = _Bound.of(network, suite, self._signer.fingerprint, revision, ephemeral, flight, ciphertext)
        head = keys.masked(ciphertext)
        room = answer_room(network, suite, self._signature_size)
        answer = self._say(suite, Want(want), room)
        signature = self._signer.sign(bound.signs(answer))
        if len(answer) + len(signature) > room + self._signature_size:
            raise HandshakeFailed("a node's answer does not fit into a handshake flight")
        said = ANSWER_HEAD.pack(len(signature), len(answer)) + signature + answer
        return flights.seal(network, suite, bound.box(secret), head, said)
