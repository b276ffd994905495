"""The ratchet: one session's keys in both directions, and how they turn.

Generic over a suite (docs/protocol.md, "Ratchet"). Each direction has a root, a chain and a counter of its
own, since one shared root with crossing steps kills sessions. Who sends which cell is the circuit's
business; this module only says which keys are next.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from port17.errors import LocalViolation, PeerViolation
from port17.records.framing import BytesLike, framed
from port17.wire import kem
from port17.wire.block import LAYER_OVERHEAD
from port17.wire.suite import KEY_SIZE, CipherSuite, KemKey

CELLS_PER_STEP = 128
"""Cells between symmetric steps: about half a mebibyte that one stolen cell key opens, at a cost of one
key schedule in 128 cells. 1 is allowed."""
AHEAD_FIRST = 8
"""Keystreams computed by a chain's first call: a flight of set-up needs no more."""
AHEAD_MOST = 128
"""Most keystreams computed by one call: 9 KiB kept, 30 microseconds."""
CHAIN_INFO = framed("chain")
STEP_INFO = framed("chain step")
"""What a root's successor and first chain key, and a chain key's successor, cell and filler key are expanded
with."""
pack_nonce = struct.Struct(">4xQ").pack
"""The nonce of a counter: four zero bytes and a u64."""


class Chain:
    """One direction of a session: root, chain key, cell and filler keys, counter.

    State never moves before authentication.
    """

    __slots__ = (
        "_ahead",
        "_ahead_end",
        "_ahead_first",
        "_ahead_many",
        "_cell_key",
        "_chain_key",
        "_filler_key",
        "_heads",
        "_heads_end",
        "_heads_first",
        "_heads_many",
        "_heads_width",
        "_root",
        "_suite",
        "cells_per_step",
        "counter",
        "decrypt_into",
        "encrypt_into",
        "forged",
        "left",
        "rekeys",
        "steps",
    )

    def __init__(self, suite: CipherSuite, root: bytes, cells_per_step: int = CELLS_PER_STEP) -> None:
        """
        :param root: 32 bytes, of this direction alone.
        :param cells_per_step: at least 1.
        """
        if cells_per_step < 1:
            raise LocalViolation("cells_per_step is at least 1")
        self._suite = suite
        self.forged = suite.forged
        """What :meth:`open` raises."""
        self._root = b""
        self.cells_per_step = cells_per_step
        self.counter = 0
        self.left = 0
        """Cells until the next symmetric step."""
        self.steps = 0
        """Symmetric steps so far."""
        self.rekeys = 0
        """Asymmetric steps so far."""
        self._chain_key = b""
        self._cell_key = b""
        self._filler_key = b""
        self._ahead = b""
        self._ahead_first = self._ahead_end = 0
        self._ahead_many = self._heads_many = AHEAD_FIRST
        self._heads = b""
        self._heads_first = self._heads_end = self._heads_width = 0
        self._begin_chain(root)

    def __repr__(self) -> str:
        return f"Chain(counter={self.counter}, steps={self.steps}, rekeys={self.rekeys})"

    def seal(self, plaintext: BytesLike, out: BytesLike) -> None:
        """Seal the next cell's layer into a buffer that is ``TAG_SIZE`` bytes longer."""
        counter = self.counter
        self.encrypt_into(pack_nonce(counter), plaintext, None, out)
        self.counter = counter + 1
        self.left = left = self.left - 1
        if not left:
            self.step()

    def open(self, sealed: BytesLike, out: BytesLike) -> None:
        """Open the next cell's layer.

        :raises Exception: :attr:`forged`, if it is not what was sealed next; nothing has moved then.
        """
        counter = self.counter
        self.decrypt_into(pack_nonce(counter), sealed, None, out)
        self.counter = counter + 1
        self.left = left = self.left - 1
        if not left:
            self.step()

    def opened(self, cells: int) -> None:
        """So many cells, at most :attr:`left`, were opened with :attr:`decrypt_into` itself."""
        self.counter += cells
        self.left -= cells
        if not self.left:
            self.step()

    def step(self) -> None:
        """The symmetric step: the old chain key and everything from it is forgotten."""
        self.steps += 1
        self._use_chain_key()

    def mix(self, secret: bytes, frame: bytes) -> None:
        """The asymmetric step, in force from this direction's next cell.

        :param secret: what the KEM agreed on.
        :param frame: the whole REQ or RSP that carried it.
        """
        root = self._suite.extract(self._root, secret + self._suite.digest("ratchet frame", frame))
        self.rekeys += 1
        self._begin_chain(root)

    def heads(self, count: int, width: int) -> bytes:
        """The first ``width`` bytes of the keystreams of the next ``count`` cells, at most :attr:`left`."""
        counter = self.counter
        if counter + count > self._heads_end or width != self._heads_width:
            # More than is asked for: the circuit's other chains step at other cells, and ask in pieces.
            many = max(count, min(self.left, self._heads_many))
            self._heads = self._suite.keystreams(self._cell_key, counter, many, width)
            self._heads_first, self._heads_end, self._heads_width = counter, counter + many, width
            self._heads_many = min(2 * many, AHEAD_MOST)
        at = (counter - self._heads_first) * width
        return self._heads[at : at + count * width]

    def fillers(self, count: int) -> bytes:
        """The ``h`` bytes that a relay puts before each of the next ``count`` cells, at most :attr:`left`."""
        counter = self.counter
        if counter + count > self._ahead_end:
            many = max(count, min(self.left, self._ahead_many))
            self._ahead = self._suite.keystreams(self._filler_key, counter, many, LAYER_OVERHEAD)
            self._ahead_first, self._ahead_end = counter, counter + many
            self._ahead_many = min(2 * many, AHEAD_MOST)
        at = (counter - self._ahead_first) * LAYER_OVERHEAD
        return self._ahead[at : at + count * LAYER_OVERHEAD]

    def filler(self) -> bytes:
        """The ``h`` bytes that a relay puts before the next cell that it passes on.

        A busy chain works out some at a time, an idle one few.
        """
        counter = self.counter
        if counter >= self._ahead_end:
            return self.fillers(1)
        at = (counter - self._ahead_first) * LAYER_OVERHEAD
        return self._ahead[at : at + LAYER_OVERHEAD]

    def _begin_chain(self, root: bytes) -> None:
        # What is kept for the next asymmetric step must not lead back to this chain's first key: else whoever
        # copies it has all of the chain, and no symmetric step closes anything.
        keys = self._suite.expand(root, CHAIN_INFO, 2 * KEY_SIZE)
        self._root, self._chain_key = keys[:KEY_SIZE], keys[KEY_SIZE:]
        self._use_chain_key()

    def _use_chain_key(self) -> None:
        # The next chain key comes with this one's keys, in one call: this one is forgotten at once.
        keys = self._suite.expand(self._chain_key, STEP_INFO, 3 * KEY_SIZE)
        self._chain_key = keys[:KEY_SIZE]
        self._cell_key = keys[KEY_SIZE : 2 * KEY_SIZE]
        self._filler_key = keys[2 * KEY_SIZE :]
        aead = self._suite.aead(self._cell_key)
        self.encrypt_into = aead.encrypt_into
        self.decrypt_into = aead.decrypt_into
        self._ahead = self._heads = b""
        self._ahead_end = self._heads_end = 0
        self.left = self.cells_per_step


