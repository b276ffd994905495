"""The onion's layers, at a relay and at the client (docs/protocol.md, "The onion")."""

from __future__ import annotations

from .aead import Forged
from .framing import xor
from .ratchet import Direction

B = 4072
"""Bytes of a cell's body."""
L = 17
"""What a layer costs: tag and flag. The documents' h."""
MAX_HOPS = 5
HEAD = (MAX_HOPS - 1) * L
PAYLOAD = B - 16 - HEAD - 1
PASS_ON, FOR_YOU = b"\0", b"\1"


def noise_size(hop: int) -> int:
    """Random bytes in the head of a cell to a hop, 1 the first."""
    return HEAD - (hop - 1) * L


# -- forward ----------------------------------------------------------------------------------------
def forward_heads(forward: list[Direction]) -> bytes:
    """phi_d: what the fillers of the hops before the last of these have become when it opens the cell."""
    phi = b""
    for direction in forward[:-1]:
        phi = direction.filler() + xor(phi, direction.keystream(len(phi)))
    return phi


def forward_seal(forward: list[Direction], payload: bytes, noise: bytes) -> bytes:
    """The client seals to the last of these hops. The body that the first one gets."""
    assert len(payload) == PAYLOAD
    assert len(noise) == noise_size(len(forward))
    phi = forward_heads(forward)
    plaintext = xor(phi, forward[-1].keystream(len(phi))) + noise + payload + FOR_YOU
    for direction in reversed(forward[1:]):
        plaintext = direction.seal(plaintext)[L:] + PASS_ON
    return forward[0].seal(plaintext)


def forward_open(forward: Direction, body: bytes) -> tuple[bool, bytes]:
    """A relay opens a body: (True, the payload for it), or (False, the body for the next hop)."""
    filler = forward.filler()
    plaintext = forward.open(body)
    if plaintext[-1:] == FOR_YOU:
        return True, plaintext[HEAD:-1]
    if plaintext[-1:] == PASS_ON:
        return False, filler + plaintext[:-1]
    raise Forged


# -- backward ---------------------------------------------------------------------------------------
def backward_say(backward: Direction, payload: bytes) -> bytes:
    """A hop speaks."""
    assert len(payload) == PAYLOAD
    return backward.seal(bytes(HEAD) + payload + FOR_YOU)


def backward_relay(backward: Direction, body: bytes) -> bytes:
    """A relay passes on what came from the hop behind it."""
    return backward.seal(body[L:] + PASS_ON)


def backward_heads(backward: list[Direction]) -> list[bytes]:
    """The known heads of the bodies of all these hops, if the last of them speaks."""
    heads = [backward[-1].keystream(HEAD)]
    for direction in reversed(backward[:-1]):
        rest = heads[0][L:]
        heads.insert(0, xor(rest, direction.keystream(len(rest))))
    return heads


def backward_open(backward: list[Direction], body: bytes) -> tuple[int, bytes]:
    """The client opens a body: (the hop that spoke, 1 the first; its payload).

    :raises Forged: no hop said that.
    """
    for speaker in range(len(backward), 0, -1):
        hops = backward[:speaker]
        heads = backward_heads(hops)
        counters = [direction.counter for direction in hops]
        try:
            return speaker, _backward_open(hops, heads, body)
        except Forged:
            for direction, counter in zip(hops, counters, strict=True):
                direction.counter = counter
    raise Forged


def _backward_open(backward: list[Direction], heads: list[bytes], body: bytes) -> bytes:
    for index, direction in enumerate(backward):
        plaintext = direction.open(body)
        last = index == len(backward) - 1
        if plaintext[-1:] != (FOR_YOU if last else PASS_ON):
            raise Forged
        if not last:
            body = heads[index + 1][:L] + plaintext[:-1]
    return plaintext[HEAD:-1]
