"""Asking a node itself for fresh prekeys, by a cold call, when all that is held of it have expired.

What comes is the node's own word: its bottle's parts go through the intake like any other, so that whoever
is connected gets them too. When to ask is the node's and the client's to say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from port17.asking import ask
from port17.bottles.intake import LOCAL, Sender
from port17.bottles.outcome import Aborted
from port17.errors import HandshakeFailed, NetworkError, RecordError
from port17.links.cold import cold_call
from port17.links.crane import Crane, Terms, dial
from port17.links.reaching import reach
from port17.links.transport import Ship, Transport
from port17.navigator.agreement import agree
from port17.network import KnownNetwork
from port17.records.bottle import LABEL_CAP, LABEL_KIND, Bottle, Label
from port17.records.fresh_parts import FreshParts
from port17.records.host import host_of
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.seagull import BATCH, Answers, Asked
from port17.records.seagull import NAME as SEAGULL
from port17.wire.cold import Want
from port17.wire.prekey import ResponderKey
from port17.wire.quota import Budget
from port17.wire.suite import CipherSuite

DIAL_S: Final = 10.0
"""Seconds for a ship to one address."""
KNOWN_S: Final = 30.0
"""Seconds for all addresses of one node: it may name dozens, and none of them answer."""
AGAIN_S: Final = 30.0
"""Seconds for which the outcome of a cold call holds, whatever it was: nobody calls one node more often."""
CALLS_AT_ONCE: Final = 8
"""Cold calls under way at once: a node that comes back asks all of its neighbours, and no more."""
WARM_S: Final = 15.0
"""Seconds for a call after the cold one, and what it fetches."""
WARM_CELLS: Final = 64
"""Cells that a node may send ahead on such a link."""
WARM_BYTES: Final = 1 << 20
"""Bytes of the windows of the one stream on it."""
ENDED: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""How a ship, or a stream, ends."""
REMEMBERED_CAP: Final = 1024
"""Most nodes whose last cold call is remembered."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fresh:
    """What a node has said of itself.

    :param to: how to call it.
    :param expiry_s: Unix second until which that holds.
    :param transport: the transport that it answered on.
    :param address: where it answered.
    :param bottle: its bottle as of now; None if its contents did not fit into the answer.
    """

    to: ResponderKey
    expiry_s: float
    transport: str
    address: str
    bottle: Bottle | None


@dataclass
class _Call:
    """A cold call, under way or done."""

    begun_s: float
    over: anyio.Event
    fresh: Fresh | None = None


class Refresher:
    """All cold calls of one process."""

    def __init__(self, network: KnownNetwork, transports: Mapping[str, Transport]) -> None:
        self._network = network
        self._transports = transports
        self._calls: dict[tuple[bytes, str], _Call] = {}
        self._limit = anyio.CapacityLimiter(CALLS_AT_ONCE)

    async def fresh(self, fingerprint: bytes, suite: str = "") -> Fresh:
        """Fresh prekeys of a node whose bottle is held, however old. What is new in its bottle is taken in.

        Who asks for the same node while it is being asked, or soon after, gets the same outcome.

        :param suite: of this cipher suite; else of the one that we use with the node.
        :raises NetworkError: the node is not known, or did not answer.
        """
        call = self._calls.get((fingerprint, suite))
        if call is not None and anyio.current_time() - call.begun_s < AGAIN_S:
            await call.over.wait()
        else:
            call = await self._begin(fingerprint, suite)
        if call.fresh is None:
            raise NetworkError("a node has not answered a cold call")
        return call.fresh

    async def call(self, fingerprint: bytes, terms: Terms) -> Crane:
        """A crane to a node by what it has just said of itself.

        :raises NetworkError: as :meth:`fresh`.
        """
        fresh = await self.fresh(fingerprint)
        try:
            ship = await self._ship(fresh.transport, fresh.address)
            return await dial(ship, terms, fresh.to)
        except (OSError, ValueError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise NetworkError("a node that answered a cold call does not answer any more") from error

    async def stranger(
        self,
        fingerprint: bytes,
        suite: CipherSuite,
        transport: str,
        address: str,
        sender: Sender,
        identity: Identity | None = None,
    ) -> Fresh:
        """Ask a node of which no more is known than its fingerprint and an address.

        :param suite: one that it serves.
        :param sender: whom what comes is taken in from.
        :param identity: whose fingerprint that is, where it is known: its label need not come along then,
            which does not fit beside post-quantum signatures.
        :raises NetworkError: it did not answer.
        """
        return await self._ask(fingerprint, suite, None, transport, address, sender, identity)

    # -- one call -----------------------------------------------------------------------------------
    async def _begin(self, fingerprint: bytes, suite: str) -> _Call:
        while len(self._calls) >= REMEMBERED_CAP:
            self._calls.pop(next(iter(self._calls)))
        self._calls.pop((fingerprint, suite), None)
        call = self._calls[fingerprint, suite] = _Call(anyio.current_time(), anyio.Event())
        try:
            async with self._limit:
                with anyio.move_on_after(KNOWN_S):
                    call.fresh = await self._known(fingerprint, suite)
        except NetworkError as error:
            _log.debug("a node could not be asked: %s", error.message)
        except BaseException:
            # Whoever began it waits no longer, which says nothing of the node.
            if self._calls.get((fingerprint, suite)) is call:
                del self._calls[fingerprint, suite]
            raise
        finally:
            call.over.set()
        return call

    async def _known(self, fingerprint: bytes, name: str) -> Fresh:
        network = self._network
        held = network.rack.get(fingerprint)
        if held is None:
            raise NetworkError("there is no bottle of that node")
        suites = network.suites
        suite = suites.get(name or agree(network.revision, held.label.suites, suites).suite or "")
        if suite is None or suite.name not in held.label.suites:
            raise NetworkError(f"{held.label.name} serves no such cipher suite, or we cannot use it")
        sender = Sender("a cold call", local=held.label.flavour == LOCAL)
        for transport, address in self._addresses(held.label):
            try:
                return await self._ask(fingerprint, suite, held, transport, address, sender)
            except NetworkError as error:
                _log.debug("an address of %s gives nothing fresh: %s", held.label.name, error.message)
        raise NetworkError(f"no address of {held.label.name} answers a cold call")

    def _addresses(self, label: Label) -> Iterator[tuple[str, str]]:
        for transport, address in self._network.ways(label):
            if transport in self._transports:
                yield transport, address

    async def _ask(
        self,
        fingerprint: bytes,
        suite: CipherSuite,
        held: Bottle | None,
        transport: str,
        address: str,
        sender: Sender,
        identity: Identity | None = None,
    ) -> Fresh:
        network = self._network
        if held is not None:
            identity = held.label.identity

        def check(answer: bytes, message: bytes, signature: bytes) -> bool:
            try:
                signer = identity or self._introduced(FreshParts.parse(answer), fingerprint)
            except RecordError:
                return False
            scheme = network.schemes.get(signer.scheme)
            return scheme is not None and scheme.verify(signer.public, message, signature)

        try:
            ship = await self._ship(transport, address)
        except (OSError, ValueError) as error:
            raise NetworkError("an address does not answer") from error
        want = Want.PREKEYS if identity is not None else Want.LABEL
        answer = await cold_call(ship, network.transcript(), suite, fingerprint, network.wall(), check, want)
        try:
            parts = FreshParts.parse(answer)
            records = parts.records(network.charter.network_id, fingerprint, suite.name)
            bottle = _bottle(parts, held, records)
        except RecordError as error:
            raise HandshakeFailed("a node's answer to a cold call is malformed") from error
        record = self._usable(records, suite)
        to = ResponderKey(suite, fingerprint, record.hash, record.slot, record.public)
        if bottle is None:
            bottle = await self._warm(to, transport, address)
        if bottle is not None:
            bottle = self._take_in(bottle, sender)
        return Fresh(to, record.expiry, transport, address, bottle)

    async def _warm(self, to: ResponderKey, transport: str, address: str) -> Bottle | None:
        """A node's bottle, by a call with a prekey that it has just given: where its signatures are so long
        that the contents did not fit into its answer."""
        network = self._network
        asked = Asked.made(suite=to.suite.name, nodes=[to.fingerprint] * BATCH)
        terms = Terms(network.transcript, network.verify, Budget(WARM_CELLS), wall=network.wall)
        found: list[Bottle] = []
        with anyio.move_on_after(WARM_S):
            try:
                crane = await dial(await self._ship(transport, address), terms, to)
            except (NetworkError, OSError, ValueError, *ENDED) as error:
                _log.debug("no call after a cold one: %s", type(error).__name__)
                return None
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(crane.run)
                found = await self._fetch(crane, to, asked)
                tasks.cancel_scope.cancel()
        return next((one for one in found if one.fingerprint == to.fingerprint), None)

    async def _fetch(self, crane: Crane, to: ResponderKey, asked: Asked) -> list[Bottle]:
        answers, found = Answers(), list[Bottle]()
        try:
            arguments, budget = asked.to_cbor(), Budget(WARM_BYTES)
            async with ask(crane, to, self._network, SEAGULL, arguments, budget=budget) as stream:
                while not answers.over:
                    found += answers.take(await stream.receive())
        except (NetworkError, RecordError, *ENDED) as error:
            _log.debug("no contents came after a cold call: %s", type(error).__name__)
        return found

    def _introduced(self, parts: FreshParts, fingerprint: bytes) -> Identity:
        """Who signs, by the label that came along.

        :raises RecordError: it is not there, or another's.
        """
        if parts.label is None:
            raise RecordError("the node's identity does not fit into the network's handshake flights")
        identity = Label.from_cbor(parts.label.payload, cap=LABEL_CAP).identity
        scheme = self._network.schemes.get(identity.scheme)
        if scheme is None or identity.fingerprint != fingerprint:
            raise RecordError("another node's label")
        parts.label.verify(LABEL_KIND, self._network.charter.network_id, scheme, identity.public)
        return identity

    def _usable(self, records: list[PrekeyRecord], suite: CipherSuite) -> PrekeyRecord:
        """The record to call by: the first of those that came that has not expired."""
        now_s = self._network.wall()
        for record in records:
            if record.expiry > now_s and len(record.public) == suite.public_size:
                return record
        raise HandshakeFailed("a node answers a cold call with prekeys that have expired: check both clocks")

    def _take_in(self, bottle: Bottle, sender: Sender) -> Bottle | None:
        """What is held of the node then.

        :raises NetworkError: the intake has something against the node.
        """
        outcome = self._network.gossip.take(bottle, sender, anyio.current_time())
        if isinstance(outcome, Aborted):
            # Somebody may have told us of later contents meanwhile; else it is no node to call.
            _log.debug("what a cold call gave is not taken in: %s", outcome)
        kept = self._network.rack.get(bottle.fingerprint)
        if kept is None:
            raise NetworkError("a node that answered a cold call is not to be used")
        return kept

    async def _ship(self, name: str, address: str) -> Ship:
        """:raises OSError: or ValueError; the address cannot be dialled."""
        transport = self._transports[name]
        transport.check_address(address)
        with anyio.fail_after(DIAL_S):
            if host_of(address).is_name:  # which only public nodes advertise; where it leads is seen now
                return await reach(
                    transport, address, "public", allow_private=self._network.terms().allow_private
                )
            return await transport.dial(address)


def _bottle(parts: FreshParts, held: Bottle | None, records: list[PrekeyRecord]) -> Bottle | None:
    """The node's bottle, with what was held of it where the answer had no room; None if that makes none.

    :raises RecordError: a part is malformed, or the contents commit to other prekeys than these.
    """
    label = parts.label or (held.label_envelope if held is not None else None)
    if label is None or parts.contents is None:
        return None
    bottle = Bottle.of(label, parts.contents, records)
    committed = {slot.commitment for slots in bottle.contents.slots.values() for slot in slots}
    if not {record.hash for record in records} <= committed:
        raise RecordError("a prekey that the contents do not commit to")
    return bottle
