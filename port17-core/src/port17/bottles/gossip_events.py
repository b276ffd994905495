"""What a gossip tells the process that it runs in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, TypeAlias

from port17.bottles.address_checks import Check
from port17.bottles.buckets import Commitment
from port17.bottles.outcome import Part
from port17.records.prekey import PrekeyRecord

Key = NewType("Key", int)
"""Names one SYNC, at either end; never used again in a process."""


@dataclass(frozen=True, slots=True)
class Learned:
    """Something about a node is in the rack that was not.

    :param fingerprint: of the node.
    :param part: the most that was new.
    """

    fingerprint: bytes
    part: Part


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A node is no longer in the rack: it was banned, or is long offline."""

    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class CheckDue:
    """Addresses are to be dialled; the result is for :meth:`~port17.bottles.gossip.Gossip.checked`."""

    check: Check


@dataclass(frozen=True, slots=True)
class Synced:
    """A source has nothing more that we lack; told once of each."""

    key: Key


@dataclass(frozen=True, slots=True)
class OfferAnswered:
    """What a source has made of the bottle that was offered to it.

    :param why: empty if it is held; else a :class:`~port17.bottles.outcome.Why` of the source's, by its word.
    """

    key: Key
    why: str


@dataclass(frozen=True, slots=True)
class PrekeysCame:
    """The answer to :meth:`~port17.bottles.gossip.Gossip.ask_prekeys`; believed by nobody yet.

    :param records: parsed; None if the source does not answer that.
    """

    key: Key
    suite: str
    slot: int
    bits: int
    prefix: int
    records: tuple[PrekeyRecord, ...] | None


@dataclass(frozen=True, slots=True)
class CommitmentsCame:
    """The answer to :meth:`~port17.bottles.gossip.Gossip.ask_commitments`; by the source's word.

    :param rows: None if the source does not answer that.
    """

    key: Key
    suite: str
    slot: int
    bits: int
    prefix: int
    rows: tuple[Commitment, ...] | None


@dataclass(frozen=True, slots=True)
class Noted:
    """What is said of nodes by others has changed: a ban, or the moderators' list.

    :param of_us: it may change what is held here; a ban of somebody who is not held does not.
    """

    of_us: bool = True


Event: TypeAlias = (
    Learned | Forgotten | CheckDue | Synced | OfferAnswered | PrekeysCame | CommitmentsCame | Noted
)
