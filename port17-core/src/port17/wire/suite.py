"""The cipher-suite contract: what a suite promises, and what the wire takes from it.

A suite is whole: KEM, AEAD and KDF with its hash, named and versioned together (docs/protocol.md,
"Cipher suites"). The wire is generic over it; the onion and the ratchet come with the core, so a
third party's suite gets them for nothing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from port17.records.framing import BytesLike, framed
from port17.records.level import Level as Level
from port17.records.level import Status as Status

KEY_SIZE = 32
"""Bytes of every symmetric key, chain key and root key."""
NONCE_SIZE = 12
"""Bytes of an AEAD nonce: four zero bytes and a u64 counter (docs/protocol.md, "Ratchet")."""
TAG_SIZE = 16
"""Bytes of an AEAD tag."""
NAME_PATTERN = re.compile(r"p17-[0-9a-z]+(-[0-9a-z]+)+\Z")
NAME_CAP = 64
"""Longest suite name, bytes: it is written into every SETUP, whose size is fixed."""
PUBLIC_KEY_CAP = 1400
"""Longest KEM public key, bytes: a RATCHET frame holds one and a ciphertext in one cell."""
CIPHERTEXT_CAP = 1300
"""Longest KEM ciphertext, bytes: SETUP's 3072 hold one, a public key and the parameters."""


@dataclass(frozen=True)
class KemKey:
    """A KEM key pair.

    :param private: opaque to the core; whatever the suite's own methods take. Never in a repr.
    :param public: ``public_size`` bytes.
    """

    private: object
    public: bytes

    def __repr__(self) -> str:
        return "KemKey(private=<secret>)"


class Aead(Protocol):
    """One AEAD under one key, as ``cryptography`` shapes it, so that a call costs no wrapper.

    ``encrypt_into`` writes ``len(data) + 16`` bytes (ciphertext, then tag), ``decrypt_into``
    ``len(data) - 16``; the buffer has exactly that length. ``decrypt_into`` raises the suite's
    ``forged`` if the tag is wrong, and what it wrote is then not to be used.
    """

    def encrypt_into(
        self, nonce: BytesLike, data: BytesLike, associated_data: BytesLike | None, buf: BytesLike
    ) -> int: ...

    def decrypt_into(
        self, nonce: BytesLike, data: BytesLike, associated_data: BytesLike | None, buf: BytesLike
    ) -> int: ...


