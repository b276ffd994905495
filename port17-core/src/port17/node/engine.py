"""The engine: every circuit of a node, the quotas of those who ask for them, and the operations they open.

Which lanes stand is :mod:`port17.node.lanes`'s; starting and stopping are the node's.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import anyio
from anyio.abc import TaskGroup

from port17.errors import NetworkError, PeerViolation
from port17.links.spare_keys import SpareKeys
from port17.links.stream import ConveyorStream
from port17.node.operation import Caller, Operation
from port17.wire.conveyor import Conveyor
from port17.wire.lane import LaneState
from port17.wire.leg import CircuitEnd, Leg
from port17.wire.link import Link
from port17.wire.prekey import Network, OwnPrekey
from port17.wire.quota import Budget, TokenBucket
from port17.wire.ratchet import StepCount
from port17.wire.reasons import Reason
from port17.wire.relay import Relay, Scratch
from port17.wire.replay import ReplaySet
from port17.wire.setup import open_setup
from port17.wire.suite import CipherSuite, KemKey

SETUPS_PER_S, SETUPS_BURST = 200.0, 1000.0
"""SETUPs taken from one link per second, and at once: one costs some 0.5 ms, so that one link can take a
tenth of a core. A lane carries the set-ups of many clients."""
HOPS_PER_S, HOPS_BURST = 50.0, 500.0
"""HOPs that one link may have made over our lanes: a quarter, so that one client cannot spend a lane's."""
STEPS_PER_S, STEPS_BURST = 400.0, 2000.0
"""Ratchet steps answered to one link, some 0.5 ms each: twice as many as SETUPs, since every circuit begins
with one, and enough for 200 MB/s of circuits that step with every mebibyte."""
LANE_CLIENTS = 20
"""How many clients' demand a lane may bring: with less, a few clients at one node could spend what all of its
clients have at the next."""
OPERATIONS_CAP = 8192
"""Most operations served at once: each may hold a socket and two windows."""
PRESSURE_S = 1.0
"""Seconds between looks at the grant budget, and the wait from which on a circuit may be ended for it."""
PRESSURE_SHARE = 0.1
"""Share of the grant budget below which what is left is under pressure."""

_log = logging.getLogger(__name__)


class _Quotas:
    """A link's, and its name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.allow(1)

    def allow(self, clients: int) -> None:
        """:param clients: how many clients' demand the link may bring."""
        self.setups = TokenBucket(clients * SETUPS_PER_S, clients * SETUPS_BURST)
        self.hops = TokenBucket(clients * HOPS_PER_S, clients * HOPS_BURST)
        self.steps = TokenBucket(clients * STEPS_PER_S, clients * STEPS_BURST)


