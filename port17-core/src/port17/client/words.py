"""Who has named which prekey: what agreement is counted by.

It takes what came and gives back what follows; it asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from port17.navigator.chart import Fingerprint

AGREEING: Final = 2
"""Sources of different groups that have to name the same prekey."""


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
    :param groups: of the sources that have named it.
    """

    commitment: bytes
    expiry: int
    groups: set[str] = field(default_factory=set)


class Words:
    """What sources have said, and the nodes have signed."""

    def __init__(self) -> None:
        self._named: dict[Place, _Named] = {}
        self._doubted: dict[Place, int] = {}

    def add(self, place: Place, commitment: bytes, expiry: int, group: str) -> None:
        """A source has named what the node has signed.

        :param expiry: Unix second from which on the prekey is of no use.
        :param group: of the source.
        """
        named = self._named.get(place)
        if named is None or named.commitment != commitment:
            named = self._named[place] = _Named(commitment, expiry)
        named.groups.add(group)

    def has(self, place: Place, commitment: bytes, group: str) -> bool:
        """Whether a group has named this."""
        named = self._named.get(place)
        return named is not None and named.commitment == commitment and group in named.groups

    def agree(self, place: Place, commitment: bytes) -> bool:
        """Whether enough have named this, and nobody says otherwise."""
        named = self._named.get(place)
        return (
            named is not None
            and named.commitment == commitment
            and len(named.groups) >= AGREEING
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
            named.groups.discard(group)

    def forget(self, now_s: float) -> None:
        """What has expired is of no use.

        :param now_s: Unix time, seconds.
        """
        for place in [place for place, named in self._named.items() if named.expiry <= now_s]:
            del self._named[place]
