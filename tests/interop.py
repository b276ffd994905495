"""What a circuit of three hops between the product and the reference needs at either end.

Every hop has another suite; that of the first is its link's, too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from reference import handshake, ratchet, setup
from reference.ratchet import REQUEST, Direction
from reference.suites import SUITES, Suite
from scripted_suite import product_suite

from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import NodeSigner
from port17.wire.link import Link
from port17.wire.prekey import Network, ResponderKey
from port17.wire.suite import CipherSuite, KemKey

ROUTE = (
    "p17-1-xwing-chacha20poly1305-blake2s",
    "p17-1-x25519-chacha20poly1305-blake2s",
    "p17-1-xwing-aes256gcm-sha256",
)
NETWORK = Network(hashlib.sha256(b"a network").digest(), (4, 3), 2, 60.0)
MINUTE = 30_000_000
WALL_S = MINUTE * 60.0
NOW_S = 1000.0
CELLS_PER_STEP = 2
SLOT = 20_833
CIRCUIT = 1


def sign(fingerprint: bytes, message: bytes) -> bytes:
    return hashlib.sha512(fingerprint + message).digest()


def verify(fingerprint: bytes, message: bytes, signature: bytes) -> bool:
    return signature == sign(fingerprint, message)


def pulled(end: Link) -> list[bytes]:
    """All blocks that a link of the product has to send."""
    sent = []
    while True:
        block = bytearray(BLOCK_SIZE)
        if not end.pull([memoryview(block)], NOW_S):
            return sent
        sent.append(bytes(block))


class Identity:
    """A node's prekey and name, for both sides."""

    def __init__(self, index: int) -> None:
        self.suite: CipherSuite = product_suite(ROUTE[index])
        self.fingerprint = hashlib.sha256(b"node %d" % index).digest()
        self.record_hash = hashlib.sha256(b"record %d" % index).digest()
        self.key: KemKey = self.suite.generate()
        self.seed = self.suite.private_bytes(self.key.private)
        self.hop = setup.Hop(
            NETWORK.network_id, 4, SUITES[ROUTE[index]], self.fingerprint, self.record_hash, SLOT
        )
        self.responder = handshake.Responder(
            NETWORK.network_id, 2, SUITES[ROUTE[index]], self.fingerprint, self.record_hash
        )
        self.known = ResponderKey(self.suite, self.fingerprint, self.record_hash, SLOT, self.key.public)
        self.signer = NodeSigner(self.fingerprint, lambda message: sign(self.fingerprint, message))


@dataclass
class Side:
    """The reference's keys of one session or link, at either end of it."""

    suite: Suite
    forward: Direction
    backward: Direction
    seed: bytes = b""
    peer: bytes = b""
    epoch: int = 0

    def frame(self, kind: int) -> tuple[bytes, bytes]:
        """(a frame, its secret), with a fresh key."""
        secret, ciphertext = self.suite.kem.encapsulate(self.peer)
        self.seed = os.urandom(self.suite.kem.seed_size)
        return ratchet.encode_frame(kind, self.epoch, ciphertext, self.suite.kem.public(self.seed)), secret

    def take(self, kind: int, frame: bytes) -> None:
        """A frame of the peer's came: its direction turns."""
        said, epoch, ciphertext, self.peer = ratchet.decode_frame(self.suite, frame)
        assert (said, epoch) == (kind, self.epoch)
        way = self.forward if kind == REQUEST else self.backward
        way.turn(self.suite.kem.decapsulate(self.seed, ciphertext), frame)