class CipherSuite(ABC):
    """A driver of entry-point group ``port17.cipher_suites``; its entry point's name is ``name``.

    Every method is a pure function of its arguments and the system's random source; none keeps state,
    so one instance serves a whole process. Whatever a primitive raises on bad input (a low-order point,
    a wrong length) leaves a KEM method as :class:`ValueError`; the core makes one uniform
    :class:`~port17.errors.HandshakeFailed` of it. No repr and no exception shows a secret.

    What a suite promises, and what the core does not ask of it:

    **KEM: IND-CCA2** (FIPS 203, section 3.3; for a Diffie-Hellman KEM RFC 9180, section 9.1). A prekey
    answers everybody for a day, so security against chosen plaintexts alone is not enough. A forged
    ciphertext may raise or may give a secret that nobody else has; the core treats both alike. The secret
    need not bind ciphertext or public key (Cremers, Dax, Medinger, "Keeping Up with the KEMs", 2023): the
    core puts the ciphertext and the hash of the prekey record, or of the whole ratchet frame, into every
    KDF input and transcript. All-zero and low-order secrets are refused (RFC 7748, section 6.1; RFC 9180,
    section 7.1.4). Ciphertexts need not look random: the link masks them.

    **AEAD: IND-CPA and INT-CTXT while no nonce repeats under a key** (RFC 5116; NIST SP 800-38D for GCM,
    RFC 8439 for ChaCha20-Poly1305). Nonces are counters and are never reused; a key seals at most 2^20
    cells, 2^28 AES blocks, far inside what is argued for either (draft-irtf-cfrg-aead-limits). It need not
    be key-committing, and GCM and ChaCha20-Poly1305 are not (Len, Grubbs, Ristenpart, "Partitioning Oracle
    Attacks", 2021): on the wire no key comes from a password or from any small set. At rest one does, the
    lock of an identity's file; but nobody answers guesses there, a guess at one box costs scrypt, and what
    opens counts only if it is the private key of the public one beside it. Where a ciphertext is tried
    under more than one key, the keys are of one sender: SETUP's box under a few revisions. Who made it
    knows them all, and gains a box that opens under any; the session's keys bind the revision and
    H(box). Which hop spoke is told by a flag inside its layer and the heads of the layers around it,
    whose keys a hop does not have. Nor need it resist nonces that repeat.

    **KDF: HKDF** (RFC 5869; Krawczyk, "Cryptographic Extraction and Key Derivation: The HKDF Scheme",
    2010) over HMAC, in three roles. ``extract`` of a KEM's secret under a transcript is a computational
    extractor. ``extract`` of a new secret under a root (the ratchet) is a *dual PRF*: 32 bytes are
    good if either input is (Bellare, Lysyanskaya, "Symmetric and Dual PRFs from Standard Assumptions",
    2015; Backendal, Bellare, Guenther, Scarlata, "When Messages are Keys", 2023). Theirs holds for keys of
    one length: the core's salts are always 32 bytes, as HMAC pads shorter keys with zeros. ``expand`` is
    a PRF with any ``info``, one-way, so that a chain key says nothing of those before it. The hash is
    collision-resistant at the classical level stated.
    """

    name: str
    """Stable wire name, ASCII, ``p17-<version>-<kem>-<aead>-<hash>``."""
    status: Status
    confidentiality: Level
    """What the weakest part holds: for a hybrid KEM, what its stronger half does."""
    source: str
    """Where the primitives are specified, for people."""

    public_size: int
    """Bytes of a KEM public key."""
    ciphertext_size: int
    """Bytes of a KEM ciphertext."""
    forged: type[Exception]
    """What ``Aead.decrypt_into`` raises when authentication fails."""
    stream_cipher: bool
    """True if a ciphertext is the plaintext XOR a keystream of key and nonce alone (GCM,
    ChaCha20-Poly1305; not SIV). The onion needs it: others are refused for circuits."""

    # -- KEM --------------------------------------------------------------------------------------
    @abstractmethod
    def generate(self) -> KemKey:
        """A fresh key pair."""

    @abstractmethod
    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        """(shared secret of 32 bytes, ciphertext) for a public key.

        :raises ValueError: the key is malformed or of low order.
        """

    @abstractmethod
    def decapsulate(self, private: object, ciphertext: bytes) -> bytes:
        """The shared secret of 32 bytes.

        :raises ValueError: the ciphertext is malformed or of low order.
        """

    @abstractmethod
    def private_bytes(self, private: object) -> bytes:
        """The private key as stored at rest (a seed where the KEM has one)."""

    @abstractmethod
    def load_private(self, stored: bytes) -> KemKey:
        """The key pair of :meth:`private_bytes`.

        :raises ValueError: what is stored is no such key.
        """

    # -- KDF --------------------------------------------------------------------------------------
    @abstractmethod
    def hash(self, data: BytesLike) -> bytes:
        """The hash that the KDF is made of. 32 bytes."""

    def digest(self, label: str, *parts: BytesLike) -> bytes:
        """The protocol's ``H`` where this suite is in use: its hash of the framed input. 32 bytes."""
        return self.hash(framed(label, *parts))

    @abstractmethod
    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """A pseudorandom key of 32 bytes (RFC 5869, section 2.2).

        :param salt: 32 bytes: a transcript's hash, or a root key.
        :param secret: of any length; the one or more secrets, and what they are to be bound to.
        """

    @abstractmethod
    def expand(self, key: bytes, info: bytes, length: int) -> bytes:
        """Bytes from a pseudorandom key (RFC 5869, section 2.3).

        :param key: 32 bytes.
        :param info: what they are for, framed.
        :param length: 1 to 255 times the hash's 32.
        :raises ValueError: more is asked for.
        """

    # -- AEAD -------------------------------------------------------------------------------------
    @abstractmethod
    def aead(self, key: bytes) -> Aead:
        """The AEAD under a key.

        :param key: 32 bytes.
        :raises ValueError: it has another length.
        """

    def keystreams(self, key: bytes, first: int, count: int, length: int) -> bytes:
        """The first ``length`` bytes of the keystreams of ``count`` consecutive counters.

        Had by sealing zeros, so every stream cipher suite can; a suite may do it faster. The nonce of a
        counter is four zero bytes and the counter as u64 big-endian.

        :returns: ``count * length`` bytes, the counters' streams one after the other.
        """
        aead = self.aead(key)
        zeros = bytes(length)
        sealed = bytearray(length + TAG_SIZE)
        streams = bytearray()
        for counter in range(first, first + count):
            aead.encrypt_into(nonce(counter), zeros, None, sealed)
            streams += sealed[:length]
        return bytes(streams)


def nonce(counter: int) -> bytes:
    """The AEAD nonce of a counter: 4 zero bytes and a u64 (docs/protocol.md, "Ratchet")."""
    return counter.to_bytes(NONCE_SIZE, "big")
