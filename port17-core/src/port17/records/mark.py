"""A mark: what a node that has dialled another's addresses says of them, signed.

One is made when the node was not there, and one when that is over. Whose word counts, and for how much, is
said in :mod:`port17.bottles.address_checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import Field

from port17.errors import RecordError
from port17.records import envelope
from port17.records.bottle import Label
from port17.records.envelope import Envelope
from port17.records.framing import BytesLike, digest
from port17.records.identity import Identity, node_id
from port17.records.record import Hash, Record, UnixSecond
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme, SigningKey

MARK_KIND: Final = "mark"
"""What its signature is for: worth nothing under a label, contents, or anything else."""
FAILURE_CAP: Final = 120
"""Longest text of what has failed, characters: a line."""
FAILURE_PATTERN: Final = r"^[ -~]*$"
"""Printable ASCII: it is shown on terminals, and can do no harm there."""
MARK_PAYLOAD_CAP: Final = 384
"""Longest payload, bytes: three hashes, a time, the longest text and the field names take 290."""
MARK_CAP: Final = MARK_PAYLOAD_CAP + SIGNATURE_CAP + 160
"""Longest signed mark, bytes: the payload, the signature, the scheme's and the fields' names."""


def claim_of(label: Label) -> bytes:
    """Names the addresses that a label advertises, whatever else it says: a new label is no new claim.

    :returns: 32 bytes.
    """
    pairs = [
        part.encode("ascii")
        for name, found in sorted(label.addresses.items())
        for one in found
        for part in (name, one)
    ]
    return digest("claim", label.flavour.encode("ascii"), *pairs)


class Mark(Record):
    """What one node has found out about another.

    :param about: fingerprint of the node that was dialled.
    :param claim: hash of the addresses that were dialled, by :func:`claim_of`; of others it says nothing.
    :param by: fingerprint of the node that dialled.
    :param seq: Unix second of signing; of two marks by one node about another the later holds.
    :param failure: what is wrong, for people; empty takes back what was said before.
    """

    about: Hash
    claim: Hash
    by: Hash
    seq: UnixSecond
    failure: Annotated[str, Field(max_length=FAILURE_CAP, pattern=FAILURE_PATTERN)] = ""


@dataclass(frozen=True)
class SignedMark:
    """A mark as it travels.

    :param mark: what the envelope says; believed by nobody until :meth:`verify` has returned.
    """

    mark: Mark
    envelope: Envelope

    @classmethod
    def seal(cls, network_id: bytes, scheme: IdentityScheme, key: SigningKey, mark: Mark) -> Self:
        """A mark under its author's signature.

        :param key: of the identity that ``mark.by`` names.
        """
        return cls(mark, envelope.sign(MARK_KIND, network_id, scheme, key, mark.to_cbor()))

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """The mark of its encoding. Nothing is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        held = Envelope.from_cbor(data, cap=MARK_CAP)
        return cls(Mark.from_cbor(held.payload, cap=MARK_PAYLOAD_CAP), held)

    def encode(self) -> bytes:
        """The one encoding; the signed payload stands in it as it was received."""
        return self.envelope.to_cbor()

    @property
    def order(self) -> tuple[int, bytes]:
        """Which of two marks by one node about another holds: the later; of two of one second the same one
        everywhere."""
        return self.mark.seq, digest("mark", self.envelope.payload)

    def verify(
        self,
        network_id: bytes,
        schemes: Mapping[str, IdentityScheme],
        author: Identity,
        now_s: float,
        *,
        skew_s: float,
    ) -> None:
        """Accepts only what its author has signed for this network.

        :param schemes: the identity schemes that the charter allows.
        :param author: the identity that ``mark.by`` names, as its held bottle shows it.
        :param now_s: Unix time, seconds.
        :param skew_s: how far the author's clock may be ahead, seconds.
        :raises RecordError: anything else.
        """
        if author.fingerprint != self.mark.by:
            raise RecordError(f"a mark by {node_id(self.mark.by)}, under another's key")
        if self.mark.about == self.mark.by:
            raise RecordError("a mark of a node about itself")
        if self.mark.seq > now_s + skew_s:
            raise RecordError(
                f"a mark that was signed {self.mark.seq - now_s:.0f} s in the future",
                cure="Set this machine's clock, or the signer's.",
            )
        scheme = schemes.get(author.scheme)
        if scheme is None:
            raise RecordError(f"the identity scheme {author.scheme} is not allowed or not installed")
        self.envelope.verify(MARK_KIND, network_id, scheme, author.public)
