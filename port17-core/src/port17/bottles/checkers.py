"""Who is to look whether a node is where it says: a few nodes for each site, drawn by hash from places.

What they find, and what it is worth, is :mod:`port17.bottles.address_checks`'s to say.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Final

from port17.records.bottle import Bottle
from port17.records.framing import digest
from port17.records.host import Host, host_of

SEATS: Final = 16
"""Nodes that look at a site, in a network of any size; and so the most from which a flood of labels that
name one site reaches it."""
SEASON_S: Final = 6 * 3600
"""Seconds that a node must have been known before it looks at others and is believed: whoever claims an
address that it does not hold has been found out by then, even in a flood."""
CACHED: Final = 4096
"""Drawn seats that are remembered until somebody comes or goes, some 8 MiB."""
POINTS: Final = 8
"""Points of one place on the ring: with one, some places would look at ten times as many sites as others."""
POINT_SIZE: Final = 8
"""Bytes of a hash that are a point on the ring: no network has 2^64 places."""


def sites_of(bottle: Bottle) -> list[str]:
    """The sites that a bottle's addresses name, each once, in a fixed order."""
    named = {host_of(one).site for found in bottle.label.addresses.values() for one in found}
    return sorted(named)


def hosts_of(bottle: Bottle) -> list[Host]:
    """What a bottle's addresses name, in a fixed order."""
    return [host_of(one) for _, found in sorted(bottle.label.addresses.items()) for one in found]


def place_of(bottle: Bottle, *, allow_private: bool) -> str:
    """Where a node is, as far as its own word goes; empty if that is nowhere in particular.

    Names, and identities, cost nothing: a node without a public address has no place, nor a say. In a network
    that allows other addresses, and on a local one, nothing costs anything, and each node is its own place.
    """
    hosts = hosts_of(bottle)
    if allow_private or bottle.label.flavour == "local":
        return bottle.fingerprint.hex() if hosts else ""
    return min((host.area for host in hosts if host.area is not None), default="")


class _Ring:
    """Places in the order of their hashes, and who is at each."""

    def __init__(self, network_id: bytes) -> None:
        self._network_id = network_id
        self._points: list[tuple[bytes, str]] = []
        self._at: dict[str, list[bytes]] = {}
        """The nodes of a place, in the order of fingerprints."""

    def put(self, place: str, fingerprint: bytes) -> None:
        nodes = self._at.get(place)
        if nodes is None:
            nodes = self._at[place] = []
            for point in self._points_of(place):
                insort(self._points, point)
        insort(nodes, fingerprint)

    def drop(self, place: str, fingerprint: bytes) -> None:
        nodes = self._at[place]
        del nodes[bisect_left(nodes, fingerprint)]
        if not nodes:
            del self._at[place]
            for point in self._points_of(place):
                del self._points[bisect_left(self._points, point)]

    def seats(self, site: str, about: bytes) -> frozenset[bytes]:
        found: dict[str, bytes] = {}
        barren: set[str] = set()
        """Places where nobody lives but the node that is looked at."""
        wanted = min(SEATS, len(self._at))
        for seat in range(wanted):
            at = bisect_left(self._points, (self._hash("checkers' seat", site, str(seat)), ""))
            for step in range(len(self._points)):
                place = self._points[(at + step) % len(self._points)][1]
                if place in found or place in barren:
                    continue
                node = self._node(place, site, about)
                if node is None:
                    barren.add(place)
                    continue
                found[place] = node
                break
        return frozenset(found.values())

    def _node(self, place: str, site: str, about: bytes) -> bytes | None:
        """Who of a place looks: the first after a hash, round the circle."""
        nodes = self._at[place]
        at = bisect_left(nodes, digest("checkers' node", self._network_id, site.encode(), place.encode()))
        for step in range(min(len(nodes), 2)):
            node = nodes[(at + step) % len(nodes)]
            if node != about:
                return node
        return None

    def _points_of(self, place: str) -> list[tuple[bytes, str]]:
        return [(self._hash("checkers' place", place, str(at)), place) for at in range(POINTS)]

    def _hash(self, label: str, *parts: str) -> bytes:
        return digest(label, self._network_id, *(part.encode() for part in parts))[:POINT_SIZE]


