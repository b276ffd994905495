"""A node: starts from its configuration, is kept standing, and is stopped cleanly."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from port17 import control
from port17.bootstrapping import Bootstrap
from port17.config.settings import NodeConfig
from port17.errors import ConfigError
from port17.links.crane import Crane, Terms, answer
from port17.links.process import allow_descriptors, forbid_core_dumps, keep_buffers, settle
from port17.links.spare_keys import SpareKeys
from port17.links.transport import Listener, Ship, Transport
from port17.network import KnownNetwork
from port17.node.cold_desk import ColdDesk, check_fit
from port17.node.engine import Engine
from port17.node.identity_file import Passphrase
from port17.node.keyring import Keyring
from port17.node.lanes import Lanes, read_lanes
from port17.node.operation import Operation
from port17.node.passphrase import source
from port17.node.publication import Publication
from port17.node.replays import Replays
from port17.node.state_lock import alone
from port17.plugins.families import CIPHER_SUITES
from port17.plugins.loader import Registry
from port17.showing import bottles
from port17.watching import Watch
from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import NodeSigner
from port17.wire.link import Link
from port17.wire.prekey import OwnPrekey
from port17.wire.quota import Budget
from port17.wire.ratchet import StepCount

CALLS_CAP = 1024
"""Most ships at once that have not yet proved a handshake: 8 KiB and a descriptor each."""
LINKS_CAP = 8192
"""Most links at once: each costs some 400 KiB when it is busy, and a descriptor."""
BURN_S = 60.0
"""Seconds between looks for expired prekeys."""
GRANTS_SHARE = 0.75
"""Share of the memory budget that cells may queue in; the rest is for conveyors' windows."""

