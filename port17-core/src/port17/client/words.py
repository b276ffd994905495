"""Who has named which prekey: what agreement is counted by.

It takes what came and gives back what follows; it asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from port17.navigator.chart import Fingerprint
from port17.records.identity import node_id

AGREEING: Final = 2
"""Sources of different groups that have to name the same prekey."""


class Witness(NamedTuple):
    """Who has named something.

    :param group: whose node it is, as :func:`group_of` says.
    """

    fingerprint: Fingerprint
    group: str


def group_of(group: str, fingerprint: Fingerprint) -> str:
    """Whose a node is, the same wherever words are counted: a node that names no group is its own. No group
    is called as an id in brackets."""
    return group or f"[{node_id(fingerprint)}]"


class Place(NamedTuple):
    """Where there is one prekey, and no more than one."""

    fingerprint: Fingerprint
    suite: str
    slot: int


@dataclass
class _Named:
    """
    :param commitment: hash of the prekey record.
    :param expiry: Unix second.
    :param by: who has named it.
    """

    commitment: bytes
    expiry: int
    by: set[Witness] = field(default_factory=set)

    @property
    def is_agreed(self) -> bool:
        """Whether two nodes of two groups are among those: one node that changes its group is one."""
        groups, nodes = {one.group for one in self.by}, {one.fingerprint for one in self.by}
        return min(len(groups), len(nodes)) >= AGREEING


class Words:
    """What sources have said, and the nodes have signed."""

    def __init__(self) -> None:
        self._named: dict[Place, _Named] = {}
        self._doubted: dict[Place, int] = {}

    def add(self, place: Place, commitment: bytes, expiry: int, by: Witness) -> None:
        """A source has named what the node has signed.

        :param expiry: Unix second from which on the prekey is of no use.
        """
        named = self._named.get(place)
        if named is None or named.commitment != commitment:
            named = self._named[place] = _Named(commitment, expiry)
        named.by.add(by)

    def has(self, place: Place, commitment: bytes, by: Witness) -> bool:
        """Whether a source has named this."""
        named = self._named.get(place)
        return named is not None and named.commitment == commitment and by in named.by

    def agree(self, place: Place, commitment: bytes) -> bool:
        """Whether enough have named this, and nobody says otherwise."""
        named = self._named.get(place)
        return (
            named is not None
            and named.commitment == commitment
            and named.is_agreed
            and place not in self._doubted
        )

    @property
    def agreed(self) -> int:
        """How many prekeys enough have named alike."""
        return sum(self.agree(place, named.commitment) for place, named in self._named.items())

    def doubt(self, place: Place) -> None:
        """A source contradicts what the node has signed; until :meth:`settle` there is no agreement."""
        self._doubted[place] = self._doubted.get(place, 0) + 1

    def settle(self, place: Place) -> None:
        """It is known who was wrong, or whoever contradicted is gone. Once for each :meth:`doubt`."""
        self._doubted[place] -= 1
        if not self._doubted[place]:
            del self._doubted[place]

    def withdraw(self, group: str) -> None:
        """What a group has said counts for nothing."""
        for named in self._named.values():
            named.by = {one for one in named.by if one.group != group}

    def forget(self, now_s: float) -> None:
        """What has expired is of no use.

        :param now_s: Unix time, seconds.
        """
        for place in [place for place, named in self._named.items() if named.expiry <= now_s]:
            del self._named[place]