class Checkers:
    """Who looks at what, of all who are known."""

    def __init__(self, network_id: bytes, known: Callable[[], Iterable[Bottle]]) -> None:
        """
        :param known: the bottles that are trusted and were there before anything was put here; asked once, by
            :meth:`open`. They have been known for long enough.
        """
        self._known: Callable[[], Iterable[Bottle]] | None = known
        self._rings = {flavour: _Ring(network_id) for flavour in ("public", "local")}
        self._placed: dict[bytes, tuple[str, str]] = {}
        """Flavour and place of each node that is on a ring."""
        self._waiting: dict[bytes, tuple[str, str, float]] = {}
        """The same of those that are not yet, and since when they are known, Unix seconds. Oldest first."""
        self._drawn: dict[tuple[str, str], frozenset[bytes]] = {}

    def open(self, *, allow_private: bool) -> None:
        """Read who is known already, before anybody new is; once."""
        if self._known is None:
            return
        known, self._known = self._known, None
        for bottle in known():
            place = place_of(bottle, allow_private=allow_private)
            if place:
                self._place(bottle.fingerprint, str(bottle.label.flavour), place)

    def put(self, bottle: Bottle, now_s: float, *, trusted: bool, allow_private: bool) -> None:
        """A node is known, or something about it has changed.

        :param now_s: Unix time, seconds.
        :param trusted: nothing speaks against it.
        """
        fingerprint, flavour = bottle.fingerprint, str(bottle.label.flavour)
        place = place_of(bottle, allow_private=allow_private) if trusted else ""
        if self._placed.get(fingerprint) == (flavour, place):
            return
        held = self._waiting.get(fingerprint)
        if held is not None and held[:2] == (flavour, place):
            return
        self._remove(fingerprint)
        if not place:
            return
        if place == fingerprint.hex():
            self._place(fingerprint, flavour, place)
        else:
            self._waiting[fingerprint] = flavour, place, now_s

    def drop(self, fingerprint: bytes) -> None:
        """A node has gone."""
        self._remove(fingerprint)

    def seats(
        self, site: str, flavour: str, about: bytes, now_s: float, *, allow_private: bool
    ) -> frozenset[bytes]:
        """Who looks at a site: at most :data:`SEATS`, of as many places.

        :param about: the node that is looked at; it has no say in that.
        """
        self._settle(now_s, allow_private)
        drawn = self._drawn.get((flavour, site))
        if drawn is None:
            if len(self._drawn) >= CACHED:
                self._drawn.clear()
            drawn = self._drawn[flavour, site] = self._rings[flavour].seats(site, b"")
        # Who sits there himself is seldom; another takes his seat.
        return drawn if about not in drawn else self._rings[flavour].seats(site, about)

    def _settle(self, now_s: float, allow_private: bool) -> None:
        self.open(allow_private=allow_private)
        while self._waiting:
            fingerprint, (flavour, place, since_s) = next(iter(self._waiting.items()))
            if since_s + SEASON_S > now_s:
                break
            del self._waiting[fingerprint]
            self._place(fingerprint, flavour, place)

    def _place(self, fingerprint: bytes, flavour: str, place: str) -> None:
        self._drawn.clear()
        self._placed[fingerprint] = flavour, place
        self._rings[flavour].put(place, fingerprint)

    def _remove(self, fingerprint: bytes) -> None:
        self._waiting.pop(fingerprint, None)
        held = self._placed.pop(fingerprint, None)
        if held is not None:
            self._drawn.clear()
            self._rings[held[0]].drop(held[1], fingerprint)
