"""Operations on the node at the other end of a link, by a circuit of this one hop; and SYNC over one of them.

Used by nodes and by clients. What is asked, and of whom, is theirs to say; what SYNC means is
:mod:`port17.bottles.gossip`'s.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.lowlevel

from port17.bottles.gossip_events import Key
from port17.errors import NetworkError, PeerViolation, Port17Error
from port17.links.batch import BATCH
from port17.links.crane import Crane
from port17.links.stream import ConveyorStream
from port17.network import KnownNetwork
from port17.wire.circuit import Circuit
from port17.wire.pace import USUAL, StepTerms
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

SYNC: Final = "SYNC"
"""The operation by which bottles are exchanged."""
TEND_S: Final = 1.0
"""Seconds between looks at steps that are due by time: half of the shortest that can be asked for."""
FAULT_S: Final = 1.0
"""Seconds after which a tick that failed is tried again."""
TICK_LEAST_S: Final = 0.02
"""Least seconds between ticks of a gossip: what falls due in between is dealt with together."""

_log = logging.getLogger(__name__)


class Bell:
    """Tells a waiting task that there is something to do; what rang before counts."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._event.set()

    async def wait(self) -> None:
        """Until it rings, or has rung since the last time."""
        await self._event.wait()
        self._event = anyio.Event()


@asynccontextmanager
async def ask(
    crane: Crane,
    to: ResponderKey,
    network: KnownNetwork,
    operation: str,
    arguments: bytes = b"",
    *,
    budget: Budget,
    steps: StepTerms = USUAL,
    own: bool = False,
) -> AsyncGenerator[ConveyorStream]:
    """Open an operation on the node at the other end of a crane. The circuit ends with the context.

    The stream may be used at once; whether the operation is served, its ``accepted`` tells.

    :param to: how to address that very node.
    :param budget: bytes that the stream's windows may grow by.
    :param steps: when the circuit's keys step.
    :param own: we are a node, the crane is a lane, and the node there is to know that no client of ours asks.
    :raises NetworkError: the link takes no more circuits, or the node's prekey is of no use.
    """
    now_s = anyio.current_time()
    try:
        key = to.suite.generate()
        circuit = Circuit(network.transcript(), [to], [key], budget, network.wall(), steps=steps, now_s=now_s)
    except Port17Error:
        raise
    except Exception as fault:  # a plugin's suite: it may cost this circuit
        _log.error("nothing is asked: the cipher suite %s fails: %s", to.suite.name, type(fault).__name__)
        raise NetworkError("the cipher suite to use with that node fails here") from fault
    leg = None if crane.lost else crane.link.open(circuit, own=own)
    if leg is None:
        raise NetworkError("the link takes no more circuits")
    with BATCH:
        circuit.begin(leg)
        stream = ConveyorStream(circuit.last.mux.open(operation, arguments, now_s))
    background = int(operation == SYNC or own)
    crane.link.background += background
    trouble: Exception | None = None
    # Not raised from within: a task group would wrap what the caller's own errors are.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_tend, circuit)
        try:
            yield stream
        except Exception as error:  # noqa: BLE001 - raised again below
            trouble = error
        finally:
            crane.link.background -= background
            circuit.close(Reason.DONE)
            tasks.cancel_scope.cancel()
    if trouble is not None:
        raise trouble


async def _tend(circuit: Circuit) -> None:
    """Let the circuit's keys step by time."""
    while circuit.closed is None:
        await anyio.sleep(TEND_S)
        try:
            circuit.tend(anyio.current_time())
        except Exception as fault:  # noqa: BLE001 - a plugin's suite: it may cost this circuit
            _log.error("a circuit was ended by a fault: %s", type(fault).__name__)
            circuit.close(Reason.GENERIC)


class Exchanges:
    """The SYNCs of one process, and its gossip's clock."""

    def __init__(self, network: KnownNetwork) -> None:
        self._gossip = network.gossip
        self._planned_s = math.inf
        """When :meth:`keep_time` looks again by itself."""
        self._sooner = Bell()
        network.listen(lambda event: self._sooner.ring())

    async def keep_time(self) -> None:
        """Call the gossip's ``tick`` when it is due, without an end."""
        while True:
            self._planned_s = max(self._gossip.due_s, anyio.current_time() + TICK_LEAST_S)
            with anyio.CancelScope(deadline=self._planned_s):
                await self._sooner.wait()
                continue
            try:
                self._gossip.tick(anyio.current_time())
            except Exception as fault:  # noqa: BLE001 - a plugin's scheme or validator: it may not end a process
                _log.error("gossip was ended for a moment by a fault: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
                await anyio.sleep(FAULT_S)

    def _look(self) -> None:
        if self._gossip.due_s < self._planned_s:
            self._sooner.ring()

    async def move(self, key: Key, stream: ConveyorStream, bell: Bell) -> None:
        """Move the bytes of one SYNC, either end's, until it ends. The stream is over then, and the gossip
        told.

        :param key: as the gossip has named it.
        :param bell: what the gossip was given to ring when it has something to send.
        :raises NetworkError: the stream or its link ended otherwise than in order.
        :raises PeerViolation: the peer has broken the protocol.
        """
        trouble: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, key, stream, bell)
                await self._read(key, stream)
                tasks.cancel_scope.cancel()
        except* NetworkError as group:
            trouble = _first(group)
        finally:
            self._gossip.gone(key)
            stream.abort(Reason.PROTOCOL if isinstance(trouble, PeerViolation) else Reason.DONE)
        if trouble is not None:
            raise trouble

    async def _write(self, key: Key, stream: ConveyorStream, bell: Bell) -> None:
        while True:
            data = self._gossip.pull(key, anyio.current_time())
            self._look()
            if data:
                await stream.send(data)
                await anyio.lowlevel.checkpoint()
            else:
                await bell.wait()

    async def _read(self, key: Key, stream: ConveyorStream) -> None:
        gossip = self._gossip
        while True:
            try:
                data = await stream.receive()
            except anyio.EndOfStream:
                return
            gossip.heard(key, data)
            # What came counts as read only after this: who sends faster than we think has to wait.
            while gossip.step(key, anyio.current_time()):
                self._look()
                await anyio.lowlevel.checkpoint()
            self._look()


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
