"""When this node dials what others advertise, and when it calls that settled: how often each owner, machine
and site is dialled at most, whoever names it.

It decides; who dials tells it what came of that.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from port17.bottles.address_checks import LOST, Check
from port17.records.host import Host, forbidden, host_of, objection
from port17.records.ip_space import Address
from port17.wire.quota import TokenBucket

HOST_BURST: Final = 4
"""Dials of one machine in a row: a few nodes on it, or one that is tried again."""
HOST_RATE: Final = 1 / 600
"""The same per second later: 6 an hour."""
SITE_BURST: Final = 16
"""Dials of one site in a row: as many machines of one owner."""
SITE_RATE: Final = 1 / 60
"""The same per second later."""
NAMED_BURST: Final = 1
"""Dials of a machine to which names lead. Its number draws who looks at it, but a name does not: each owner
of names sends it others."""
NAMED_RATE: Final = 1 / 21_600
"""The same per second later: 4 a day."""
AUTHOR_BURST: Final = 16
"""Dials in a row for what one node advertises: all its addresses."""
AUTHOR_RATE: Final = 1 / 300
"""The same per second later."""
OWN_BURST: Final = 32
"""Dials of this node in a row, whatever for: what it has to look at in a network that has just begun."""
OWN_RATE: Final = 1 / 10
"""The same per second later: 6 a minute, so that no flood of labels makes it look like a scanner."""
QUEUE_CAP: Final = 4096
"""Most nodes whose addresses are looked at or wait for it, 4 MiB. Beyond it new ones are not looked at."""
SITE_QUEUE_CAP: Final = 16
"""Most of them that name one site: a flood that names one does not keep the others waiting."""
BUCKETS_CAP: Final = 16_384
"""Most owners, machines and sites whose dials are counted. Whoever has been left alone longest goes first; to
push one out takes two days at :data:`OWN_RATE`."""
ATTEMPTS: Final = 2
"""Dials without an answer until a node counts as lost: one that is just starting again is not."""
RETRY_S: Final = 20.0
"""Seconds between these."""
AGAIN_FIRST_S: Final = 600.0
"""Seconds after which a lost node is looked for again; doubled each time."""
AGAIN_MOST_S: Final = 6 * 3600.0
"""Most seconds of this: within a mark's life, which so is renewed as long as it holds."""
RENEW_S: Final = 24 * 3600.0
"""Seconds after which a node that was found is looked for again."""
UNSURE_S: Final = 600.0
"""Seconds until the next try where we can't tell whether it is the other that is lost, or we."""
WAIT_LEAST_S: Final = 0.05
"""Fewest seconds that anything waits for a token: rounding must not make it wait for none for ever."""
EVIDENCE_S: Final = 2 * RENEW_S
"""Seconds for which an answer shows that we can reach nodes of that kind at all: who is found is looked for
again sooner."""


