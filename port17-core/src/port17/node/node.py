"""A node: starts from its configuration, is kept standing, and is stopped cleanly."""

from __future__ import annotations

import logging
import random
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from port17 import control
from port17.asking import Exchanges
from port17.bottles.gossip_events import Event, Forgotten, Learned, Noted
from port17.config.settings import NodeConfig
from port17.errors import ConfigError
from port17.links.crane import Crane, Terms, answer
from port17.links.local_network import LocalNetwork
from port17.links.spare_keys import SpareKeys
from port17.links.transport import Ship, Transport
from port17.neighbourhood import Means, Neighbourhood, chosen
from port17.network import KnownNetwork
from port17.node.acquaintances import Acquaintances
from port17.node.announcement import Announcement
from port17.node.area import Areas
from port17.node.cold_desk import ColdDesk, check_fit
from port17.node.commands import Command, Dial, Follow, Introduce, Retire, Sign
from port17.node.cranes import Cranes
from port17.node.credentials import Credentials
from port17.node.driving import Driver
from port17.node.engine import OPERATIONS_CAP, Engine
from port17.node.following import Following
from port17.node.identity_file import Passphrase
from port17.node.lanes import Lanes
from port17.node.lanes_file import read_lanes
from port17.node.load import LOOK_S, Load, ProcessorShare
from port17.node.manager import Manager
from port17.node.offered import offered
from port17.node.own_bottle import OwnBottle
from port17.node.reception import Reception
from port17.node.replays import Replays
from port17.node.speedtest import Speeds
from port17.node.sync import Sync
from port17.node.verification import Verification
from port17.plugins.loader import Registry
from port17.refreshing import Refresher
from port17.showing import bottles
from port17.watching import Watch
from port17.wire.block import BLOCK_SIZE
from port17.wire.link import Link
from port17.wire.quota import Budget

GRANTS_SHARE: Final = 0.75
"""Share of the memory budget that cells may queue in; the rest is for conveyors' windows."""
LEAVING_S: Final = 10.0
"""Seconds that leaving may take beside the drain, whatever happens."""
DRAIN_LOOK_S: Final = 0.25
"""Seconds between looks whether a node that leaves is still used."""

_log = logging.getLogger(__name__)
_random = random.SystemRandom()


