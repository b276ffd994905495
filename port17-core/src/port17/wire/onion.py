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
from port17.wire.ratchet import Chain, Session

RANDOM_AT_ONCE = 4096
"""Random bytes asked of the system at once, for the unused part of HEAD."""


PASS_ON, FOR_YOU = int(Flag.PASS_ON), int(Flag.FOR_YOU)
"""Plain integers: what is compared for every layer of every cell."""


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
        self._spoken = tuple(inner[HEAD : HEAD + PAYLOAD_SIZE] for inner in self._inner)
        self._forward: list[Chain] = []
        self._backward: list[Chain] = []
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
        self._forward.append(session.forward)
        self._backward.append(session.backward)

    def seal(self, hop: int, out: BytesLike) -> None:
        """Seal :attr:`payload` to a hop.

        :param hop: index of the hop, 0 the first.
        :param out: ``BODY_SIZE`` bytes to write the cell's body to.
        """
        chains = self._forward
        phi = b""
        if hop:
            phi = chains[0].filler()
            for index in range(1, hop):
                chain = chains[index]
                phi = chain.filler() + xor(phi, chain.head()[: len(phi)])
            phi = xor(phi, chains[hop].head()[: len(phi)])
        layer = self._layer
        layer[:HEAD] = phi + self._some_random(HEAD - len(phi))
        plaintext: BytesLike = layer
        for index in range(hop, 0, -1):
            odd = index & 1
            chains[index].seal(plaintext, self._whole[odd])
            self._bodies[odd][BODY_SIZE] = PASS_ON
            plaintext = self._inner[odd]
        chains[0].seal(plaintext, out)

    def open(self, body: BytesLike) -> tuple[int, memoryview]:
        """Open a body that came back.

        :returns: (index of the hop that spoke, its ``PAYLOAD_SIZE`` bytes, valid until the next call).
        :raises PeerViolation: it was altered, replayed, reordered, or no hop of ours sealed it.
        """
        chains = self._backward
        try:
            chains[0].open(body, self._inner[0])
        except chains[0].forged as error:
            raise PeerViolation("a backward cell is forged at its first layer") from error
        flag = self._bodies[0][BODY_SIZE]
        hop = 0
        if flag == PASS_ON and len(chains) > 1:
            hop, heads = 1, self._open_second()
            flag = self._bodies[1][BODY_SIZE]
            while flag == PASS_ON and hop < len(heads):
                whole = self._whole[hop & 1]
                whole[:LAYER_OVERHEAD] = heads[hop]
                hop += 1
                try:
                    chains[hop].open(whole, self._inner[hop & 1])
                except chains[hop].forged as error:
                    raise PeerViolation("a backward cell is forged at an inner layer") from error
                flag = self._bodies[hop & 1][BODY_SIZE]
        if flag != FOR_YOU:
            raise PeerViolation("a backward cell ends at no hop")
        return hop, self._spoken[hop & 1]

    def _open_second(self) -> list[bytes]:
        """Open the second layer, and learn who speaks: its head depends on that, and all deeper ones follow.

        :returns: the h bytes that each relay before the speaker dropped.
        """
        chain, whole, into = self._backward[1], self._whole[0], self._inner[1]
        for speaker in range(len(self._backward) - 1, 0, -1):
            heads = self._dropped(speaker)
            whole[:LAYER_OVERHEAD] = heads[0]
            try:
                chain.open(whole, into)
            except chain.forged:
                continue
            return heads
        raise PeerViolation("a backward cell is forged at its second layer")

    def _dropped(self, speaker: int) -> list[bytes]:
        """The h bytes that each relay before the speaker dropped: of bodies 1, 2, ... to the speaker."""
        size = speaker * LAYER_OVERHEAD
        chains = self._backward
        head = chains[speaker].head()[:size]
        dropped = [head[:LAYER_OVERHEAD]]
        for index in range(speaker - 1, 0, -1):
            size -= LAYER_OVERHEAD
            head = xor(head[LAYER_OVERHEAD:], chains[index].head()[:size])
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