class Session:
    """A client's keys with one hop, or a hop's with the client.

    Forward is from the session's initiator to its responder.
    """

    __slots__ = ("backward", "forward", "suite")

    def __init__(
        self, suite: CipherSuite, key: bytes, binding: bytes, cells_per_step: int = CELLS_PER_STEP
    ) -> None:
        """
        :param key: 32 bytes, from the handshake's extract step.
        :param binding: what else the keys bind (for a circuit: H of SETUP's box).
        """
        self.suite = suite
        forward = suite.expand(key, framed("root forward", binding), KEY_SIZE)
        backward = suite.expand(key, framed("root backward", binding), KEY_SIZE)
        self.forward = Chain(suite, forward, cells_per_step)
        self.backward = Chain(suite, backward, cells_per_step)


class StepCount:
    """Steps of many sessions, those that are over included."""

    __slots__ = ("asymmetric", "symmetric")

    def __init__(self) -> None:
        self.symmetric = 0
        self.asymmetric = 0

    def add(self, session: Session) -> None:
        """Count what a session has done so far."""
        for chain in (session.forward, session.backward):
            self.symmetric += chain.steps
            self.asymmetric += chain.rekeys

    def with_living(self, sessions: Iterable[Session]) -> dict[str, int]:
        """The counts as a status shows them, with those of sessions that live."""
        count = StepCount()
        count.symmetric, count.asymmetric = self.symmetric, self.asymmetric
        for session in sessions:
            count.add(session)
        return {"symmetric": count.symmetric, "asymmetric": count.asymmetric}


RATCHET_HEAD = struct.Struct(">BI")
"""Kind u8 and epoch u32, before ciphertext and new key."""
REQUEST, RESPONSE = 0, 1
EPOCH_CAP = 0xFFFF_FFFF