_log = logging.getLogger(__name__)


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
        self._network = network
        self._tasks = tasks
        self._keyring = Keyring.load(
            config.state,
            network.schemes,
            network.prepared,
            network.charter.network_id,
            passphrase=passphrase
            or source(None, config.identity.passphrase_file, f"Passphrase of {config.name}"),
            find_suite=lambda name: registry.make(CIPHER_SUITES, name),
            now=network.wall(),
        )
        self._burn_now()
        self.identity = self._keyring.identity
        if not self._keyring.prekeys and network.rack.get(self.identity.fingerprint) is None:
            # With a bottle that others have, it makes new ones itself.
            raise ConfigError(
                f"the keyring {config.state} has no prekey that can still be used",
                cure="Make new ones with `port17 node bottle --config FILE`, or nobody can call the node.",
            )
        self._transports: dict[str, Transport] = {
            name: registry.make("port17.transports", name, config.transports.get(name))
            for name in {**config.listen, **config.advertise, **config.transports}
        }
        memory = config.limits.memory_mib * 1024 * 1024
        grants = Budget(int(memory * GRANTS_SHARE) // BLOCK_SIZE)
        self.signer = NodeSigner(self.identity.fingerprint, self._sign)
        self._spare_keys = SpareKeys(network.served.values())
        operations = _operations(config, registry)
        wanted = read_lanes(config.lanes, network) if config.lanes is not None else []
        check_fit(network, self._keyring.scheme.signature_size)
        # The last that can fail: only a node that was made is stopped, and leaves the sets behind.
        self._replays = Replays.load(config.state, network.revision.clock_skew_s, network.wall())
        self._cold = ColdDesk(
            network,
            self.signer,
            self._keyring.scheme.signature_size,
            lambda: self._keyring.prekeys,
            self._replays.links,
        )
        self._engine = Engine(
            fingerprint=self.identity.fingerprint,
            network=network.transcript,
            prekeys=self._prekey,
            replays=self._replays.setups,
            lane=self._lane,
            operations=operations,
            budget=Budget(int(memory * (1 - GRANTS_SHARE))),
            grants=grants,
            wall=network.wall,
            tasks=tasks,
            spare_keys=self._spare_keys,
        )
        self._terms = Terms(
            network=network.transcript,
            verify=network.verify,
            grants=grants,
            signer=self.signer,
            on_setup=self._engine.setup,
            wall=network.wall,
            steps=config.ratchet.terms(),
        )
        self._lanes = Lanes(
            self.identity.fingerprint, wanted, network, self._transports, self._terms, self._keep, tasks
        )
        self._publication = Publication(config.bottles, network, self._keyring)
        self._watch = Watch(network)
        self._watch.tell(self._changed)
        self._due = anyio.Event()
        """Set when the keys are to be looked at."""
        self._calls: set[anyio.CancelScope] = set()
        self._cranes: set[Crane] = set()
        self._link_steps = StepCount()
        self._begun_s = time.monotonic()

    def _sign(self, message: bytes) -> bytes:
        return self._keyring.scheme.sign(self._keyring.signing_key, message)

    def _prekey(self, suite: str, slot: int) -> OwnPrekey | None:
        held, served = self._keyring.prekeys.get((suite, slot)), self._network.served.get(suite)
        if held is None or served is None or held[0].expiry <= self._network.wall():
            return None
        record, key = held
        return OwnPrekey(served, record.hash, slot, key, record.expiry)

    def _prekeys(self) -> Iterable[OwnPrekey]:
        """Those in force, the present slot's first: callers use hardly any other."""
        present = int(self._network.wall()) // self._network.revision.prekey_lifetime_s
        places = sorted(self._keyring.prekeys, key=lambda place: abs(place[1] - present))
        return [own for place in places if (own := self._prekey(*place)) is not None]

    def _lane(self, fingerprint: bytes) -> Link | None:
        return self._lanes.link(fingerprint)

    async def _keep(self, crane: Crane) -> None:
        """Own a crane until it is lost."""
        self._cranes.add(crane)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._register, crane)
                await crane.run()
                group.cancel_scope.cancel()
        finally:
            self._cranes.discard(crane)
            if crane.link.keys.session is not None:
                self._link_steps.add(crane.link.keys.session)
            self._lanes.ended(crane)
            self._engine.forget(crane.link)

    async def _register(self, crane: Crane) -> None:
        await crane.standing.wait()
        self._lanes.stands(crane)
        if crane.peer is not None:
            self._engine.lane_stands(crane.link)

    async def _answer(self, ship: Ship) -> None:
        crane = None
        with anyio.CancelScope() as call:
            self._calls.add(call)
            try:
                crane = await answer(
                    ship, self._terms, self.signer, self._prekeys, self._replays.links, self._cold.answer
                )
            finally:
                self._calls.discard(call)
        if call.cancelled_caught:
            await ship.aclose()
        if crane is None:
            return
        if crane.peer is not None and crane.peer not in self._lanes.wanted:
            _log.info("a node called that is not among our lanes")
            await ship.aclose()
            return
        await self._keep(crane)

    async def _listen(self, listener: Listener) -> None:
        async for ship in listener.ships():
            if len(self._cranes) >= LINKS_CAP:
                await ship.aclose()
                continue
            if len(self._calls) >= CALLS_CAP:
                # Not the newcomer: a thousand callers who say nothing must not keep out whoever means it. A
                # handshake takes milliseconds, so that one of a thousand drawn is hardly ever it.
                victim = random.choice(tuple(self._calls))
                self._calls.discard(victim)
                victim.cancel()
            self._tasks.start_soon(self._answer, ship)

    def _changed(self) -> None:
        """Charter, clock or bottles have changed."""
        served = self._network.served
        self._spare_keys.serve(served.values())
        self._lanes.changed()
        # What is not served any more nobody may begin since the overlap is over, and nobody goes on with.
        self._engine.serve(served)
        for crane in [crane for crane in self._cranes if crane.suite not in served]:
            crane.end()
        self._due.set()

    async def _keep_keys(self) -> None:
        """Burn what has expired, and make what is missing; only here does the keyring change."""
        while True:
            await self._publication.renew(anyio.current_time())
            with anyio.move_on_after(BURN_S):
                await self._due.wait()
            self._due = anyio.Event()
            # Overwriting waits for the disk, and for a command that writes there too.
            await anyio.to_thread.run_sync(self._burn_now)

    def _burn_now(self) -> None:
        try:
            for record in self._keyring.burn(self._network.wall()):
                _log.info("the prekey of slot %d has expired and is erased", record.slot)
        except ConfigError as error:
            _log.error("%s", error)  # what is dead must not stop what lives; it is said again every minute

    async def run(self, stack: AsyncExitStack) -> dict[str, Any]:
        """Start everything; it runs in the node's task group.

        :returns: the node's status.
        :raises ConfigError: an address cannot be bound.
        """
        self.bound: dict[str, str] = {}
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
            self._tasks.start_soon(self._listen, listener)
        self._lanes.start()
        self._tasks.start_soon(self._engine.relieve)
        self._tasks.start_soon(self._spare_keys.restock)
        self._tasks.start_soon(self._keep_keys)
        self._watch.start(self._tasks)
        verbs = {"status": self.status, "bottles": bottles(self._network)}
        await self._tasks.start(_serve_control, self._config, verbs)
        return await self.status({})

    async def status(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``status`` answers."""
        return {
            "id": self.identity.node_id,
            "name": self._config.name,
            "revision": self._network.revision.seq,
            "suites": list(self._network.served),
            "listen": self.bound,
            "lanes": {"standing": len(self._lanes.standing), "wanted": len(self._lanes.wanted)},
            "bottles": self._network.reputation.bottles(),
            "links": len(self._cranes),
            "circuits": self._engine.circuits,
            "operations": self._engine.operations_open,
            "steps": {
                "circuits": self._engine.steps,
                "links": self._link_steps.with_living(
                    crane.link.keys.session for crane in self._cranes if crane.link.keys.session is not None
                ),
            },
            "uptime_s": round(time.monotonic() - self._begun_s, 3),
        }

    def stop(self) -> None:
        """Leave behind what the next start needs."""
        try:
            self._replays.store(self._config.state, self._network.wall())
        except OSError as error:
            _log.warning("the replay sets could not be stored: %s", error.strerror)


async def _serve_control(
    config: NodeConfig, verbs: Mapping[str, control.Verb], *, task_status: TaskStatus[None]
) -> None:
    await control.serve(config.control, verbs, task_status=task_status)


def _operations(config: NodeConfig, registry: Registry) -> dict[str, Operation]:
    if not config.exit.enabled:
        return {}
    options = {
        "allow": config.exit.allow,
        "allow_private": config.exit.allow_private,
        **config.operations.get("TUNNEL", {}),
    }
    tunnel: Operation = registry.make("port17.operations", "TUNNEL", options)
    return {"TUNNEL": tunnel}


async def run(
    config: NodeConfig,
    registry: Registry,
    *,
    passphrase: Passphrase | None = None,
    task_status: TaskStatus[dict[str, Any]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node until cancelled.

    :param passphrase: asked if the node's identity is locked; None asks where the configuration says.
    :param task_status: gets the node's status once it listens.
    :raises Port17Error: the configuration, a file it names, or a plugin is unusable.
    """
    forbid_core_dumps()
    allow_descriptors()
    keep_buffers()
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(config.state))
        network = KnownNetwork.load(config, registry)
        stack.callback(network.close)
        bootstrap = Bootstrap(config.bootstrap, config.state, network, config.name)
        await bootstrap.begin()
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(bootstrap.tend)
        node = Node(config, registry, network, tasks, passphrase)
        try:
            status = await node.run(stack)
            settle()
            task_status.started(status)
            await anyio.sleep_forever()
        finally:
            node.stop()
