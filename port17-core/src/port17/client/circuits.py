"""The client's circuits: one per isolation key, destination host and program, reused while young and for as
long as the policies agree; built on demand, or taken from the spare ones; replaced before they are too old.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import SystemRandom
from typing import Final

import anyio

from port17.client.builder import Builder
from port17.client.built import YOUNG_S, Built, Key, key_of
from port17.client.draws import SURVEY_S, Draws
from port17.client.entries import Entries
from port17.client.guard_keeper import GuardKeeper
from port17.client.spares import Spares
from port17.client.turnover import CircuitTurnover
from port17.errors import NetworkError
from port17.navigator.agreement import Standing
from port17.navigator.policy import Request, SecurityLevel
from port17.network import KnownNetwork
from port17.wire.reasons import Reason

CIRCUITS_CAP: Final = 256
"""Most circuits at once: each costs its relays a grant of queue room. Past it the longest unused ends."""
UNUSED_S: Final = 120.0
"""Seconds without a connection after which a circuit ends."""
TIDY_S: Final = 5.0
"""Seconds between looks at unused circuits."""
ENDING_S: Final = 0.5
"""The same while circuits are on their way out: they end when the last connection on them does."""
REPLACE_S: Final = (0.2, 1.0)
"""Least and most seconds between circuits that are made in the place of others."""
AHEAD_S: Final = (10.0, 60.0)
"""Least and most seconds before a circuit is too old at which the one after it is made, if it is in use: not
at a moment that anybody knows."""
TEND_S: Final = 1.0
"""Seconds between looks at steps that are due by time: half of the shortest that can be asked for."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Circuits:
    """All circuits of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        keeper: GuardKeeper,
        entries: Entries,
        draws: Draws,
        builder: Builder,
        level: SecurityLevel = "normal",
    ) -> None:
        """:param level: the user's."""
        self._keeper = keeper
        self._entries = entries
        self._draws = draws
        self._builder = builder
        self._turnover = CircuitTurnover(network)
        self._all: dict[int, Built] = {}
        self._by_key: dict[Key, list[Built]] = {}
        """The newest first. Those of one key differ where rules for ports do."""
        self._building: dict[Key, anyio.Lock] = {}
        self._identity = 0
        """Which of the user's identities this is; what was begun for another is not used again."""
        self._news = anyio.Event()
        """Set when there is something to tidy."""
        self.spares = Spares(builder, builder.pace, draws.suits, level)
        builder.on_built = self._built
        builder.on_closed = self._closed
        builder.on_slow = self._slow

    def __iter__(self) -> Iterator[Built]:
        return iter(list(self._all.values()))

    # -- for a request --------------------------------------------------------------------------------
    async def get(self, request: Request) -> Built:
        """A circuit for a request: one in use that it may share, a spare one, or a new one.

        :raises NoRoute: no route satisfies request and policies.
        :raises Unreachable: no guard answers.
        :raises NetworkError: the entry node cannot be reached.
        """
        self._judge()
        built = self._shared(request)
        if built is not None:
            self.spares.asked(request, anyio.current_time())
            return built
        key = key_of(request)
        lock = self._building.setdefault(key, anyio.Lock())
        try:
            async with lock:
                self._judge()  # it may have been a while
                identity = self._identity
                now_s = anyio.current_time()
                built = self._shared(request) or self.spares.take(request, now_s)
                if built is None:
                    built = await self._builder.build(request)
                    now_s = anyio.current_time()
                    built.asked_s = now_s
                    built.retired = built.retired or identity != self._identity
                elif built.first_s is None:
                    built.asked_s = now_s
                built.use(request, now_s)
                if identity == self._identity and built.circuit.closed is None:
                    kept = self._by_key.setdefault(key, [])
                    if built not in kept:
                        kept.insert(0, built)
                return built
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._building.pop(key, None)

    async def build(self, request: Request) -> Built:
        """A new circuit that no other request shares: see :meth:`Builder.build`."""
        self._judge()
        return await self._builder.build(request)

    def _shared(self, request: Request) -> Built | None:
        """The circuit in use that a request may share."""
        now_s = anyio.current_time()
        for built in self._by_key.get(key_of(request), ()):
            if not built.takes(request, now_s):
                continue
            same = built.request.port == request.port and built.request.protocol == request.protocol
            if not same or now_s - built.asked_s > SURVEY_S:
                if not self._draws.allows(built.route, request, now_s):
                    continue
                built.asked_s = now_s
            built.use(request, now_s)
            return built
        return None

    # -- the user's word --------------------------------------------------------------------------------
    def renew(self, *, end: bool = False) -> tuple[int, int]:
        """A new identity: no new connection uses a circuit that there is now. Guards stay.

        :param end: end what is open on them, too.
        :returns: how many circuits were ended, and how many others go on until what uses them is over.
        """
        self._identity += 1
        before = list(self._all.values())
        self.spares.drop()
        self._by_key.clear()
        for built in before:
            built.retired = True
            if end or not built.busy:
                built.circuit.close(Reason.DONE)
        self._news.set()
        left = sum(built.circuit.closed is None for built in before)
        return len(before) - left, left

    def links_lost(self) -> None:
        """No link leads anywhere any more: nothing new uses what goes over them."""
        for built in self._all.values():
            built.retired = True
        self._by_key.clear()
        self._news.set()

    def end(self, built: Built) -> None:
        """End a circuit that nobody needs."""
        built.circuit.close(Reason.DONE)

    # -- kept in order ----------------------------------------------------------------------------------
    async def tend(self) -> None:
        """Let the circuits' keys step by time, and give up those that do not stand in time, until
        cancelled."""
        while True:
            await anyio.sleep(TEND_S)
            now_s = anyio.current_time()
            for built in list(self._all.values()):
                try:
                    built.circuit.tend(now_s)
                except Exception as fault:  # noqa: BLE001 - a plugin's suite: it may cost this circuit
                    _log.error("a circuit was ended by a fault: %s", type(fault).__name__)
                    self.end(built)
                if built.circuit.confirmed_s is None and now_s - built.made_s > self._builder.patience_s:
                    self._builder.give_up(built)

    def changed(self) -> None:
        """Charter, clock or bottles have changed."""
        self._news.set()

    async def tidy(self) -> None:
        """End what is unused, and what is not to be used any more, until cancelled."""
        while True:
            ending = any(self._leaving(built) for built in self._all.values())
            with anyio.move_on_after(ENDING_S if ending else TIDY_S):
                await self._news.wait()
            self._news = anyio.Event()
            self._judge()
            now_s = anyio.current_time()
            self._turnover.end(self._all.values(), now_s)
            self._entries.tend(now_s, self._keeper.active)
            self.spares.tidy(now_s, self._keeper.active)
            unused = sorted(
                (b for b in self._all.values() if not b.busy and b not in self.spares), key=lambda b: b.used_s
            )
            surplus = len(self._all) - CIRCUITS_CAP
            for place, built in enumerate(unused):
                old = now_s - built.used_s > UNUSED_S or built.age_s(now_s) > YOUNG_S or built.retired
                if place < surplus or old:
                    self.end(built)

    @staticmethod
    def _leaving(built: Built) -> bool:
        return built.standing is not Standing.GOOD or built.retired

    async def replace(self) -> None:
        """While circuits that connections use are on their way out, have others ready for new connections,
        until cancelled."""
        ahead_s = _random.uniform(*AHEAD_S)
        while True:
            await anyio.sleep(_random.uniform(*REPLACE_S))
            self._judge()
            if not self._builder.pace.idle:
                continue
            leaving = self._next_to_replace(ahead_s)
            if leaving is None:
                continue
            ahead_s = _random.uniform(*AHEAD_S)
            leaving.retired = leaving.retired or leaving.standing is Standing.GOOD
            try:
                # One at a time, and at random moments: not all of a client's circuits are made at once.
                await self.get(leaving.request)
            except NetworkError as error:
                leaving.retired = False
                _log.debug("a circuit could not be replaced: %s", type(error).__name__)
            except Exception as fault:  # noqa: BLE001 - a policy is a stranger's code: it may not end a client
                _log.error("a circuit could not be replaced: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)

    def _next_to_replace(self, ahead_s: float) -> Built | None:
        """A circuit whose successor is to be made now."""
        now_s = anyio.current_time()
        for kept in self._by_key.values():
            newest = kept[0] if kept else None
            if newest is None or newest.circuit.closed is not None:
                continue
            if newest.standing is not Standing.GOOD:
                if newest.busy:
                    return newest
            elif newest.retired:
                if newest.busy or now_s - newest.used_s < UNUSED_S:
                    return newest
            elif newest.age_s(now_s) > YOUNG_S - ahead_s and now_s - newest.used_s < UNUSED_S:
                return newest
        return None

    def _judge(self) -> None:
        if self._turnover.judge(self._all.values()):
            self._news.set()

    # -- what becomes of them -----------------------------------------------------------------------------
    def _built(self, built: Built) -> None:
        self._all[built.ident] = built

    def _slow(self, built: Built) -> None:
        """A circuit took unusually long to stand: another takes its place for new connections."""
        if built in self.spares:
            self.end(built)
        else:
            built.retired = True

    def _closed(self, built: Built) -> None:
        self._all.pop(built.ident, None)
        self.spares.closed(built)
        kept = self._by_key.get(built.key)
        if kept is not None and built in kept:
            kept.remove(built)
            if not kept:
                del self._by_key[built.key]
