"""A suite's KEM as the wire uses it: whatever goes wrong in it is one error, and no secret of zeros passes.

The contract asks suites for the same; here it holds even for a stranger's that forgets. What the error
becomes (a refused handshake, a peer's violation) is for the caller to say.
"""

from __future__ import annotations

from port17.wire.suite import KEY_SIZE, CipherSuite

ZEROS = bytes(KEY_SIZE)
"""What a Diffie-Hellman exchange gives with a point of low order: a secret that everybody knows."""


class UnusableKey(ValueError):
    """A public key or a ciphertext gives no secret. Says no more, whatever the primitive said."""


def encapsulate(suite: CipherSuite, public: bytes) -> tuple[bytes, bytes]:
    """(shared secret, ciphertext) for a public key.

    :raises UnusableKey: the key is malformed or of low order.
    """
    if len(public) != suite.public_size:
        raise UnusableKey("a public key of the wrong length")
    try:
        secret, ciphertext = suite.encapsulate(public)
    except Exception as error:  # a primitive's or a stranger's: of whatever kind, it is one
        raise UnusableKey("a public key is unusable") from error
    if len(ciphertext) != suite.ciphertext_size:
        raise UnusableKey("a suite makes ciphertexts of the wrong length")
    return _checked(secret), ciphertext


def decapsulate(suite: CipherSuite, private: object, ciphertext: bytes) -> bytes:
    """The shared secret.

    :raises UnusableKey: the ciphertext is malformed or of low order.
    """
    if len(ciphertext) != suite.ciphertext_size:
        raise UnusableKey("a ciphertext of the wrong length")
    try:
        secret = suite.decapsulate(private, ciphertext)
    except Exception as error:  # as above
        raise UnusableKey("a ciphertext is unusable") from error
    return _checked(secret)


def _checked(secret: bytes) -> bytes:
    # Compared with what is no secret: how long it takes tells at most how many zeros a useless secret has.
    if len(secret) != KEY_SIZE or secret == ZEROS:
        raise UnusableKey("a shared secret is none")
    return secret
