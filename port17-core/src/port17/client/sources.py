"""The client's sources: two or three entry nodes of different groups that tell it what there is in the
network, each over a link that routes begin with, too. A client makes no lane, and says nobody who it is.

What is believed of what they say is the intake's and :mod:`port17.client.prekeys`' to decide.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final, Protocol

import anyio

from port17.asking import SYNC, Bell, Exchanges, ask
from port17.bottles.gossip_events import Event, Key, Synced
from port17.bottles.sync import Scope
from port17.client.words import Witness, group_of
from port17.errors import NetworkError, Port17Error
from port17.links.crane import Crane
from port17.navigator.chart import ChartNode, Fingerprint
from port17.network import KnownNetwork
from port17.records.identity import node_id
from port17.wire.pace import USUAL, StepTerms
from port17.wire.quota import Budget

WANTED: Final = 3
"""Sources that a client keeps: two whose words are compared, and one while another is replaced."""
NEAR_ABOVE: Final = 512
"""Nodes above which contents are wanted of near ones alone: all of them are a kilobyte a node and hour, here
12 MB a day."""
ALL_BELOW: Final = 384
"""Nodes below which all contents are wanted again; less, so that a size on the edge changes nothing."""
SYNC_S: Final = 60.0
"""Seconds in which a source is to have told all that it knows, or more nodes are to be known than before."""
SYNC_CAP_S: Final = 600.0
"""Most seconds for all that it knows: ten thousand nodes at 50 KB/s."""
AGAIN_S: Final = (0.5, 1.5)
"""Least and most seconds before a place is filled again. The more it fails, the longer: twice each time."""
AGAIN_CAP_S: Final = 60.0
"""Most seconds before a place is tried again."""
ASIDE_S: Final = 60.0
"""Seconds for which a node that failed as a source is the last choice."""
LOST_S: Final = 3600.0
"""Seconds for which a node that told us something false is no source."""
ASIDE_CAP: Final = 1024
"""Most nodes that are remembered so."""
SAMPLE: Final = 64
"""Nodes looked at when all that is held is old: some of them still stand where they stood."""

_log = logging.getLogger(__name__)
_random: Final = SystemRandom()


class Cranes(Protocol):
    """Who has the client's links; :class:`~port17.client.entries.Entries` does."""

    async def crane(self, node: ChartNode) -> Crane:
        """The crane to an entry node.

        :raises NetworkError: it cannot be reached.
        """


class Freshen(Protocol):
    """Who asks nodes for fresh prekeys, by cold calls; a refresher's ``fresh`` does."""

    async def __call__(self, fingerprint: Fingerprint) -> object:
        """What comes is in the rack afterwards.

        :raises NetworkError: nothing does.
        """


@dataclass(eq=False)
class Source:
    """A node that we follow.

    :param group: whose node it is; a node without a mark is its own.
    :param key: names the SYNC.
    """

    fingerprint: Fingerprint
    name: str
    group: str
    scope: Scope
    key: Key
    task: anyio.CancelScope = field(repr=False)
    synced: bool = False
    """It has nothing more that we lack."""
    over: bool = False
    """Nothing can be asked of it any more."""
    false: bool = False
    """It has told us something that is not so."""

    @property
    def witness(self) -> Witness:
        """As what its word counts."""
        return Witness(self.fingerprint, self.group)


