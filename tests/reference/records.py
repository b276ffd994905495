"""What records are known by, and what signatures are over (docs/protocol.md, "Records")."""

from __future__ import annotations

from .framing import framed, h, u64


def network_id(genesis_payload: bytes) -> bytes:
    """The network's id, of the genesis exactly as it was written."""
    return h("genesis", genesis_payload)


def revision_hash(payload: bytes) -> bytes:
    """What the next revision names as its previous one."""
    return h("revision", payload)


def fingerprint(components: list[tuple[str, bytes]]) -> bytes:
    """Of an identity: (algorithm, public key) of every component, in the scheme's order."""
    parts = []
    for algorithm, key in components:
        parts += [algorithm.encode("ascii"), key]
    return h("fingerprint", *parts)


def prekey_hash(network: bytes, node: bytes, suite: str, slot: int, expiry: int, public: bytes) -> bytes:
    """The hash of a prekey record, which contents commit to."""
    return h("prekey", network, node, suite.encode("ascii"), u64(slot), u64(expiry), public)


def signed(kind: str, network: bytes, scheme: str, payload: bytes) -> bytes:
    """What an envelope's signature, or a revision's, is over."""
    return framed("signed", kind.encode("ascii"), network, scheme.encode("ascii"), payload)


def handed_over(network: bytes, scheme: str, old: bytes, new: bytes) -> bytes:
    """What an identity signs when another takes its place; fingerprints, and the old one's scheme."""
    # Deterministic CBOR: a map of two; the shorter key is first, each value has 32 bytes.
    word = b"\xa2" + b"\x69successor\x58\x20" + new + b"\x6bpredecessor\x58\x20" + old
    return signed("successor", network, scheme, word)


def composite_signed(scheme: str, components: list[tuple[str, bytes]], message: bytes) -> bytes:
    """What each component of a scheme with several of them signs."""
    parts = []
    for algorithm, key in components:
        parts += [algorithm.encode("ascii"), key]
    return framed("composite signature", scheme.encode("ascii"), *parts, message)