@dataclass(frozen=True, slots=True)
class CheckDial:
    """One address to be dialled now.

    :param check: what for.
    :param ip: what is to be dialled; None for a name, until :meth:`CheckQueue.lead`, and for what only its
        transport understands.
    :param again: nobody has answered there a moment ago.
    """

    check: Check
    transport: str
    address: str
    host: Host
    ip: Address | None
    again: bool = False

    @property
    def kind(self) -> str:
        """Of addresses: who reaches one of a kind, reaches others."""
        return f"{self.transport} {'' if self.ip is None else self.ip.version}"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What is settled.

    :param failure: empty if the same identity answered at every address.
    """

    check: Check
    failure: str


@dataclass(slots=True)
class _Entry:
    """A node that is looked at.

    :param left: addresses that this round has still to dial.
    :param ticket: of its one valid place in the heap.
    :param silent: dials of the first of them without an answer.
    :param rounds: rounds in a row in which it was lost.
    """

    check: Check
    sites: frozenset[str]
    left: list[tuple[str, str]]
    ticket: int = 0
    silent: int = 0
    rounds: int = 0
    settled: bool = False
    dialling: bool = False


@dataclass(slots=True)
class _Counted:
    """Buckets by what they count."""

    rate: float
    burst: float
    held: dict[str, TokenBucket] = field(default_factory=dict)

    def of(self, key: str) -> TokenBucket:
        bucket = self.held.pop(key, None)
        if bucket is None:
            while len(self.held) >= BUCKETS_CAP:
                del self.held[next(iter(self.held))]
            bucket = TokenBucket(self.rate, self.burst)
        self.held[key] = bucket  # at the end
        return bucket


class CheckQueue:
    """The checks of one node."""

    def __init__(self, rng: random.Random, *, allow_private: bool = False) -> None:
        """
        :param rng: draws when to look again.
        :param allow_private: of the configuration. Machines that are not public then count port by port.
        """
        self._rng = rng
        self._allow_private = allow_private
        self._entries: dict[bytes, _Entry] = {}
        self._heap: list[tuple[float, int, bytes]] = []
        self._tickets = count(1)
        self._queued: dict[str, int] = {}
        """How many entries that are not settled name a site."""
        self._own = TokenBucket(OWN_RATE, OWN_BURST)
        self._paused_s = -math.inf
        """Until when nobody is dialled, since too many were."""
        self._authors = _Counted(AUTHOR_RATE, AUTHOR_BURST)
        self._hosts = _Counted(HOST_RATE, HOST_BURST)
        self._sites = _Counted(SITE_RATE, SITE_BURST)
        self._named = _Counted(NAMED_RATE, NAMED_BURST)
        self._answered: dict[str, float] = {}
        """When somebody last answered at an address of a kind."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def due_s(self) -> float:
        """When :meth:`next` has something at the earliest; infinite if only :meth:`add` changes that."""
        while self._heap and not self._is_valid(self._heap[0]):
            heapq.heappop(self._heap)
        return max(self._heap[0][0], self._paused_s) if self._heap else math.inf

    def add(self, check: Check, now_s: float) -> bool:
        """Addresses are to be dialled. Those that the flavour forbids are not.

        :param now_s: of any clock that never goes back, the same for all calls.
        :returns: False if that is nothing, or too much.
        """
        held = self._entries.get(check.fingerprint)
        if held is not None and held.check == check:
            return True
        allowed = tuple(
            pair
            for pair in check.addresses
            if not objection(pair[1], check.flavour, allow_private=self._allow_private)
        )
        check = replace(check, addresses=allowed)
        sites = frozenset(self._site(host_of(address)) for _, address in allowed)
        if held is not None:
            self.forget(check.fingerprint)
        full = len(self._entries) >= QUEUE_CAP
        if not allowed or full or any(self._queued.get(site, 0) >= SITE_QUEUE_CAP for site in sites):
            return False
        for site in sites:
            self._queued[site] = self._queued.get(site, 0) + 1
        entry = self._entries[check.fingerprint] = _Entry(check, sites, list(allowed))
        self._put(entry, now_s)
        return True

    def forget(self, fingerprint: bytes) -> None:
        """A node has gone."""
        entry = self._entries.pop(fingerprint, None)
        if entry is not None:
            self._settle(entry)

    def next(self, now_s: float) -> CheckDial | None:
        """What is to be dialled now; None if nothing is, before :attr:`due_s`."""
        while self.due_s <= now_s:
            pause_s = self._own.wait_s(now_s)
            if pause_s > 0:
                self._paused_s = now_s + max(pause_s, WAIT_LEAST_S)
                break
            entry = self._entries[self._heap[0][2]]
            transport, address = entry.left[0]
            host = host_of(address)
            buckets = [
                self._authors.of(entry.check.fingerprint.hex()),
                self._hosts.of(self._name(host)),
                self._sites.of(self._site(host)),
            ]
            wait_s = max(bucket.wait_s(now_s) for bucket in buckets)
            if wait_s > 0:
                self._put(entry, now_s + max(wait_s, WAIT_LEAST_S))
                continue
            for bucket in (self._own, *buckets):
                bucket.take(now_s)
            entry.dialling = True
            return CheckDial(entry.check, transport, address, host, host.ip, entry.silent > 0)
        return None

    def lead(self, dial: CheckDial, found: Iterable[Address], now_s: float) -> CheckDial | None:
        """A name has been resolved.

        :param found: what it leads to, best first.
        :returns: what is to be dialled; None if nothing is: the dial has ended.
        """
        best: Address | None = None
        for ip in found:
            if forbidden(ip, dial.check.flavour, allow_private=self._allow_private):
                best = None
                break
            best = best or ip
        if best is None:
            return None
        led = Host(str(best), dial.host.port, best)
        buckets = [self._named.of(str(best)), self._hosts.of(self._name(led)), self._sites.of(led.site)]
        if not self._apart(led):
            wait_s = max(bucket.wait_s(now_s) for bucket in buckets)
            if wait_s > 0:
                entry = self._entries.get(dial.check.fingerprint)
                if entry is not None and entry.check == dial.check:
                    entry.dialling = False
                    self._put(entry, now_s + max(wait_s, WAIT_LEAST_S))
                return None
            for bucket in buckets:
                bucket.take(now_s)
        return replace(dial, ip=best)

    def ended(self, dial: CheckDial, now_s: float, *, answered: bool, connected: bool) -> CheckResult | None:
        """What came of a dial.

        :param answered: the very node that was looked for has proved that it is there.
        :param connected: this node has links to others: it is not itself that is lost.
        :returns: what is settled by that.
        """
        if answered:
            self.met(dial, now_s)
        entry = self._entries.get(dial.check.fingerprint)
        if entry is None or entry.check != dial.check or not entry.dialling:
            return None
        entry.dialling = False
        if answered:
            entry.silent = 0
            entry.left.remove((dial.transport, dial.address))
            if entry.left:
                self._put(entry, now_s)
                return None
            entry.rounds = 0
            self._begin_anew(entry, now_s + RENEW_S * self._rng.uniform(0.75, 1.25))
            return CheckResult(entry.check, "")
        entry.silent += 1
        if entry.silent < ATTEMPTS:
            self._put(entry, now_s + RETRY_S)
            return None
        entry.silent = 0
        if not connected or self._answered.get(dial.kind, -EVIDENCE_S) + EVIDENCE_S <= now_s:
            entry.left.append(entry.left.pop(0))
            self._put(entry, now_s + UNSURE_S * self._rng.uniform(0.75, 1.25))
            return None
        pause_s = min(AGAIN_FIRST_S * 2.0 ** min(entry.rounds, 16), AGAIN_MOST_S)
        entry.rounds += 1
        self._begin_anew(entry, now_s + pause_s * self._rng.uniform(0.75, 1.0), first=entry.left[0])
        return CheckResult(entry.check, LOST)

    def met(self, dial: CheckDial, now_s: float) -> None:
        """Somebody answered at an address of this kind."""
        self._answered[dial.kind] = now_s

    def _begin_anew(self, entry: _Entry, due_s: float, first: tuple[str, str] | None = None) -> None:
        """The next round, with the address that is in doubt before the others."""
        self._settle(entry)
        entry.left = sorted(entry.check.addresses, key=lambda pair: pair != first)
        self._put(entry, due_s)

    def _settle(self, entry: _Entry) -> None:
        if entry.settled:
            return
        entry.settled = True
        for site in entry.sites:
            self._queued[site] -= 1
            if not self._queued[site]:
                del self._queued[site]

    def _put(self, entry: _Entry, due_s: float) -> None:
        entry.ticket = next(self._tickets)
        heapq.heappush(self._heap, (due_s, entry.ticket, entry.check.fingerprint))

    def _is_valid(self, place: tuple[float, int, bytes]) -> bool:
        entry = self._entries.get(place[2])
        return entry is not None and entry.ticket == place[1] and not entry.dialling

    def _apart(self, host: Host) -> bool:
        """Each port is a machine by itself: a whole test network may be on one."""
        return self._allow_private and not host.is_public and not host.is_name

    def _site(self, host: Host) -> str:
        return self._name(host) if self._apart(host) else host.site

    def _name(self, host: Host) -> str:
        return f"{host.name} {host.port}" if self._apart(host) else host.name
