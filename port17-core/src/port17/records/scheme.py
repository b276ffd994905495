"""The identity-scheme contract: the signature that a node's or a moderator's identity uses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from port17.records.framing import BytesLike, digest
from port17.records.level import Level, Status

PUBLIC_KEY_CAP = 4096
"""Longest public key of one algorithm, bytes: ML-DSA-87's 2592 and room."""
SIGNATURE_CAP = 5000
"""Longest signature, bytes, all components together: ML-DSA-87's 4627 beside Ed448's 114, and room."""


@dataclass(frozen=True)
class SigningKey:
    """An identity's key pair.

    :param private: opaque to the core. Never in a repr.
    :param public: (algorithm, public key) of every component, in the scheme's order.
    """

    private: object
    public: tuple[tuple[str, bytes], ...]

    def __repr__(self) -> str:
        return "SigningKey(private=<secret>)"


class IdentityScheme(ABC):
    """A driver of entry-point group ``port17.identity_schemes``; its entry point's name is ``name``.

    Every method is a pure function of its arguments and the system's random source; none keeps state. No repr
    and no exception shows a secret.

    A signature is **EUF-CMA** over the exact bytes: nobody makes one for a message that was not signed (FIPS
    204, section 3.2; for Ed25519 Brendel, Cremers, Jackson, Zhao, "The Provable Security of Ed25519", 2021).
    A second signature for a message that *was* signed may be possible: the core relies on SUF-CMA nowhere. A
    record is named by its payload and a link by its transcript, never by a signature. Keys under which
    messages verify that nobody signed, such as points of low order, are refused.

    A composite stands as long as one of its components does: it verifies only if every one does. Each
    component signs the composite's name and all of its public keys too, so that a component's signature
    is worth nothing alone, in another composite, or beside another identity's other half (non-separability:
    Bindel, Herath, McKague, Stebila, "Transitioning to a Quantum-Resistant Public Key Infrastructure", 2017;
    labels as in draft-ietf-lamps-pq-composite-sigs).
    """

    name: str
    """Stable wire name, ASCII; a composite's says its components."""
    status: Status
    authentication: Level
    """Against whom a signature stands: for a composite, what its strongest component claims."""
    source: str
    """Where the algorithms are specified, for people."""
    algorithms: tuple[str, ...]
    """The components' names, in the order of keys and signatures."""
    signature_size: int
    """Bytes of a whole signature, all components together: at most ``SIGNATURE_CAP``."""

    @abstractmethod
    def generate(self) -> SigningKey:
        """A fresh key pair."""

    @abstractmethod
    def sign(self, key: SigningKey, message: BytesLike) -> bytes:
        """``signature_size`` bytes."""

    @abstractmethod
    def verify(self, public: tuple[tuple[str, bytes], ...], message: BytesLike, signature: bytes) -> bool:
        """True only if every component's signature is valid. Malformed keys are False, never a raise."""

    @abstractmethod
    def private_bytes(self, key: SigningKey) -> bytes:
        """The private key as stored at rest (the seeds of the components, where they have them)."""

    @abstractmethod
    def load_private(self, stored: bytes) -> SigningKey:
        """The key pair of :meth:`private_bytes`.

        :raises ValueError: what is stored is no such key.
        """


def fingerprint(public: tuple[tuple[str, bytes], ...]) -> bytes:
    """The identity's fingerprint: 32 bytes over every (algorithm, public key) in order."""
    parts: list[bytes] = []
    for algorithm, key in public:
        parts += [algorithm.encode("ascii"), key]
    return digest("fingerprint", *parts)


def usable(names: Iterable[str], installed: Mapping[str, IdentityScheme]) -> dict[str, IdentityScheme]:
    """Of the schemes that a charter allows, those that may be believed here, in its order: installed, and not
    broken."""
    found = {name: installed[name] for name in names if name in installed}
    return {name: scheme for name, scheme in found.items() if scheme.status is not Status.BROKEN}
