"""The onion's arithmetic at the client: sealing to any hop, opening what any hop said.

A relay's part is one open or one seal and lives in :mod:`port17.wire.relay`. The layout and its proof
are in PROTOCOL.md, "The onion"; h, B and HEAD are of :mod:`port17.wire.block`.
"""

from __future__ import annotations

import os

from port17.errors import LocalViolation, PeerViolation
from port17.records.framing import BytesLike
from port17.wire.block import (
    BODY_SIZE,
    HEAD,
    LAYER_OVERHEAD,
    LAYER_SIZE,
    MAX_HOPS,
    PAYLOAD_SIZE,
    Flag,
)
from port17.wire.ratchet import NONCE, Session

RANDOM_AT_ONCE = 4096
"""Random bytes asked of the system at once, for the unused part of HEAD."""


def xor(left: bytes, right: bytes) -> bytes:
    """The exclusive or of two byte strings of one length."""
    size = len(left)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(size, "big")


class Onion:
    """The client's layers over the hops of one circuit, first hop first."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._random = b""
        self._random_at = 0
        # A layer's plaintext starts h bytes into a body and ends one byte after it: with one byte more
        # than a body, the plaintext of the next layer is a view, and no cell is ever copied.
        self._bodies = (bytearray(BODY_SIZE + 1), bytearray(BODY_SIZE + 1))
        self._whole = tuple(memoryview(b)[:BODY_SIZE] for b in self._bodies)
        self._inner = tuple(memoryview(b)[LAYER_OVERHEAD:] for b in self._bodies)
        self._layer = bytearray(LAYER_SIZE)
        self.payload = memoryview(self._layer)[HEAD:-1]
        """Where the caller writes what :meth:`seal` is to seal, ``PAYLOAD_SIZE`` bytes."""
        self._layer[-1] = Flag.FOR_YOU

    def add(self, session: Session) -> None:
        """One hop more, the new last one."""
        if len(self.sessions) == MAX_HOPS:
            raise LocalViolation(f"a circuit has at most {MAX_HOPS} hops")
        if not session.suite.stream_cipher:
            raise LocalViolation(f"{session.suite.name} cannot be used for circuits")
        self.sessions.append(session)

    def seal(self, hop: int, out: BytesLike) -> None:
        """Seal :attr:`payload` to a hop.

        :param hop: index of the hop, 0 the first.
        :param out: ``BODY_SIZE`` bytes to write the cell's body to.
        """
        chains = [session.forward for session in self.sessions[: hop + 1]]
        phi = b""
        for chain in chains[:-1]:
            if phi:
                phi = chain.filler() + xor(phi, chain.head()[: len(phi)])
            else:
                phi = chain.filler()
        last = chains[-1]
        if phi:
            phi = xor(phi, last.head()[: len(phi)])
        layer = self._layer
        layer[:HEAD] = phi + self._some_random(HEAD - len(phi))
        plaintext: BytesLike = layer
        for index in range(hop, -1, -1):
            chain = chains[index]
            into = self._whole[index & 1] if index else out
            chain.encrypt_into(NONCE.pack(chain.counter), plaintext, None, into)
            if index:
                self._bodies[index & 1][BODY_SIZE] = Flag.PASS_ON
                plaintext = self._inner[index & 1]
        for chain in chains:
            chain.advance()

    def open(self, body: BytesLike) -> tuple[int, memoryview]:
        """Open a body that came back.

        :returns: (index of the hop that spoke, its ``PAYLOAD_SIZE`` bytes, valid until the next call).
        :raises PeerViolation: it was altered, replayed, reordered, or no hop of ours sealed it.
        """
        sessions = self.sessions
        chain = sessions[0].backward
        buffer, inner = self._bodies[0], self._inner[0]
        try:
            chain.decrypt_into(NONCE.pack(chain.counter), body, None, inner)
        except sessions[0].suite.forged as error:
            raise PeerViolation("a backward cell is forged at its first layer") from error
        opened = 0
        flag = buffer[BODY_SIZE]
        heads: list[bytes] = []
        while flag == Flag.PASS_ON and opened + 1 < len(sessions):
            opened += 1
            chain = sessions[opened].backward
            into = self._inner[opened & 1]
            whole = self._whole[(opened - 1) & 1]
            nonce = NONCE.pack(chain.counter)
            if not heads:
                # The head of the second layer depends on who speaks; all deeper ones follow from it.
                for speaker in range(len(sessions) - 1, 0, -1):
                    heads = self._dropped(speaker)
                    whole[:LAYER_OVERHEAD] = heads[0]
                    try:
                        chain.decrypt_into(nonce, whole, None, into)
                    except sessions[opened].suite.forged:
                        heads = []
                        continue
                    break
                if not heads:
                    raise PeerViolation("a backward cell is forged at its second layer")
            else:
                if opened > len(heads):
                    raise PeerViolation("a backward cell was passed on by the hop that spoke")
                whole[:LAYER_OVERHEAD] = heads[opened - 1]
                try:
                    chain.decrypt_into(nonce, whole, None, into)
                except sessions[opened].suite.forged as error:
                    raise PeerViolation("a backward cell is forged at an inner layer") from error
            flag = self._bodies[opened & 1][BODY_SIZE]
        if flag != Flag.FOR_YOU:
            raise PeerViolation("a backward cell ends at no hop")
        for session in sessions[: opened + 1]:
            session.backward.advance()
        spoken = self._inner[opened & 1]
        return opened, spoken[HEAD : HEAD + PAYLOAD_SIZE]

    def _dropped(self, speaker: int) -> list[bytes]:
        """The h bytes that each relay before the speaker dropped: of bodies 1, 2, ... to the speaker."""
        size = speaker * LAYER_OVERHEAD
        head = self.sessions[speaker].backward.head()[:size]
        dropped = [head[:LAYER_OVERHEAD]]
        for index in range(speaker - 1, 0, -1):
            size -= LAYER_OVERHEAD
            head = xor(head[LAYER_OVERHEAD:], self.sessions[index].backward.head()[:size])
            dropped.append(head[:LAYER_OVERHEAD])
        dropped.reverse()
        return dropped

    def _some_random(self, size: int) -> bytes:
        if self._random_at + size > len(self._random):
            self._random = os.urandom(RANDOM_AT_ONCE)
            self._random_at = 0
        start = self._random_at
        self._random_at = start + size
        return self._random[start : start + size]
