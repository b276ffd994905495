"""Keeps a client's guards: when the list is looked through and written, which of them cannot be reached, and
when they are called again.

Who is on the list is :mod:`port17.navigator.guards`' to say; the links are the entries'.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any, Final

import anyio
import anyio.to_thread

from port17.client.entrances import Doors
from port17.client.guards_file import GuardsFile
from port17.client.sources import Cranes
from port17.errors import NetworkError
from port17.navigator.chart import Chart, Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.guards import DAY_S, GUARDS
from port17.navigator.policy import Request, SecurityLevel
from port17.network import KnownNetwork
from port17.records.identity import node_id

LOOK_S: Final = 60.0
"""Seconds between looks at the list, for what only time changes."""
SOON_S: Final = 1.0
"""Least seconds between two looks, however fast bottles come."""
DOWN_S: Final = 15.0
"""Seconds for which a guard that did not answer is not called again; twice as long each time."""
DOWN_CAP_S: Final = 900.0
"""Most seconds: who is back is used again within a quarter of an hour."""
PROBE_S: Final = 1.0
"""Seconds before the first probe where no guard answers: most likely it is our own line."""
PROBE_CAP_S: Final = 60.0
"""Most seconds between probes: a line that is back is noticed within a minute."""
JITTER: Final = (0.5, 1.5)
"""Least and most factor on every pause, so that clients of one line that is back don't all call at once."""
TICK_S: Final = 0.25
"""Least seconds between two calls."""
ANSWER_S: Final = 8.0
"""Seconds for a guard's handshake."""
PATIENCE_S: Final = 8.0
"""Seconds for which a request waits where no guard answers: programs get their answer within 10."""
ALONE_S: Final = 60.0
"""Seconds after the start after which, where no source has come though circuits stand, what the user has put
into the folder of bottles is taken for the whole network."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Unreachable(NetworkError):
    """No guard answers. It is no use to try again at once."""


@dataclass
class _Down:
    """
    :param failures: calls in vain, one after the other.
    :param until_s: when it is to be called again.
    """

    failures: int
    until_s: float


class GuardKeeper:
    """The guards of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        cranes: Cranes,
        compiled: Compiled,
        transports: Collection[str],
        file: GuardsFile,
        *,
        level: SecurityLevel = "normal",
        whole: Callable[[], bool],
        rng: Random = _random,
    ) -> None:
        """
        :param compiled: what the policies say.
        :param transports: names of those that the client has.
        :param level: the user's.
        :param whole: whether sources have told of the whole network.
        :raises ConfigError: the file is damaged.
        """
        self._network = network
        self._cranes = cranes
        self._compiled = compiled
        self._transports = transports
        self._level = level
        self._whole = whole
        self._file = file
        self._rng = rng
        self._guards = file.load(rng)
        self._provisional = not self._guards.listed
        """What was drawn was drawn before all were known, and is not to last."""
        self._alone = False
        """Nobody tells of the network, and it works all the same."""
        self._begun_s = anyio.current_time()
        self._doors: Doors | None = None
        self._active: tuple[Fingerprint, ...] | None = None
        self._down: dict[Fingerprint, _Down] = {}
        self._suspects: dict[Fingerprint, None] = {}
        """Guards whose link was lost."""
        self._probes = 0
        """Since no guard answers; each waits longer."""
        self._probe_s = math.inf
        """When the next one is due; infinite while a guard answers."""
        self._unsaved = False
        self._news = anyio.Event()
        """Set when the list is to be looked through."""
        self._change = anyio.Event()
        """Set when other guards are in use, or answer."""
        self._listeners: list[Callable[[], None]] = []

    # -- who they are -------------------------------------------------------------------------------
    @property
    def active(self) -> tuple[Fingerprint, ...]:
        """Where routes begin now; nothing if no guard can be used."""
        doors = self._now()
        if self._active is None:
            self._active = self._guards.active(doors.entrances(), self._down)
        return self._active

    @property
    def listed(self) -> tuple[Fingerprint, ...]:
        """All on the list, whether they can be used or not."""
        return tuple(guard.fingerprint for guard in self._guards.listed)

    @property
    def chosen(self) -> bool:
        """They were drawn from the whole network, and are to last."""
        return bool(self._guards.listed) and not self._provisional

    def entries(self, request: Request, *, draw: bool = True) -> tuple[Fingerprint, ...]:
        """Where routes for a request may begin: the guards in use; if the user's rules for this very request
        forbid these, others of the list, and if they forbid all of it one that is drawn for it.

        :param draw: False draws none, and gives all that one would be drawn from.
        """
        doors, active = self._now(), self.active
        allowed = tuple(one for one in active if doors.allows(one, request))
        if allowed or not active:
            return allowed
        fit = self._guards.fit(doors.entrances(), self._down)
        allowed = tuple(one for one in fit if doors.allows(one, request))
        if allowed or not self.chosen:
            return allowed[:GUARDS]
        others = [one for one in doors.chart.nodes if doors.families(one) is not None]
        others = [one for one in others if doors.allows(one, request)]
        if not draw:
            return tuple(others)
        added = self._guards.add(others, self._network.wall())
        if added:
            self._changed()
        return added

    def described(self) -> list[dict[str, Any]]:
        """The list as the control socket shows it."""
        chart, active, doors = self._network.chart(), self.active, self._now()
        wall_s, now_s = self._network.wall(), anyio.current_time()
        rows: list[dict[str, Any]] = []
        for guard in self._guards.listed:
            node = chart.nodes.get(guard.fingerprint)
            down = self._down.get(guard.fingerprint)
            if node is None:
                state = "gone"
            elif doors.families(guard.fingerprint) is None:
                state = "excluded"
            elif down is not None:
                state = "down"
            else:
                state = "in use" if guard.fingerprint in active else "waiting"
            rows.append(
                {
                    "id": node_id(guard.fingerprint),
                    "name": node.name if node is not None else "?",
                    "state": state,
                    "days": _days(0.0 if guard.used_s is None else wall_s - guard.used_s),
                    "days_left": _days(guard.life_s if guard.used_s is None else guard.until_s - wall_s),
                    "again_s": round(max(0.0, down.until_s - now_s), 1) if down is not None else None,
                }
            )
        return rows

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this whenever other guards are in use; it takes no time."""
        self._listeners.append(listener)

    def _now(self) -> Doors:
        """By the chart as it is now."""
        chart = self._network.chart()
        if self._doors is None or self._doors.chart is not chart:
            self._doors = Doors(chart, self._compiled, self._transports, self._level)
            self._active = None
            if not self._guards.listed and chart.nodes:
                self.look()
        return self._doors

    # -- the list -----------------------------------------------------------------------------------
    def look(self) -> None:
        """Look through the list: drop and draw whom it is time to."""
        chart: Chart = self._network.chart()
        self._doors = doors = Doors(chart, self._compiled, self._transports, self._level)
        whole = self._whole()
        if self._provisional and (whole or self._alone) and chart.nodes:
            self._provisional = False
            self._unsaved = True
            if whole:
                self._guards.forget()
        changed = self._guards.look(
            doors.entrances(),
            self._network.wall(),
            down=self._down,
            settled=whole or self._alone,
            heirs=self._network.successors.heirs,
        )
        for gone in self._down.keys() - set(self.listed):
            del self._down[gone]
        before, self._active = self._active, None
        if changed or before != self.active:
            self._changed()

    def proven(self) -> None:
        """A circuit stands."""
        if self._provisional and not self._alone and not self._whole():
            self._alone = anyio.current_time() - self._begun_s > ALONE_S

    def changed(self) -> None:
        """Charter, clock, bottles or sources have changed."""
        self._news.set()

    def _changed(self) -> None:
        self._active = None
        self._unsaved = not self._provisional
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._change.set()
        self._change = anyio.Event()
        for listener in self._listeners:
            listener()

    # -- which of them answer -----------------------------------------------------------------------
    def failed(self, fingerprint: Fingerprint) -> None:
        """A node did not answer a call."""
        if fingerprint not in self._guards:
            return
        now_s = anyio.current_time()
        before = self._down.get(fingerprint)
        failures = 1 + (before.failures if before is not None else 0)
        pause_s = min(DOWN_S * 2.0 ** min(failures - 1, 16), DOWN_CAP_S) * self._rng.uniform(*JITTER)
        self._down[fingerprint] = _Down(failures, now_s + pause_s)
        self._active = None
        if not self.active:
            if not math.isfinite(self._probe_s):
                _log.warning("no guard answers: is this machine online?")
                self._probes = 0
            pause_s = min(PROBE_S * 2.0 ** min(self._probes, 16), PROBE_CAP_S) * self._rng.uniform(*JITTER)
            self._probe_s = now_s + pause_s
        self._tell()

    def stood(self, fingerprint: Fingerprint) -> None:
        """A link to a node stands."""
        was_down = self._down.pop(fingerprint, None) is not None
        if math.isfinite(self._probe_s):
            _log.info("a guard answers again")
            # Most likely it was our own line: who did not answer is called again as soon as he is needed.
            was_down = True
            self._down.clear()
            self._probe_s, self._probes = math.inf, 0
        if was_down:
            self._active = None
            self._tell()

    def lost(self, fingerprint: Fingerprint) -> None:
        """A link to a node stood, and is lost: if routes begin there, it is called at once, to see whether it
        answers still."""
        if fingerprint in self.active:
            self._suspects[fingerprint] = None
            self._tell()

    def woke(self) -> None:
        """The machine has slept, or is on another line: nothing is known of who can be reached."""
        self._down.clear()
        self._suspects.clear()
        self._probe_s, self._probes = math.inf, 0
        self._active = None
        self._tell()

    async def reachable(self) -> None:
        """Wait until a guard answers, if none does.

        :raises Unreachable: none does for too long.
        """
        if not math.isfinite(self._probe_s):
            return
        with anyio.move_on_after(PATIENCE_S):
            while math.isfinite(self._probe_s):
                await self._change.wait()
            return
        raise Unreachable(
            "none of this client's guards answers",
            cure="Check that this machine is online, and what `port17 client status` says of the guards.",
        )

    # -- its life -----------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep the list, and call again who did not answer, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep)
            tasks.start_soon(self._call_again)

    async def _keep(self) -> None:
        while True:
            self.look()
            if self._unsaved:
                self._unsaved = False
                if not await anyio.to_thread.run_sync(self._file.save, self._guards):
                    self._unsaved = True  # a disk that is full is so for a while
            await anyio.sleep(SOON_S)
            with anyio.move_on_after(LOOK_S):
                await self._news.wait()
            self._news = anyio.Event()

    async def _call_again(self) -> None:
        while True:
            one = self._due(anyio.current_time())
            if one is not None:
                await self._call(one)
                await anyio.sleep(TICK_S)
            elif not self._suspects:
                with anyio.move_on_after(max(TICK_S, self._next_s() - anyio.current_time())):
                    await self._change.wait()

    def _next_s(self) -> float:
        """When somebody may have to be called."""
        if math.isfinite(self._probe_s):
            return self._probe_s
        return min((down.until_s for down in self._down.values()), default=math.inf)

    def _due(self, now_s: float) -> Fingerprint | None:
        """Whom to call now: whose link was lost; where no guard answers, one of all in turn; otherwise who
        would be in use if he answered, once his time has come."""
        while self._suspects:
            suspect = next(iter(self._suspects))
            del self._suspects[suspect]
            if suspect in self.active:
                return suspect
        if not self._down:
            return None
        entrances = self._now().entrances()
        if math.isfinite(self._probe_s):
            fit = self._guards.fit(entrances)
            if now_s < self._probe_s or not fit:
                return None
            probed = fit[self._probes % len(fit)]
            self._probes += 1
            return probed
        first = self._guards.active(entrances)
        for one in [one for one, down in self._down.items() if down.until_s <= now_s]:
            if one in first:
                return one
            del self._down[one]  # not needed now; whoever is needed is called
        return None

    async def _call(self, fingerprint: Fingerprint) -> None:
        node = self._network.chart().nodes.get(fingerprint)
        if node is None:
            return
        try:
            crane = await self._cranes.crane(node)
            with anyio.move_on_after(ANSWER_S):
                await crane.standing.wait()
            if crane.standing.is_set() and not crane.lost:
                self.stood(fingerprint)
        except NetworkError as error:
            _log.debug("a guard does not answer yet: %s", error.message)


def _days(seconds: float) -> float:
    return round(max(0.0, seconds) / DAY_S, 1)
