"""Looks whether other nodes are where they say: calls them without saying who calls, takes their proof that
they are themselves, and ends the call.

Whom to call, and when, is :mod:`port17.bottles.check_queue`'s to say; what a result is worth
:mod:`port17.bottles.address_checks`'s. Only nodes do this: a client would tell the world where it is.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from port17.bottles.address_checks import Check
from port17.bottles.check_queue import CheckDial, CheckQueue, CheckResult
from port17.bottles.gossip_events import CheckDue, Event, Forgotten
from port17.bottles.lane_turns import LaneTurns
from port17.bottles.marks import MARK_RENEWAL_S
from port17.errors import Port17Error
from port17.links.cold import cold_call
from port17.links.crane import Terms, dial
from port17.links.dialling import resolve
from port17.links.tcp import join_address
from port17.links.transport import Ship, Transport
from port17.navigator.agreement import agree
from port17.network import KnownNetwork
from port17.records.bottle import Bottle
from port17.records.host import host_of
from port17.records.ip_space import Address
from port17.records.mark import Mark, SignedMark

DIALS_AT_ONCE: Final = 8
"""Calls under way at once: so many as one may always be waiting for who does not answer."""
PROOF_S: Final = 15.0
"""Seconds for one call, from the name to the proof. Who does not prove himself is given up at that moment and
no other, whatever was the matter: what we say of him then tells nobody what is at his address."""

_log = logging.getLogger(__name__)


class Verification:
    """The calls of one node."""

    def __init__(
        self,
        own: bytes,
        network: KnownNetwork,
        transports: Mapping[str, Transport],
        terms: Terms,
        seal: Callable[[Mark], SignedMark],
        connected: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param terms: of all its links.
        :param seal: signs a mark.
        :param connected: whether a link to another node stands.
        :param rng: draws when to look again.
        """
        self._own = own
        self._network = network
        self._transports = transports
        self._terms = replace(terms, signer=None, on_setup=None)
        self._seal = seal
        self._connected = connected
        self._queue = CheckQueue(rng, allow_private=network.terms().allow_private)
        self._turns = LaneTurns(own)
        self._running = 0
        self._news = anyio.Event()
        network.listen(self._told)

    async def run(self) -> None:
        """Call whoever is due, without an end."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._running < DIALS_AT_ONCE:
                    due = self._queue.next(anyio.current_time())
                    if due is None:
                        break
                    self._begin(due, tasks)
                with anyio.CancelScope() as wait:
                    if self._running < DIALS_AT_ONCE:
                        wait.deadline = self._queue.due_s
                    await self._news.wait()
                self._news = anyio.Event()

    # -- lanes ---------------------------------------------------------------------------------------
    def may_call(self, fingerprint: bytes) -> bool:
        """Whether the node may be called as a neighbour now. To be asked once for each call."""
        checks, bottle = self._network.intake.checks, self._network.rack.get(fingerprint)
        if bottle is None:
            return False
        return checks.is_met(bottle) or self._turns.take(
            bottle, len(self._network.rack), checks.naming, anyio.current_time()
        )

    def met(self, fingerprint: bytes) -> None:
        """A node that we have called as a neighbour has proved that it is itself."""
        bottle = self._network.rack.get(fingerprint)
        if bottle is not None:
            self._network.intake.checks.met(bottle)

    # -- checks --------------------------------------------------------------------------------------
    def _told(self, event: Event) -> None:
        if isinstance(event, CheckDue):
            check = event.check
            usable = tuple(pair for pair in check.addresses if pair[0] in self._transports)
            if usable:
                self._queue.add(replace(check, addresses=usable), anyio.current_time())
                self._news.set()
        elif isinstance(event, Forgotten):
            self._queue.forget(event.fingerprint)

    def _begin(self, due: CheckDial, tasks: TaskGroup) -> None:
        self._running += 1
        tasks.start_soon(self._check, due)

    async def _check(self, due: CheckDial) -> None:
        until_s = anyio.current_time() + PROOF_S
        led: CheckDial = due
        answered: bool | None = False
        try:
            with anyio.CancelScope(deadline=until_s):
                found = await self._lead(due)
                if found is not None:
                    led, answered = found, await self._proves(found)
        except Exception as fault:  # noqa: BLE001 - a plugin's suite, scheme or transport: it may cost this call
            _log.error("an address could not be verified: %s", type(fault).__name__)
        finally:
            self._running -= 1
            self._news.set()
        if not answered:
            await anyio.sleep_until(until_s)
        result = self._queue.ended(
            led,
            anyio.current_time(),
            answered=answered is True,
            connected=answered is not None and self._connected(),
        )
        self._news.set()  # there may be another try
        if result is not None:
            self._settle(result)

    async def _lead(self, due: CheckDial) -> CheckDial | None:
        """What a name leads to, if that may be dialled now."""
        if not due.host.is_name or not self._transports[due.transport].resolves:
            return due
        try:
            found = await resolve(due.host.name, due.host.port)
        except OSError:
            return None
        return self._queue.lead(due, found, anyio.current_time())

    async def _proves(self, due: CheckDial) -> bool | None:
        """Whether the very node that is looked for answers; None if there is no way to ask it."""
        bottle = self._network.rack.get(due.check.fingerprint)
        transport = self._transports[due.transport]
        if bottle is None:
            return False
        address = self._written(due, bottle)
        if address is None:
            return None
        try:
            transport.check_address(address)
            ship = await transport.dial(address)
            # Whoever has lost his prekeys is still himself.
            warm = None if due.again else self._network.responder_of(bottle.fingerprint)
            if warm is None:
                return await self._proves_cold(ship, bottle)
            crane = await dial(ship, self._terms, warm)
        except (OSError, ValueError, Port17Error, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            _log.debug("an address was not verified: %s", type(error).__name__)
            return False
        proven = False
        async with anyio.create_task_group() as tasks:

            async def own() -> None:
                await crane.run()
                tasks.cancel_scope.cancel()

            tasks.start_soon(own)
            await crane.standing.wait()
            proven = True
            tasks.cancel_scope.cancel()
        return proven

    def _written(self, due: CheckDial, bottle: Bottle) -> str | None:
        """The address as it is dialled: a name by the number that was judged, a link-local address with its
        link. None for one whose link we don't know."""
        if due.host.is_name and due.ip is not None:
            return join_address(str(due.ip), due.host.port)
        if due.ip is None or not due.ip.is_link_local:
            return due.address
        for transport, way in self._network.ways(bottle.label):
            host = host_of(way)
            if transport == due.transport and host.port == due.host.port and _same(host.ip, due.ip):
                return way
        return None

    async def _proves_cold(self, ship: Ship, bottle: Bottle) -> bool:
        network, identity = self._network, bottle.label.identity
        suite = network.suites.get(agree(network.revision, bottle.label.suites, network.suites).suite or "")
        scheme = network.schemes.get(identity.scheme)
        if suite is None or scheme is None:
            with anyio.CancelScope(shield=True):
                await ship.aclose()
            return False

        def check(_: bytes, message: bytes, signature: bytes) -> bool:
            return scheme.verify(identity.public, message, signature)

        await cold_call(ship, network.transcript(), suite, bottle.fingerprint, network.wall(), check)
        return True

    # -- results -------------------------------------------------------------------------------------
    def _settle(self, result: CheckResult) -> None:
        check, now_s = result.check, anyio.current_time()
        self._network.gossip.checked(check, result.failure, now_s)
        mark = self._mark(check, result.failure)
        if mark is not None:
            self._network.gossip.mark(self._seal(mark), now_s)

    def _mark(self, check: Check, failure: str) -> Mark | None:
        """What there is to say: that a node was not there, as long as that holds, and that this is over."""
        held = self._network.intake.checks.marks.get(check.fingerprint, self._own)
        said = None if held is None else held.mark
        now = int(self._network.wall())
        if said is None or said.claim != check.claim:
            if not failure:
                return None
        elif bool(failure) == bool(said.failure) and (not failure or said.seq + MARK_RENEWAL_S > now):
            return None
        return Mark(
            about=check.fingerprint,
            claim=check.claim,
            by=self._own,
            seq=max(now, 0 if said is None else said.seq + 1),
            failure=failure,
        )


def _same(one: Address | None, other: Address) -> bool:
    """Whatever the links of both."""
    return one is not None and (one.version, int(one)) == (other.version, int(other))
