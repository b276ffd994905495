"""The bootstrap list: some nodes' bottles with their prekeys, for whoever knows nobody yet.

It is one file, JSON around a signed payload, that anybody may hand on. How it is fetched, and what becomes of
its bottles, is not said here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from port17.errors import RecordError
from port17.records.bottle import BOTTLE_CAP
from port17.records.charter import Charter
from port17.records.cosigning import Cosignature, Office, in_order
from port17.records.genesis import UPDATE_KEYS_CAP
from port17.records.record import HASH_SIZE, LAX, Hash, Record, UnixSecond
from port17.records.revision import DAY_S, Revision, Signer
from port17.records.scheme import SIGNATURE_CAP, IdentityScheme

BOOTSTRAP_KIND: Final = "bootstrap"
FORMAT: Final = "port17-bootstrap/1"
"""What the file says that it is."""
NODES_CAP: Final = 64
"""Most nodes of a list: a newcomer needs some that answer, and learns of all others from these."""
PAYLOAD_CAP: Final = 4 * 1024 * 1024
"""Longest payload, bytes: a bottle with post-quantum prekeys for a week has some 12 KiB, so that the longest
list of them fits four times."""
FILE_CAP: Final = 2 * PAYLOAD_CAP
"""Longest file, bytes: base64 makes 4 bytes of 3; sixteen signatures and the rest are small beside that."""
TERM_CAP_S: Final = 30 * DAY_S
"""Longest time for which a list holds, seconds: the bottles' prekeys live no longer either."""

MARKS_CAP: Final = 8 * UPDATE_KEYS_CAP
"""Most brackets, braces and commas of a file: a signature has three, base64 none. So what comes out of a
hostile file takes no more memory than the file."""

_CURE = "Get the list again from where you had it; the file is kept exactly as it was given to you."


class BootstrapList(Record):
    """What is signed.

    :param network_id: whose nodes these are.
    :param seq: Unix second of signing; the newest list holds.
    :param expiry: Unix second from which on the list is not used.
    :param bottles: encoded, each with as many prekey records as its reader is to have.
    """

    network_id: Hash
    seq: UnixSecond
    expiry: UnixSecond
    bottles: Annotated[
        tuple[Annotated[bytes, Field(max_length=BOTTLE_CAP)], ...],
        Field(min_length=1, max_length=NODES_CAP, repr=False),
        LAX,
    ]

    @model_validator(mode="after")
    def _in_time(self) -> BootstrapList:
        if not self.seq < self.expiry <= self.seq + TERM_CAP_S:
            raise ValueError(f"a list holds for some time, and for {TERM_CAP_S // DAY_S} days at most")
        return self