class Engine:
    """All circuits at one node; the :class:`~port17.wire.relay.RelayHost` of each."""

    def __init__(
        self,
        *,
        fingerprint: bytes,
        network: Callable[[], Network],
        prekeys: Callable[[str, int], OwnPrekey | None],
        replays: ReplaySet,
        lane: Callable[[bytes], Link | None],
        operations: Mapping[str, Operation],
        budget: Budget,
        grants: Budget,
        wall: Callable[[], float],
        tasks: TaskGroup,
        spare_keys: SpareKeys,
    ) -> None:
        """
        :param spare_keys: ratchet keys made ahead.
        :param prekeys: own prekey in force by (suite name, slot).
        :param lane: the standing lane to a node.
        :param budget: bytes that conveyors' windows may grow by.
        :param grants: cells that peers may be granted.
        :param tasks: where operations run.
        """
        self.budget = budget
        self._fingerprint = fingerprint
        self._network = network
        self._prekeys = prekeys
        self._replays = replays
        self._lane = lane
        self._operations = operations
        self._grants = grants
        self._grants_total = grants.left
        self._wall = wall
        self._tasks = tasks
        self._spare_keys = spare_keys
        self._scratch = Scratch()
        self._quotas: dict[Link, _Quotas] = {}
        self._names = itertools.count(1)
        self._relays: set[Relay] = set()
        self._used: Counter[Relay] = Counter()
        """How many operations are open on a circuit here that are somebody's use of the node."""
        self._steps = StepCount()
        self.operations_open = 0

    @property
    def circuits(self) -> int:
        """How many circuits pass through or end here."""
        return len(self._relays)

    @property
    def foreign(self) -> int:
        """How many circuits pass through, or are used by somebody for an operation that is no upkeep."""
        return sum(map(self._is_foreign, self._relays))

    def _is_foreign(self, relay: Relay) -> bool:
        return relay.next is not None or relay in self._used

    def name(self, link: Link) -> str:
        """What a link is called by here."""
        return self._quota(link).name

    @property
    def steps(self) -> dict[str, int]:
        """Steps of the keys that this node has with clients, since it started."""
        return self._steps.with_living(relay.session for relay in self._relays)

    def lane_stands(self, link: Link) -> None:
        """A link is a lane: it brings what many clients ask for."""
        self._quota(link).allow(LANE_CLIENTS)

    def forget(self, link: Link) -> None:
        """A link is at an end."""
        self._quotas.pop(link, None)

    def setup(self, leg: Leg, content: bytes) -> CircuitEnd:
        """A SETUP came.

        :raises PeerViolation: a quota is spent, or it is a replay.
        :raises HandshakeFailed: it is not for us, or malformed.
        """
        if not self._quota(leg.link).setups.take(leg.link.now_s):
            raise PeerViolation("more SETUPs than one link may send")
        opened = open_setup(
            self._network(), self._fingerprint, self._prekeys, self._replays, content, self._wall()
        )
        relay = Relay(self, self._scratch, leg, opened)
        self._relays.add(relay)
        return relay

    # -- as a relay host ----------------------------------------------------------------------------
    def lane(self, fingerprint: bytes, asking: Link) -> Link | None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        if not self._quota(asking).hops.take(asking.now_s):
            return None
        return self._lane(fingerprint)

    def spare_key(self, suite: CipherSuite) -> KemKey:
        """See :class:`~port17.wire.relay.RelayHost`."""
        return self._spare_keys.take(suite)

    def step_allowed(self, asking: Link) -> bool:
        """See :class:`~port17.wire.relay.RelayHost`."""
        return self._quota(asking).steps.take(asking.now_s)

    def operation(self, relay: Relay, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        operation = self._operations.get(name)
        if operation is None:
            conveyor.reset(Reason.UNKNOWN_OPERATION)
        elif not self._caller(relay) & operation.callers:
            conveyor.reset(Reason.POLICY)
        elif self.operations_open >= OPERATIONS_CAP:
            conveyor.reset(Reason.RESOURCES)
        else:
            self.operations_open += 1
            stream = ConveyorStream(conveyor)
            stream.origin = self.name(relay.previous.link)
            self._tasks.start_soon(self._serve, relay, operation, arguments, stream)

    def _caller(self, relay: Relay) -> Caller:
        """Who has built a circuit. What comes over a lane is a client's unless the node there says otherwise;
        a node may do what any client may."""
        lane = relay.previous.link.lane
        is_node = relay.previous.own and lane is not None and lane.state is LaneState.STANDS
        return Caller.CLIENT | Caller.NODE if is_node else Caller.CLIENT

    def closed(self, relay: Relay) -> None:
        """See :class:`~port17.wire.relay.RelayHost`."""
        if relay in self._relays:
            self._relays.discard(relay)
            self._steps.add(relay.session)

    async def _serve(
        self, relay: Relay, operation: Operation, arguments: bytes, stream: ConveyorStream
    ) -> None:
        link = relay.previous.link
        link.background += operation.upkeep
        if not operation.upkeep:
            self._used[relay] += 1
        try:
            with anyio.CancelScope() as scope:
                stream.on_reset = scope.cancel
                await operation.handle(arguments, stream)
        except NetworkError:
            stream.abort(Reason.GENERIC)
        except Exception as error:  # noqa: BLE001 - an operation is a plugin: it can cost us this conveyor only
            # Its message may name a destination; the type names the bug.
            _log.error("the operation %s failed: %s", operation.name, type(error).__name__)
            stream.abort(Reason.GENERIC)
        finally:
            self.operations_open -= 1
            link.background -= operation.upkeep
            if not operation.upkeep:
                self._used[relay] -= 1
                if not self._used[relay]:
                    del self._used[relay]
            if stream.was_reset:
                stream.abort()  # what came and was not read is not kept

    def serve(self, suites: Collection[str]) -> None:
        """End the circuits whose suite the node does not serve any more."""
        for relay in [relay for relay in self._relays if relay.session.suite.name not in suites]:
            relay.end(Reason.GENERIC)

    # -- under pressure -----------------------------------------------------------------------------
    async def relieve(self) -> None:
        """While the grant budget is nearly spent, end the circuit whose oldest cell waits longest."""
        while True:
            await anyio.sleep(PRESSURE_S)
            if self._grants.left < self._grants_total * PRESSURE_SHARE:
                self._end_longest_waiting(anyio.current_time())

    def _end_longest_waiting(self, now_s: float) -> None:
        waits = [(since, relay) for relay in self._relays if (since := relay.waiting_since()) is not None]
        if waits:
            since, relay = min(waits, key=lambda wait: wait[0])
            if now_s - since > PRESSURE_S:
                relay.end(Reason.RESOURCES)

    def _quota(self, link: Link) -> _Quotas:
        quotas = self._quotas.get(link)
        if quotas is None:
            quotas = self._quotas[link] = _Quotas(f"link {next(self._names)}")
        return quotas
