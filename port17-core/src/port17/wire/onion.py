"""The onion's arithmetic at the client: sealing to any hop, opening what any hop said.

A relay's part is one open or one seal and lives in :mod:`port17.wire.relay`. The layout and its proof
are in docs/protocol.md, "The onion"; h, B and HEAD are of :mod:`port17.wire.block`.
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
from port17.wire.ratchet import AHEAD_FIRST, AHEAD_MOST, Chain, Session

PASS_ON, FOR_YOU = int(Flag.PASS_ON), int(Flag.FOR_YOU)
"""Plain integers: what is compared for every layer of every cell."""


def xor(left: bytes, right: bytes) -> bytes:
    """The exclusive or of two byte strings of one length."""
    size = len(left)
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(size, "big")


class Onion:
    """The client's layers over the hops of one circuit, first hop first.

    Nearly all cells go to the last hop or come from it, and what their layers' fronts need depends on keys
    and counters alone. So it is worked out for some cells at a time; a cell to or from another hop, or a
    turn of the ratchet, throws away what was worked out.
    """

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self._forward: list[Chain] = []
        self._backward: list[Chain] = []
        self._fronts: list[bytes] = []
        self._fronts_many = AHEAD_FIRST
        self._dropped: list[tuple[bytes, ...]] = []
        self._dropped_many = AHEAD_FIRST
        # A layer's plaintext starts h bytes into a body and ends one byte after it: with one byte more
        # than a body, the plaintext of the next layer is a view, and no cell is ever copied.
        self._bodies = (bytearray(BODY_SIZE + 1), bytearray(BODY_SIZE + 1))
        self._whole = tuple(memoryview(b)[:BODY_SIZE] for b in self._bodies)
        self._inner = tuple(memoryview(b)[LAYER_OVERHEAD:] for b in self._bodies)
        self._spoken = tuple(inner[HEAD : HEAD + PAYLOAD_SIZE] for inner in self._inner)
        self._layer = bytearray(LAYER_SIZE)
        self._front = memoryview(self._layer)[:HEAD]
        self.payload = memoryview(self._layer)[HEAD:-1]
        """Where the caller writes what :meth:`seal` is to seal, ``PAYLOAD_SIZE`` bytes."""
        self._layer[-1] = FOR_YOU

    def add(self, session: Session) -> None:
        """One hop more, the new last one."""
        if len(self.sessions) == MAX_HOPS:
            raise LocalViolation(f"a circuit has at most {MAX_HOPS} hops")
        if not session.suite.stream_cipher:
            raise LocalViolation(f"{session.suite.name} cannot be used for circuits")
        self.sessions.append(session)
        self._forward.append(session.forward)
        self._backward.append(session.backward)
        self.turned()

    def turned(self) -> None:
        """A session's keys changed other than by a symmetric step."""
        self._forget_fronts()
        self._forget_dropped()

    def _forget_fronts(self) -> None:
        self._fronts.clear()
        self._fronts_many = AHEAD_FIRST

    def _forget_dropped(self) -> None:
        self._dropped.clear()
        self._dropped_many = AHEAD_FIRST

    # -- forward ------------------------------------------------------------------------------------
    def seal(self, hop: int, out: BytesLike) -> None:
        """Seal :attr:`payload` to a hop.

        :param hop: index of the hop, 0 the first.
        :param out: ``BODY_SIZE`` bytes to write the cell's body to.
        """
        chains = self._forward
        if hop + 1 < len(chains):
            self._forget_fronts()
            self._front[:] = self._work_out_fronts(hop, 1)[0]
        else:
            if not self._fronts:
                self._fronts = self._work_out_fronts(hop, self._fronts_many)
                self._fronts.reverse()
                self._fronts_many = min(2 * self._fronts_many, AHEAD_MOST)
            self._front[:] = self._fronts.pop()
        plaintext: BytesLike = self._layer
        for index in range(hop, 0, -1):
            odd = index & 1
            chains[index].seal(plaintext, self._whole[odd])
            self._bodies[odd][BODY_SIZE] = PASS_ON
            plaintext = self._inner[odd]
        chains[0].seal(plaintext, out)

    def _work_out_fronts(self, hop: int, most: int) -> list[bytes]:
        """The HEAD bytes of the innermost layers of the next cells to a hop: phi, then random."""
        chains = self._forward[: hop + 1]
        count = min(most, *(chain.left for chain in chains)) if hop else most
        phi, width = b"", 0
        for chain in chains:
            if width:
                phi = xor(phi, chain.heads(count, width))
            if chain is chains[-1]:
                break
            fillers = chain.fillers(count)
            phi = b"".join(
                fillers[at * LAYER_OVERHEAD : (at + 1) * LAYER_OVERHEAD] + phi[at * width : (at + 1) * width]
                for at in range(count)
            )
            width += LAYER_OVERHEAD
        rest = HEAD - width
        noise = os.urandom(count * rest)
        return [
            phi[at * width : (at + 1) * width] + noise[at * rest : (at + 1) * rest] for at in range(count)
        ]

    # -- backward -----------------------------------------------------------------------------------
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
            hop, dropped = 1, self._open_second()
            flag = self._bodies[1][BODY_SIZE]
            while flag == PASS_ON and hop < len(dropped):
                whole = self._whole[hop & 1]
                whole[:LAYER_OVERHEAD] = dropped[hop]
                hop += 1
                try:
                    chains[hop].open(whole, self._inner[hop & 1])
                except chains[hop].forged as error:
                    raise PeerViolation("a backward cell is forged at an inner layer") from error
                flag = self._bodies[hop & 1][BODY_SIZE]
        if flag != FOR_YOU:
            raise PeerViolation("a backward cell ends at no hop")
        if hop + 1 < len(chains):
            self._forget_dropped()
        return hop, self._spoken[hop & 1]

    def _open_second(self) -> tuple[bytes, ...]:
        """Open the second layer, and learn who speaks: its head depends on that, and all deeper ones follow.

        :returns: the h bytes that each relay before the speaker dropped, of bodies 1, 2, ...
        """
        chain, whole, into = self._backward[1], self._whole[0], self._inner[1]
        last = len(self._backward) - 1
        if not self._dropped:
            self._dropped = self._work_out_dropped(last, self._dropped_many)
            self._dropped.reverse()
            self._dropped_many = min(2 * self._dropped_many, AHEAD_MOST)
        dropped = self._dropped.pop()
        for speaker in range(last, 0, -1):
            if speaker < last:
                dropped = self._work_out_dropped(speaker, 1)[0]
            whole[:LAYER_OVERHEAD] = dropped[0]
            try:
                chain.open(whole, into)
            except chain.forged:
                continue
            return dropped
        raise PeerViolation("a backward cell is forged at its second layer")

    def _work_out_dropped(self, speaker: int, most: int) -> list[tuple[bytes, ...]]:
        """What relays drop of the next cells that a hop says: per cell, the h bytes of bodies 1, 2, ..."""
        chains = self._backward[1 : speaker + 1]
        count = min(most, *(chain.left for chain in chains))
        width = speaker * LAYER_OVERHEAD
        heads = chains[-1].heads(count, width)
        dropped = [_fronts(heads, width)]
        for chain in reversed(chains[:-1]):
            rest = b"".join([heads[at + LAYER_OVERHEAD : at + width] for at in range(0, len(heads), width)])
            width -= LAYER_OVERHEAD
            heads = xor(rest, chain.heads(count, width))
            dropped.append(_fronts(heads, width))
        dropped.reverse()
        return list(zip(*dropped, strict=True))


def _fronts(joined: bytes, width: int) -> list[bytes]:
    """The first h bytes of each of the strings of one width that were joined."""
    return [joined[at : at + LAYER_OVERHEAD] for at in range(0, len(joined), width)]
