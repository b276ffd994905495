"""Who has taken whose place: the rotations that the bottles of a rack vouch for, followed to their ends.

So lanes, trust and bookmarks that name an old identity lead to the new one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from port17.bottles.rack import BottleStore
from port17.errors import RecordError
from port17.records.bottle import Bottle
from port17.records.identity import node_id
from port17.records.scheme import IdentityScheme

CHAIN_CAP = 16
"""Most rotations followed from one identity: a year's, at more than one a month."""

_log = logging.getLogger(__name__)


class Successors:
    """The rotations of one rack. An identity that named two successors has none: its key is in two hands."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]], unfounded: Iterable[bytes] = ()) -> None:
        """
        :param pairs: (old, new) fingerprints, verified.
        :param unfounded: fingerprints whose claim to have taken a place is false.
        """
        self.unfounded = frozenset(unfounded)
        """Fingerprints whose bottle names a predecessor that never said so."""
        named: dict[bytes, set[bytes]] = {}
        for old, new in pairs:
            named.setdefault(old, set()).add(new)
        self.superseded = frozenset(named)
        """Fingerprints that are not to be used any more, whoever follows them."""
        self.disputed = frozenset(old for old, heirs in named.items() if len(heirs) > 1)
        """Of these, the ones that named more than one successor."""
        steps = {old: next(iter(heirs)) for old, heirs in named.items() if len(heirs) == 1}
        ends = {old: _end(old, steps) for old in steps}
        self.heirs: Mapping[bytes, bytes] = MappingProxyType(
            {old: end for old, end in ends.items() if end is not None and end not in self.superseded}
        )
        """Old fingerprint to the newest successor's, where that is beyond doubt."""

    @classmethod
    def of(
        cls, bottles: Iterable[Bottle], network_id: bytes, schemes: Mapping[str, IdentityScheme]
    ) -> Successors:
        """What verified bottles say.

        A bottle that was valid may be so no longer: a word under a scheme that nobody could check when it
        came is checked as soon as the charter allows that scheme. If it is false, it counts for nothing.

        :param schemes: the identity schemes that are allowed.
        """
        pairs: set[tuple[bytes, bytes]] = set()
        unfounded: list[bytes] = []
        for bottle in bottles:
            if bottle.label.predecessors:
                try:
                    chain = [bottle.fingerprint, *bottle.succeeds(network_id, schemes)]
                except RecordError as error:
                    unfounded.append(bottle.fingerprint)
                    _log.warning("the bottle of %s is dropped: %s", bottle.node_id, error.message)
                else:
                    pairs.update(zip(chain[1:], chain, strict=False))
        return cls(pairs, unfounded)

    def resolve(self, fingerprint: bytes) -> bytes:
        """The newest successor of an identity, or itself if there is none beyond doubt."""
        return self.heirs.get(fingerprint, fingerprint)


def _end(old: bytes, steps: Mapping[bytes, bytes]) -> bytes | None:
    """Where a chain ends; None if it is a loop, or longer than :data:`CHAIN_CAP`."""
    at = old
    for _ in range(CHAIN_CAP):
        at = steps.get(at, at)
        if at not in steps:
            return at
    return None


def supersede(rack: BottleStore, network_id: bytes, schemes: Mapping[str, IdentityScheme]) -> Successors:
    """Takes the bottles of identities that have handed over out of a rack, and of those who lie about that.

    :param rack: bottles that were verified, and of these only what is wanted: an unwanted successor displaces
        nobody.
    :returns: who has taken whose place.
    """
    found = Successors.of(rack.successors(), network_id, schemes)
    for fingerprint in found.superseded | found.unfounded:
        rack.remove(fingerprint)
    for fingerprint in sorted(found.disputed):
        _log.warning("the node %s has named two successors: neither is followed", node_id(fingerprint))
    return found
