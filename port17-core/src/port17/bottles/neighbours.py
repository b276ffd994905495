"""The neighbours: who on our local network is known by beacons, where they are, and whom to ask for what they
have. Nothing is sent from here.

A datagram can claim to come from anywhere on its link, so nothing of a bottle is believed for being heard:
a beacon says whom to call, and the handshake says who answers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, ip_address
from typing import Final

from port17.bottles.rack import BottleStore
from port17.bottles.validation import Terms
from port17.errors import RecordError
from port17.records.beacon import LIFE_S, Beacon, SignedBeacon
from port17.records.framing import BytesLike, digest
from port17.records.host import forbidden
from port17.records.ip_space import Address
from port17.wire.quota import TokenBucket

BEACONS_PER_S, BEACONS_BURST = 50.0, 200.0
"""Beacons looked at in all: to check one costs 0.2 ms, so a flood costs a hundredth of a core, and a link of
200 nodes is heard at once."""
HOST_BEACONS_PER_S, HOST_BEACONS_BURST = 8.0, 32.0
"""The same from one address: some nodes of one machine, each once a second at most."""
HOSTS_CAP: Final = 512
"""Most addresses that are counted so; whoever is beyond shares one count."""
NEIGHBOURS_CAP: Final = 256
"""Most neighbours at once: as many machines as a usual link has addresses. Beyond it nobody new is heard
until somebody falls silent: to put others out would let one machine put out all."""
NODES_PER_HOST_CAP: Final = 8
"""Most nodes at one address, so that one machine can't take all the places."""
PLACES_CAP: Final = 4
"""Most addresses of one neighbour: two families on two links."""
SOON_S: Final = 0.5
"""Longest wait, seconds, before somebody unknown is asked; drawn, since all who hear him ask."""
NEWS_S: Final = 15.0
"""Wait, seconds, before a known node is asked for newer contents: gossip brings them by itself, usually."""
RETRY_S: Final = 20.0
"""Wait, seconds, until who did not answer is asked again, doubled each time."""
RETRY_CAP_S: Final = 600.0
"""Longest such wait."""
AT_ONCE_CAP: Final = 4
"""Most that are asked at once: handshakes of ours that a flood of beacons can cause, each over in seconds."""


def is_local_address(address: Address) -> bool:
    """Whether an address can be a neighbour's: private or link-local, and no loopback. A local bottle names
    no others, and is dialled at no others."""
    return not forbidden(address, "local")


