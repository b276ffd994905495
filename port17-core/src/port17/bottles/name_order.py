"""Who holds which PortName: a total order on what nodes have signed, so that all decide every clash alike.

The rule, and what a squatter can do about it, is argued in docs/names.md. Whose bottle is kept is the
intake's to say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from port17.bottles.rack import Naming
from port17.records.bottle import Bottle
from port17.records.framing import digest

OFFLINE_S: Final = 14 * 24 * 3600
"""Seconds without a new signature after which a node holds its name no longer: holidays pass, and a name
that nobody uses comes back within a fortnight."""
ESTABLISHED_S: Final = 24 * 3600
"""Seconds after which a claim that loses no longer costs its node more than the name. Until then the node is
told by being refused; afterwards, no back-dated claim of somebody else can push it out of anybody's rack."""
NOBODY: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True, order=True, slots=True)
class Claim:
    """What one node's newest label says of its name. The greatest of several is the newest.

    :param label_seq: of the label.
    :param name: in lower case: people and name servers don't tell cases apart.
    :param since: Unix second from which on the node says that it has had the name.
    """

    label_seq: int
    name: str
    since: int


@dataclass(frozen=True, slots=True)
class Held:
    """A node's claim and the last sign of life.

    :param seen: Unix second of the newest contents that the node has signed.
    """

    claim: Claim
    seen: int

    def merged(self, other: Held) -> Held:
        """The newer of each: the same whichever comes first and however often."""
        return Held(max(self.claim, other.claim), max(self.seen, other.seen))


class NameOrder:
    """All claims that are known.

    A state is a map from node to :class:`Held`; two states merge entry by entry to the greater, so merging is
    commutative, associative and idempotent, and the holder is a function of the state and the time alone.
    """

    def __init__(self, network_id: bytes, namings: Iterable[Naming] = ()) -> None:
        """:param namings: what is held already."""
        self._network_id = network_id
        self._held: dict[bytes, Held] = {}
        self._claimants: dict[str, set[bytes]] = {}
        for one in namings:
            self._put(
                one.fingerprint, Held(Claim(one.label_seq, one.name.lower(), one.since), one.contents_seq)
            )

    def put(self, bottle: Bottle) -> None:
        """Count the claim of a verified bottle."""
        self._put(bottle.fingerprint, _held(bottle))

    def drop(self, fingerprint: bytes) -> None:
        """Forget a node: its bottle is not kept."""
        held = self._held.pop(fingerprint, None)
        if held is not None:
            self._leave(fingerprint, held.claim.name)

    def merge(self, other: NameOrder) -> None:
        """Take over whatever another state of the same network knows better."""
        for fingerprint, held in other._held.items():
            self._put(fingerprint, held)

    def holder(self, name: str, now_s: float, settled: Mapping[str, bytes] = NOBODY) -> bytes | None:
        """Whose a PortName is.

        :param settled: names, in lower case, to the owners whom moderators have verified: they stand above
            the order, for as long as they live and claim the name.
        """
        name = name.lower()
        return self._first(name, self._claimants.get(name, ()), now_s, settled)

    def holder_with(
        self,
        bottle: Bottle,
        now_s: float,
        settled: Mapping[str, bytes] = NOBODY,
        before: Collection[bytes] = (),
    ) -> bytes | None:
        """Whose the bottle's PortName is once the bottle's own claim counts; it is not noted.

        :param before: whose place its node has taken, verified; they stand back for it.
        """
        fingerprint, name = bottle.fingerprint, bottle.label.name.lower()
        mine = self._held.get(fingerprint)
        held = _held(bottle) if mine is None else mine.merged(_held(bottle))
        rivals = (self._claimants.get(name, set()) - set(before)) | {fingerprint}
        return self._first(name, rivals, now_s, settled, {fingerprint: held})

    def unnamed(self, now_s: float, settled: Mapping[str, bytes] = NOBODY) -> frozenset[bytes]:
        """The nodes whose name is another's."""
        lost: set[bytes] = set()
        for name, claimants in self._claimants.items():
            if len(claimants) > 1 or name in settled:
                lost |= claimants - {self.holder(name, now_s, settled)}
        return frozenset(lost)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NameOrder) and self._held == other._held

    __hash__ = None  # type: ignore[assignment]

    def _first(
        self,
        name: str,
        claimants: Collection[bytes],
        now_s: float,
        settled: Mapping[str, bytes],
        instead: Mapping[bytes, Held] = MappingProxyType({}),
    ) -> bytes | None:
        owner = settled.get(name)
        living = []
        for fingerprint in claimants:
            held = instead.get(fingerprint) or self._held[fingerprint]
            if held.claim.name == name and held.seen + OFFLINE_S >= now_s:
                living.append(
                    (fingerprint != owner, held.claim.since, self._lot(name, fingerprint), fingerprint)
                )
        return min(living)[-1] if living else None

    def _lot(self, name: str, fingerprint: bytes) -> bytes:
        """Decides between claims of one second; another for every name, so that no identity always wins."""
        return digest("name", self._network_id, name.encode("ascii"), fingerprint)

    def _put(self, fingerprint: bytes, held: Held) -> None:
        before = self._held.get(fingerprint)
        if before is not None:
            held = before.merged(held)
            if held.claim.name != before.claim.name:
                self._leave(fingerprint, before.claim.name)
        self._held[fingerprint] = held
        self._claimants.setdefault(held.claim.name, set()).add(fingerprint)

    def _leave(self, fingerprint: bytes, name: str) -> None:
        claimants = self._claimants[name]
        claimants.discard(fingerprint)
        if not claimants:
            del self._claimants[name]


def _held(bottle: Bottle) -> Held:
    label = bottle.label
    return Held(Claim(label.seq, label.name.lower(), label.since), bottle.contents.seq)
