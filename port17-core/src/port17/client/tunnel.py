"""The tunnel: a client's ingresses, circuits and links together, from its configuration.

Nothing here ever connects to a destination: what has no route ends with its error.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from port17 import control
from port17.bootstrapping import Bootstrap
from port17.client.builder import Builder
from port17.client.built import Built
from port17.client.circuits import Circuits
from port17.client.draws import Draws
from port17.client.entries import Entries
from port17.client.explaining import explain
from port17.client.guard_keeper import GuardKeeper, Unreachable
from port17.client.guards_file import GuardsFile
from port17.client.ingress import Ingress
from port17.client.opened import TRIES, OpenedStream
from port17.client.prekeys import Prekeys
from port17.client.seagulls import Seagulls
from port17.client.shown import described_source
from port17.client.sleep import Sleep
from port17.client.sources import Sources
from port17.client.verbs import Verbs
from port17.client.words import AGREEING
from port17.config.settings import ClientConfig
from port17.errors import ConfigError, NetworkError, NoRoute
from port17.links.batch import BATCH
from port17.links.crane import Terms
from port17.links.process import allow_descriptors, forbid_core_dumps, keep_buffers, settle
from port17.links.spare_keys import SpareKeys
from port17.links.transport import Transport
from port17.navigator.compiled import Compiled
from port17.navigator.geo import Place
from port17.navigator.policy import Request
from port17.neighbourhood import Means, Neighbourhood
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.records import cbor
from port17.refreshing import Refresher
from port17.showing import bottles
from port17.watching import Watch
from port17.wire.block import BLOCK_SIZE
from port17.wire.conveyor import Conveyor
from port17.wire.quota import Budget

TLS_PORTS = frozenset(
    {443, 465, 563, 636, 853, 989, 990, 992, 993, 994, 995, 5061, 5223, 5671, 6697, 8443, 8883}
)
"""Ports whose usual protocol begins with TLS: what a program sends first is a hello that means nothing when
replayed, so it may be early data."""
GRANTS_SHARE = 0.5
"""Share of the memory budget for cells from entry nodes; a client takes them out at once, so it is windows of
conveyors that hold memory."""
YOUNG_S = 15.0
"""Seconds after the start for which a program waits until sources have told of the network."""
SLEEP_LOOK_S = 5.0
"""Seconds between looks whether this machine has slept; whoever asks for a connection looks, too."""

_log = logging.getLogger(__name__)


class Tunnel:
    """One running client."""

    def __init__(
        self,
        config: ClientConfig,
        registry: Registry,
        network: KnownNetwork,
        tasks: TaskGroup,
        folder: Path | None = None,
    ) -> None:
        """
        :param folder: what local policy files are relative to.
        :raises ConfigError: a policy or an ingress refuses its options.
        :raises PluginError: a transport, a policy or an ingress is unusable.
        """
        self._config = config
        self._tasks = tasks
        panel = registry.policies(
            config.policies, config.policy_options, folder=folder, placed=not network.atlas.is_empty
        )
        compiled = Compiled(panel)
        transports: dict[str, Transport] = {
            name: registry.make("port17.transports", name, config.transports.get(name))
            for name in {"tcp", *config.transports}
        }
        memory = config.limits.memory_mib * 1024 * 1024
        terms = Terms(
            network=network.transcript,
            verify=network.verify,
            grants=Budget(int(memory * GRANTS_SHARE) // BLOCK_SIZE),
            wall=network.wall,
            steps=config.ratchet.terms(),
        )
        self._entries = Entries(network, transports, terms, tasks)
        self._spare_keys = SpareKeys(network.suites.values())
        windows = Budget(int(memory * (1 - GRANTS_SHARE)))
        steps = config.ratchet.terms(config.ratchet.cells_per_step)
        self._network = network
        self._begun_s = anyio.current_time()
        self._refresher = Refresher(network, transports)
        self._keeper = GuardKeeper(
            network,
            self._entries,
            compiled,
            transports,
            GuardsFile(config.state, network.charter.network_id),
            level=config.level,
            whole=lambda: self._prekeys.groups >= AGREEING,
        )
        self._entries.reached = self._keeper
        self._sources = Sources(
            network,
            self._entries,
            transports,
            self._keeper,
            self._freshen,
            windows,
            steps,
            is_local=self._is_local,
        )
        means = Means(
            network,
            transports,
            terms,
            self._refresher,
            self._sources.exchanges,
            windows,
            self._sources.scope,
            bundles=False,
        )
        self._neighbourhood = Neighbourhood.of(config.local_network, registry, means)
        self._prekeys = Prekeys(network, self._sources)
        self._keeper.tell(self._sources.changed)
        self._sources.tell(self._keeper.changed)
        self._draws = Draws(network, compiled, list(transports), self._keeper)
        builder = Builder(
            network,
            self._keeper,
            self._entries,
            self._prekeys,
            self._draws,
            windows,
            self._spare_keys,
            steps,
        )
        self._circuits = Circuits(network, self._keeper, self._entries, self._draws, builder, config.level)
        self._seagulls = Seagulls(network, lambda: self._circuits, self._prekeys.vouch)
        builder.on_missing = self._seagulls.want
        self._sleep = Sleep()
        self._watch = Watch(network)
        self._watch.tell(self._changed)
        self._ingresses: dict[str, Ingress] = {
            name: registry.make("port17.ingress", name, options) for name, options in config.ingress.items()
        }
        for ingress in self._ingresses.values():
            ingress.wants_program = panel.wants_program

    def _is_local(self, remote: str) -> bool:
        return self._neighbourhood is not None and self._neighbourhood.is_local(remote)

    def _changed(self) -> None:
        """Charter, clock or bottles have changed."""
        self._spare_keys.serve(self._network.suites.values())
        self._circuits.changed()
        self._sources.changed()
        self._keeper.changed()

    async def _freshen(self, fingerprint: bytes) -> None:
        """Have a prekey of a node that is to be called: by another's word, or the node's own.

        :raises NetworkError: there is none.
        """
        node = self._network.chart().nodes.get(fingerprint)
        if node is None or not await self._prekeys.at_hand(node):
            await self._refresher.fresh(fingerprint)

    async def open(self, request: Request) -> OpenedStream:
        """A stream to a destination, before it has accepted.

        :raises NoRoute: no route satisfies request and policies.
        :raises NetworkError: no entry node could be reached.
        """

        self._notice_sleep()
        request = replace(request, level=self._config.level, place=self._place(request.host))

        async def reopen() -> tuple[Built, Conveyor]:
            return await self._open_conveyor(request)

        built, conveyor = await self._open_conveyor(request)
        return OpenedStream(built, conveyor, self._early(request), reopen)

    async def _open_conveyor(self, request: Request) -> tuple[Built, Conveyor]:
        arguments = cbor.encode({"proto": request.protocol, "host": request.host, "port": request.port})
        for remaining in range(TRIES - 1, -1, -1):
            try:
                built = await self._circuits.get(request)
                break
            except NoRoute:
                # A client that has just begun has not been told of the network yet.
                young = anyio.current_time() - self._begun_s < YOUNG_S
                if not (young and remaining and await self._prekeys.begun()):
                    raise
            except Unreachable:
                raise
            except NetworkError:
                if not remaining:
                    raise
        if built.circuit.last.mux.full:
            raise NetworkError(
                "no room for another connection: too much waits for programs that do not read",
                cure="End some connections, or raise limits.memory_mib.",
            )
        with BATCH:  # OPEN is on its way before all that this side still has to prepare
            conveyor = built.circuit.last.mux.open("TUNNEL", arguments, anyio.current_time())
        return built, conveyor

    def _place(self, host: str) -> Place | None:
        """Where a destination is, if it is an address and the user's geo source knows.

        :raises ConfigError: the source fails.
        """
        try:
            return self._network.atlas.find(ip_address(host))
        except ValueError:
            return None

    def _notice_sleep(self) -> None:
        """After a sleep no link leads anywhere, and nothing is known of who can be reached."""
        if self._sleep.look():
            _log.info("this machine has slept: all links are made anew")
            self._begun_s = anyio.current_time()
            self._circuits.links_lost()
            self._entries.end_all()
            self._keeper.woke()

    async def _watch_sleep(self) -> None:
        while True:
            await anyio.sleep(SLEEP_LOOK_S)
            self._notice_sleep()

    def _early(self, request: Request) -> bool:
        if self._config.early == "tls":
            return request.port in TLS_PORTS
        return self._config.early == "always"

    async def run(self) -> dict[str, Any]:
        """Start everything; it runs in the client's task group.

        :returns: where programs can connect, per ingress.
        :raises ConfigError: an address cannot be bound.
        """
        self._tasks.start_soon(self._keeper.run)
        self._tasks.start_soon(self._watch_sleep)
        self._tasks.start_soon(self._sources.run)
        self._tasks.start_soon(self._prekeys.run)
        self._tasks.start_soon(self._seagulls.run)
        if self._neighbourhood is not None:
            self._tasks.start_soon(self._neighbourhood.run)
        self._tasks.start_soon(self._circuits.tidy)
        self._tasks.start_soon(self._circuits.replace)
        self._tasks.start_soon(self._circuits.spares.run)
        self._watch.start(self._tasks)
        self._tasks.start_soon(self._circuits.tend)
        self._tasks.start_soon(self._spare_keys.restock)
        bound: dict[str, str] = {}
        for name, ingress in self._ingresses.items():
            try:
                bound[name] = await self._tasks.start(self._serve, ingress)
            except OSError as error:
                raise ConfigError(
                    f"the ingress {name} cannot listen: {error}",
                    cure=f"Set listen in [ingress.{name}] to an address of this machine that is free.",
                ) from error
        verbs = Verbs(self._network, self._circuits, self._entries, self._config.level)
        answering = {
            **verbs.by_name,
            "status": self.status,
            "explain": explain(self._draws.situation, self._place, self._config.level),
            "bottles": bottles(self._network),
        }
        await self._tasks.start(self._serve_control, answering)
        return {"ingress": bound}

    async def _serve(self, ingress: Ingress, *, task_status: TaskStatus[str]) -> None:
        await ingress.serve(self.open, task_status=task_status)

    async def _serve_control(self, verbs: dict[str, control.Verb], *, task_status: TaskStatus[None]) -> None:
        await control.serve(self._config.control, verbs, task_status=task_status)

    async def status(self, args: dict[str, Any]) -> dict[str, Any]:
        """What the control verb ``status`` answers."""
        network = self._network
        chart = network.chart()
        return {
            "revision": network.revision.seq,
            "suites": list(network.suites),
            "sources": [described_source(source) for source in self._sources],
            "guards": self._keeper.described(),
            "nodes": {
                "known": len(network.rack),
                "usable": len(chart),
                "lanes": sum(len(node.lanes) for node in chart) // 2,
            },
            "prekeys": {
                "agreed": self._prekeys.agreed,
                "usable": sum(self._prekeys.holds(node) for node in chart),
            },
            "neighbours": len(network.neighbours.present(anyio.current_time())),
            "bottles": network.reputation.bottles(),
            "links": len(self._entries),
            "circuits": len(list(self._circuits)),
            "spares": len(self._circuits.spares),
        }


async def run(
    config: ClientConfig,
    registry: Registry,
    *,
    folder: Path | None = None,
    task_status: TaskStatus[dict[str, Any]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a client until cancelled.

    :param folder: what local policy files are relative to.
    :param task_status: gets ``{"ingress": {name: address}}`` once programs can connect.
    :raises Port17Error: the configuration, a file it names, or a plugin is unusable.
    """
    forbid_core_dumps()
    allow_descriptors()
    keep_buffers()
    network = KnownNetwork.load(config, registry)
    with closing(network):
        bootstrap = Bootstrap(config.bootstrap, config.state, network)
        await bootstrap.begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bootstrap.tend)
            tunnel = Tunnel(config, registry, network, tasks, folder)
            status = await tunnel.run()
            settle()
            task_status.started(status)
            await anyio.sleep_forever()
