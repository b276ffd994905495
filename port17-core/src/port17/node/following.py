"""SYNC as a node opens it on others: over every lane for as long as it stands, and once as a newcomer.

Whom to follow and whom to be introduced to is the manager's to say; what is said is
:mod:`port17.bottles.gossip`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from port17.asking import SYNC, Bell, Exchanges, ask
from port17.bottles.gossip_events import Event, Key, OfferAnswered, Synced
from port17.errors import NetworkError
from port17.links.crane import Crane, Terms
from port17.network import KnownNetwork
from port17.node.driving import Driver
from port17.node.lanes import Lanes
from port17.node.node_link import NodeLink
from port17.records.bottle import Bottle
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget

INTRODUCTION_S: Final = 300.0
"""Seconds that an introduction may take: everything of a network of 10,000 nodes over a slow line."""
STANDS_S: Final = 10.0
"""Seconds within which a node that is called for an introduction has to answer."""

_log = logging.getLogger(__name__)


@dataclass
class _Introduction:
    """What is still to come of one."""

    synced: bool = False
    refusal: str | None = None
    """Why the node does not take our bottle; empty if it does, None as long as it has not said."""
    news: Bell = field(default_factory=Bell)


class Following:
    """The SYNCs that one node has opened."""

    def __init__(
        self,
        network: KnownNetwork,
        exchanges: Exchanges,
        lanes: Lanes,
        driver: Driver,
        terms: Terms,
        budget: Budget,
        own: Callable[[], Bottle | None],
        is_local: Callable[[str], bool],
        tasks: TaskGroup,
    ) -> None:
        """
        :param terms: of the node's links.
        :param budget: bytes that streams' windows may grow by.
        :param own: the node's bottle.
        :param is_local: whether an address is on the local network.
        """
        self._network = network
        self._exchanges = exchanges
        self._lanes = lanes
        self._driver = driver
        self._nobody = replace(terms, signer=None, on_setup=None)
        """How the node calls whom it does not know yet: as anybody does."""
        self._steps = terms.steps
        self._budget = budget
        self._own = own
        self._is_local = is_local
        self._tasks = tasks
        self._followed: set[bytes] = set()
        self._introductions: dict[Key, _Introduction] = {}
        network.listen(self._told)

    @property
    def open(self) -> int:
        """How many nodes are followed."""
        return len(self._followed)

    # -- over a lane -----------------------------------------------------------------------------------
    def follow(self, peer: bytes) -> None:
        """Follow a node for as long as a lane to it stands."""
        if peer not in self._followed:
            self._followed.add(peer)
            self._tasks.start_soon(self._follow, peer)

    async def _follow(self, peer: bytes) -> None:
        try:
            while (link := self._lanes.current(peer)) is not None:
                await self._over(link)
                if link.is_lane:
                    break  # it ended by itself: the manager says when to begin anew
        except NetworkError as error:
            _log.debug("a node is not followed: %s", error.message)
        except Exception as fault:  # noqa: BLE001 - a plugin's scheme or validator: it may not end a node
            _complain("following a node", fault)
        finally:
            self._followed.discard(peer)
        if self._lanes.current(peer) is not None:
            self._driver.unfollowed(peer)

    async def _over(self, link: NodeLink) -> None:
        """Follow a node over one link, until it is a lane no longer.

        :raises NetworkError: SYNC was refused, or ended otherwise than in order.
        """
        to = self._key(link.peer)
        gossip, bell = self._network.gossip, Bell()
        async with ask(link.crane, to, self._network, SYNC, budget=self._budget, steps=self._steps) as stream:
            key = gossip.follow(link.peer, bell.ring, local=self._is_local(link.crane.remote))
            async with anyio.create_task_group() as tasks:

                async def end() -> None:
                    await link.over.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(end)
                try:
                    await self._exchanges.move(key, stream, bell)
                except NetworkError as error:
                    _log.debug("a node is followed no more: %s", error.message)
                tasks.cancel_scope.cancel()

    def _key(self, peer: bytes) -> ResponderKey:
        to = self._network.responder_of(peer)
        if to is None:
            raise NetworkError("of the node at the other end no prekey is held that can be used")
        return to

    # -- as a newcomer -----------------------------------------------------------------------------------
    def introduce(self, peer: bytes) -> None:
        """Show a node our bottle, and fetch what it holds. What becomes of it the manager is told."""
        self._tasks.start_soon(self._introduce, peer)

    async def _introduce(self, peer: bytes) -> None:
        try:
            with anyio.fail_after(INTRODUCTION_S):
                crane = await self._lanes.reach(peer, self._nobody)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(crane.run)
                    try:
                        refusal = await self._show(crane, peer)
                    except NetworkError as error:
                        refusal = error.message
                    crane.end()
        except (NetworkError, TimeoutError) as error:
            refusal = str(error) or "it takes too long"
        except Exception as fault:  # noqa: BLE001 - as above
            _complain("an introduction", fault)
            refusal = "a fault"
        if refusal:
            _log.info("an introduction came to nothing: %s", refusal)
            self._driver.failed(peer)
        else:
            self._driver.introduced(peer)

    async def _show(self, crane: Crane, peer: bytes) -> str:
        """
        :returns: why the node does not take our bottle; empty if it does.
        :raises NetworkError: it was not to be had.
        """
        with anyio.move_on_after(STANDS_S) as waited:
            await crane.standing.wait()
        if waited.cancelled_caught:
            raise NetworkError("the node does not answer")
        gossip, bell = self._network.gossip, Bell()
        async with ask(
            crane, self._key(peer), self._network, SYNC, budget=self._budget, steps=self._steps
        ) as stream:
            key = gossip.follow(peer, bell.ring, local=self._is_local(crane.remote), standing=False)
            shown = self._introductions[key] = _Introduction()
            own = self._own()
            if own is not None:
                gossip.offer(key, own)
            try:
                async with anyio.create_task_group() as tasks:

                    async def watch() -> None:
                        while not shown.synced or (shown.refusal is None and own is not None):
                            await shown.news.wait()
                        tasks.cancel_scope.cancel()

                    tasks.start_soon(watch)
                    try:
                        await self._exchanges.move(key, stream, bell)
                        tasks.cancel_scope.cancel()
                    except NetworkError as error:
                        shown.refusal = shown.refusal or error.message
                        tasks.cancel_scope.cancel()
            finally:
                del self._introductions[key]
        if not shown.synced and not shown.refusal:
            return "it has ended before it had told all"
        if own is None:
            return "there is no bottle of ours that could be shown"
        return shown.refusal or ""

    def _told(self, event: Event) -> None:
        if isinstance(event, Synced | OfferAnswered):
            shown = self._introductions.get(event.key)
            if shown is not None:
                if isinstance(event, Synced):
                    shown.synced = True
                else:
                    shown.refusal = event.why
                shown.news.ring()


def _complain(what: str, fault: Exception) -> None:
    _log.error("%s was ended by a fault: %s", what, type(fault).__name__)
    _log.debug("traceback", exc_info=fault)
