"""What an identity scheme is made of: one signature algorithm, whose private key is a seed."""

from __future__ import annotations

from typing import Protocol

from port17 import BytesLike


class Component(Protocol):
    """What a signature algorithm's module offers to schemes."""

    ALGORITHM: str
    SEED_SIZE: int
    PUBLIC_SIZE: int
    SIGNATURE_SIZE: int
    SOURCE: str

    def load(self, seed: bytes) -> tuple[object, bytes]:
        """The private key of a seed, and its public key.

        :raises ValueError: the seed has another length.
        """

    def sign(self, private: object, message: BytesLike) -> bytes:
        """``SIGNATURE_SIZE`` bytes, under a private key of :meth:`load`."""

    def verify(self, public: bytes, message: BytesLike, signature: bytes) -> bool:
        """True if the signature is valid. Malformed keys are False, never a raise."""
