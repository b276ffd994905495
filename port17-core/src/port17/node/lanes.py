"""The links between this node and others, and which of them are lanes: asked for, granted, replaced, retired.

With whom there are to be lanes is the manager's to say; what crosses them, circuits' and SYNC's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Final

import anyio
from anyio.abc import TaskGroup

from port17.dialling import Turnover, call
from port17.errors import NetworkError
from port17.links.crane import Crane, Terms
from port17.links.transport import Transport
from port17.navigator.agreement import Standing
from port17.network import KnownNetwork
from port17.node.driving import Driver
from port17.node.node_link import NodeLink
from port17.node.verification import Verification
from port17.refreshing import Refresher
from port17.wire.block import BLOCK_SIZE
from port17.wire.lane import LaneVerb
from port17.wire.link import Link

ANSWER_S: Final = 10.0
"""Seconds within which a caller has to ask for a lane, and the other end to answer."""
HOPS_TAKEN_S: Final = 90.0
"""Seconds for which circuits may still be extended over a lane that was retired: others' charts are older."""
RETIRED_MOST_S: Final = 600.0
"""Seconds after which it ends, whatever uses it: as long as a client's circuit takes new connections."""
PER_NODE_CAP: Final = 6
"""Most links at once with one node: its lane, one that is made anew, both ends' at the same time, and some
that are retired."""
FAREWELL_S: Final = 2.0
"""Most seconds that a node that leaves waits for the answers of those whose lanes it retires: some round
trips of the slowest line."""
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 15.0
"""Seconds before a lane that is to be made anew, under another suite, is dialled again: at first, and at most
after doubling; each drawn from half to the whole."""
TEND_S: Final = 1.0
"""Seconds between looks at lanes that are to end."""
MEASURE_S: Final = 10.0
"""Seconds between measurements, over which a lane's traffic is averaged."""
_log = logging.getLogger(__name__)


