"""Who is banned, for having equivocated: proofs that were verified, kept to be passed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from port17.records.proof import Proof

BANS_CAP: Final = 65_536
"""Most identities that are remembered as banned, some 10 MiB. None is forgotten before a restart, or a flood
of new cheats would let the old ones back in; at the cap new ones are only dropped from the rack."""
STRANGERS_SHARE: Final = 2
"""Identities that are not held get one part of so many of all that is kept: anybody can invent some and
convict them, and is to leave room for those that are met."""
PROOFS_SIZE_CAP: Final = 16 * 1024 * 1024
"""Most bytes of proofs kept to be passed on: of contents, some thousands. Beyond it a ban is remembered
without its proof."""


class Bans:
    """The bans of one network."""

    def __init__(self) -> None:
        self._reasons: dict[bytes, str] = {}
        self._proofs: dict[bytes, Proof] = {}
        self._size = 0

    def has_room(self, *, met: bool) -> bool:
        """Whether another identity can be banned.

        :param met: its bottle is held.
        """
        return len(self._reasons) < (BANS_CAP if met else BANS_CAP // STRANGERS_SHARE)

    def add(self, proof: Proof, *, met: bool = True) -> bool:
        """Take over a verified proof.

        :param met: a bottle of the identity was held.
        :returns: False if the identity is banned already; one proof is as good as many.
        """
        fingerprint = proof.fingerprint
        if fingerprint in self._reasons or not self.has_room(met=met):
            return False
        self._reasons[fingerprint] = proof.reason
        size = len(proof.one.payload) + len(proof.other.payload)
        if self._size + size <= (PROOFS_SIZE_CAP if met else PROOFS_SIZE_CAP // STRANGERS_SHARE):
            self._size += size
            self._proofs[fingerprint] = proof
        return True

    @property
    def reasons(self) -> Mapping[bytes, str]:
        """Why each fingerprint is banned."""
        return MappingProxyType(self._reasons)

    def proof(self, fingerprint: bytes) -> Proof | None:
        """What convicts a node, if it is kept."""
        return self._proofs.get(fingerprint)

    def __contains__(self, fingerprint: object) -> bool:
        return fingerprint in self._reasons

    def __iter__(self) -> Iterator[Proof]:
        """The proofs, for whoever asks for all."""
        return iter(tuple(self._proofs.values()))

    def __len__(self) -> int:
        return len(self._reasons)
