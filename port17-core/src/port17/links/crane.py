"""The crane: handshake, then the tasks that own one link over one ship.

What the bytes mean is :mod:`port17.wire.link`'s; which links there are is the node's or the client's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

import anyio
import anyio.lowlevel

from port17.errors import HandshakeFailed, LinkLost, LocalViolation, PeerViolation, Port17Error
from port17.links.batch import BATCH, BLOCKS_AT_ONCE
from port17.links.clock import clock
from port17.links.pulse import Pulse, Sign
from port17.links.transport import RECEIVE_SIZE, Ship, receive_exactly
from port17.records.framing import BytesLike
from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import Initiator, NodeSigner, Verify, respond
from port17.wire.link import Link, OnSetup
from port17.wire.pace import USUAL, StepTerms
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.quota import Budget
from port17.wire.ratchet import Chain
from port17.wire.reasons import Reason
from port17.wire.replay import ReplaySet

HANDSHAKE_S = 5.0
"""Seconds for flight 2 to come: several round trips of the slowest link in use, and not much longer than a
program waits for its first answer, since a node that refuses is as silent as one that is slow."""
SILENCE_S = 20.0
"""Seconds that a caller has for a good flight; whoever has none by then, or sent a wrong one, is cut off at
that same moment without an answer."""
FLUSHES = 4
"""Sends of one flush, a mebibyte: more is the writer's, so that one busy link does not hold up the others."""
TICK_S = 1.0
"""Seconds between looks at a link's health."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Terms:
    """What all cranes of one node or client have in common.

    :param network: what transcripts bind at present.
    :param verify: checks a known node's signature.
    :param grants: cells that peers may be granted, over all links.
    :param signer: a node's identity; None at a client.
    :param on_setup: a node's; None at a client, which refuses SETUP.
    :param wall: Unix time, seconds.
    :param steps: when the keys of links that are dialled step.
    """

    network: Callable[[], Network]
    verify: Verify
    grants: Budget
    signer: NodeSigner | None = None
    on_setup: OnSetup | None = None
    wall: Callable[[], float] = field(default=time.time)
    steps: StepTerms = USUAL


class Crane:
    """One link over one ship. Made by :func:`dial` or :func:`answer`; lives while :meth:`run` runs."""

    def __init__(
        self,
        ship: Ship,
        terms: Terms,
        *,
        initiator: bool,
        suite: str,
        send: Chain,
        receive: Chain | None,
        peer: bytes | None,
        begin: Callable[[Crane], Awaitable[None]],
    ) -> None:
        """
        :param suite: the cipher suite of its handshake.
        :param peer: the peer's fingerprint; None if it is a client.
        :param begin: what is still to be done before blocks can be opened, the handshake's rest.
        """
        self._ship = ship
        self._begin_with: Callable[[Crane], Awaitable[None]] | None = begin
        self._wanted: anyio.Event | None = None
        """What the writer waits for; None while it is at work."""
        self._clock = clock()
        self._listed = False
        """On the batch's list."""
        self._rest = b""
        """Blocks, perhaps from the middle of one, that the ship could not take at once."""
        self._scope: anyio.CancelScope | None = None
        self.suite = suite
        """The cipher suite of its handshake."""
        self.peer = peer
        """The peer's fingerprint; None if it is a client."""
        self.link = Link(
            initiator=initiator,
            send=send,
            receive=receive,
            grants=terms.grants,
            wake=self._wake,
            on_setup=terms.on_setup,
        )
        self._sparing = terms.signer is None or peer is None
        self.standing = anyio.Event()
        """The peer has proved who it is. An initiator's cells may go out before."""
        self.lost = False
        """The link is at an end."""

    @property
    def remote(self) -> str:
        """The peer's address, as of :attr:`Ship.remote`."""
        return self._ship.remote

    def _wake(self) -> None:
        if self._wanted is None or self._listed:
            return  # The writer is at work, or will be flushed.
        if BATCH.is_open:
            self._listed = True
            BATCH.add(self)
        else:
            self._wanted.set()
            self._wanted = None

    def flush(self) -> None:
        """See :class:`~port17.links.batch.Flushed`: send now, and leave to the writer what has to wait."""
        self._listed = False
        if self._wanted is None:
            return
        try:
            for _ in range(FLUSHES):
                sealed = self._seal_some()
                if self._rest:
                    break
                if sealed < BLOCKS_AT_ONCE:
                    return
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            _log.debug("a link's ship ended")  # The reader sees it, too, and ends the link.
        except Exception as fault:  # noqa: BLE001 - as in run: whoever flushes has done nothing wrong
            _log.error("a link was ended by a fault: %s", type(fault).__name__)
            self.end()
        self._wanted.set()
        self._wanted = None

    def _seal_some(self) -> int:
        """Pull blocks and send what can be sent now; the rest is kept for the writer. The blocks pulled."""
        sealed = self.link.pull(BATCH.blocks, self._clock())
        if sealed:
            size = sealed * BLOCK_SIZE
            sent = self._ship.send_now(BATCH.view[:size])
            if sent < size:
                self._rest = bytes(BATCH.view[sent:size])
        return sealed

    async def run(self) -> None:
        """Own the link until it is lost; every circuit on it has ended then. No peer makes it raise."""
        link = self.link
        link.heard_s = anyio.current_time()
        link.control.ping(link.heard_s)
        try:
            async with anyio.create_task_group() as group:
                self._scope = group.cancel_scope
                group.start_soon(self._write)
                group.start_soon(self._tend)
                await self._begin()
                await self._ship.pump(self._take)
        except* (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            _log.debug("a link's ship ended")
        except* (LinkLost, PeerViolation, HandshakeFailed) as errors:
            for error in errors.exceptions:
                _log.info("a link was ended: %s", error)
        except* Exception as errors:  # noqa: BLE001
            # A bug of ours or of a plugin's suite: it may cost this link, never the process.
            for fault in errors.exceptions:
                _log.error("a link was ended by a fault: %s", type(fault).__name__)
                _log.debug("traceback", exc_info=fault)
        finally:
            self.lost = True
            self._wanted = None
            link.lost(Reason.LINK_LOST)
            with anyio.CancelScope(shield=True):
                await self._ship.aclose()

    def end(self) -> None:
        """End the link, and with it all that still uses it. One that does not run yet is not ended."""
        if self._scope is not None:
            self._scope.cancel()

    async def refuse(self) -> None:
        """Close a link that is not to run."""
        self.lost = True
        await self._ship.aclose()

    async def _begin(self) -> None:
        # Not kept: it holds the ephemeral key, and a link may live for weeks.
        begin, self._begin_with = self._begin_with, None
        if begin is None:
            raise LocalViolation("a crane runs once")
        with anyio.move_on_after(HANDSHAKE_S) as scope:
            await begin(self)
        if scope.cancelled_caught:
            raise LinkLost("the peer did not answer a handshake in time")

    async def _write(self) -> None:
        while True:
            while self._rest or self._seal_some():
                rest, self._rest = self._rest, b""
                await self._ship.send(rest) if rest else await anyio.lowlevel.checkpoint()
            self._wanted = wanted = anyio.Event()
            await wanted.wait()

    def _take(self, data: BytesLike) -> None:
        with BATCH:
            self.link.receive(data, self._clock())

    async def _tend(self) -> None:
        link = self.link
        pulse = Pulse(link.heard_s, sparing=self._sparing)
        while True:
            await anyio.sleep(TICK_S)
            now_s = anyio.current_time()
            sign = pulse.look(now_s, link.heard_s, in_use=link.legs > link.background)
            if sign is Sign.LOST:
                raise LinkLost("the peer has not answered for too long")
            if link.failure:
                raise LinkLost(f"it cannot go on: {link.failure}")
            if sign is Sign.PING:
                link.control.ping(now_s)
            link.tend(now_s)


async def dial(ship: Ship, terms: Terms, to: ResponderKey) -> Crane:
    """Call a responder: flight 1 is sent, cells may follow at once. The crane's run takes flight 2.

    :param ship: a fresh one to the responder; the crane's from now on, closed if this raises.
    :raises HandshakeFailed: the responder's prekey is unusable.
    :raises OSError: or anyio's errors; the ship ended.
    """
    try:
        initiator = _call(terms, to)
        size = len(initiator.flight)

        async def begin(crane: Crane) -> None:
            established = initiator.finish(await receive_exactly(ship, size), terms.verify)
            crane.link.confirm(established.session, anyio.current_time(), terms.steps)
            crane.standing.set()

        await ship.send(initiator.flight)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await ship.aclose()
        raise
    return Crane(
        ship,
        terms,
        initiator=True,
        suite=to.suite.name,
        send=initiator.early,
        receive=None,
        peer=to.fingerprint,
        begin=begin,
    )


def _call(terms: Terms, to: ResponderKey) -> Initiator:
    """A plugin's suite that raises costs this link."""
    try:
        return Initiator(terms.network(), to, terms.wall(), signer=terms.signer)
    except Port17Error:
        raise
    except Exception as fault:
        _log.error("no link is begun: the cipher suite %s fails: %s", to.suite.name, type(fault).__name__)
        raise HandshakeFailed(f"the cipher suite {to.suite.name} fails here") from fault


async def answer(
    ship: Ship,
    terms: Terms,
    signer: NodeSigner,
    prekeys: Callable[[], Iterable[OwnPrekey]],
    replays: ReplaySet,
    cold: Callable[[Network, bytes], bytes | None] | None = None,
) -> Crane | None:
    """Answer whoever called; None if no link came of it, and the ship is closed.

    A refused caller gets silence: no byte, and no hint from the moment of the close.

    :param prekeys: the node's own, in force now.
    :param replays: of flight 1 alone.
    :param cold: the answer to a cold call, after which both ends close; None if a flight 1 is none. It raises
        if it is one that is refused.
    """
    network = terms.network()
    established = None
    try:
        # One moment for whoever is refused, a short flight or a wrong one: it tells nothing.
        with anyio.fail_after(SILENCE_S):
            flight = await receive_exactly(ship, network.flight_blocks * BLOCK_SIZE)
            try:
                reply = cold(network, flight) if cold is not None else None
                if reply is None:
                    reply, established = respond(
                        network, signer, prekeys(), replays, terms.verify, flight, terms.wall()
                    )
            except Exception as error:  # noqa: BLE001 - also what a plugin's suite does wrong ends this call only
                _log.debug("a call was refused: %s", error)
                del flight
                await _until_closed(ship)
            await ship.send(reply)
            if established is None:
                # The caller closes as soon as it has read; we, before, could take from it what is on its way.
                with anyio.move_on_after(HANDSHAKE_S):
                    await _until_closed(ship)
                raise anyio.EndOfStream
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        with anyio.CancelScope(shield=True):
            await ship.aclose()
        return None
    session = established.session

    async def begin(crane: Crane) -> None:
        crane.link.expect_final(session, crane.standing.set)

    return Crane(
        ship,
        terms,
        initiator=False,
        suite=session.suite.name,
        send=established.session.backward,
        receive=established.early,
        peer=established.initiator,
        begin=begin,
    )


async def _until_closed(ship: Ship) -> NoReturn:
    """Read and forget, until the ship ends and this raises."""
    while True:
        await ship.receive(RECEIVE_SIZE)
