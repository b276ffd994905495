"""One direction of a session, and the frames that turn it (docs/protocol.md, "Ratchet")."""

from __future__ import annotations

from .framing import u8, u32, u64
from .suites import Suite

CELLS_PER_STEP = 128
"""Of links, and of circuits whose client says nothing else."""
REQUEST, RESPONSE = 0, 1
FILLER_SIZE = 17


def roots(suite: Suite, key: bytes, binding: bytes) -> tuple[bytes, bytes]:
    """(forward root, backward root) of a session's key and what the session is bound to."""
    return suite.expand(key, "root forward", binding), suite.expand(key, "root backward", binding)


def chain_key(suite: Suite, root: bytes, steps: int) -> bytes:
    """A chain's key so many symmetric steps after its root was made."""
    key = suite.expand(root, "chain", length=64)[32:]
    for _ in range(steps):
        key = suite.expand(key, "chain step", length=96)[:32]
    return key


def cell_and_filler_key(suite: Suite, key: bytes) -> tuple[bytes, bytes]:
    """The two keys of a chain key."""
    keys = suite.expand(key, "chain step", length=96)  # the next chain key is the first third
    return keys[32:64], keys[64:]


def next_root(suite: Suite, root: bytes, secret: bytes, frame: bytes) -> bytes:
    """The asymmetric step, from what a direction keeps of its root."""
    kept = suite.expand(root, "chain", length=64)[:32]
    return suite.extract(kept, secret + suite.h("ratchet frame", frame))


def nonce(counter: int) -> bytes:
    """Of a cell."""
    return bytes(4) + u64(counter)


def encode_frame(kind: int, epoch: int, ciphertext: bytes, public: bytes) -> bytes:
    """The data of a RATCHET frame."""
    return u8(kind) + u32(epoch) + ciphertext + public


def decode_frame(suite: Suite, frame: bytes) -> tuple[int, int, bytes, bytes]:
    """(kind, epoch, ciphertext, new public key)."""
    split = 5 + suite.kem.ciphertext_size
    assert len(frame) == split + suite.kem.public_size
    return frame[0], int.from_bytes(frame[1:5], "big"), frame[5:split], frame[split:]


class Direction:
    """A root, and two numbers: how many cells it has seen in all, and when the root came into force.

    Every key is derived anew from the root whenever it is needed.
    """

    def __init__(self, suite: Suite, root: bytes, cells_per_step: int = CELLS_PER_STEP) -> None:
        self.suite = suite
        self.root = root
        self.cells_per_step = cells_per_step
        self.counter = 0
        self.begun = 0

    @property
    def steps(self) -> int:
        """Symmetric steps since the root came into force."""
        return (self.counter - self.begun) // self.cells_per_step

    def keys(self) -> tuple[bytes, bytes]:
        """The cell key and the filler key of the next cell."""
        return cell_and_filler_key(self.suite, chain_key(self.suite, self.root, self.steps))

    def keystream(self, length: int) -> bytes:
        """The head of what the next cell's plaintext is combined with."""
        return self.suite.aead.keystream(self.keys()[0], nonce(self.counter), length)

    def filler(self) -> bytes:
        """What a relay puts before the next cell, if it passes it on."""
        return self.suite.aead.keystream(self.keys()[1], nonce(self.counter), FILLER_SIZE)

    def seal(self, plaintext: bytes) -> bytes:
        """Seal the next cell."""
        sealed = self.suite.aead.seal(self.keys()[0], nonce(self.counter), plaintext)
        self.counter += 1
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """Open the next cell.

        :raises Forged: it is not the next one; nothing has changed then.
        """
        plaintext = self.suite.aead.open(self.keys()[0], nonce(self.counter), sealed)
        self.counter += 1
        return plaintext

    def turn(self, secret: bytes, frame: bytes) -> None:
        """A RATCHET frame turned this direction: the next cell is the first under the new root."""
        self.root = next_root(self.suite, self.root, secret, frame)
        self.begun = self.counter


def session(suite: Suite, key: bytes, binding: bytes, cells_per_step: int) -> tuple[Direction, Direction]:
    """(forward, backward)."""
    forward, backward = roots(suite, key, binding)
    return Direction(suite, forward, cells_per_step), Direction(suite, backward, cells_per_step)
