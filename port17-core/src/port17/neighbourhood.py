"""The neighbourhood: hears the beacons of the local network, and asks whoever is new there for its bottle and
for all else that it holds. A node announces itself by the same way; a client only listens.

Which beacons count, and whom to ask when, is :mod:`port17.bottles.neighbours`'s to say.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import anyio

from port17.asking import SYNC, Bell, Exchanges, ask
from port17.bottles.gossip_events import Event, Key, Synced
from port17.bottles.intake import Sender
from port17.bottles.neighbours import Ignored, Neighbour, is_local_address
from port17.bottles.sync import Scope
from port17.config.settings import LocalNetworkConfig
from port17.errors import NetworkError
from port17.links.crane import Crane, Terms, dial
from port17.links.interfaces import link_of, split_scope
from port17.links.local_network import LocalNetwork
from port17.links.tcp import join_address, split_address
from port17.links.transport import Transport
from port17.navigator.agreement import agree
from port17.network import KnownNetwork
from port17.plugins.families import LOCAL_NETWORKS
from port17.plugins.loader import Registry
from port17.records.identity import Identity, node_id
from port17.refreshing import Refresher
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget

DIAL_S: Final = 3.0
"""Seconds for a ship to a neighbour, who is a round trip of milliseconds away."""
ASK_S: Final = 60.0
"""Seconds that asking one neighbour may take: in a large network, all that it holds is some megabytes."""

_log = logging.getLogger(__name__)


def nothing() -> None:
    """What a client announces."""


@dataclass(frozen=True)
class Means:
    """What a process has to ask others with.

    :param terms: of its links.
    :param budget: bytes that windows may grow by.
    :param scope: of which nodes contents are wanted.
    :param bundles: prekey records are wanted too.
    """

    network: KnownNetwork
    transports: Mapping[str, Transport]
    terms: Terms
    refresher: Refresher
    exchanges: Exchanges
    budget: Budget
    scope: Callable[[], Scope] = lambda: Scope.ALL
    bundles: bool = True


def chosen(config: LocalNetworkConfig, registry: Registry) -> LocalNetwork | None:
    """The driver that a configuration names; None if it wants none.

    :raises ConfigError: its options are wrong.
    :raises PluginError: it is unusable.
    """
    return registry.make(LOCAL_NETWORKS, config.driver, config.options) if config.driver else None


class Neighbourhood:
    """The local network of one process."""

    def __init__(
        self, driver: LocalNetwork, means: Means, announce: Callable[[], bytes | None] = nothing
    ) -> None:
        """:param announce: a node's beacon, as it is to be sent now."""
        self._driver = driver
        self._means = means
        self._network = means.network
        self._announce = announce
        self._bell = Bell()
        self._syncs: dict[Key, anyio.CancelScope] = {}
        means.network.listen(self._told)

    @classmethod
    def of(
        cls,
        config: LocalNetworkConfig,
        registry: Registry,
        means: Means,
    ) -> Self | None:
        """The one that a configuration names, for whom only listens; None if it wants none.

        :raises ConfigError: the driver's options are wrong.
        :raises PluginError: the driver is unusable.
        """
        driver = chosen(config, registry)
        return None if driver is None else cls(driver, means)

    def changed(self) -> None:
        """The node's bottle has changed."""
        self._driver.changed()

    def is_local(self, remote: str) -> bool:
        """Whether the other end of a ship is on our local network: it has sent beacons, or is on a link where
        they are sent.

        :param remote: as the ship says it.
        """
        try:
            host, _ = split_address(remote)
            address, _ = split_scope(host)
        except ValueError:
            return False
        if not is_local_address(address):
            return False
        neighbours, now_s = self._network.neighbours, anyio.current_time()
        return neighbours.is_local(host, now_s) or link_of(host) in self._driver.links

    async def run(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._driver.run, self._announce, self._heard)
            while True:
                for neighbour in self._network.neighbours.due(anyio.current_time()):
                    tasks.start_soon(self._ask, neighbour)
                next_s = self._network.neighbours.next_s()
                with anyio.CancelScope(deadline=math.inf if next_s is None else next_s):
                    await self._bell.wait()

    def _heard(self, data: bytes, host: str, link: str) -> None:
        neighbours = self._network.neighbours
        before = len(neighbours)
        heard = neighbours.hear(data, host, link, self._network.terms(), anyio.current_time())
        if not isinstance(heard, Neighbour):
            if heard is not Ignored.OURS:
                _log.debug("a beacon on %s leads to nothing: %s", link, heard)
            return
        self._bell.ring()
        if len(neighbours) > before:
            _log.info("the node %s is on the local network", node_id(heard.beacon.fingerprint))
            self._driver.changed()  # it may not have heard us yet

    # -- asking one ------------------------------------------------------------------------------------
    async def _ask(self, neighbour: Neighbour) -> None:
        failed = True
        try:
            with anyio.fail_after(ASK_S):
                await self._fetch(neighbour)
            failed = self._network.rack.get(neighbour.beacon.fingerprint) is None
        except (NetworkError, TimeoutError) as error:
            _log.debug("a neighbour was asked in vain: %s", error)
        except Exception as fault:  # noqa: BLE001 - a plugin's suite or transport: it may cost this call alone
            _log.error("a neighbour could not be asked: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)
        finally:
            self._network.neighbours.asked(neighbour, anyio.current_time(), failed=failed)
            self._bell.ring()

    async def _fetch(self, neighbour: Neighbour) -> None:
        """:raises NetworkError: it did not answer, at none of the addresses where it was heard."""
        for transport, address in self._ways(neighbour):
            try:
                await self._exchange(*await self._call(neighbour, transport, address))
            except (NetworkError, OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
                # Its beacon may have been sent again from elsewhere: there nobody can answer for it.
                _log.debug("a neighbour does not answer: %s", type(error).__name__)
                continue
            return
        raise NetworkError("a neighbour does not answer where it was heard")

    def _ways(self, neighbour: Neighbour) -> Iterator[tuple[str, str]]:
        """Where it was heard last comes first."""
        for place in reversed(list(neighbour.places)):
            for name, port in neighbour.beacon.ports.items():
                if name in self._means.transports:
                    yield name, join_address(place.host, port)

    async def _call(self, neighbour: Neighbour, name: str, address: str) -> tuple[Crane, ResponderKey]:
        network, fingerprint = self._network, neighbour.beacon.fingerprint
        transport = self._means.transports[name]
        transport.check_address(address)
        node = network.chart().nodes.get(fingerprint)
        to = network.responder(node) if node is not None else None
        if to is None:
            to = await self._stranger(neighbour, name, address)
        with anyio.fail_after(DIAL_S):
            ship = await transport.dial(address)
        return await dial(ship, self._as_nobody(neighbour.beacon.identity), to), to

    async def _stranger(self, neighbour: Neighbour, name: str, address: str) -> ResponderKey:
        """How to address a node of which only its beacon is known.

        :raises NetworkError: it does not answer, or there is no suite in common.
        """
        network, beacon = self._network, neighbour.beacon
        suites = network.suites
        suite = suites.get(agree(network.revision, beacon.suites, suites).suite or "")
        if suite is None:
            raise NetworkError("a neighbour serves no cipher suite that we can use")
        sender = Sender(f"neighbour {node_id(beacon.fingerprint)}", local=True)
        fresh = await self._means.refresher.stranger(
            beacon.fingerprint, suite, name, address, sender, beacon.identity
        )
        return fresh.to

    def _as_nobody(self, identity: Identity) -> Terms:
        """Terms of a link as a client makes it, to a node that we know by its beacon."""
        network = self._network

        def verify(fingerprint: bytes, message: bytes, signature: bytes) -> bool:
            scheme = network.schemes.get(identity.scheme)
            if scheme is None or fingerprint != identity.fingerprint:
                return False
            return scheme.verify(identity.public, message, signature)

        return replace(self._means.terms, signer=None, on_setup=None, verify=verify)

    async def _exchange(self, crane: Crane, to: ResponderKey) -> None:
        """Fetch all that the node at the other end holds and we do not.

        :raises NetworkError: the link or the exchange broke.
        """
        trouble: NetworkError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crane.run)
            try:
                await self._sync(crane, to)
            except NetworkError as error:
                trouble = error
            finally:
                tasks.cancel_scope.cancel()
        if trouble is not None:
            raise trouble

    async def _sync(self, crane: Crane, to: ResponderKey) -> None:
        means, gossip, bell = self._means, self._network.gossip, Bell()
        async with ask(crane, to, self._network, SYNC, budget=means.budget) as stream:
            key = gossip.follow(
                to.fingerprint,
                bell.ring,
                scope=means.scope(),
                bundles=means.bundles,
                local=True,
                standing=False,
            )
            with anyio.CancelScope() as until_synced:
                self._syncs[key] = until_synced
                try:
                    await means.exchanges.move(key, stream, bell)
                finally:
                    del self._syncs[key]

    def _told(self, event: Event) -> None:
        if isinstance(event, Synced) and event.key in self._syncs:
            self._syncs[event.key].cancel()
