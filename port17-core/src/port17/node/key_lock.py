"""A private key under a passphrase: scrypt (RFC 7914) makes a key of it, a cipher suite's AEAD the box.

What is not secret stands beside the box in clear, and the box opens only with all of it unchanged.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from port17.errors import PassphraseError
from port17.records.framing import BytesLike, digest
from port17.records.record import DriverName, Record
from port17.wire.suite import KEY_SIZE, TAG_SIZE, CipherSuite, nonce

SALT_SIZE = 32
"""Bytes of random salt: no two locked keys are ever guessed at together."""
BLOCK = 128
"""Bytes that scrypt holds per unit of n and r (RFC 7914, 2)."""
MEMORY_FLOOR = 32 * 1024 * 1024
"""Least memory of one guess, bytes: a file that asks for less was made to be guessed."""
MEMORY_CAP = 512 * 1024 * 1024
"""Most memory that a file may make us use, bytes."""
WORK_CAP = 1 << 23
"""Most work (n r p) that a file may make us do: eight times what we ask for, some seconds."""
NONCE = nonce(0)
"""A key that scrypt makes seals one box, since its salt is fresh."""


@dataclass(frozen=True)
class Work:
    """What a guess at a passphrase costs.

    :param log_n: n is two to this.
    :param r: block size, in units of 128 bytes.
    :param p: how often it is all done.
    """

    log_n: int
    r: int
    p: int


USUAL_WORK = Work(log_n=17, r=8, p=1)
"""128 MiB and half a second per guess (OWASP, Password Storage Cheat Sheet: the first of its choices for
scrypt). A node does it once, at its start."""


class Lock(Record):
    """How a private key is locked, in clear.

    :param log_n: scrypt's n is two to this; ``r`` and ``p`` as scrypt has them.
    :param salt: fresh with every lock.
    :param suite: name of the cipher suite whose AEAD holds the key.
    """

    kdf: Literal["scrypt"] = "scrypt"
    log_n: Annotated[int, Field(ge=1, le=30)]
    r: Annotated[int, Field(ge=1, le=64)]
    p: Annotated[int, Field(ge=1, le=64)]
    salt: Annotated[bytes, Field(min_length=SALT_SIZE, max_length=SALT_SIZE)]
    suite: DriverName

    @model_validator(mode="after")
    def _bounded(self) -> Lock:
        if self.memory < MEMORY_FLOOR:
            raise ValueError("too weak: a guess at the passphrase would cost too little memory")
        if self.log_n >= 16 * self.r:
            raise ValueError("not parameters that scrypt takes (RFC 7914, 2)")
        if self.memory > MEMORY_CAP or self.r * self.p << self.log_n > WORK_CAP:
            raise ValueError("costs more memory or time than any key of ours")
        return self

    @property
    def memory(self) -> int:
        """Bytes that one guess takes."""
        return BLOCK * self.r << self.log_n

    @classmethod
    def fresh(cls, suite: CipherSuite, work: Work = USUAL_WORK) -> Self:
        """A lock that was never used.

        :raises RecordError: the work is too little or too much.
        """
        salt = os.urandom(SALT_SIZE)
        return cls.made(log_n=work.log_n, r=work.r, p=work.p, salt=salt, suite=suite.name)

    def seal(self, private: BytesLike, passphrase: bytes, suite: CipherSuite, header: bytes) -> bytes:
        """The box of a private key.

        :param header: all that stands beside the box, this lock too.
        :returns: :data:`~port17.wire.suite.TAG_SIZE` bytes more than the key.
        """
        box = bytearray(len(private) + TAG_SIZE)
        suite.aead(self._key(passphrase)).encrypt_into(NONCE, private, header, box)
        return bytes(box)

    def open(self, box: BytesLike, passphrase: bytes, suite: CipherSuite, header: bytes) -> bytes:
        """The private key in a box.

        :raises PassphraseError: the passphrase is wrong; or else the header or the box has been changed.
        """
        if len(box) >= TAG_SIZE:
            private = bytearray(len(box) - TAG_SIZE)
            try:
                suite.aead(self._key(passphrase)).decrypt_into(NONCE, box, header, private)
            except suite.forged:
                pass
            else:
                return bytes(private)
        raise PassphraseError(
            "the passphrase does not open the key",
            cure="Give the right one. If you are sure of it the file is damaged: restore it from a backup.",
        )

    def _key(self, passphrase: bytes) -> bytes:
        return hashlib.scrypt(
            passphrase,
            # One passphrase never makes one key for two ciphers.
            salt=digest("locked key", self.suite.encode("ascii"), self.salt),
            n=1 << self.log_n,
            r=self.r,
            p=self.p,
            maxmem=2 * MEMORY_CAP,
            dklen=KEY_SIZE,
        )