class Node:
    """One running node."""

    def __init__(
        self,
        config: NodeConfig,
        registry: Registry,
        network: KnownNetwork,
        tasks: TaskGroup,
        passphrase: Passphrase | None = None,
    ) -> None:
        """
        :param passphrase: asked if the identity is locked; None asks where the configuration says.
        :raises ConfigError: keys, lanes or state are missing or wrong.
        :raises PluginError: a transport or an operation is unusable.
        """
        self._config = config
        self.network = network
        self._tasks = tasks
        self._credentials = Credentials(config, registry, network, passphrase)
        self.identity = self._credentials.identity
        self._transports: dict[str, Transport] = {
            name: registry.make("port17.transports", name, config.transports.get(name))
            for name in ({**config.listen, **config.advertise, **config.transports} or {"tcp"})
        }
        memory = config.limits.memory_mib * 1024 * 1024
        grants, budget = (
            Budget(int(memory * GRANTS_SHARE) // BLOCK_SIZE),
            Budget(int(memory * (1 - GRANTS_SHARE))),
        )
        self._spare_keys = SpareKeys(network.served.values())
        operations = self._operations = offered(config, registry)
        pinned = read_lanes(config.lanes, network) if config.lanes is not None else []
        self._acquaintances = Acquaintances(self.identity.fingerprint, network, self._transports, pinned)
        keyring = self._credentials.keyring
        check_fit(network, keyring.scheme.signature_size)
        local_network = chosen(config.local_network, registry)
        # The last that can fail: only a node that was made is stopped, and leaves the sets behind.
        self._replays = Replays.load(
            config.state,
            network.revision.clock_skew_s,
            network.wall(),
            unknown_until_s=keyring.unknown_until,
        )
        self._cold = ColdDesk(
            network,
            self._credentials.signer,
            keyring.scheme.signature_size,
            lambda: keyring.prekeys,
            self._replays.links,
        )
        self._engine = Engine(
            fingerprint=self.identity.fingerprint,
            network=network.transcript,
            prekeys=self._credentials.prekey,
            replays=self._replays.setups,
            lane=self._lane,
            operations=operations,
            budget=budget,
            grants=grants,
            wall=network.wall,
            tasks=tasks,
            spare_keys=self._spare_keys,
        )
        self._terms = Terms(
            network=network.transcript,
            verify=network.verify,
            grants=grants,
            signer=self._credentials.signer,
            on_setup=self._engine.setup,
            wall=network.wall,
            steps=config.ratchet.terms(),
        )
        self._cranes = Cranes(self._engine)
        self._begun_s = time.monotonic()
        self.bound: dict[str, str] = {}
        """Where the node listens, by transport."""
        network.become(self.identity.fingerprint)
        self.refresher = Refresher(network, self._transports)
        self.exchanges = Exchanges(network)
        self._verification = Verification(
            self.identity.fingerprint,
            network,
            self._transports,
            self._terms,
            self._credentials.seal,
            lambda: bool(self._lanes.standing),
            _random,
        )
        areas = Areas(network.atlas)
        self._driver = Driver(
            Manager(
                self.identity.fingerprint,
                network.rack,
                _random,
                pinned=self._acquaintances.pinned(),
                lanes=config.mesh.lanes,
                drain_s=config.mesh.drain_s,
                flavour=config.flavour,
                dialable=self._acquaintances.is_dialable,
                objection=self._acquaintances.objection,
                areas=areas.of,
                caller_areas=areas.at,
            )
        )
        self._lanes = Lanes(
            self.identity.fingerprint,
            network,
            self._transports,
            self._terms,
            self.refresher,
            self._driver,
            self._verification,
            self._acquaintances.pinned,
            self._cranes.keep,
            self._engine.lane_stands,
            tasks,
        )
        self._own = OwnBottle(config, network, keyring)
        self._following = Following(
            network,
            self.exchanges,
            self._lanes,
            self._driver,
            self._terms,
            budget,
            lambda: self._own.bottle,
            lambda remote: self._neighbourhood is not None and self._neighbourhood.is_local(remote),
            tasks,
        )
        self.speeds = Speeds(
            _random,
            network,
            self._cranes,
            self._lanes,
            self._driver,
            budget,
            self._terms.steps,
        )
        self._reception = Reception(self._answer, self._take, self._cranes, tasks)
        self._load = Load(
            (
                ProcessorShare(),
                lambda: grants.used / max(1, grants.used + grants.left),
                lambda: self._engine.operations_open / OPERATIONS_CAP,
            )
        )
        self._neighbourhood = self._look_around(local_network, budget)
        for operation in operations.values():
            operation.attach(self)
        self._watch = Watch(network)
        self._watch.tell(self._changed)
        network.listen(self._told)

    # -- what the node's parts ask for ------------------------------------------------------------------
    def is_local(self, origin: str) -> bool:
        """See :class:`~port17.node.operation.Host`."""
        crane = self._cranes.named(origin)
        if self._neighbourhood is None or crane is None:
            return False
        return self._neighbourhood.is_local(crane.remote)

    def _look_around(self, driver: LocalNetwork | None, budget: Budget) -> Neighbourhood | None:
        """The local network; None where the configuration wants none."""
        if driver is None:
            return None
        network, keyring = self.network, self._credentials.keyring
        announce = Announcement(
            network.charter.network_id,
            keyring.scheme,
            keyring.signing_key,
            lambda: self._own.bottle,
            self.bound,
            network.wall,
        )
        means = Means(network, self._transports, self._terms, self.refresher, self.exchanges, budget)
        return Neighbourhood(driver, means, announce)

    def _lane(self, fingerprint: bytes) -> Link | None:
        return self._lanes.link(fingerprint)

    async def _answer(self, ship: Ship) -> Crane | None:
        keys = self._credentials
        return await answer(
            ship, self._terms, keys.signer, keys.prekeys, self._replays.links, self._cold.answer
        )

    async def _take(self, crane: Crane, remote: str) -> None:
        """Own a link that came in."""
        try:
            if crane.peer is None:
                await self._cranes.keep(crane)
            elif self._lanes.takes(crane.peer):
                await self._lanes.called(crane, remote)
            else:
                await crane.refuse()
        finally:
            self._engine.forget(crane.link)

    def _changed(self) -> None:
        """Charter, clock or bottles have changed."""
        served = self.network.served
        self._spare_keys.serve(served.values())
        self._driver.pin(self._acquaintances.pinned())
        self._lanes.changed()
        self._own.warn()
        # What is not served any more nobody may begin since the overlap is over, and nobody goes on with.
        self._engine.serve(served)
        self._cranes.serve(served)
        self._own.look()

    def _told(self, event: Event) -> None:
        if isinstance(event, Learned | Forgotten):
            self._driver.learned(event.fingerprint)
            if event.fingerprint == self.identity.fingerprint and self._neighbourhood is not None:
                self._neighbourhood.changed()
        elif isinstance(event, Noted) and event.of_us:
            self._driver.learned(None)

    # -- its life ---------------------------------------------------------------------------------------
    async def run(self, stack: AsyncExitStack) -> dict[str, Any]:
        """Start everything; it runs in the node's task group.

        :returns: the node's status.
        :raises ConfigError: an address cannot be bound, or no bottle be signed.
        """
        for name, address in self._config.listen.items():
            transport = self._transports[name]
            try:
                transport.check_address(address)
                listener = await stack.enter_async_context(transport.listen(address))
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"the node cannot listen on {name} {address}: {error}",
                    cure="Set listen to an address of this machine that is free.",
                ) from error
            self.bound[name] = listener.address
            self._tasks.start_soon(self._reception.listen, listener)
        await self._own.begin()
        for task in (
            self._lanes.tend,
            self._engine.relieve,
            self._spare_keys.restock,
            partial(self._own.keep, self._credentials.burn),
            self.speeds.run,
            self.exchanges.keep_time,
            self._verification.run,
            self._look_at_load,
        ):
            self._tasks.start_soon(task)
        if self._neighbourhood is not None:
            self._tasks.start_soon(self._neighbourhood.run)
        self._watch.start(self._tasks)
        self._tasks.start_soon(self._driver.run, self._obey)
        self._driver.start()
        verbs = {"status": self.status, "bottles": bottles(self.network)}
        await self._tasks.start(partial(control.serve, self._config.control, verbs))
        return await self.status({})

    def _obey(self, command: Command) -> None:
        match command:
            case Introduce(peer):
                self._following.introduce(peer)
            case Dial(peer):
                self._lanes.dial(peer)
            case Follow(peer):
                self._following.follow(peer)
            case Retire(peer):
                self._lanes.retire(peer)
            case Sign():
                self._tasks.start_soon(self._own.sign, command)

    async def _look_at_load(self) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            self._driver.loaded(self._load.look())

    async def leave(self) -> None:
        """Say that the node goes, wait for those who still use it, as long as is configured, and return."""
        _log.info("the node leaves")
        self._driver.leave()
        with anyio.move_on_after(self._config.mesh.drain_s + LEAVING_S):
            while not self._driver.stopped.is_set():
                if not self._engine.foreign:
                    self._driver.drained()
                with anyio.move_on_after(DRAIN_LOOK_S):
                    await self._driver.stopped.wait()
        await self._lanes.farewell()

    async def status(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``status`` answers."""
        return {
            "id": self.identity.node_id,
            "name": self._config.name,
            "revision": self.network.revision.seq,
            "suites": list(self.network.served),
            "listen": self.bound,
            "state": str(self._driver.state),
            "trouble": self._own.trouble(),
            "load": self._driver.status()["load"],
            "lanes": self._lanes_status(),
            "gossip": {
                "following": self._following.open,
                "followers": self._followers(),
                "nodes": len(self.network.rack),
            },
            "speed_tests": self.speeds.status(),
            "neighbours": len(self.network.neighbours.present(anyio.current_time())),
            "bottles": self.network.reputation.bottles(),
            "links": len(self._cranes),
            "circuits": self._engine.circuits,
            "operations": self._engine.operations_open,
            "steps": {
                "circuits": self._engine.steps,
                "links": self._cranes.steps,
            },
            "uptime_s": round(time.monotonic() - self._begun_s, 3),
        }

    def _lanes_status(self) -> dict[str, object]:
        said = self._driver.status()
        return {name: value for name, value in said.items() if name not in ("state", "nodes", "load")}

    def _followers(self) -> int:
        sync = self._operations["SYNC"]
        assert isinstance(sync, Sync)
        return sync.open

    def stop(self) -> None:
        """Leave behind what the next start needs."""
        try:
            self._replays.store(self._config.state, self.network.wall())
        except OSError as error:
            _log.warning("the replay sets could not be stored: %s", error.strerror)