@dataclass(frozen=True)
class SignedBootstrap:
    """A list as it travels.

    :param held: what ``payload`` says; believed by nobody until :meth:`verify` has returned.
    :param payload: the bytes that were signed.
    :param signatures: by rising fingerprint.
    """

    held: BootstrapList
    payload: bytes
    signatures: tuple[Cosignature, ...] = ()

    @classmethod
    def of(cls, held: BootstrapList) -> Self:
        """A list that nobody has signed yet.

        :raises RecordError: it is over its cap.
        """
        payload = held.to_cbor()
        if len(payload) > PAYLOAD_CAP:
            raise RecordError(
                f"a bootstrap list of {len(payload)} bytes: at most {PAYLOAD_CAP} are allowed",
                cure="Name fewer nodes.",
            )
        return cls(held, payload)

    def signed(self, charter: Charter, revision: Revision, signers: Iterable[Signer]) -> Self:
        """The same list with more signatures.

        :raises RecordError: a signer may not sign it.
        """
        by = publishers(charter, revision)
        signatures = by.cosign(charter.network_id, self.payload, self.signatures, signers)
        return type(self)(self.held, self.payload, signatures)

    def verify(
        self,
        charter: Charter,
        revision: Revision,
        schemes: Mapping[str, IdentityScheme],
        now_s: float,
    ) -> None:
        """Accepts only what enough publishers have signed for this network, and what holds now.

        :param revision: the one that holds.
        :param schemes: every identity scheme that is installed.
        :param now_s: Unix time, seconds.
        :raises RecordError: anything else.
        """
        self.verify_signatures(charter, revision, schemes)
        if self.held.seq > now_s + revision.clock_skew_s:
            raise RecordError(
                "it was signed in the future", cure="Set this machine's clock, or the signer's."
            )
        if self.held.expiry <= now_s:
            raise RecordError(
                f"it expired {now_s - self.held.expiry:.0f} s ago",
                cure="Ask who publishes it for a fresh one, or set this machine's clock.",
            )

    def verify_signatures(
        self, charter: Charter, revision: Revision, schemes: Mapping[str, IdentityScheme]
    ) -> None:
        """The same whenever it was: a list that has expired tells still that no older one is to be believed.

        :raises RecordError: too few publishers have signed it for this network.
        """
        if self.held.network_id != charter.network_id:
            raise RecordError(
                f"it lists nodes of the network {self.held.network_id.hex()}, not of {charter.genesis.name}",
                cure="Name a source of the right network.",
            )
        by = publishers(charter, revision)
        counted = by.signers(charter.network_id, self.payload, self.signatures, schemes)
        if len(counted) < by.threshold:
            raise RecordError(
                f"it has {len(counted)} of {by.threshold} signatures that count",
                cure="Ask who publishes it for one that the charter's publishers have signed.",
            )

    # -- its file -----------------------------------------------------------------------------------
    @classmethod
    def parse(cls, text: bytes) -> Self:
        """The list of a file's bytes. Nothing is verified yet.

        :raises RecordError: malformed or over a cap.
        """
        if len(text) > FILE_CAP:
            raise RecordError(f"a bootstrap list of more than {FILE_CAP} bytes", cure=_CURE)
        network, payload, signatures = _opened(text)
        held = BootstrapList.from_cbor(payload, cap=PAYLOAD_CAP)
        if network != held.network_id:
            raise RecordError("a bootstrap list that names another network than was signed", cure=_CURE)
        return cls(held, payload, signatures)

    def encode(self) -> bytes:
        """The file's bytes; the signed payload stands in them as it was received."""
        document = {
            "format": FORMAT,
            "network": self.held.network_id.hex(),
            "signatures": [
                {"by": fingerprint.hex(), "signature": base64.b64encode(signature).decode("ascii")}
                for fingerprint, signature in self.signatures
            ],
            "payload": base64.b64encode(self.payload).decode("ascii"),
        }
        return json.dumps(document, indent=1).encode("ascii") + b"\n"


def publishers(charter: Charter, revision: Revision) -> Office:
    """Who may sign: the publishers that the charter names; where it names none, the update keys."""
    named = revision.publishers or charter.genesis.update_keys
    return Office(
        BOOTSTRAP_KIND,
        "a publisher" if revision.publishers else "an update key",
        {identity.fingerprint: identity for identity in named},
        revision.publishers_threshold if revision.publishers else charter.genesis.threshold,
    )


def _opened(text: bytes) -> tuple[bytes, bytes, tuple[Cosignature, ...]]:
    """Network id, payload and signatures of a file. Anybody may have made it.

    :raises RecordError: it is none.
    """
    try:
        if sum(map(text.count, (b"[", b"{", b","))) > MARKS_CAP:
            raise ValueError("too many values")
        document = json.loads(text)
        if not isinstance(document, dict) or document.keys() != {
            "format",
            "network",
            "signatures",
            "payload",
        }:
            raise ValueError("other fields")
        if document["format"] != FORMAT:
            raise ValueError("another format")
        rows = document["signatures"]
        if not isinstance(rows, list) or len(rows) > UPDATE_KEYS_CAP:
            raise ValueError("too many signatures")
        signatures = tuple((bytes.fromhex(row["by"]), _unarmoured(row["signature"])) for row in rows)
        if not in_order(signatures):
            raise ValueError("signatures out of order")
        if any(len(by) != HASH_SIZE or len(one) > SIGNATURE_CAP for by, one in signatures):
            raise ValueError("no signatures")
        return bytes.fromhex(document["network"]), _unarmoured(document["payload"]), signatures
    except (ValueError, TypeError, KeyError) as error:
        raise RecordError(f"not a bootstrap list: a JSON object of format {FORMAT}", cure=_CURE) from error


def _unarmoured(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("damaged base64") from error
