"""The X-Wing hybrid KEM: X25519 and ML-KEM-768 under one combiner (draft-connolly-cfrg-xwing-kem).

Written here because the library offers X-Wing only inside HPKE. Secure (IND-CCA2) as long as either
component is. Which suite uses it is no matter of this module.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from port17 import Level

SEED_SIZE = 32
"""Bytes of a private key at rest: the draft's decapsulation key."""
MLKEM_SEED_SIZE = 64
"""Bytes of ML-KEM's seed d || z (FIPS 203, section 7.1)."""
MLKEM_PUBLIC_SIZE = 1184
"""Bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3)."""
MLKEM_CIPHERTEXT_SIZE = 1088
"""Bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3)."""
X25519_SIZE = 32
"""Bytes of every X25519 key and shared secret (RFC 7748)."""
PUBLIC_SIZE = MLKEM_PUBLIC_SIZE + X25519_SIZE
CIPHERTEXT_SIZE = MLKEM_CIPHERTEXT_SIZE + X25519_SIZE
# X25519, and SHA3-256 as a random oracle, give 128 bits; ML-KEM-768 is NIST category 3.
LEVEL = Level(classical=128, quantum=3)
SOURCE = "draft-connolly-cfrg-xwing-kem, FIPS 203, RFC 7748"
LABEL = b"\\.//^\\"
"""The combiner's label, six ASCII bytes that draw a wing (draft, section 5.3)."""
PARSED_KEYS = 256
"""Public keys kept parsed. A client encapsulates to the same few prekeys for every circuit, and parsing is
28 us of 140; 256 of them take about 3 MiB."""


@dataclass(frozen=True, repr=False)
class XWingPrivate:
    """A private key, loaded: what decapsulation needs is computed once, when the key is made.

    :param seed: 32 bytes, the only thing that is ever stored.
    :param mlkem: the ML-KEM component.
    :param x25519: the X25519 component.
    :param x25519_public: its public key, 32 bytes; an input of the combiner.
    """

    seed: bytes
    mlkem: MLKEM768PrivateKey
    x25519: X25519PrivateKey
    x25519_public: bytes

    def __repr__(self) -> str:
        return "XWingPrivate(<secret>)"


def generate() -> tuple[XWingPrivate, bytes]:
    """A fresh private key and its public key of 1216 bytes."""
    return load(os.urandom(SEED_SIZE))


def load(seed: bytes) -> tuple[XWingPrivate, bytes]:
    """The key pair of a seed (draft, section 5.2).

    :param seed: 32 bytes.
    :returns: the private key and the public key of 1216 bytes.
    :raises ValueError: the seed has another length.
    """
    if len(seed) != SEED_SIZE:
        raise ValueError("an X-Wing seed is 32 bytes long")
    expanded = hashlib.shake_256(seed).digest(MLKEM_SEED_SIZE + X25519_SIZE)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:MLKEM_SEED_SIZE])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[MLKEM_SEED_SIZE:])
    x25519_public = x25519.public_key().public_bytes_raw()
    public = mlkem.public_key().public_bytes_raw() + x25519_public
    return XWingPrivate(bytes(seed), mlkem, x25519, x25519_public), public


def stored(private: object) -> bytes:
    """The seed, as :func:`load` takes it."""
    return _own(private).seed


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """A shared secret for the holder of a public key (draft, section 5.4).

    :param public: 1216 bytes.
    :returns: the shared secret of 32 bytes, the ciphertext of 1120 bytes.
    :raises ValueError: the key is malformed, or its X25519 half is of low order.
    """
    mlkem, x25519, x25519_public = _parsed(bytes(public))
    mlkem_secret, mlkem_ciphertext = mlkem.encapsulate()
    ephemeral = X25519PrivateKey.generate()
    x25519_secret = ephemeral.exchange(x25519)
    x25519_ciphertext = ephemeral.public_key().public_bytes_raw()
    secret = combine(mlkem_secret, x25519_secret, x25519_ciphertext, x25519_public)
    return secret, mlkem_ciphertext + x25519_ciphertext


def decapsulate(private: object, ciphertext: bytes) -> bytes:
    """The shared secret of a ciphertext (draft, section 5.5). A forged ML-KEM half gives a secret that nobody
    else has (implicit rejection), not an error.

    :param ciphertext: 1120 bytes.
    :returns: 32 bytes.
    :raises ValueError: the ciphertext has another length, or its X25519 half is of low order.
    """
    if len(ciphertext) != CIPHERTEXT_SIZE:
        raise ValueError("an X-Wing ciphertext is 1120 bytes long")
    own = _own(private)
    x25519_ciphertext = ciphertext[MLKEM_CIPHERTEXT_SIZE:]
    mlkem_secret = own.mlkem.decapsulate(ciphertext[:MLKEM_CIPHERTEXT_SIZE])
    x25519_secret = own.x25519.exchange(X25519PublicKey.from_public_bytes(x25519_ciphertext))
    return combine(mlkem_secret, x25519_secret, x25519_ciphertext, own.x25519_public)


def combine(
    mlkem_secret: bytes, x25519_secret: bytes, x25519_ciphertext: bytes, x25519_public: bytes
) -> bytes:
    """The combiner, SHA3-256(ssM || ssX || ctX || pkX || label) (draft, section 5.3). 32 bytes.

    Every input has a fixed length, so that concatenation is injective. ML-KEM's ciphertext needs no place in
    it, since ML-KEM's secret depends on every bit of it.
    """
    return hashlib.sha3_256(
        b"".join((mlkem_secret, x25519_secret, x25519_ciphertext, x25519_public, LABEL))
    ).digest()


@lru_cache(maxsize=PARSED_KEYS)
def _parsed(public: bytes) -> tuple[MLKEM768PublicKey, X25519PublicKey, bytes]:
    if len(public) != PUBLIC_SIZE:
        raise ValueError("an X-Wing public key is 1216 bytes long")
    x25519_public = public[MLKEM_PUBLIC_SIZE:]
    return (
        MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC_SIZE]),
        X25519PublicKey.from_public_bytes(x25519_public),
        x25519_public,
    )


def _own(private: object) -> XWingPrivate:
    if not isinstance(private, XWingPrivate):
        raise TypeError("not a private key of X-Wing")
    return private
