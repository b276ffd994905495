"""A cipher suite that remembers every secret it ever made, and whether a text shows one of them."""

from __future__ import annotations

import base64

from port17.wire.suite import Aead, KemKey

from .wire_suites import ToySuite

PIECE = 8
"""Bytes of a secret that are in no text by chance."""


class Witness:
    """Secrets, and texts that must not show them.

    :ivar secrets: what no text may show.
    """

    def __init__(self) -> None:
        self.secrets: dict[bytes, str] = {}

    def keep(self, what: str, secret: bytes) -> bytes:
        """A secret, remembered by what it is."""
        self.secrets.setdefault(bytes(secret), what)
        return secret

    def shown_in(self, text: str) -> list[str]:
        """What a text shows: in hexadecimal, base64 or decimal, as a repr, or as it is."""
        lowered = text.lower()
        return [
            what
            for secret, what in self.secrets.items()
            if any(
                piece.hex() in lowered
                or repr(piece)[2:-1] in text
                or piece.decode("latin-1") in text
                or ", ".join(map(str, piece)) in text
                or base64.b64encode(piece)[:-2].decode() in text
                for piece in (secret[at : at + PIECE] for at in range(0, len(secret) - PIECE + 1, PIECE))
            )
        ]


class TellingSuite(ToySuite):
    """Tells a witness of every secret that passes."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness

    def generate(self) -> KemKey:
        key = super().generate()
        self.witness.keep("a private key", self.private_bytes(key.private))
        return key

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        secret, ciphertext = super().encapsulate(public)
        return self.witness.keep("a shared secret", secret), ciphertext

    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        return self.witness.keep("a shared secret", super().decapsulate(private, ciphertext))

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        return self.witness.keep("an extracted key", super().extract(salt, secret))

    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        return self.witness.keep("an expanded key", super().expand(key, info, length))

    def aead(self, key: bytes) -> Aead:
        return super().aead(self.witness.keep("a cell's key", key))
