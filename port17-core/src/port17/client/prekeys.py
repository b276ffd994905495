"""The prekeys of a route's nodes, at hand before a circuit is made: fetched by buckets, so that nobody learns
which node it is for, and believed beyond the first hop once two sources of different groups name the same.

So no node can give each client a prekey of its own and know it again at the other end of a route. Where
agreement cannot be had there is an error, and never a laxer route.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random, SystemRandom
from typing import Final

import anyio

from port17.bottles.buckets import bits_for, usable
from port17.client.inquiry import Bucket, Inquiry, Known, Need
from port17.client.words import AGREEING, Place, Witness
from port17.errors import NoRoute
from port17.navigator.chart import ChartNode
from port17.network import KnownNetwork
from port17.records.bottle import Bottle
from port17.wire.prekey import ResponderKey

SOURCES_S: Final = 8.0
"""Seconds for which a route waits for sources, as after a start: programs get their answer within 10."""
ALL_BELOW: Final = 1024
"""Nodes of whom all prekeys are fetched ahead, a mebibyte and a half a day: what is asked for tells nobody
anything then. Of more, the buckets that routes needed, and as many others."""
DECOYS: Final = 4
"""Buckets of a large network that are fetched ahead though no route needed them, beside as many as did."""
AHEAD: Final = (0.05, 0.25)
"""Least and most share of a slot before its end at which the next one's prekeys are fetched: not all clients
at once, and not at a moment that anybody knows."""
SOON_S: Final = (0.2, 2.0)
"""Least and most seconds between buckets of a large network that are fetched ahead."""
LOOK_S: Final = (30.0, 90.0)
"""Least and most seconds between looks at the clock, which may be set, and at who has come."""

_random: Final = SystemRandom()


class Prekeys:
    """All prekeys that one client uses."""

    def __init__(self, network: KnownNetwork, sources: Known, *, rng: Random = _random) -> None:
        self._network = network
        self._inquiry = Inquiry(network, sources, rng)
        self._rng = rng
        self._needed: set[tuple[str, int]] = set()
        """Suite and prefix of the buckets that routes needed lately."""

    @property
    def agreed(self) -> int:
        """How many prekeys enough sources have named alike."""
        return self._inquiry.words.agreed

    @property
    def groups(self) -> int:
        """Of how many groups there are sources that have told all that they know."""
        return self._inquiry.groups

    # -- what circuits ask --------------------------------------------------------------------------
    async def keys(self, nodes: Sequence[ChartNode]) -> list[ResponderKey | None]:
        """How to address the nodes of a route, from the entry to the exit; None for one of which there is no
        prekey that can be used and that enough sources agree on.

        :raises NoRoute: there are not enough sources to ask.
        """
        keys = self._keys(nodes)
        if None not in keys:
            return keys
        groups = AGREEING if None in keys[1:] else 1
        with anyio.move_on_after(SOURCES_S):
            await self._inquiry.enough(groups)
        if self.groups < groups:
            have = "all sources that stand are of one group" if self.groups else "no source stands"
            raise NoRoute(
                f"a route's prekeys cannot be had: {have}; it takes {groups} of different groups",
                cure="Wait until the client has reached more nodes (`port17 client status`), or put bottles"
                " of nodes that you trust into its folder.",
            )
        needs = [need for place, node in enumerate(nodes) if (need := self._need(node, first=not place))]
        asked = await self._inquiry.fetch(needs, last=nodes[0].fingerprint)
        self._needed |= {(bucket.suite, bucket.prefix) for bucket in asked}
        return self._keys(nodes)

    async def begun(self) -> bool:
        """Wait until there are enough sources, as after a start; False if there were before, or are none."""
        if self.groups >= AGREEING:
            return False
        with anyio.move_on_after(SOURCES_S):
            await self._inquiry.enough()
        return self.groups >= AGREEING

    async def at_hand(self, node: ChartNode) -> bool:
        """Have a node's prekey record, by any one source's word, if that can be had now."""
        need = self._need(node, first=True)
        if need is None:
            return False
        if self._inquiry.record(need) is None and self.groups:
            await self._inquiry.fetch([need])
        return self._inquiry.record(need) is not None

    def holds(self, node: ChartNode) -> bool:
        """Whether a node can be used beyond the first hop without asking anybody."""
        return self._key(node, first=False) is not None

    def vouch(self, bottle: Bottle, by: Witness) -> None:
        """A node has given what another node has signed. Its word counts as a source's does,
        where it is what we have the node's signature for."""
        held = self._network.rack.get(bottle.fingerprint)
        for suite, slots in bottle.contents.slots.items():
            ours = held.contents.slots.get(suite, ()) if held is not None else ()
            for slot in slots:
                if slot in ours:
                    place = Place(bottle.fingerprint, suite, slot.slot)
                    self._inquiry.words.add(place, slot.commitment, slot.expiry, by)

    def _keys(self, nodes: Sequence[ChartNode]) -> list[ResponderKey | None]:
        return [self._key(node, first=not place) for place, node in enumerate(nodes)]

    def _key(self, node: ChartNode, *, first: bool) -> ResponderKey | None:
        suite, need = self._network.suites.get(node.suite), self._need(node, first=first)
        record = self._inquiry.record(need) if need is not None else None
        if suite is None or record is None or len(record.public) != suite.public_size:
            return None
        return ResponderKey(suite, node.fingerprint, record.hash, record.slot, record.public)

    def _need(self, node: ChartNode, *, first: bool, now_s: float | None = None) -> Need | None:
        """The prekey to use with a node: one, and no other if it is not to be had, or whoever holds it back
        would choose."""
        now_s = self._network.wall() if now_s is None else now_s
        for slot in usable(node.slots, now_s, self._network.revision.prekey_lifetime_s):
            return Need(Place(node.fingerprint, node.suite, slot.slot), slot.commitment, first)
        return None

    # -- ahead of time ------------------------------------------------------------------------------
    async def run(self) -> None:
        """Fetch ahead what will be needed, and see through who contradicts whom, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._inquiry.see_through)
            tasks.start_soon(self._ahead)

    async def _ahead(self) -> None:
        """At the start for the present slot, then before each change of slot for the next one."""
        wall = self._network.wall
        at_s = wall()
        while True:
            await self._inquiry.enough()
            await self._fetch_ahead(at_s)
            self._inquiry.words.forget(wall())
            lifetime_s = self._network.revision.prekey_lifetime_s
            at_s = (max(at_s, wall()) // lifetime_s + 1) * lifetime_s
            begin_s = at_s - self._rng.uniform(*AHEAD) * lifetime_s
            while 0.0 < begin_s - wall() < 2 * lifetime_s:
                await anyio.sleep(min(begin_s - wall(), self._rng.uniform(*LOOK_S)))
                if len(self._network.rack) < ALL_BELOW:
                    await self._fetch_ahead(wall())  # of those that have come meanwhile

    async def _fetch_ahead(self, at_s: float) -> None:
        """Fetch what will be needed at some time.

        :param at_s: Unix time, seconds.
        """
        chart = self._network.chart()
        plan: dict[tuple[str, int], list[Need]] = {}
        bits = bits_for(len(self._network.rack))
        for node in chart:
            need = self._need(node, first=False, now_s=at_s)
            if need is not None:
                bucket = Bucket.of(need.place, bits)
                plan.setdefault((bucket.suite, bucket.prefix), []).append(need)
        if len(chart) < ALL_BELOW:
            await self._inquiry.fetch(need for needs in plan.values() for need in needs)
            return
        chosen = self._chosen(plan.keys())
        self._needed.clear()
        for one in chosen:
            await self._inquiry.fetch(plan[one])
            await anyio.sleep(self._rng.uniform(*SOON_S))

    def _chosen(self, there_are: Collection[tuple[str, int]]) -> list[tuple[str, int]]:
        """Of a large network, what routes needed, among as many others and some more."""
        needed = [one for one in there_are if one in self._needed]
        others = [one for one in there_are if one not in self._needed]
        chosen = needed + self._rng.sample(others, min(len(others), len(needed) + DECOYS))
        self._rng.shuffle(chosen)
        return chosen
