"""Payloads that several people sign together: k of the n that hold an office must have.

What the office is and how its holders come to it is for whoever names them to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import Field

from port17.errors import RecordError
from port17.records.envelope import signed_bytes
from port17.records.identity import Identity
from port17.records.level import Status
from port17.records.record import Hash
from port17.records.revision import Signer
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme

Cosignature: TypeAlias = tuple[Hash, Annotated[bytes, Field(max_length=SIGNATURE_CAP)]]
"""(fingerprint of who signed, signature)."""


@dataclass(frozen=True)
class Office:
    """Who may sign one kind of payload in one network.

    :param kind: what is signed, as of :func:`port17.records.envelope.sign`.
    :param title: what a holder is, with its article, for people.
    :param holders: identities by fingerprint.
    :param threshold: how many of them must sign.
    """

    kind: str
    title: str
    holders: Mapping[bytes, Identity]
    threshold: int

    def cosign(
        self,
        network_id: bytes,
        payload: bytes,
        signatures: Iterable[Cosignature],
        signers: Iterable[Signer],
    ) -> tuple[Cosignature, ...]:
        """The signatures of a payload with those of more holders, by rising fingerprint.

        :raises RecordError: a signer holds no such office.
        """
        found = dict(signatures)
        for scheme, key in signers:
            identity = Identity.made(scheme=scheme.name, public=key.public)
            if identity.fingerprint not in self.holders:
                raise RecordError(
                    f"{identity.node_id} is not {self.title} of this network",
                    cure="Sign with a key that the charter names.",
                )
            found[identity.fingerprint] = scheme.sign(
                key, signed_bytes(self.kind, network_id, scheme.name, payload)
            )
        return tuple(sorted(found.items()))

    def signers(
        self,
        network_id: bytes,
        payload: bytes,
        signatures: Iterable[Cosignature],
        schemes: Mapping[str, IdentityScheme],
    ) -> frozenset[bytes]:
        """The fingerprints of the present holders who have signed. The signature of who is none any more does
        no harm, nor does one of a broken scheme: it counts for nothing.

        :param schemes: every identity scheme that is installed.
        :raises RecordError: a present holder's signature is not valid, or the scheme is not installed.
        """
        found: set[bytes] = set()
        for fingerprint, signature in signatures:
            identity = self.holders.get(fingerprint)
            if identity is None:
                continue
            scheme = schemes.get(identity.scheme)
            if scheme is None:
                raise RecordError(
                    f"the identity scheme {identity.scheme} of {self.title} is not installed",
                    cure="Install the distribution that brings the scheme.",
                )
            if scheme.status is Status.BROKEN:
                continue
            message = signed_bytes(self.kind, network_id, scheme.name, payload)
            if not scheme.verify(identity.public, message, signature):
                raise RecordError(f"the signature of {self.title}, {identity.node_id}, is not valid")
            found.add(fingerprint)
        return frozenset(found)


def in_order(signatures: Iterable[Cosignature]) -> bool:
    """Whether there is one signature of each at most, by rising fingerprint: the one encoding."""
    fingerprints = [fingerprint for fingerprint, _ in signatures]
    return fingerprints == sorted(set(fingerprints))
