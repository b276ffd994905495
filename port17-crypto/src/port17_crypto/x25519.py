"""DHKEM(X25519, HKDF-SHA256) of RFC 9180: a KEM made of a Diffie-Hellman exchange.

Classical security alone: who records today's traffic and has a quantum computer one day reads it. Which suite
uses it is no matter of this module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from port17 import Level
from port17_crypto.hkdf import HKDF_SHA256

SEED_SIZE = 32
"""Bytes of a private key at rest: the scalar before clamping (RFC 7748, section 5)."""
PUBLIC_SIZE = 32
"""Bytes of a public key, Npk (RFC 9180, table 2)."""
CIPHERTEXT_SIZE = 32
"""Bytes of a ciphertext, Nenc: the ephemeral public key (RFC 9180, table 2)."""
SECRET_SIZE = 32
"""Bytes of a shared secret, Nsecret (RFC 9180, table 2)."""
LEVEL = Level(classical=128, quantum=0)
SOURCE = "RFC 9180 (DHKEM 0x0020), RFC 7748"
VERSION_LABEL = b"HPKE-v1"
"""First in every labelled input of HPKE (RFC 9180, section 4)."""
SUITE_ID = b"KEM\x00\x20"
"""The KEM's own id in them (RFC 9180, section 4.1)."""


@dataclass(frozen=True, repr=False)
class X25519Private:
    """A private key, loaded.

    :param x25519: the key.
    :param public: its public key, 32 bytes; an input of the derivation.
    """

    x25519: X25519PrivateKey
    public: bytes

    def __repr__(self) -> str:
        return "X25519Private(<secret>)"


def generate() -> tuple[X25519Private, bytes]:
    """A fresh private key and its public key of 32 bytes."""
    return load(os.urandom(SEED_SIZE))


def load(stored: bytes) -> tuple[X25519Private, bytes]:
    """The key pair of a stored private key.

    :param stored: 32 bytes.
    :raises ValueError: it has another length.
    """
    x25519 = X25519PrivateKey.from_private_bytes(stored)
    public = x25519.public_key().public_bytes_raw()
    return X25519Private(x25519, public), public


def stored(private: object) -> bytes:
    """The private key as :func:`load` takes it."""
    return _own(private).x25519.private_bytes_raw()


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A shared secret for the holder of a public key (RFC 9180, 4.1, Encap).

    :param public: 32 bytes.
    :returns: the shared secret of 32 bytes, the ciphertext of 32 bytes.
    :raises ValueError: the key has another length or is of low order.
    """
    theirs = X25519PublicKey.from_public_bytes(public)
    ephemeral = X25519PrivateKey.generate()
    ciphertext = ephemeral.public_key().public_bytes_raw()
    return derive(ephemeral.exchange(theirs), ciphertext, public), ciphertext


def decapsulate(private: object, ciphertext: bytes) -> bytes:
    """The shared secret of a ciphertext (RFC 9180, 4.1, Decap).

    :param ciphertext: 32 bytes.
    :returns: 32 bytes.
    :raises ValueError: the ciphertext has another length or is of low order.
    """
    own = _own(private)
    # A low-order point gives zeros, which the library refuses (RFC 9180, 7.1.4).
    exchanged = own.x25519.exchange(X25519PublicKey.from_public_bytes(ciphertext))
    return derive(exchanged, ciphertext, own.public)


def derive(exchanged: bytes, ciphertext: bytes, public: bytes) -> bytes:
    """ExtractAndExpand (RFC 9180, 4.1): the shared secret binds both public keys. 32 bytes."""
    key = HKDF_SHA256.extract(b"", b"".join((VERSION_LABEL, SUITE_ID, b"eae_prk", exchanged)))
    info = (SECRET_SIZE.to_bytes(2, "big"), VERSION_LABEL, SUITE_ID, b"shared_secret", ciphertext, public)
    return HKDF_SHA256.expand(key, b"".join(info), SECRET_SIZE)


def _own(private: object) -> X25519Private:
    if not isinstance(private, X25519Private):
        raise TypeError("not a private key of DHKEM(X25519)")
    return private
