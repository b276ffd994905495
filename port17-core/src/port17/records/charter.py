"""The charter: the signed parameters of one network, as one file that people hand on.

The genesis fixes what can never change and the network's id; revisions hold everything else. Which suite
two ends then choose, and what a moderator's signature does, is not said here.
"""

from __future__ import annotations

import base64
import binascii
import string
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from port17.errors import ConfigError, RecordError
from port17.records import cbor
from port17.records.framing import BytesLike
from port17.records.genesis import CELL_SIZE, MAX_HOPS, Genesis, network_id, read_genesis
from port17.records.revision import Revision, SignedRevision, Signer
from port17.records.scheme import IdentityScheme
from port17.records.whole_file import write_whole

__all__ = ["CELL_SIZE", "MAX_HOPS", "Charter", "Genesis", "Revision", "SignedRevision", "Signer"]

REVISIONS_CAP = 1024
"""Most revisions in a charter: one a week for twenty years. Each costs the reader k signature checks."""
CHARTER_CAP = 4 * 1024 * 1024
"""Longest encoded charter, bytes: every revision with 4 KiB. Read whole, before anything is verified."""
FILE_CAP = 2 * CHARTER_CAP
"""Longest charter file, bytes: base64 and its line ends make 4 of 3, and the header."""
PREDECESSORS_CAP = 4
"""Most revisions before the current one that are accepted at a time: the three of a switch of suites and one
for a correction. A refused SETUP costs a key derivation and a decryption per revision."""
LINE_WIDTH = 76
"""Characters of a line of base64: what every mail program leaves alone (RFC 2045, 6.8)."""

_WHITESPACE = string.whitespace.encode("ascii")
_BEGIN = "-----BEGIN PORT17 CHARTER-----"
_END = "-----END PORT17 CHARTER-----"
_CURE = "Get the charter again from where you had it; the file is kept exactly as it was given to you."