class Lanes:
    """The links with nodes, of one node."""

    def __init__(
        self,
        own: bytes,
        network: KnownNetwork,
        transports: Mapping[str, Transport],
        terms: Terms,
        refresher: Refresher,
        driver: Driver,
        verification: Verification,
        pinned: Callable[[], Collection[bytes]],
        keep: Callable[[Crane], Awaitable[None]],
        lane_stands: Callable[[Link], None],
        tasks: TaskGroup,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param pinned: nodes that are called whatever verification says: the user names them.
        :param keep: owns a crane until it is lost.
        :param lane_stands: a link has become a lane.
        :param tasks: where the cranes run.
        """
        self._own = own
        self._network = network
        self._transports = transports
        self._terms = terms
        self._refresher = refresher
        self._driver = driver
        self._verification = verification
        self._pinned = pinned
        self._keep = keep
        self._lane_stands = lane_stands
        self._tasks = tasks
        self._links: dict[bytes, list[NodeLink]] = {}
        """In the order in which they became lanes, those that are none yet at the end."""
        self._anew: set[bytes] = set()
        """With whom a lane is being made in the place of one that stands."""
        self._turnover = Turnover(network)

    def __iter__(self) -> Iterator[NodeLink]:
        return iter([link for links in self._links.values() for link in links])

    @property
    def standing(self) -> list[bytes]:
        """Fingerprints of the nodes to which a lane stands."""
        return [peer for peer, links in self._links.items() if any(link.is_lane for link in links)]

    def of(self, crane: Crane) -> NodeLink | None:
        """The link of a crane; None if it is none with a node."""
        links = () if crane.peer is None else self._links.get(crane.peer, ())
        return next((link for link in links if link.crane is crane), None)

    def current(self, peer: bytes) -> NodeLink | None:
        """The lane to use with a node."""
        return next((link for link in reversed(self._links.get(peer, ())) if link.is_lane), None)

    def link(self, peer: bytes) -> Link | None:
        """What a circuit goes on over to a node."""
        found = self.current(peer)
        if found is None:
            now_s = anyio.current_time()
            for link in self._links.get(peer, ()):
                if link.retired_s is not None and now_s - link.retired_s < HOPS_TAKEN_S:
                    found = link
        return found.crane.link if found is not None else None

    # -- what others do ------------------------------------------------------------------------------
    def takes(self, peer: bytes) -> bool:
        """Whether a node that calls may have one more link."""
        # Whoever only repeats what a node once sent proves nothing, and must not take that node's places.
        proved = sum(link.crane.standing.is_set() for link in self._links.get(peer, ()))
        return peer != self._own and proved < PER_NODE_CAP

    async def called(self, crane: Crane, address: str) -> None:
        """A node has called; returns when the link is lost.

        :param address: where it comes from.
        """
        peer = crane.peer
        assert peer is not None
        link = NodeLink(crane, peer, ours=False)

        def told(verb: LaneVerb) -> None:
            if verb is LaneVerb.ASK:
                self._asked(link, address)
            elif verb is LaneVerb.RETIRE:
                self._retired(link)

        crane.link.between_nodes(told)
        self._links.setdefault(peer, []).append(link)
        self._tasks.start_soon(self._expect, link)
        await self._own_it(link)

    def _asked(self, link: NodeLink, address: str) -> None:
        refusal = self._driver.asked(link.peer, address)
        link.answered.set()
        if refusal:
            _log.debug("a lane is refused: %s", refusal)
            link.say(LaneVerb.REFUSE)
            return
        link.say(LaneVerb.GRANT)
        self._begin(link)

    async def _expect(self, link: NodeLink) -> None:
        """Whoever calls as a node wants a lane; what is none is of no use."""
        with anyio.move_on_after(ANSWER_S):
            await link.answered.wait()
        if not link.stands:
            await anyio.sleep(TEND_S)  # the refusal is on its way; whoever called ends the link
            link.crane.end()

    # -- what the manager commands ---------------------------------------------------------------------
    def dial(self, peer: bytes) -> None:
        """Make a lane. What becomes of it the manager is told."""
        self._tasks.start_soon(self._dial, peer)

    async def _dial(self, peer: bytes) -> None:
        try:
            link = await self._ask(peer)
        except NetworkError as error:
            _log.debug("a lane could not be made: %s", error.message)
            self._driver.failed(peer)
            return
        except Exception as fault:  # noqa: BLE001 - a plugin's transport: it may cost this lane
            _log.error("a lane could not be made: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)
            self._driver.failed(peer)
            return
        if not link.stands:
            self._driver.failed(peer, refused=not link.crane.lost)
            link.crane.end()

    def retire(self, peer: bytes) -> None:
        """Our lanes with a node are to be none any more."""
        for link in list(self._links.get(peer, ())):
            self._retire(link)

    async def farewell(self) -> None:
        """Wait until the other ends know of the lanes that are retired, but not for long."""
        with anyio.move_on_after(FAREWELL_S):
            for link in self:
                if link.is_retiring:
                    await link.left.wait()

    def changed(self) -> None:
        """The network has changed: a lane may have to be made anew."""
        self._look_at_suites()

    # -- calling -----------------------------------------------------------------------------------
    async def reach(self, peer: bytes, terms: Terms) -> Crane:
        """A crane to a node; by a cold call, if all that is held of its prekeys have expired.

        :raises NetworkError: it is not to be reached.
        """
        if self._network.rack.get(peer) is not None and self._network.responder_of(peer) is None:
            return await self._refresher.call(peer, terms)
        return await call(peer, self._network, self._transports, terms)

    async def _ask(self, peer: bytes) -> NodeLink:
        """A link to a node that was asked for a lane; whether it stands is settled.

        :raises NetworkError: it was not reached.
        """
        if peer not in self._pinned() and not self._verification.may_call(peer):
            raise NetworkError("so many have been called lately where the node says that it is")
        crane = await self.reach(peer, self._terms)
        link = NodeLink(crane, peer, ours=True)

        def told(verb: LaneVerb) -> None:
            if verb is LaneVerb.RETIRE:
                self._retired(link)
                return
            self._verification.met(peer)
            if verb is LaneVerb.GRANT:
                self._begin(link)
            link.answered.set()

        crane.link.between_nodes(told)
        self._links.setdefault(peer, []).append(link)
        self._tasks.start_soon(self._own_it, link)
        link.say(LaneVerb.ASK)  # it waits until the link's keys are final
        with anyio.move_on_after(ANSWER_S):
            await link.answered.wait()
        return link

    async def _own_it(self, link: NodeLink) -> None:
        try:
            await self._keep(link.crane)
        finally:
            self._gone(link)

    # -- a lane's life -----------------------------------------------------------------------------
    def _begin(self, link: NodeLink) -> None:
        """A link has become a lane."""
        link.stands = True
        links = self._links.setdefault(link.peer, [])
        links.remove(link)
        links.insert(sum(one.stands for one in links), link)
        self._lane_stands(link.crane.link)
        self._driver.stands(link.peer, ours=link.ours)
        self.tell_measure(link)

    def _retire(self, link: NodeLink) -> None:
        if link.is_lane:
            link.say(LaneVerb.RETIRE)
            self._end(link)

    def _retired(self, link: NodeLink) -> None:
        """The peer has retired it, or answers ours."""
        link.left.set()
        if link.is_lane:
            self._end(link)
            if self.current(link.peer) is None:
                self._driver.retires(link.peer)

    def _end(self, link: NodeLink) -> None:
        link.retired_s = anyio.current_time()
        link.over.set()

    def _gone(self, link: NodeLink) -> None:
        links = self._links.get(link.peer, [])
        if link in links:
            links.remove(link)
            if not links:
                del self._links[link.peer]
        link.answered.set()
        link.over.set()
        link.left.set()
        if link.stands and self.current(link.peer) is None:
            self._driver.lost(link.peer)

    # -- upkeep ------------------------------------------------------------------------------------
    async def tend(self) -> None:
        """End what is retired, replace what is to be replaced, count what lanes carry; without an end."""
        measured_s = anyio.current_time()
        while True:
            await anyio.sleep(TEND_S)
            now_s = anyio.current_time()
            self._look_at_suites()
            for link in self:
                self._tend(link, now_s)
            if now_s - measured_s >= MEASURE_S:
                self._measure(now_s - measured_s)
                measured_s = now_s

    def _tend(self, link: NodeLink, now_s: float) -> None:
        wire = link.crane.link
        if link.retired_s is not None:
            retired_s = now_s - link.retired_s
            current = self.current(link.peer)
            grace_s = TEND_S if current is not None else HOPS_TAKEN_S
            unused = wire.legs <= wire.background
            if (unused and retired_s >= grace_s) or retired_s >= RETIRED_MOST_S:
                link.crane.end()
        elif link.stands:
            keeper = self._keeper(link.peer)
            if link.ours and keeper is not None and keeper is not link:
                self._retire(link)
        if link.ours and self._turnover.is_over(link.crane, now_s, replaced=False):
            _log.info("a lane under %s is ended", link.crane.suite)
            link.crane.end()

    def _keeper(self, peer: bytes) -> NodeLink | None:
        """Of several lanes with one node, the one that stays: both ends choose alike, or none would."""
        good = [
            link
            for link in self._links.get(peer, ())
            if link.is_lane and self._turnover.standing(link.crane) is Standing.GOOD
        ]
        # Of those that the node with the smaller fingerprint has dialled, the newest; else of the others.
        chosen = [link for link in good if link.ours == (self._own < peer)] or good
        return chosen[-1] if chosen else None

    def _look_at_suites(self) -> None:
        """A lane that we dialled under a suite that is no longer the right one is made anew."""
        for link in self:
            if (
                link.ours
                and link.is_lane
                and link.peer not in self._anew
                and self._turnover.standing(link.crane) is not Standing.GOOD
            ):
                self._anew.add(link.peer)
                self._tasks.start_soon(self._make_anew, link)

    async def _make_anew(self, old: NodeLink) -> None:
        wait_s = RETRY_FIRST_S
        try:
            while old.is_lane and self._keeper(old.peer) is None:
                if self._turnover.standing(old.crane) is Standing.GOOD:
                    return  # the charter has thought better of it
                try:
                    link = await self._ask(old.peer)
                    if link.stands:
                        if not old.is_lane:  # the manager has thought better of it meanwhile
                            self._retire(link)
                        return
                    link.crane.end()
                except NetworkError as error:
                    _log.debug("a lane could not be made anew: %s", error.message)
                except Exception as fault:  # noqa: BLE001 - as above
                    _log.error("a lane could not be made anew: %s", type(fault).__name__)
                await anyio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(2 * wait_s, RETRY_MOST_S)
        finally:
            self._anew.discard(old.peer)

    def _measure(self, over_s: float) -> None:
        now_s = anyio.current_time()
        for link in self:
            if not link.is_lane:
                continue
            wire = link.crane.link
            link.rate = int((wire.keys.used - link.seen) * BLOCK_SIZE / over_s)
            link.best = max(link.best, link.rate)
            link.seen = wire.keys.used
            self.tell_measure(link)
            if now_s - wire.control.asked_s >= over_s:
                wire.control.ping(now_s)  # where something is heard all the time the pulse sends none

    def tell_measure(self, link: NodeLink) -> None:
        """Tell the manager what a lane is like, if it is the one to use."""
        round_trip_s = link.crane.link.control.recent_round_trip_s
        if round_trip_s > 0 and self.current(link.peer) is link:
            self._driver.measured(link.peer, round_trip_s, link.capacity)