class Ignored(StrEnum):
    """Why a beacon led to nothing."""

    BUSY = "busy"
    AFAR = "afar"
    MALFORMED = "malformed"
    FOREIGN = "foreign"
    OURS = "ours"
    OLD = "old"
    FORGED = "forged"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a beacon came from.

    :param host: numeric, with its scope if it is link-local.
    :param link: name of our interface.
    """

    host: str
    link: str


@dataclass(slots=True)
class Neighbour:
    """A node of our local network.

    :param beacon: its newest.
    :param name: hash of that, whole.
    :param places: where beacons came from, and until when that counts; the latest last.
    :param ask_s: when it is to be asked.
    :param failures: how often in a row it did not answer.
    :param asked: it is being asked.
    """

    beacon: Beacon
    name: bytes
    places: dict[Place, float]
    ask_s: float = 0.0
    failures: int = 0
    asked: bool = False

    def found(self, place: Place, now_s: float) -> None:
        """It was heard there; the place that was quiet for longest makes room."""
        self.places.pop(place, None)
        while len(self.places) >= PLACES_CAP:
            del self.places[next(iter(self.places))]
        self.places[place] = now_s + LIFE_S


class Neighbours:
    """All that is known by beacons. ``now_s`` is any clock that never goes back."""

    def __init__(self, rack: BottleStore, rng: random.Random) -> None:
        """:param rack: what is held of nodes already."""
        self.own: bytes | None = None
        """Fingerprint of the node that this is."""
        self.ignored: dict[Ignored, int] = dict.fromkeys(Ignored, 0)
        self._rack = rack
        self._rng = rng
        self._heard: dict[bytes, Neighbour] = {}
        self._all = TokenBucket(BEACONS_PER_S, BEACONS_BURST)
        self._hosts: dict[str, TokenBucket] = {}

    # -- beacons -------------------------------------------------------------------------------------
    def hear(self, data: BytesLike, host: str, link: str, terms: Terms, now_s: float) -> Neighbour | Ignored:
        """A beacon came.

        :param host: numeric; of the datagram.
        :param link: name of the interface that it came in by.
        :returns: whose it was, or why it led to nothing.
        """
        heard = self._hear(data, Place(host, link), terms, now_s)
        if isinstance(heard, Ignored):
            self.ignored[heard] += 1
        return heard

    def _hear(self, data: BytesLike, place: Place, terms: Terms, now_s: float) -> Neighbour | Ignored:
        address = _parsed(place.host)
        if address is None or not is_local_address(address):
            return Ignored.AFAR
        if not (self._host(place.host).take(now_s) and self._all.take(now_s)):
            return Ignored.BUSY
        try:
            signed = SignedBeacon.parse(data)
        except RecordError:
            return Ignored.MALFORMED
        beacon = signed.beacon
        if beacon.network_id != terms.network_id:
            return Ignored.FOREIGN
        if beacon.fingerprint == self.own:
            return Ignored.OURS
        self._expire(now_s)
        held = self._heard.get(beacon.fingerprint)
        name = digest("beacon heard", bytes(data))
        if held is not None:
            if held.name == name:  # by another family or link: it was verified when it came first
                return self._also_at(held, place, now_s)
            if beacon.at <= held.beacon.at:
                return Ignored.OLD
        try:
            signed.verify(terms.network_id, terms.schemes, terms.now_s, skew_s=terms.skew_s)
        except RecordError:
            return Ignored.FORGED
        return self._note(held, beacon, name, place, now_s)

    def _note(
        self, held: Neighbour | None, beacon: Beacon, name: bytes, place: Place, now_s: float
    ) -> Neighbour | Ignored:
        if held is None:
            if len(self._heard) >= NEIGHBOURS_CAP or self._at(place.host) >= NODES_PER_HOST_CAP:
                return Ignored.FULL
            held = self._heard[beacon.fingerprint] = Neighbour(beacon, name, {})
            held.ask_s = now_s + self._delay(held)
        else:
            was_news = self._is_news(held)
            held.beacon, held.name = beacon, name
            if self._is_news(held) and not was_news and not held.failures:
                held.ask_s = now_s + self._delay(held)
        held.found(place, now_s)
        return held

    def _also_at(self, held: Neighbour, place: Place, now_s: float) -> Neighbour | Ignored:
        """A copy puts no other place out: anybody can send it once more."""
        if place not in held.places and (
            len(held.places) >= PLACES_CAP or self._at(place.host) >= NODES_PER_HOST_CAP
        ):
            return Ignored.FULL
        held.found(place, now_s)
        return held

    def _at(self, host: str) -> int:
        return sum(any(place.host == host for place in one.places) for one in self._heard.values())

    def _host(self, host: str) -> TokenBucket:
        bucket = self._hosts.get(host)
        if bucket is None:
            if len(self._hosts) >= HOSTS_CAP:
                host = ""
            bucket = self._hosts.setdefault(host, TokenBucket(HOST_BEACONS_PER_S, HOST_BEACONS_BURST))
        return bucket

    def _expire(self, now_s: float) -> None:
        for fingerprint, held in list(self._heard.items()):
            for place in [place for place, until_s in held.places.items() if until_s <= now_s]:
                del held.places[place]
            if not held.places:
                del self._heard[fingerprint]
        if not self._heard:
            self._hosts.clear()

    def __len__(self) -> int:
        """How many there are, or were a moment ago."""
        return len(self._heard)

    # -- where they are ------------------------------------------------------------------------------
    def is_local(self, host: str, now_s: float) -> bool:
        """Whether a beacon was heard from an address lately, so that local bottles may come from it."""
        self._expire(now_s)
        return any(place.host == host for one in self._heard.values() for place in one.places)

    def get(self, fingerprint: bytes, now_s: float) -> Neighbour | None:
        """A neighbour; None if no beacon of it was heard lately."""
        self._expire(now_s)
        return self._heard.get(fingerprint)

    def present(self, now_s: float) -> list[Neighbour]:
        """All of them."""
        self._expire(now_s)
        return list(self._heard.values())

    def scoped(self, fingerprint: bytes, host: str, now_s: float) -> str | None:
        """A host of a local bottle as it can be dialled: a link-local one with the scope that its beacons
        came with.

        :returns: None if it can't be: it is no local address, or link-local and its node was not heard there.
        """
        address = _parsed(host)
        if address is None or not is_local_address(address):
            return None
        if isinstance(address, IPv4Address) or not address.is_link_local:
            return host
        held = self.get(fingerprint, now_s)
        for place in held.places if held is not None else ():
            at = _parsed(place.host)
            if at is not None and int(at) == int(address):
                return place.host
        return None

    # -- whom to ask ---------------------------------------------------------------------------------
    def due(self, now_s: float) -> list[Neighbour]:
        """Whom to ask now; at most so many that no more than :data:`AT_ONCE_CAP` are being asked. Each is
        answered by :meth:`asked`."""
        self._expire(now_s)
        due = sorted((one for one in self._waiting() if one.ask_s <= now_s), key=lambda one: one.ask_s)
        chosen = due[: self._free()]
        for one in chosen:
            one.asked = True
        return chosen

    def asked(self, neighbour: Neighbour, now_s: float, *, failed: bool) -> None:
        """What became of asking.

        :param failed: it did not answer, or is not who it says.
        """
        neighbour.asked = False
        if not failed:
            neighbour.failures = 0
            neighbour.ask_s = now_s + NEWS_S
            return
        wait_s = min(RETRY_S * 2**neighbour.failures, RETRY_CAP_S)
        neighbour.failures += 1
        neighbour.ask_s = now_s + wait_s * self._rng.uniform(0.5, 1.0)

    def next_s(self) -> float | None:
        """When somebody is due; None if nobody is before the next beacon, or the next :meth:`asked`."""
        return min((one.ask_s for one in self._waiting()), default=None) if self._free() else None

    def _free(self) -> int:
        return max(0, AT_ONCE_CAP - sum(one.asked for one in self._heard.values()))

    def _waiting(self) -> list[Neighbour]:
        return [one for one in self._heard.values() if not one.asked and self._is_news(one)]

    def _is_news(self, neighbour: Neighbour) -> bool:
        beacon = neighbour.beacon
        held = self._rack.get(beacon.fingerprint)
        if held is None:
            return True
        return beacon.label > held.label.seq or beacon.contents > held.contents.seq

    def _delay(self, neighbour: Neighbour) -> float:
        held = self._rack.get(neighbour.beacon.fingerprint)
        soon_s = self._rng.uniform(0, SOON_S)
        return soon_s if held is None or neighbour.beacon.label > held.label.seq else NEWS_S + soon_s


def _parsed(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