class Sources:
    """All sources of one client."""

    def __init__(
        self,
        network: KnownNetwork,
        cranes: Cranes,
        transports: Collection[str],
        freshen: Freshen,
        budget: Budget,
        steps: StepTerms = USUAL,
        *,
        is_local: Callable[[str], bool] = lambda remote: False,
        wanted: int = WANTED,
        rng: Random = _random,
    ) -> None:
        """
        :param transports: names of those that the client has.
        :param budget: bytes that the streams' windows may grow by.
        :param is_local: whether an address is on the local network.
        """
        self._network = network
        self._is_local = is_local
        self.exchanges = Exchanges(network)
        """The client's SYNCs, these and others."""
        self._cranes = cranes
        self._transports = frozenset(transports)
        self._freshen = freshen
        self._budget = budget
        self._steps = steps
        self._wanted = wanted
        self._rng = rng
        self._standing: dict[Key, Source] = {}
        self._taken: dict[Fingerprint, str] = {}
        """Nodes that a place has, and their groups."""
        self._aside: dict[Fingerprint, float] = {}
        self._lost: dict[Fingerprint, float] = {}
        self._listeners: list[Callable[[], None]] = []
        self._news = anyio.Event()
        network.listen(self._told)

    def __iter__(self) -> Iterator[Source]:
        """Those that stand."""
        return iter([source for source in self._standing.values() if not source.over])

    def tell(self, listener: Callable[[], None]) -> None:
        """Call this whenever a source comes, goes, or has told all; it takes no time."""
        self._listeners.append(listener)

    def lose(self, source: Source, why: str) -> None:
        """A source has told us something false: another takes its place."""
        if not source.false:
            source.false = source.over = True
            _log.warning("%s is no source any more: %s", node_id(source.fingerprint), why)
            self._remember(self._lost, source.fingerprint, LOST_S)
            source.task.cancel()

    def replace(self, source: Source) -> None:
        """A source is of no use: another takes its place, for now."""
        source.over = True
        source.task.cancel()

    async def run(self) -> None:
        """Keep the sources, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.exchanges.keep_time)
            for _ in range(self._wanted):
                tasks.start_soon(self._keep_place)

    # -- one place ----------------------------------------------------------------------------------
    async def _keep_place(self) -> None:
        failures = 0
        while True:
            fingerprint = self._choose()
            if fingerprint is None:
                with anyio.move_on_after(self._pause_s(failures)):
                    await self._news.wait()
                failures += 1
                continue
            began_s = anyio.current_time()
            try:
                await self._follow(fingerprint)
            except NetworkError as error:
                _log.debug("a source is not to be had: %s", error.message)
            except Port17Error as error:
                _log.info("a source ended: %s", error.message)
            except Exception as fault:  # noqa: BLE001 - a full disk, a plugin's scheme: it may not end a client
                _log.error("a source was ended by a fault: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
            finally:
                self._taken.pop(fingerprint, None)
            # One that stood for a while is no failure: a node that starts again is back in a moment.
            stood = anyio.current_time() - began_s > AGAIN_CAP_S
            failures = 0 if stood else failures + 1
            if not stood:
                self._remember(self._aside, fingerprint, ASIDE_S)
            await anyio.sleep(self._pause_s(failures))

    def _pause_s(self, failures: int) -> float:
        factor = min(2.0 ** max(failures - 1, 0), AGAIN_CAP_S / AGAIN_S[1])
        return self._rng.uniform(*AGAIN_S) * factor

    def _choose(self) -> Fingerprint | None:
        """A random node that can be called and that is of no group that we have a source of, and the place is
        its. First those that have not failed, and can be called by a prekey that is held."""
        now_s = anyio.current_time()
        for known in (self._aside, self._lost):
            for old in [one for one, until in known.items() if until <= now_s]:
                del known[old]
        groups = frozenset(self._taken.values())
        chart = self._network.chart()
        fit = [
            node
            for node in chart
            if self._callable(node.addresses)
            and node.fingerprint not in self._lost
            and node.fingerprint not in self._taken
            and group_of(node.group, node.fingerprint) not in groups
        ]
        self._rng.shuffle(fit)
        fit.sort(key=lambda node: node.fingerprint in self._aside)
        some = [node for node in fit[:SAMPLE] if node.fingerprint not in self._aside]
        best = next((node for node in some if self._network.responder(node) is not None), None)
        best = best or next(iter(fit), None)
        if best is not None:
            self._taken[best.fingerprint] = group_of(best.group, best.fingerprint)
            return best.fingerprint
        return self._choose_old(groups) if not self._standing else None

    def _choose_old(self, groups: frozenset[str]) -> Fingerprint | None:
        """One of those whose prekeys have all expired, as they have after some days offline."""
        rack = self._network.rack
        barred = self._network.reputation.barred()
        stamps = [stamp for stamp in rack.stamps() if stamp.fingerprint not in barred]
        self._rng.shuffle(stamps)
        old: list[tuple[bool, Fingerprint, str]] = []
        for stamp in stamps[:SAMPLE]:
            held = rack.held(stamp.fingerprint)
            if held is None or held.distrust or not self._callable(held.bottle.label.addresses):
                continue
            group = group_of(held.bottle.label.group, stamp.fingerprint)
            if group not in groups and stamp.fingerprint not in (self._taken.keys() | self._lost.keys()):
                old.append((stamp.fingerprint in self._aside, stamp.fingerprint, group))
        if not old:
            return None
        _, fingerprint, group = min(old, key=lambda one: one[0])
        self._taken[fingerprint] = group
        return fingerprint

    def _callable(self, addresses: Collection[str]) -> bool:
        return not self._transports.isdisjoint(addresses)

    async def _follow(self, fingerprint: Fingerprint) -> None:
        """Follow a node until that ends.

        :raises Port17Error: it cannot be reached, does not serve it, or breaks the protocol.
        """
        network = self._network
        node = network.chart().nodes.get(fingerprint)
        if node is None or network.responder(node) is None:
            await self._freshen(fingerprint)
            node = network.chart().nodes.get(fingerprint)
        to = network.responder(node) if node is not None else None
        if node is None or to is None:
            raise NetworkError("a node that was asked for fresh prekeys has none that can be used now")
        crane = await self._cranes.crane(node)
        group = self._taken[fingerprint]
        while True:
            bell, scope = Bell(), self.scope()
            local = self._is_local(crane.remote)
            key = network.gossip.follow(fingerprint, bell.ring, scope=scope, bundles=False, local=local)
            trouble: Port17Error | None = None
            async with anyio.create_task_group() as tasks:
                source = Source(fingerprint, node.name, group, scope, key, tasks.cancel_scope)
                self._standing[key] = source
                tasks.start_soon(self._watch, source)
                try:
                    async with ask(
                        crane, to, network, SYNC, budget=self._budget, steps=self._steps
                    ) as stream:
                        try:
                            await self.exchanges.move(key, stream, bell)
                        finally:
                            source.over = True
                except Port17Error as error:
                    trouble = error
                finally:
                    del self._standing[key]
                    network.gossip.gone(key)
                    self._pass_on()
                tasks.cancel_scope.cancel()
            if trouble is not None:
                raise trouble
            if source.false or scope is self.scope():
                return

    async def _watch(self, source: Source) -> None:
        """End a SYNC that brings nothing, or that is to be of another scope."""
        began_s, held = anyio.current_time(), len(self._network.rack)
        while not source.synced:
            until_s = anyio.current_time() + SYNC_S
            while not source.synced and anyio.current_time() < until_s:
                with anyio.CancelScope(deadline=until_s):
                    await self._news.wait()
            late = anyio.current_time() > began_s + SYNC_CAP_S
            if not source.synced and (late or len(self._network.rack) <= held):
                _log.info("%s tells nothing: another source is tried", node_id(source.fingerprint))
                source.task.cancel()
                return
            held = len(self._network.rack)
        while self.scope() is source.scope:
            await self._news.wait()
        source.task.cancel()

    def scope(self) -> Scope:
        """How much is wanted in a network of this size."""
        nodes = len(self._network.rack)
        near = any(source.scope is Scope.NEAR for source in self)
        return Scope.NEAR if nodes > (ALL_BELOW if near else NEAR_ABOVE) else Scope.ALL

    # -- what happens -------------------------------------------------------------------------------
    def _told(self, event: Event) -> None:
        if isinstance(event, Synced):
            source = self._standing.get(event.key)
            if source is not None:
                source.synced = True
                self._pass_on()

    def changed(self) -> None:
        """Charter, clock or bottles have changed."""
        self._news.set()
        self._news = anyio.Event()

    def _pass_on(self) -> None:
        self.changed()
        for listener in self._listeners:
            listener()

    def _remember(self, where: dict[Fingerprint, float], fingerprint: Fingerprint, seconds: float) -> None:
        while len(where) >= ASIDE_CAP:
            del where[next(iter(where))]
        where[fingerprint] = anyio.current_time() + seconds
