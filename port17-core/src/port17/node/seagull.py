"""The operation SEAGULL: fresh bottles of a batch of nodes, for who has only expired prekeys of one of them.

What is held fresh is given at once; for the rest the node asks the nodes themselves. What it gives are their
own signed parts, so that anybody can keep them and pass them on.
"""

from __future__ import annotations

import logging
from typing import ClassVar, Final

import anyio

from port17.bottles.intake import LOCAL
from port17.errors import NetworkError, RecordError
from port17.links.stream import ConveyorStream
from port17.node.operation import Caller, Host, Operation
from port17.records.bottle import Bottle
from port17.records.seagull import NAME, Asked, answer
from port17.refreshing import CALLS_AT_ONCE
from port17.wire.quota import TokenBucket
from port17.wire.reasons import Reason

BATCHES_PER_S, BATCHES_BURST = 2.0, 64.0
"""Requests that one link may make per second, and at once: an answer can have 200 KiB, which makes 400 KiB a
second of the circuits that a lane brings, and a client needs less than one in a minute."""
ASKS_PER_S, ASKS_BURST = 1.0, 64.0
"""Nodes that are asked on others' behalf per second, and at once, in all: a cold call costs us a ship and a
millisecond, and whom we ask twice as much."""
AT_ONCE: Final = CALLS_AT_ONCE // 2
"""Nodes asked on others' behalf at once: who asks for silent ones keeps us from calling nobody ourselves."""
SILENT_S, SILENT_MOST_S = 600.0, 86_400.0
"""Seconds for which a node that did not answer is not asked again on others' behalf: at first, and at most
after doubling. Who names an address that is not its own has it dialled so seldom."""
SILENT_CAP: Final = 4096
"""Most nodes that are remembered as silent."""
PATIENCE_S: Final = 12.0
"""Seconds after which an answer is given without those who have not answered: a client waits for it."""
LINKS_CAP: Final = 8192
"""Most links whose requests are counted, as many as a node has."""

_log = logging.getLogger(__name__)


class Seagull(Operation):
    """See the module."""

    name: ClassVar[str] = NAME
    callers: ClassVar[Caller] = Caller.CLIENT | Caller.NODE
    upkeep: ClassVar[bool] = True

    _host: Host
    _limit: anyio.CapacityLimiter

    def __init__(self, config: Operation.Config | None = None) -> None:
        super().__init__(config)
        self._links: dict[str, TokenBucket] = {}
        self._asks = TokenBucket(ASKS_PER_S, ASKS_BURST)
        self._silent: dict[bytes, tuple[float, float]] = {}
        """Until when a node is not asked again, and how long that was."""

    def attach(self, host: Host) -> None:
        """See :meth:`Operation.attach`."""
        self._host = host
        self._limit = anyio.CapacityLimiter(AT_ONCE)

    async def handle(self, args: bytes, stream: ConveyorStream) -> None:
        """See :meth:`Operation.handle`."""
        try:
            asked = Asked.parse(args)
        except RecordError:
            stream.abort(Reason.PROTOCOL)
            return
        if not self._link(stream.origin).take(anyio.current_time()):
            stream.abort(Reason.RATE)
            return
        await stream.accept()
        found = await self._found(asked)
        now_s = self._host.network.wall()
        for fingerprint in asked.nodes:
            await stream.send(answer(found.pop(fingerprint, None), asked.suite, now_s))
        await stream.send_eof()

    async def _found(self, asked: Asked) -> dict[bytes, Bottle]:
        """What is known of whom, once everybody has answered or had time to."""
        found: dict[bytes, Bottle] = {}

        async def find(fingerprint: bytes) -> None:
            bottle = self._fresh(fingerprint, asked.suite)
            if bottle is None and await self._asked(fingerprint, asked.suite):
                bottle = self._fresh(fingerprint, asked.suite)
            if bottle is not None:
                found[fingerprint] = bottle

        with anyio.move_on_after(PATIENCE_S):
            async with anyio.create_task_group() as group:
                for fingerprint in dict.fromkeys(asked.nodes):
                    group.start_soon(find, fingerprint)
        return found

    def _fresh(self, fingerprint: bytes, suite: str) -> Bottle | None:
        """What is held of a node, if there is a prekey among it that is of use for longer than a moment."""
        network = self._host.network
        held = network.rack.get(fingerprint)
        present = int(network.wall()) // network.revision.prekey_lifetime_s
        if held is None or held.label.flavour == LOCAL:
            return None
        fresh = any(record.suite == suite and record.slot >= present for record in held.bundle)
        return held if fresh else None

    async def _asked(self, fingerprint: bytes, suite: str) -> bool:
        """Ask a node itself, if it may be asked; whether it has answered."""
        network = self._host.network
        held = network.rack.held(fingerprint)
        now_s = anyio.current_time()
        until_s, before_s = self._silent.get(fingerprint, (0.0, 0.0))
        if held is None or held.distrust or held.bottle.label.flavour == LOCAL:
            return False
        if now_s < until_s or not self._asks.take(now_s):
            return False
        try:
            async with self._limit:
                # Until it has answered: who asks may be gone before that is over.
                self._is_silent(fingerprint, now_s, max(SILENT_S, min(2 * before_s, SILENT_MOST_S)))
                await self._host.refresher.fresh(fingerprint, suite)
        except NetworkError as error:
            _log.debug("a node that was asked for is silent: %s", error.message)
            return False
        self._silent.pop(fingerprint, None)
        return True

    def _is_silent(self, fingerprint: bytes, now_s: float, wait_s: float) -> None:
        self._silent.pop(fingerprint, None)
        while len(self._silent) >= SILENT_CAP:
            self._silent.pop(next(iter(self._silent)))
        self._silent[fingerprint] = now_s + wait_s, wait_s

    def _link(self, origin: str) -> TokenBucket:
        bucket = self._links.pop(origin, None) or TokenBucket(BATCHES_PER_S, BATCHES_BURST)
        while len(self._links) >= LINKS_CAP:
            self._links.pop(next(iter(self._links)))
        self._links[origin] = bucket  # at the end: who has long asked nothing goes first
        return bucket
