"""Where a node answers cold calls: it says what it has published, and nothing else.

What crosses the link is :mod:`port17.wire.cold`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from port17.errors import ConfigError, HandshakeFailed, RecordError
from port17.network import KnownNetwork
from port17.node.prekeys import Place
from port17.records.fresh_parts import FreshParts
from port17.records.prekey import PrekeyRecord
from port17.wire.cold import ColdResponder, Want, answer_room
from port17.wire.handshake import NodeSigner
from port17.wire.prekey import Network
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite, KemKey


class ColdDesk:
    """One node's."""

    def __init__(
        self,
        network: KnownNetwork,
        signer: NodeSigner,
        signature_size: int,
        prekeys: Callable[[], Mapping[Place, tuple[PrekeyRecord, KemKey]]],
        replays: ReplaySet,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param signature_size: bytes of the node's signatures.
        :param prekeys: the node's own.
        :param replays: of first flights of links.
        :param elapsed: seconds since any moment, by a clock that nobody sets.
        """
        self._network = network
        self._fingerprint = signer.fingerprint
        self._prekeys = prekeys
        self._elapsed = elapsed
        self._responder = ColdResponder(signer, signature_size, replays, self._say)
        self.answered = 0
        """Cold calls answered since the start."""

    def answer(self, network: Network, flight: bytes) -> bytes | None:
        """See :func:`port17.links.crane.answer`."""
        reply = self._responder.answer(
            network, self._network.served, flight, self._network.wall(), self._elapsed()
        )
        self.answered += reply is not None
        return reply

    def _say(self, suite: CipherSuite, want: Want, room: int) -> bytes:
        bottle = self._network.rack.get(self._fingerprint)
        if bottle is None:
            raise HandshakeFailed("the node has published nothing yet")
        now_s = self._network.wall()
        committed = {slot.commitment for slot in bottle.contents.slots.get(suite.name, ())}
        records = sorted(
            (
                record
                for record, _ in self._prekeys().values()
                # A key that is made and not yet published could still be dropped for another.
                if record.suite == suite.name and record.expiry > now_s and record.hash in committed
            ),
            key=lambda record: record.expiry,
        )
        present = int(now_s) // self._network.revision.prekey_lifetime_s
        # One whose slot is over is good for the overlap only: it says less for longer than all others.
        records.sort(key=lambda record: record.slot < present)
        try:
            return FreshParts.fitting(room, bottle, records, label_first=want is Want.LABEL)
        except RecordError as error:
            raise HandshakeFailed(error.message) from error


def check_fit(network: KnownNetwork, signature_size: int) -> None:
    """
    :raises ConfigError: a node with such signatures could not answer cold calls in this network.
    """
    terms = network.transcript()
    for suite in network.prepared.values():
        room, least = answer_room(terms, suite, signature_size), FreshParts.least(suite.public_size)
        if room < least:
            raise ConfigError(
                f"two prekeys of {suite.name} and this identity's signature do not fit into a handshake's"
                f" flights of {terms.flight_blocks} blocks: {least - room} bytes are missing",
                cure="Use an identity scheme of shorter signatures, or found a network with longer flights.",
            )
