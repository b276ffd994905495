"""The messages of SYNC, and how much of each may be in one; how they are written is
:mod:`port17.bottles.sync_codec`'s to say, and what they lead to :mod:`port17.bottles.gossip`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from port17.bottles.buckets import BUCKET_CAP, Commitment
from port17.records.bottle import BOTTLE_CAP
from port17.records.moderation import MODERATION_CAP
from port17.records.prekey import PREKEY_CAP
from port17.records.proof import PROOF_CAP
from port17.records.record import HASH_SIZE

VERSION: Final = 1
"""Of this protocol; a source refuses a follower of another one."""
LENGTH_SIZE: Final = 4
"""Bytes that say how long a message is."""
MESSAGE_CAP: Final = max(BOTTLE_CAP, BUCKET_CAP * PREKEY_CAP, MODERATION_CAP, PROOF_CAP) + 256
"""Longest message from a source, bytes: the longest thing that travels whole, its kind and two lengths."""
FOLLOWER_MESSAGE_CAP: Final = BOTTLE_CAP + 256
"""Longest message from a follower: its own bottle, offered. All else is far shorter."""
CHUNK_CAP: Final = 256 * 1024
"""Most bytes that may be fed at once: what one read of a stream gives, with room."""
PULL_CAP: Final = 64 * 1024
"""Bytes that are put together at once; with one message more, the most that waits for a peer."""
BUCKETS: Final = 256
"""Buckets of a comparison, by the first byte of a fingerprint: at 10,000 nodes each has 40, and a node that
has changed costs 2 KiB to find."""
DIGEST_SIZE: Final = 16
"""Bytes of a bucket's digest. Who can choose what is in a bucket could with 2^64 work make two of them look
the same, and would hide his own nodes."""
STAMP_SIZE: Final = HASH_SIZE + 8 + 8 + 1
"""Bytes of a stamp: fingerprint, two numbers, and whether all prekey records are there."""
STAMPS_CAP: Final = 1024
"""Most stamps of one message, 49 KiB: whoever waits for a message of something else waits no longer."""
WANTS_CAP: Final = 256
"""Most nodes that one message asks for: with their prekeys some 2 MiB."""
IDS_CAP: Final = 512
"""Most proofs or marks that one message names."""
ORDER_SIZE: Final = 8 + HASH_SIZE
"""Bytes that say which moderators' list is held: its second as u64, and the hash of its payload."""
REASON_CAP: Final = 80
"""Longest reason, characters: a line for a log."""
NO_DIGEST: Final = bytes(DIGEST_SIZE)
"""Digest of a bucket with nothing in it."""


class Scope(StrEnum):
    """Of which nodes a follower is told what is in the contents."""

    ALL = "all"
    NEAR = "near"
    """Those that a route can begin with at this source."""


class Notice(StrEnum):
    """What travels beside bottles and is compared as one."""

    PROOF = "proof"
    MARK = "mark"


ID_SIZES: Final[Mapping[Notice, int]] = MappingProxyType(
    {Notice.PROOF: HASH_SIZE, Notice.MARK: 2 * HASH_SIZE + 8}
)
"""Bytes of what names one: who is convicted; whom a mark is about, who says it, and when as u64."""


class Held(NamedTuple):
    """What of a node is held.

    :param fingerprint: 32 bytes.
    :param label_seq: the label's sequence; 0 with ``contents_seq`` 0 if nothing is held.
    :param contents_seq: the contents' sequence.
    :param whole: every prekey record that the contents commit to is there.
    """

    fingerprint: bytes
    label_seq: int
    contents_seq: int
    whole: bool


# -- from follower to source ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Follow:
    """The first message.

    :param bundles: prekey records are wanted too.
    :param local: local bottles are wanted too.
    :param news: what changes later is wanted; else only what is asked for.
    :param fingerprint: of the follower, by its own word, so that what came from it is not sent back.
    """

    version: int
    scope: Scope
    bundles: bool
    local: bool
    news: bool
    fingerprint: bytes | None


@dataclass(frozen=True, slots=True)
class Compare:
    """What the follower holds, in short.

    :param buckets: a digest for each of :data:`BUCKETS`.
    :param proofs: digest of the proofs that are held; empty if none are wanted. So for ``marks``.
    :param moderation: the order of the moderators' list that is held, 40 bytes, or empty.
    """

    buckets: tuple[bytes, ...]
    proofs: bytes
    marks: bytes
    moderation: bytes


@dataclass(frozen=True, slots=True)
class Want:
    """Send what is newer than this."""

    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send these proofs or marks."""

    kind: Notice
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Offer:
    """Take this bottle."""

    bottle: bytes


@dataclass(frozen=True, slots=True)
class Ask:
    """Prekey records of a bucket, or what its nodes commit to.

    :param records: the records; else the commitments.
    """

    records: bool
    suite: str
    slot: int
    bits: int
    prefix: int


# -- from source to follower ---------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Differ:
    """A bucket's digest is another; part of what the source holds in it."""

    bucket: int
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The end of the answer to a comparison."""


@dataclass(frozen=True, slots=True)
class Given:
    """The end of the answer to a :class:`Want`: what of it has not come does not come."""


@dataclass(frozen=True, slots=True)
class Have:
    """The source holds this since a moment ago; who lacks it may want it."""

    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A bottle, with the prekey records that the follower lacks."""

    bottle: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """Newer contents of a node whose label the follower holds, with the prekey records that it lacks.

    :param contents: encoded; see :class:`~port17.bottles.update.ContentsUpdate`.
    """

    fingerprint: bytes
    contents: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The proofs or marks that the source holds; part of them."""

    kind: Notice
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A proof, a mark or a moderators' list, encoded.

    :param kind: ``moderation`` for a list.
    """

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an offer.

    :param why: empty if it is held.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """To an :class:`Ask`, whose fields it repeats.

    :param rows: encoded prekey records, or commitments; None if there is no answer.
    """

    ask: Ask
    rows: tuple[bytes, ...] | tuple[Commitment, ...] | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The source does not serve this follower; its last message."""

    reason: str


FromFollower: TypeAlias = Follow | Compare | Want | Fetch | Offer | Ask
FromSource: TypeAlias = (
    Differ | Compared | Given | Have | Whole | Update | Known | Said | Taken | Answer | Refused
)
Message: TypeAlias = FromFollower | FromSource