@dataclass(frozen=True)
class RatchetFrame:
    """REQ or RSP: an encapsulation to the peer's newest key, and a new key of one's own."""

    kind: int
    epoch: int
    ciphertext: bytes
    public: bytes

    def encode(self) -> bytes:
        """The frame's data."""
        return RATCHET_HEAD.pack(self.kind, self.epoch) + self.ciphertext + self.public

    @classmethod
    def decode(cls, data: bytes, suite: CipherSuite) -> RatchetFrame:
        """
        :raises PeerViolation: the sizes are not the suite's, or the kind is unknown.
        """
        split = RATCHET_HEAD.size + suite.ciphertext_size
        if len(data) != split + suite.public_size:
            raise PeerViolation("a RATCHET frame has the wrong size")
        kind, epoch = RATCHET_HEAD.unpack_from(data)
        if kind not in (REQUEST, RESPONSE):
            raise PeerViolation("a RATCHET frame is neither REQ nor RSP")
        return cls(kind, epoch, data[RATCHET_HEAD.size : split], data[split:])


class Turn:
    """What is to happen once the cell that carries a RATCHET frame is sealed."""

    __slots__ = ("_chain", "_secret", "data")

    def __init__(self, chain: Chain, secret: bytes, frame: RatchetFrame) -> None:
        self._chain = chain
        self._secret = secret
        self.data = frame.encode()

    def sealed(self) -> None:
        """The frame's cell is sealed under the old keys: turn to the new ones."""
        self._chain.mix(self._secret, self.data)


def _encapsulate(suite: CipherSuite, public: bytes) -> tuple[bytes, bytes]:
    try:
        return kem.encapsulate(suite, public)
    except ValueError as error:
        raise PeerViolation("the peer's ratchet key is unusable") from error


def _decapsulate(suite: CipherSuite, key: KemKey, ciphertext: bytes) -> bytes:
    try:
        return kem.decapsulate(suite, key.private, ciphertext)
    except ValueError as error:
        raise PeerViolation("the peer's ratchet ciphertext is unusable") from error


class InitiatorRatchet:
    """The client's (or link initiator's) side: it alone starts steps, one at a time."""

    __slots__ = ("_key", "_peer", "_session", "epoch", "waiting")

    def __init__(self, session: Session, key: KemKey) -> None:
        """:param key: the fresh key that went out in SETUP."""
        self._session = session
        self._key: KemKey | None = key
        self._peer = b""
        self.epoch = 0
        """The epoch of the newest REQ sent; 0 stands for SETUP."""
        self.waiting = True
        """A response is outstanding."""

    def response(self, data: bytes) -> None:
        """An RSP came: the backward direction turns, before its next cell is opened.

        :raises PeerViolation: it is not the response that is due.
        """
        frame = RatchetFrame.decode(data, self._session.suite)
        if frame.kind != RESPONSE or frame.epoch != self.epoch or self._key is None:
            raise PeerViolation("an RSP came that was not due")
        secret = _decapsulate(self._session.suite, self._key, frame.ciphertext)
        self._key = None
        self._session.backward.mix(secret, data)
        self._peer = frame.public
        self.waiting = False

    def request(self) -> Turn:
        """The next REQ; its :meth:`Turn.sealed` turns the forward direction.

        :raises LocalViolation: one is outstanding.
        """
        if self.waiting or self.epoch >= EPOCH_CAP:
            raise LocalViolation("a ratchet step is outstanding")
        suite = self._session.suite
        secret, ciphertext = _encapsulate(suite, self._peer)
        self._key = suite.generate()
        self._peer = b""
        self.epoch += 1
        self.waiting = True
        frame = RatchetFrame(REQUEST, self.epoch, ciphertext, self._key.public)
        return Turn(self._session.forward, secret, frame)


class ResponderRatchet:
    """The hop's (or link responder's) side: it answers every step at once."""

    __slots__ = ("_key", "_peer", "_session", "due", "epoch")

    def __init__(self, session: Session, peer: bytes) -> None:
        """:param peer: the initiator's fresh public key, from SETUP."""
        self._session = session
        self._key: KemKey | None = None
        self._peer = peer
        self.due = True
        """A response is to be sent."""
        self.epoch = 0

    def request(self, data: bytes) -> None:
        """A REQ came: the forward direction turns, before its next cell is opened.

        :raises PeerViolation: it is not the step that may come next.
        """
        frame = RatchetFrame.decode(data, self._session.suite)
        if frame.kind != REQUEST or frame.epoch != self.epoch + 1 or self._key is None or self.due:
            raise PeerViolation("a REQ came that was not due")
        secret = _decapsulate(self._session.suite, self._key, frame.ciphertext)
        self._key = None
        self._session.forward.mix(secret, data)
        self.epoch = frame.epoch
        self._peer = frame.public
        self.due = True

    def response(self, key: KemKey) -> Turn:
        """The response that is due; its :meth:`Turn.sealed` turns the backward direction.

        :param key: fresh, and this session's from now on.
        """
        if not self.due:
            raise LocalViolation("no ratchet response is due")
        suite = self._session.suite
        secret, ciphertext = _encapsulate(suite, self._peer)
        self._peer = b""
        self.due = False
        self._key = key
        frame = RatchetFrame(RESPONSE, self.epoch, ciphertext, key.public)
        return Turn(self._session.backward, secret, frame)
