"""The client's sources: two or three entry nodes of different groups that tell it what there is in the
network, each over a link that routes begin with, too. A client makes no lane, and says nobody who it is.
Whom it takes is :mod:`port17.client.source_choice`'s to say.

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
from port17.client.source_choice import Chosen, SourceChoice
from port17.client.words import Witness
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
LOSSES: Final = 3
"""Links to one guard that may be lost one after the other before it counts as of no use."""

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
    gives_way: bool = False
    """It ends only because a guard takes its place."""

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
        guards: Chosen,
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
        :param guards: who is a source first.
        :param budget: bytes that the streams' windows may grow by.
        :param is_local: whether an address is on the local network.
        """
        self._network = network
        self._is_local = is_local
        self.exchanges = Exchanges(network)
        """The client's SYNCs, these and others."""
        self._cranes = cranes
        self._guards = guards
        self._choice = SourceChoice(network, transports, guards, rng)
        self._freshen = freshen
        self._budget = budget
        self._steps = steps
        self._wanted = wanted
        self._rng = rng
        self._standing: dict[Key, Source] = {}
        self._taken: dict[Fingerprint, str] = {}
        """Nodes that a place has, and their groups."""
        self._followed: dict[Fingerprint, Crane] = {}
        """The links of those that a place has."""
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
            self._choice.lost(source.fingerprint)
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
        failures = losses = idle = 0
        while True:
            fingerprint = self._choose()
            if fingerprint is None:
                with anyio.move_on_after(self._pause_s(idle)):
                    await self._news.wait()
                idle += 1
                continue
            idle = 0
            began_s = anyio.current_time()
            gave_way = False
            try:
                gave_way = await self._follow(fingerprint)
            except NetworkError as error:
                _log.debug("a source is not to be had: %s", error.message)
            except Port17Error as error:
                _log.info("a source ended: %s", error.message)
            except Exception as fault:  # noqa: BLE001 - a full disk, a plugin's scheme: it may not end a client
                _log.error("a source was ended by a fault: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
            finally:
                self._taken.pop(fingerprint, None)
                crane = self._followed.pop(fingerprint, None)
            # One that stood for a while is no failure: a node that starts again is back in a moment.
            stood = anyio.current_time() - began_s > AGAIN_CAP_S
            failures = 0 if stood or gave_way else failures + 1
            # A guard whose link is lost, as all are after a sleep, is called again at once by who keeps them.
            lost = crane is not None and crane.lost and fingerprint in self._guards.active
            losses = losses + 1 if lost and not stood else 0
            if not stood and not gave_way and not 0 < losses < LOSSES:
                self._choice.failed(fingerprint)
            await anyio.sleep(self._pause_s(failures))

    def _pause_s(self, failures: int) -> float:
        factor = min(2.0 ** max(failures - 1, 0), AGAIN_CAP_S / AGAIN_S[1])
        return self._rng.uniform(*AGAIN_S) * factor

    def _choose(self) -> Fingerprint | None:
        """A node to follow, and the place is its."""
        found = self._choice.next(self._taken, alone=not self._standing)
        if found is None:
            return None
        fingerprint, group = found
        self._taken[fingerprint] = group
        return fingerprint

    async def _follow(self, fingerprint: Fingerprint) -> bool:
        """Follow a node until that ends.

        :returns: whether it only gives way to a guard.
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
        crane = self._followed[fingerprint] = await self._cranes.crane(node)
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
                return source.gives_way

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
        while self.scope() is source.scope and not source.gives_way:
            await self._news.wait()
            source.gives_way = self._is_needless(source)
        source.task.cancel()

    def _is_needless(self, source: Source) -> bool:
        """Whether a source that is no guard in use can go, since guards do without it. One at a time: all
        others have told all that they know."""
        if not self._guards.chosen or source.fingerprint in self._guards.active:
            return False
        others = {one: group for one, group in self._taken.items() if one != source.fingerprint}
        told = {one.fingerprint for one in self if one.synced}
        if not others.keys() <= told:
            return False
        return self._choice.guard(others) is not None or self._choice.suffice(others)

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
