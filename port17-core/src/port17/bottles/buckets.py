"""Buckets: the groups of nodes, by the first bits of their ids, whose prekeys are asked for together, so that
whoever is asked does not learn which of them is about to be used.

Who asks whom for which bucket, and what is believed of an answer, is the client's to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from port17.bottles.rack import BUCKET_BITS_CAP, BottleStore
from port17.errors import NetworkError
from port17.records.bottle import Bottle, Slot
from port17.records.prekey import PrekeyRecord

BUCKET_NODES: Final = 16
"""Nodes that a bucket is to have: whom a client is about to use is hidden among so many, for some 20 KiB."""
WHOLE_BELOW: Final = 2 * BUCKET_NODES
"""Nodes below which the network is one bucket: half of it would hide nobody better."""
BUCKET_CAP: Final = 8 * BUCKET_NODES
"""Most nodes of an answer, some 170 KiB. Ids are hashes: a bucket that is so full is full of ids that were
looked for. Who misses a node in a full answer asks for a longer prefix."""
LEEWAY_BITS: Final = 1
"""How much shorter a prefix may be than our own count of nodes makes it: others may know half as many, and no
request costs us more than reading some bottles."""


SlotOrRecord = TypeVar("SlotOrRecord", Slot, PrekeyRecord)


class BucketRefused(NetworkError):
    """A bucket that is not answered: there is no such prefix, or it is too short."""


class Commitment(NamedTuple):
    """What a node's contents commit to.

    :param fingerprint: of the node, 32 bytes.
    :param contents_seq: of the contents that say so.
    :param commitment: hash of the prekey record.
    """

    fingerprint: bytes
    contents_seq: int
    commitment: bytes


def usable(found: Iterable[SlotOrRecord], now_s: float, lifetime_s: int) -> list[SlotOrRecord]:
    """Of prekeys, those that can be used, in the order of use: the present slot's, then older, then later
    ones. A key that dies sooner is the better for forward secrecy.

    :param found: of one suite.
    :param now_s: Unix time, seconds.
    :param lifetime_s: the charter's ``prekey_lifetime_s``.
    """
    present = int(now_s) // lifetime_s
    alive = [one for one in found if one.expiry > now_s]
    return sorted(alive, key=lambda one: (one.slot > present, abs(one.slot - present)))


def bits_for(nodes: int) -> int:
    """The length of the prefixes that a network of so many nodes is asked by, so that a bucket has
    :data:`BUCKET_NODES` to twice as many."""
    return 0 if nodes < WHOLE_BELOW else (nodes // BUCKET_NODES).bit_length() - 1


def bucket_of(fingerprint: bytes, bits: int) -> int:
    """The bucket of a node: the first bits of its fingerprint, as a number.

    :param bits: 0 to :data:`~port17.bottles.rack.BUCKET_BITS_CAP`.
    """
    return int.from_bytes(fingerprint[: BUCKET_BITS_CAP // 8], "big") >> (BUCKET_BITS_CAP - bits)


def records(
    rack: BottleStore, suite: str, slot: int, bits: int, prefix: int, cap: int = BUCKET_CAP
) -> tuple[PrekeyRecord, ...]:
    """The prekey records that are held of a bucket's nodes, in the order of fingerprints.

    :param suite: of this cipher suite alone.
    :param slot: of this slot alone.
    :param bits: length of the prefix.
    :param prefix: the prefix, as a number.
    :param cap: most records.
    :raises BucketRefused: there is no such bucket, or it is too wide.
    """
    found: list[PrekeyRecord] = []
    for bottle in _bottles(rack, bits, prefix):
        found += [record for record in bottle.bundle if (record.suite, record.slot) == (suite, slot)]
        if len(found) >= cap:
            break
    return tuple(found[:cap])


def commitments(
    rack: BottleStore, suite: str, slot: int, bits: int, prefix: int, cap: int = BUCKET_CAP
) -> tuple[Commitment, ...]:
    """What the nodes of a bucket commit to; as :func:`records`, for nodes whose records are not held, too."""
    found: list[Commitment] = []
    for bottle in _bottles(rack, bits, prefix):
        contents = bottle.contents
        found += [
            Commitment(bottle.fingerprint, contents.seq, held.commitment)
            for held in contents.slots.get(suite, ())
            if held.slot == slot
        ]
        if len(found) >= cap:
            break
    return tuple(found[:cap])


def _bottles(rack: BottleStore, bits: int, prefix: int) -> Iterator[Bottle]:
    """Of so many nodes at the most that each record which is wanted can be found."""
    if bits < bits_for(len(rack)) - LEEWAY_BITS:
        raise BucketRefused(
            f"a bucket of {bits} bits is too wide: there are {len(rack)} nodes",
            cure="Ask for a longer prefix.",
        )
    try:
        fingerprints = rack.bucket(bits, prefix)
    except ValueError as error:
        raise BucketRefused(f"there is no bucket {prefix} of {bits} bits") from error
    for fingerprint in fingerprints:
        bottle = rack.get(fingerprint)
        if bottle is not None:
            yield bottle
