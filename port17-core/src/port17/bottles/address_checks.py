"""What has been found out about the addresses that nodes advertise: by this node's own dialling, and by what
others say of theirs.

Who is to dial is :mod:`port17.bottles.checkers`'s to say; when, and how often one target may be dialled,
:mod:`port17.bottles.check_queue`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from port17.bottles.checkers import Checkers, hosts_of, sites_of
from port17.bottles.marks import Marks
from port17.records.bottle import Bottle
from port17.records.host import Flavour
from port17.records.mark import SignedMark, claim_of
from port17.wire.quota import TokenBucket

ADDRESSES_CHECKED: Final = 16
"""Most addresses of one label that anybody dials. A label with more is not trusted, since what is beyond them
nobody looks at."""
QUORUM_LEAST: Final = 2
"""Fewest whose word is believed, however few have a say: one alone never is."""
MOVES_BURST: Final = 4
"""Times in a row that a node may change its addresses: some uplinks that come up one after the other."""
MOVES_RATE: Final = 1 / 3600
"""The same per second later: once an hour. Whoever moves faster could be gone before anybody has looked."""
MARKS_BURST: Final = 64
"""Marks of one author that are taken in a row: of all that it looks at, where it has much to look at."""
MARKS_RATE: Final = 1 / 60
"""The same per second later. Each is passed on to everybody, and whoever looks has something to say of one
node once in ten minutes at most."""
AUTHORS_CAP: Final = 4096
"""Most authors whose marks are counted."""
FLITTING: Final = "its addresses change faster than they can be looked at"
MISSED: Final = "most of those who look have not found it at an address that it advertises"
LOST: Final = "it does not answer at an address that it advertises"
"""What every mark of ours says, whatever has happened: whether a port is open, closed or somebody else's is
nothing that strangers are to learn from us."""


@dataclass(frozen=True, slots=True)
class Check:
    """Addresses to be dialled, to see whether the same identity answers there.

    :param claim: hash of all addresses that the node advertises: a result for others counts for nothing.
    :param addresses: (transport, address), those that are ours to dial.
    """

    fingerprint: bytes
    claim: bytes
    flavour: Flavour
    addresses: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Claim:
    """What is known of a node's addresses.

    :param own: our own result: what is wrong, empty if nothing; None if there is none.
    :param crowd: what enough others say is wrong.
    :param moves: how often they may still change; ``flits`` if that was too often.
    :param sites: that the addresses name.
    """

    hash: bytes
    own: str | None = None
    crowd: str = ""
    moves: TokenBucket | None = None
    flits: bool = False
    met: bool = False
    """It has answered us there, as a neighbour."""
    sites: tuple[str, ...] = ()


class AddressChecks:
    """Results, and the words of others."""

    def __init__(self, network_id: bytes, known: Callable[[], Iterable[Bottle]]) -> None:
        """:param known: as of :class:`~port17.bottles.checkers.Checkers`."""
        self.marks = Marks()
        """What others say, and we: held to be passed on."""
        self.checkers = Checkers(network_id, known)
        self._claims: dict[bytes, _Claim] = {}
        self._said: dict[bytes, TokenBucket] = {}
        """How much each node may still say."""
        self._naming: dict[str, int] = {}
        """How many nodes name a site."""

    def claimed(self, bottle: Bottle, now_s: float, *, allow_private: bool) -> None:
        """A bottle is about to be judged: what was found at other addresses counts no longer.

        :param now_s: Unix time, seconds.
        """
        self.checkers.open(allow_private=allow_private)
        claim, known = claim_of(bottle.label), self._claims.get(bottle.fingerprint)
        if known is None:
            self._hold(bottle, claim)
        elif known.hash != claim:
            moves = known.moves or TokenBucket(MOVES_RATE, MOVES_BURST)
            self._let_go(known)
            self._hold(bottle, claim, moves, flits=not moves.take(now_s))
            self.marks.reclaim(bottle.fingerprint, claim)

    def due(self, bottle: Bottle, own: bytes, now_s: float, *, allow_private: bool) -> Check | None:
        """What of a bottle this node is to dial; None if nothing, or it has a result already.

        :param own: fingerprint of the node that this is.
        """
        known = self._claims.get(bottle.fingerprint)
        if known is None or known.own is not None or own == bottle.fingerprint or _is_overlong(bottle):
            return None
        ours = tuple(
            (transport, address)
            for (transport, address), seats in self._seats(bottle, now_s, allow_private)
            if own in seats
        )
        if not ours:
            return None
        return Check(bottle.fingerprint, known.hash, bottle.label.flavour, ours)

    def found(self, fingerprint: bytes, claim: bytes, failure: str) -> bool:
        """Note our own result. Who has dialled believes himself.

        :param failure: what is wrong with the addresses; empty if the same identity answered.
        :returns: False if the node does not claim these addresses any more.
        """
        known = self._claims.get(fingerprint)
        if known is None or known.hash != claim:
            return False
        known.own = failure
        return True

    def may_say(self, mark: SignedMark, about: Bottle, now_s: float, *, allow_private: bool) -> bool:
        """Whether a mark is news, and its author among those whose word on this node counts. Asks for no
        signature.

        :param about: the bottle that is held of the node that the mark is about.
        """
        said = mark.mark
        held = self.marks.get(said.about, said.by)
        if (held is not None and held.order >= mark.order) or said.claim != claim_of(about.label):
            return False
        if _is_overlong(about):
            return False
        return any(said.by in seats for _, seats in self._seats(about, now_s, allow_private))

    def take(self, mark: SignedMark, now_s: float) -> bool:
        """Hold a mark that is verified and by somebody who may say it; False if it is not to be passed on.

        Whoever says too much is heard later: what is dropped now is found when racks are compared.
        """
        by = mark.mark.by
        said = self._said.pop(by, None) or TokenBucket(MARKS_RATE, MARKS_BURST)
        while len(self._said) >= AUTHORS_CAP:
            del self._said[next(iter(self._said))]
        self._said[by] = said  # at the end: who has long said nothing goes first
        return said.take(now_s) and self.marks.take(mark)

    def count(self, about: Bottle, now_s: float, *, allow_private: bool) -> bool:
        """Put together what the held marks say of a node.

        :returns: True if that changes what is believed.
        """
        known = self._claims.get(about.fingerprint) or self._hold(about, claim_of(about.label))
        before = self.unreachable(about.fingerprint)
        against = {mark.mark.by for mark in self.marks.about(about.fingerprint) if mark.mark.failure}
        known.crowd = ""
        if against and not _is_overlong(about):
            for _, seats in self._seats(about, now_s, allow_private):
                if len(against & seats) >= max(QUORUM_LEAST, len(seats) // 2 + 1):
                    known.crowd = MISSED
        return self.unreachable(about.fingerprint) != before

    def unreachable(self, fingerprint: bytes) -> str:
        """What speaks against a node's addresses; empty if nothing."""
        known = self._claims.get(fingerprint)
        if known is None:
            return ""
        if known.own is not None:
            return known.own
        return known.crowd or (FLITTING if known.flits else "")

    def met(self, bottle: Bottle) -> None:
        """A node has answered us at one of its addresses, as a neighbour."""
        known = self._claims.get(bottle.fingerprint)
        if known is not None and known.hash == claim_of(bottle.label):
            known.met = True

    def is_met(self, bottle: Bottle) -> bool:
        """Whether this very node has answered us at the addresses that it claims."""
        known = self._claims.get(bottle.fingerprint)
        return known is not None and (known.met or known.own == "") and known.hash == claim_of(bottle.label)

    def naming(self, site: str) -> int:
        """How many nodes name a site."""
        return self._naming.get(site, 0)

    def forget(self, fingerprint: bytes) -> None:
        """A node has gone."""
        known = self._claims.pop(fingerprint, None)
        if known is not None:
            self._let_go(known)
        self.marks.forget(fingerprint)
        self.checkers.drop(fingerprint)

    def _hold(
        self, bottle: Bottle, claim: bytes, moves: TokenBucket | None = None, *, flits: bool = False
    ) -> _Claim:
        sites = tuple(sites_of(bottle))
        for site in sites:
            self._naming[site] = self._naming.get(site, 0) + 1
        known = self._claims[bottle.fingerprint] = _Claim(claim, moves=moves, flits=flits, sites=sites)
        return known

    def _let_go(self, known: _Claim) -> None:
        for site in known.sites:
            self._naming[site] -= 1
            if not self._naming[site]:
                del self._naming[site]

    def _seats(
        self, bottle: Bottle, now_s: float, allow_private: bool
    ) -> list[tuple[tuple[str, str], frozenset[bytes]]]:
        """Each address, and who looks at it."""
        pairs = [(name, one) for name, found in sorted(bottle.label.addresses.items()) for one in found]
        return [
            (
                pair,
                self.checkers.seats(
                    host.site,
                    bottle.label.flavour,
                    bottle.fingerprint,
                    now_s,
                    allow_private=allow_private,
                ),
            )
            for pair, host in zip(pairs, hosts_of(bottle), strict=True)
        ]


def _is_overlong(bottle: Bottle) -> bool:
    return sum(map(len, bottle.label.addresses.values())) > ADDRESSES_CHECKED
