"""The identity schemes of this distribution (docs/protocol.md, "Identity schemes").

The components are modules; how several of them make one scheme is said here, once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm

from port17 import BytesLike, IdentityScheme, Level, PluginError, SigningKey, Status, framed
from port17_crypto import ed25519, mldsa65
from port17_crypto.component import Component


@dataclass(frozen=True, repr=False)
class SchemePrivate:
    """A private key, loaded.

    :param scheme: the name of the scheme it belongs to.
    :param seed: the components' seeds, one after the other: the only thing that is ever stored.
    :param components: the components' private keys.
    """

    scheme: str
    seed: bytes
    components: tuple[object, ...]

    def __repr__(self) -> str:
        return "SchemePrivate(<secret>)"


class ComponentScheme(IdentityScheme):
    """A scheme of one component or several. A subclass names itself and them.

    One component signs the message as it is. Of several, each signs the frame of "composite signature", the
    scheme's name, every algorithm and public key in order, and the message: so no component's signature is
    one over the message, or over any message under another scheme or beside other keys.
    """

    components: tuple[Component, ...]

    def __init__(self) -> None:
        try:
            self.generate()
        except UnsupportedAlgorithm as error:
            raise PluginError(
                f"port17-crypto: the OpenSSL under the cryptography package cannot do {self.name}: {error}",
                cure="Install cryptography 48 or later from its wheel: pip install -U cryptography",
            ) from error

    def generate(self) -> SigningKey:
        return self.load_private(os.urandom(self._seed_size))

    def sign(self, key: SigningKey, message: BytesLike) -> bytes:
        private = self._private(key)
        signed = self._signed(key.public, message)
        pairs = zip(self.components, private.components, strict=True)
        return b"".join([component.sign(secret, signed) for component, secret in pairs])

    def verify(self, public: tuple[tuple[str, bytes], ...], message: BytesLike, signature: bytes) -> bool:
        if tuple(algorithm for algorithm, _ in public) != self.algorithms:
            return False
        if len(signature) != self.signature_size:
            return False
        signed = self._signed(public, message)
        start = 0
        for component, (_, key) in zip(self.components, public, strict=True):
            end = start + component.SIGNATURE_SIZE
            if not component.verify(key, signed, signature[start:end]):
                return False
            start = end
        return True

    def private_bytes(self, key: SigningKey) -> bytes:
        return self._private(key).seed

    def load_private(self, stored: bytes) -> SigningKey:
        if len(stored) != self._seed_size:
            raise ValueError(f"a private key of {self.name} is {self._seed_size} bytes long")
        secrets: list[object] = []
        public: list[tuple[str, bytes]] = []
        start = 0
        for component in self.components:
            end = start + component.SEED_SIZE
            secret, key = component.load(stored[start:end])
            secrets.append(secret)
            public.append((component.ALGORITHM, key))
            start = end
        return SigningKey(SchemePrivate(self.name, bytes(stored), tuple(secrets)), tuple(public))

    @property
    def _seed_size(self) -> int:
        return sum(component.SEED_SIZE for component in self.components)

    def _signed(self, public: tuple[tuple[str, bytes], ...], message: BytesLike) -> BytesLike:
        if len(self.components) == 1:
            return message
        keys = [part for algorithm, key in public for part in (algorithm.encode("ascii"), key)]
        return framed("composite signature", self.name.encode("ascii"), *keys, message)

    def _private(self, key: SigningKey) -> SchemePrivate:
        private = key.private
        if not isinstance(private, SchemePrivate) or private.scheme != self.name:
            raise TypeError(f"not a private key of {self.name}")
        return private


class Ed25519(ComponentScheme):
    """The default: Ed25519. Claims nothing against an attacker with a quantum computer."""

    name = "ed25519"
    status = Status.RECOMMENDED
    authentication = Level(classical=128, quantum=0)
    source = ed25519.SOURCE
    algorithms = (ed25519.ALGORITHM,)
    signature_size = ed25519.SIGNATURE_SIZE
    components = (ed25519,)


class Ed25519MlDsa65(ComponentScheme):
    """Ed25519 and ML-DSA-65, both of which must verify: stands while either stands."""

    name = "ed25519-mldsa65"
    status = Status.RECOMMENDED
    # Ed25519 gives 128 bits; ML-DSA-65 is NIST category 3.
    authentication = Level(classical=128, quantum=3)
    source = f"{ed25519.SOURCE}; {mldsa65.SOURCE}"
    algorithms = (ed25519.ALGORITHM, mldsa65.ALGORITHM)
    signature_size = ed25519.SIGNATURE_SIZE + mldsa65.SIGNATURE_SIZE
    components = (ed25519, mldsa65)