@dataclass(frozen=True)
class Charter:
    """A network's genesis and its revisions, verified.

    :param genesis: what ``genesis_payload`` says.
    :param genesis_payload: the bytes whose hash is the network's id.
    :param revisions: the chain from the first on; never empty.
    """

    genesis: Genesis
    genesis_payload: bytes
    revisions: tuple[SignedRevision, ...]

    @cached_property
    def network_id(self) -> bytes:
        """32 bytes; in every signature and transcript of the network."""
        return network_id(self.genesis_payload)

    # -- making one -------------------------------------------------------------------------------
    @classmethod
    def found(cls, genesis: Genesis, first: Revision, signers: Iterable[Signer]) -> Self:
        """A new network.

        :param first: its ``seq`` and ``previous`` are filled in.
        :param signers: (scheme, key) of at least ``genesis.threshold`` update keys.
        :raises RecordError: too few signers, or a key that is no update key.
        """
        payload = genesis.to_cbor()
        founded = cls(genesis, payload, ())
        return founded._with(first, 0, founded.network_id, signers)

    def amended(self, terms: Revision, signers: Iterable[Signer]) -> Self:
        """The charter with one revision more.

        :param terms: what shall hold; its ``seq`` and ``previous`` are filled in.
        :param signers: as of :meth:`found`.
        :raises RecordError: as of :meth:`found`, or it would hold from before its predecessor on.
        """
        last = self.revisions[-1]
        if terms.not_before < last.revision.not_before:
            raise RecordError("a revision that would hold from before its predecessor on")
        return self._with(terms, last.revision.seq + 1, last.hash, signers)

    def _with(self, terms: Revision, seq: int, previous: bytes, signers: Iterable[Signer]) -> Self:
        revision = Revision.made(**{**terms.to_value(), "seq": seq, "previous": previous})
        signed = SignedRevision.sign(revision, self.network_id, self.genesis, signers)
        return type(self)(self.genesis, self.genesis_payload, (*self.revisions, signed))

    # -- asking it --------------------------------------------------------------------------------
    def current(self, now: float) -> Revision:
        """The revision that holds at a moment.

        :param now: Unix time, seconds.
        :raises RecordError: the network has not begun.
        """
        return self.accepted(now)[0]

    def accepted(self, now: float) -> tuple[Revision, ...]:
        """The revisions that a peer may speak of: the one that holds; each of the last
        :data:`PREDECESSORS_CAP` before it until :meth:`accepted_until`; its successor from so long before its
        start on as clocks may differ.

        :param now: Unix time, seconds.
        :returns: the one that holds first.
        :raises RecordError: the network has not begun.
        """
        newest = len(self.revisions) - 1
        while newest >= 0 and self.revisions[newest].revision.not_before > now:
            newest -= 1
        if newest < 0:
            raise RecordError(
                f"the network {self.genesis.name} begins in the future", cure="Set this machine's clock."
            )
        current = self.revisions[newest].revision
        accepted = [current]
        for seq in range(newest - 1, max(newest - PREDECESSORS_CAP, 0) - 1, -1):
            if now < self.accepted_until(seq, newest):
                accepted.append(self.revisions[seq].revision)
        for signed in self.revisions[newest + 1 : newest + 2]:
            if signed.revision.not_before <= now + current.clock_skew_s:
                accepted.append(signed.revision)
        return tuple(accepted)

    def accepted_until(self, seq: int, current: int) -> int:
        """How long a peer may speak of a revision that has been replaced. Every revision ends all before it,
        its overlap after its start: so a network in a hurry can, and what is over never begins again.

        :param seq: of the revision that was replaced.
        :param current: the number of the one that holds.
        :returns: Unix second.
        """
        followers = [signed.revision for signed in self.revisions[seq + 1 : current + 1]]
        return min(revision.not_before + revision.overlap_s for revision in followers)

    def coming(self, now: float) -> tuple[Revision, ...]:
        """The revisions that will hold, the next first.

        :param now: Unix time, seconds.
        """
        return tuple(signed.revision for signed in self.revisions if signed.revision.not_before > now)

    def adds_to(self, held: Charter) -> bool:
        """Whether this charter, verified, says more than one that is held.

        :returns: False if it says the same.
        :raises RecordError: it is another network's, says less, or something else. So no file can take back
            what was signed.
        """
        if self.network_id != held.network_id:
            raise RecordError(
                f"it is the charter of the network {self.genesis.name}, not of {held.genesis.name}",
                cure="Put the right charter back; for another network, start with another configuration.",
            )
        ours, theirs = ([signed.hash for signed in one.revisions] for one in (self, held))
        if ours == theirs:
            return False
        if ours == theirs[: len(ours)]:
            raise RecordError(
                f"it ends with revision {len(ours) - 1}, and revision {len(theirs) - 1} was seen already",
                cure=f"Get the charter with revision {len(theirs) - 1} or later.",
            )
        if theirs != ours[: len(theirs)]:
            fork = next(seq for seq, pair in enumerate(zip(ours, theirs, strict=False)) if len(set(pair)) > 1)
            raise RecordError(
                f"its revision {fork} is another than the revision {fork} that was seen",
                cure="Ask who holds the update keys: two revisions of one number were signed.",
            )
        return True

    # -- its encoding -----------------------------------------------------------------------------
    @classmethod
    def parse(cls, data: BytesLike, schemes: Mapping[str, IdentityScheme]) -> Self:
        """The charter of its encoding, every signature and the chain verified.

        :raises RecordError: anything that is not so.
        """
        value = cbor.decode(data, cap=CHARTER_CAP)
        if not (isinstance(value, dict) and value.keys() == {"genesis", "revisions"}):
            raise RecordError("not a charter: a map of genesis and revisions", cure=_CURE)
        payload, revisions = value["genesis"], value["revisions"]
        if not (isinstance(payload, bytes) and isinstance(revisions, list)):
            raise RecordError("not a charter: a genesis of bytes and a list of revisions", cure=_CURE)
        if not 0 < len(revisions) <= REVISIONS_CAP:
            raise RecordError(f"a charter has 1 to {REVISIONS_CAP} revisions", cure=_CURE)
        charter = cls(read_genesis(payload), payload, tuple(map(SignedRevision.from_value, revisions)))
        charter.verify(schemes)
        return charter

    def verify(self, schemes: Mapping[str, IdentityScheme]) -> None:
        """Accepts only an unbroken chain of revisions, each signed by enough update keys.

        :raises RecordError: anything else.
        """
        previous, not_before = self.network_id, 0
        for seq, signed in enumerate(self.revisions):
            revision = signed.revision
            if (revision.seq, revision.previous) != (seq, previous) or revision.not_before < not_before:
                raise RecordError(
                    f"revision {seq} of the charter does not follow the one before it", cure=_CURE
                )
            signed.verify(self.network_id, self.genesis, schemes)
            previous, not_before = signed.hash, revision.not_before

    def encode(self) -> bytes:
        """The one encoding; signed payloads stand in it as they were received."""
        return cbor.encode(
            {"genesis": self.genesis_payload, "revisions": [signed.to_value() for signed in self.revisions]}
        )

    # -- its file ---------------------------------------------------------------------------------
    @classmethod
    def load(cls, path: Path, schemes: Mapping[str, IdentityScheme]) -> Self:
        """The charter of a file, verified.

        :raises ConfigError: there is no such file, or it can't be read.
        :raises RecordError: what it holds is no valid charter.
        """
        try:
            with open(path, "rb") as file:
                text = file.read(FILE_CAP + 1)
        except OSError as error:
            raise ConfigError(
                f"the charter {path} can't be read: {error.strerror}",
                cure="Name the charter's file in the configuration, or make one with `port17 charter init`.",
            ) from error
        try:
            return cls.from_armour(text, schemes)
        except RecordError as error:
            raise RecordError(f"{path}: {error.message}", cure=error.cure) from error

    @classmethod
    def from_armour(cls, text: bytes, schemes: Mapping[str, IdentityScheme]) -> Self:
        """The charter of a file's bytes, verified; the header must name the network that follows.

        :raises RecordError: anything that is not so.
        """
        if len(text) > FILE_CAP:
            raise RecordError(f"a charter file of more than {FILE_CAP} bytes", cure=_CURE)
        header, body = _unwrapped(text)
        try:
            data = base64.b64decode(body.translate(None, _WHITESPACE), validate=True)
        except (binascii.Error, ValueError) as error:
            raise RecordError("a charter file whose base64 is damaged", cure=_CURE) from error
        charter = cls.parse(data, schemes)
        if f"Network-Id: {charter.network_id.hex()}" not in header.decode("ascii", "replace").splitlines():
            raise RecordError("a charter file whose header names another network than it holds", cure=_CURE)
        return charter

    def to_armour(self) -> str:
        """The file's text: a header for people, then base64."""
        body = base64.b64encode(self.encode()).decode("ascii")
        header = (
            f"Network: {self.genesis.name}",
            f"Network-Id: {self.network_id.hex()}",
            f"Revision: {self.revisions[-1].revision.seq}",
        )
        return "\n".join((_BEGIN, *header, "", *textwrap.wrap(body, LINE_WIDTH), _END, ""))

    def dump(self, path: Path) -> None:
        """Writes the file, whole or not at all.

        :raises ConfigError: it can't be written.
        """
        write_whole(path, self.to_armour().encode("ascii"))


def _unwrapped(text: bytes) -> tuple[bytes, bytes]:
    """Header and base64 of a charter file, found in one pass: anybody may have made the file.

    :raises RecordError: it is none.
    """
    text = text.strip().replace(b"\r\n", b"\n")
    begin, end = f"{_BEGIN}\n".encode(), f"\n{_END}".encode()
    header, blank, body = text[len(begin) : -len(end)].partition(b"\n\n")
    if not (text.startswith(begin) and text.endswith(end) and blank):
        raise RecordError(f"not a charter file: it lies between {_BEGIN} and {_END}", cure=_CURE)
    return header, body
