"""Which parts of two verified bottles of one node are kept: the newest label, the newest contents, and the
prekey records that these contents commit to.

The same everywhere and for every store, so that racks to which an honest node's parts came in another order
hold the same of it.
"""

from __future__ import annotations

from enum import Enum

from port17.records.bottle import Bottle, Contents
from port17.records.envelope import Envelope
from port17.records.prekey import PrekeyRecord


class Kept(Enum):
    """What became of a bottle that a store was given. True if the store holds all that it says, or newer."""

    STORED = "stored"
    """Something in it was new."""
    UNCHANGED = "unchanged"
    """All of it was held already."""
    OLDER = "older"
    """One of its parts is older than the one held, and nothing in it was new."""
    CLASH = "clash"
    """It says something else under a number that is held, or its new part does not go with the other part
    that would stay. What is held stays; whether that is worth a proof is for the intake to say."""
    FULL = "full"
    """The store has no room for another node."""

    def __bool__(self) -> bool:
        return self in (Kept.STORED, Kept.UNCHANGED)


def newest(held: Bottle, fresh: Bottle) -> tuple[Bottle, Kept]:
    """What to hold of a node after a bottle of it has come.

    Label and contents travel and age by themselves: who has a newer label meets newer contents that still
    came with the old one. The newest of each are held together if they could have come together; each was
    verified with the bottle that it came in.

    :param held: what is held; verified.
    :param fresh: another verified bottle of the same node and network.
    :returns: the bottle to hold, which is ``held`` itself if nothing is new, and what that means.
    """
    if _clash(held.label_envelope, held.label.seq, fresh.label_envelope, fresh.label.seq) or _clash(
        held.contents_envelope, held.contents.seq, fresh.contents_envelope, fresh.contents.seq
    ):
        return held, Kept.CLASH
    label = fresh if fresh.label.seq > held.label.seq else held
    contents = fresh if fresh.contents.seq > held.contents.seq else held
    if not _belong_together(label, contents):
        return held, Kept.CLASH
    bundle = _committed(contents.contents, held.bundle, fresh.bundle)
    if label is held and contents is held and len(bundle) == len(held.bundle):
        return held, Kept.UNCHANGED if fresh.sequence == held.sequence else Kept.OLDER
    joined = Bottle(
        label_envelope=label.label_envelope,
        contents_envelope=contents.contents_envelope,
        bundle=bundle,
        label=label.label,
        contents=contents.contents,
    )
    return joined, Kept.STORED


def adds_nothing(held: Bottle, fresh: Bottle) -> bool:
    """Whether all that a bottle of the same node says was verified when what is held came: the same parts
    under the same signatures, and no other prekey records."""
    return (
        fresh.label_envelope == held.label_envelope
        and fresh.contents_envelope == held.contents_envelope
        and set(fresh.bundle) <= set(held.bundle)
    )


def _clash(held: Envelope, held_seq: int, fresh: Envelope, fresh_seq: int) -> bool:
    """Two payloads for one number. A second signature of one payload is no other: some are random."""
    return held_seq == fresh_seq and (held.scheme, held.payload) != (fresh.scheme, fresh.payload)


def _belong_together(label: Bottle, contents: Bottle) -> bool:
    """What verifying a bottle asks of its parts beyond each one's own signature."""
    one_scheme = label.label_envelope.scheme == contents.contents_envelope.scheme
    return one_scheme and contents.contents.slots.keys() <= set(label.label.suites)


def _committed(
    contents: Contents, held: tuple[PrekeyRecord, ...], fresh: tuple[PrekeyRecord, ...]
) -> tuple[PrekeyRecord, ...]:
    """Of all records the ones that contents commit to, those held first, each once."""
    wanted = {
        slot.commitment: (suite, slot.slot, slot.expiry)
        for suite, slots in contents.slots.items()
        for slot in slots
    }
    found: dict[bytes, PrekeyRecord] = {}
    for record in (*held, *fresh):
        commitment = record.hash
        if wanted.get(commitment) == (record.suite, record.slot, record.expiry):
            found.setdefault(commitment, record)
    return tuple(found.values())
