"""The operation SPEEDTEST, by which the node at the other end of a lane measures what it carries, and the
measuring of our own lanes by theirs.

When, and whose request is served, is :mod:`~port17.node.speed_plan`'s.
"""

from __future__ import annotations

import logging
import random
from typing import ClassVar, Final

import anyio

from port17.asking import ask
from port17.errors import NetworkError
from port17.links.stream import ConveyorStream
from port17.network import KnownNetwork
from port17.node.cranes import Cranes
from port17.node.driving import Driver
from port17.node.lanes import Lanes
from port17.node.node_link import NodeLink
from port17.node.operation import Caller, Host, Operation
from port17.node.speed_plan import BURST, BUSY, PATIENCE_S, QUIET, SpeedPlan, rate
from port17.wire.pace import StepTerms
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

NAME: Final = "SPEEDTEST"
"""The operation's wire name."""
LOOK_S: Final = 10.0
"""Seconds between looks whether a lane is due: as often as their traffic is counted."""
SERVE_S: Final = PATIENCE_S + 4.0
"""Most seconds that serving takes: what is asked for, and two long round trips."""
CHUNK: Final = bytes(64 * 1024)
"""What is sent. Sealed it is noise, which nothing on the way can make smaller."""

_log = logging.getLogger(__name__)


class SpeedTest(Operation):
    """Sends :data:`~port17.node.speed_plan.BURST` bytes to whoever may have them."""

    name: ClassVar[str] = NAME
    callers: ClassVar[Caller] = Caller.NODE
    upkeep: ClassVar[bool] = True

    class Config(Operation.Config):
        """Options of a node.

        :param enabled: False measures nothing and serves nobody: where traffic is paid for by the byte.
        """

        enabled: bool = True

    config: Config

    _host: Host

    def attach(self, host: Host) -> None:
        """See :meth:`Operation.attach`."""
        self._host = host
        host.speeds.enabled = self.config.enabled

    async def handle(self, args: bytes, stream: ConveyorStream) -> None:
        """See :meth:`Operation.handle`."""
        if args or not self.config.enabled:
            stream.abort(Reason.PROTOCOL if args else Reason.POLICY)
            return
        refusal = self._host.speeds.admit(stream.origin)
        if refusal is not None:
            stream.abort(refusal)
            return
        try:
            with anyio.move_on_after(SERVE_S) as scope:
                await stream.accept()
                for _ in range(BURST // len(CHUNK)):
                    await stream.send(CHUNK)
                await stream.send_eof()
                await self._taken(stream)
            if scope.cancelled_caught:
                stream.abort(Reason.TIMEOUT)
        finally:
            self._host.speeds.done()

    async def _taken(self, stream: ConveyorStream) -> None:
        """Until whoever asked has everything, and says so by ending it."""
        try:
            await stream.receive()
        except anyio.EndOfStream:
            return
        stream.abort(Reason.PROTOCOL)


class Speeds:
    """The measurements of one node, its own and those that it serves: one at a time."""

    def __init__(
        self,
        rng: random.Random,
        network: KnownNetwork,
        cranes: Cranes,
        lanes: Lanes,
        driver: Driver,
        budget: Budget,
        steps: StepTerms,
    ) -> None:
        """
        :param rng: draws when.
        :param budget: bytes that streams' windows may grow by.
        :param steps: when circuits' keys step.
        """
        self._plan = SpeedPlan(rng)
        self.enabled = False
        """Whether this node measures at all, which the operation says that others ask for the same."""
        self._network = network
        self._cranes = cranes
        self._lanes = lanes
        self._driver = driver
        self._budget = budget
        self._steps = steps

    def status(self) -> dict[str, int]:
        """How many measurements were made and served since the node started."""
        return {"measured": self._plan.measured, "served": self._plan.served}

    # -- others' -----------------------------------------------------------------------------------
    def admit(self, origin: str) -> Reason | None:
        """Whether whoever asks over a link is served; :meth:`done` is to follow then.

        :param origin: the link, by its name here.
        :returns: why not; None serves it.
        """
        crane = self._cranes.named(origin)
        link = None if crane is None else self._lanes.of(crane)
        if link is None or not link.is_lane:
            return Reason.POLICY
        return self._plan.serve(link.peer, anyio.current_time(), idle=self._is_idle(link))

    def done(self) -> None:
        """What was served is over."""
        self._plan.served_it()

    # -- our own -----------------------------------------------------------------------------------
    async def run(self) -> None:
        """Measure what is due, without an end."""
        while self.enabled:
            await anyio.sleep(LOOK_S)
            now_s = anyio.current_time()
            lanes = {peer: link for peer in self._lanes.standing if (link := self._lanes.current(peer))}
            self._plan.look(lanes, now_s)
            peer = self._plan.next(now_s, {one for one, link in lanes.items() if self._is_idle(link)})
            if peer is not None:
                await self._measure(lanes[peer])

    def _is_idle(self, link: NodeLink) -> bool:
        return self._driver.load < BUSY and link.rate is not None and link.rate < QUIET

    async def _measure(self, link: NodeLink) -> None:
        self._plan.begin(anyio.current_time())
        capacity, came = 0, False
        try:
            capacity, came = await self._received(link)
        except NetworkError as error:
            _log.debug("a lane was not measured: %s", error.message)
        except Exception as fault:  # noqa: BLE001 - a plugin's suite: it may cost this measurement
            _log.error("a lane was not measured: %s", type(fault).__name__)
            _log.debug("traceback", exc_info=fault)
        finally:
            self._plan.end(link.peer, anyio.current_time(), came=came, measured=capacity > 0)
        if capacity:
            link.tested(capacity)
            self._lanes.tell_measure(link)

    async def _received(self, link: NodeLink) -> tuple[int, bool]:
        """What comes over a lane, bytes per second, 0 if that could not be said; and whether anything came.

        :raises NetworkError: the other end does not serve us now.
        """
        to = self._network.responder_of(link.peer)
        if to is None:
            raise NetworkError("of the node at the other end no prekey is held that can be used")
        begun_s, half, half_s, got = anyio.current_time(), 0, 0.0, 0
        now_s = begun_s
        async with ask(
            link.crane, to, self._network, NAME, budget=self._budget, steps=self._steps, own=True
        ) as stream:
            with anyio.move_on_after(PATIENCE_S):
                while got < BURST:
                    try:
                        got += len(await stream.receive())
                    except (anyio.EndOfStream, NetworkError):
                        return 0, got > 0  # refused; or it ended early, which says nothing of the line
                    now_s = anyio.current_time()
                    if not half and got >= BURST // 2:
                        half, half_s = got, now_s
            if got < BURST:
                now_s = anyio.current_time()
        return rate(begun_s, half, half_s, got, now_s), got > 0
