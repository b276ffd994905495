"""Circuits made ahead, that nobody uses yet: whoever asks for a usual connection has one at once, known to
stand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from random import SystemRandom
from typing import Final, Protocol

import anyio

from port17.client.build_pace import BuildPace
from port17.client.built import Built
from port17.errors import NetworkError
from port17.navigator.agreement import Standing
from port17.navigator.chart import Fingerprint
from port17.navigator.policy import PLAIN_TEXT_PORTS, Request, Route, SecurityLevel
from port17.wire.reasons import Reason

SPARES: Final = 2
"""Spare circuits: a page and its first other host. More would be of use for a moment and cost nodes room."""
SPARE_S: Final = 1800.0
"""Seconds for which a spare waits for its use; then another takes its place, over today's best routes."""
USED_S: Final = 300.0
"""Seconds after the last connection for which spares are kept: a link with a circuit is asked for a sign of
life every two seconds, 4 KB/s."""
SOON_S: Final = (0.1, 1.0)
"""Least and most seconds before a spare that was taken is replaced: what took it comes first."""
AGAIN_S: Final = 5.0
"""Seconds after a spare could not be made before the next try; twice as long each time."""
AGAIN_CAP_S: Final = 600.0
"""Most seconds before that."""
HOST: Final = "spare.invalid"
"""What a spare's exit is asked for: any name (RFC 2606 keeps this one from being somebody's)."""
TLS_PORT: Final = 443
"""The port that most connections go to."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Making(Protocol):
    """Who makes circuits; :class:`~port17.client.builder.Builder` does."""

    @property
    def patience_s(self) -> float:
        """Seconds that a circuit may take to stand."""

    async def build(self, request: Request) -> Built:
        """A new circuit.

        :raises NetworkError: there is none.
        """

    def give_up(self, built: Built) -> None:
        """It does not stand in time."""


class Spares:
    """The spare circuits of one client."""

    def __init__(
        self,
        making: Making,
        pace: BuildPace,
        suits: Callable[[Route, Request, float], bool],
        level: SecurityLevel = "normal",
    ) -> None:
        """
        :param suits: whether a route is as good for a request as one that would be drawn for it.
        :param level: the user's.
        """
        self._making = making
        self._pace = pace
        self._suits = suits
        self._level = level
        self._spares: list[Built] = []
        self._asked_s = anyio.current_time()
        """When a connection last began; a client that has just started will be used."""
        self._plain_port = 0
        """The port to which unencrypted connections went lately."""
        self._news = anyio.Event()

    def __len__(self) -> int:
        return len(self._spares)

    def __contains__(self, built: object) -> bool:
        return built in self._spares

    def take(self, request: Request, now_s: float) -> Built | None:
        """A spare for a request, if one suits it. It is the request's from now on."""
        self.asked(request, now_s)
        for spare in self._spares:
            if (
                spare.circuit.confirmed_s is not None
                and spare.takes(request, now_s)
                and self._suits(spare.route, request, now_s)
            ):
                self._spares.remove(spare)
                self._news.set()
                return spare
        return None

    def asked(self, request: Request, now_s: float) -> None:
        """A connection begins."""
        self._asked_s = now_s
        if request.port in PLAIN_TEXT_PORTS:
            self._plain_port = request.port
        if len(self._spares) < SPARES:
            self._news.set()

    def drop(self) -> None:
        """End all; others take their place, if they are still wanted."""
        for spare in list(self._spares):
            spare.circuit.close(Reason.DONE)
        self._spares.clear()
        self._news.set()

    def closed(self, built: Built) -> None:
        """A circuit is over."""
        if built in self._spares:
            self._spares.remove(built)
            self._news.set()

    def tidy(self, now_s: float, entries: Collection[Fingerprint]) -> None:
        """End those that have waited too long, or that nobody wants any more.

        :param entries: where routes begin now.
        """
        for spare in list(self._spares):
            old = now_s - spare.made_s > SPARE_S or spare.standing is not Standing.GOOD or spare.retired
            elsewhere = bool(entries) and spare.route.entry.fingerprint not in entries
            if old or elsewhere or not self._wanted(now_s):
                self._spares.remove(spare)
                spare.circuit.close(Reason.DONE)
                self._news.set()

    def _wanted(self, now_s: float) -> bool:
        return now_s - self._asked_s < USED_S

    async def run(self) -> None:
        """Have spares, until cancelled."""
        failures = 0
        while True:
            now_s = anyio.current_time()
            if len(self._spares) >= SPARES or not self._wanted(now_s):
                self._news = anyio.Event()
                await self._news.wait()
                continue
            await anyio.sleep(_random.uniform(*SOON_S))
            if not self._pace.idle or len(self._spares) >= SPARES:
                continue
            if await self._make():
                failures = 0
            else:
                await anyio.sleep(min(AGAIN_S * 2.0**failures, AGAIN_CAP_S) * _random.uniform(0.5, 1.5))
                failures = min(failures + 1, 16)

    async def _make(self) -> bool:
        try:
            built = await self._making.build(self._usual())
        except NetworkError as error:
            _log.debug("no spare circuit: %s", type(error).__name__)
            return False
        except Exception as fault:  # noqa: BLE001 - a policy is a stranger's code: it may not end a client
            _log.error("a spare circuit could not be made: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)
            return False
        self._spares.append(built)
        with anyio.move_on_after(self._making.patience_s):
            await built.waiting.wait()
        if built.circuit.confirmed_s is None and built.circuit.closed is None:
            self._making.give_up(built)
        return built.circuit.confirmed_s is not None

    def _usual(self) -> Request:
        """What the next connection will most likely be; one of two spares is for plain text, if some was
        used."""
        plain = self._plain_port and not any(spare.exit.plain_text for spare in self._spares)
        return Request(HOST, self._plain_port if plain else TLS_PORT, level=self._level)
