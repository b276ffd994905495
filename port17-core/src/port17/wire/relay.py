"""A circuit at a node: one layer off on the way out, one on on the way back, and what is for this node.

The node around it (lanes, operations, quotas) is a :class:`RelayHost`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from typing import Protocol

from port17.errors import PeerViolation
from port17.wire.block import (
    BODY_SIZE,
    HEAD,
    LAYER_OVERHEAD,
    LAYER_SIZE,
    SETUP_SIZE,
    Command,
    Flag,
)
from port17.wire.conveyor import Conveyor
from port17.wire.flight import FINGERPRINT_SIZE
from port17.wire.frame import write_ratchet
from port17.wire.leg import Leg
from port17.wire.link import Link
from port17.wire.mux import Mux
from port17.wire.pace import Patience
from port17.wire.quota import Budget
from port17.wire.ratchet import ResponderRatchet
from port17.wire.reasons import Reason
from port17.wire.setup import Opened
from port17.wire.suite import CipherSuite, KemKey

RELAY, SETUP = int(Command.RELAY), int(Command.SETUP)
PASS_ON, FOR_YOU = int(Flag.PASS_ON), int(Flag.FOR_YOU)
"""Plain integers: what is compared for every cell."""
EARLY_CAP = 8
"""Most EARLY cells of a circuit: what a client's longest flight needs [HOP is obeyed only in these, so
that honest relays cannot be chained further than the route's length allows]."""
HOP_TRIES = 3
"""Most HOPs that one circuit may try at one node."""
SETUP_REST = bytes(BODY_SIZE - SETUP_SIZE)
"""What follows SETUP content in its cell, alike from a client and from a relay."""
HOP = "HOP"
"""The operation that extends a circuit: fingerprint of the next node, SETUP content for it."""


class RelayHost(Protocol):
    """The node, as its circuits see it."""

    budget: Budget

    def lane(self, fingerprint: bytes, asking: Link) -> Link | None:
        """The standing lane to a node, if there is one and the asking link's quota allows a HOP."""

    def spare_key(self, suite: CipherSuite) -> KemKey:
        """A key that was never used, made ahead perhaps: for RSP 0 alone, since who takes a node's state
        takes what lies ready, too."""

    def step_allowed(self, asking: Link) -> bool:
        """Whether a link's quota allows one more ratchet step."""

    def operation(self, relay: Relay, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        """An operation was opened on this node."""

    def closed(self, relay: Relay) -> None:
        """The circuit is over."""


class Scratch:
    """Buffers that all circuits of a node share: each use is over before the next begins."""

    def __init__(self) -> None:
        self.onward = bytearray(LAYER_OVERHEAD + LAYER_SIZE)
        """A forward layer's plaintext behind room for the filler: passed on, it is a view's length off."""
        view = memoryview(self.onward)
        self.opened = view[LAYER_OVERHEAD:]
        self.body = view[:BODY_SIZE]
        self.for_us = view[LAYER_OVERHEAD + HEAD : -1]
        self.spoken = bytearray(LAYER_SIZE)
        """What this node says backward: a head of zeros, the payload, the flag."""
        self.payload = memoryview(self.spoken)[HEAD:-1]
        self.spoken[-1] = Flag.FOR_YOU


class Relay:
    """One circuit at one node, between the leg that it came by and, once extended, the next."""

    def __init__(self, host: RelayHost, scratch: Scratch, previous: Leg, opened: Opened) -> None:
        self._host = host
        self._scratch = scratch
        self.previous = previous
        self.next: Leg | None = None
        self._suite = opened.session.suite
        self.session = opened.session
        """This node's keys with the client."""
        self._forward = opened.session.forward
        self._backward = opened.session.backward
        self._ratchet = ResponderRatchet(opened.session, opened.ratchet_key)
        self.mux = Mux(host.budget, self._speak, self._opened)
        self._speaking = True
        """This node itself may have something to say; RSP 0 is the first."""
        self._command = RELAY
        """What the cell that is being opened came as."""
        self._early = 0
        self._hops_tried = 0
        self._hop: Conveyor | None = None
        self._setup: bytes | None = None
        self._onward: deque[tuple[int, bytes]] = deque()
        self._homeward: deque[bytes] = deque()
        self._onward_s = self._homeward_s = 0.0
        """When each queue last moved, by the link's clock."""
        self._orphans = 0
        """Cells at the front of the homeward queue whose leg is gone, and which so are credited to none."""
        self._patience = Patience()
        self.dropped = 0
        """Cells for a next hop that there is none of."""
        self._asked_s: float | None = None

    # -- as a circuit end ---------------------------------------------------------------------------
    def deliver(self, leg: Leg, command: int) -> None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if leg is not self.previous:
            if command != RELAY:
                raise PeerViolation("a backward cell is marked EARLY")
            if not self._homeward:
                self._homeward_s = leg.link.now_s
            # Sealed when it is sent, so that what this node itself says is counted in the same order.
            self._homeward.append(bytes(leg.link.passed_on))
            if not self.previous.queued:
                self.previous.wake()
            return
        if command != RELAY:
            self._early += 1
            if self._early > EARLY_CAP:
                raise PeerViolation("a circuit has too many EARLY cells")
        scratch, chain = self._scratch, self._forward
        try:
            # Before the cell is opened: the chain may step with it, and its filler key with the chain.
            filler = chain.filler() if self.next is not None else b""
            chain.open(leg.link.body, scratch.opened)
        except chain.forged as error:
            raise PeerViolation("a forward cell is forged, lost or out of order") from error
        flag = scratch.onward[-1]
        if flag == PASS_ON and self.next is not None:
            scratch.onward[:LAYER_OVERHEAD] = filler
            if not self._onward:
                self._onward_s = leg.link.now_s
            self._onward.append((command, bytes(scratch.body)))
            if not self.next.queued:
                self.next.wake()
            return
        leg.drained()
        if flag == FOR_YOU:
            self._command = command
            self._for_us(leg.link.now_s)
        elif flag == PASS_ON and self._hop is not None:
            self.dropped += 1
        else:
            raise PeerViolation("a forward cell is for nobody")

    def pull(self, leg: Leg, out: memoryview) -> int | None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if leg is not self.previous:
            return self._pull_onward(out)
        if self._speaking:
            command = self._say(leg, out)
            if command is not None:
                return command
            self._speaking = False
        if not self._homeward:
            return None
        plaintext = self._homeward.popleft()
        self._homeward_s = leg.link.now_s
        if self._orphans:
            self._orphans -= 1
        elif self.next is not None:
            self.next.drained()
        self._backward.seal(plaintext, out)
        return RELAY

    def pending(self, leg: Leg) -> bool:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if leg is self.previous:
            return bool(self._homeward) or self._ratchet.due or self.mux.pending
        return bool(self._onward) or self._setup is not None

    def destroyed(self, leg: Leg, reason: Reason) -> None:
        """See :class:`~port17.wire.leg.CircuitEnd`."""
        if leg is self.previous:
            if self.next is not None:
                self.next.destroy(Reason.GENERIC)
                self.next = None
            self._onward.clear()
            self._homeward.clear()
            self.mux.close(Reason.GENERIC)
            self._host.closed(self)
        elif leg is self.next:
            self.next = None
            self._setup = None
            self._orphans = len(self._homeward)
            if self._onward:
                self.previous.drained(len(self._onward))
                self._onward.clear()
            if self._hop is not None:
                self._hop.reset(Reason.NEXT_HOP_LOST)

    def waiting_since(self) -> float | None:
        """When the queue that waits here last moved, by the link's clock; None if none waits."""
        waits = [since for queue, since in self._queues() if queue]
        return min(waits) if waits else None

    def _queues(self) -> tuple[tuple[Sized, float], ...]:
        return (self._onward, self._onward_s), (self._homeward, self._homeward_s)

    def end(self, reason: Reason) -> None:
        """End the circuit from this node."""
        self.previous.destroy(reason)
        self.destroyed(self.previous, reason)

    # -- what is for this node ----------------------------------------------------------------------
    def _for_us(self, now_s: float) -> None:
        ratchet = self.mux.take(self._scratch.for_us, now_s)
        if ratchet is not None:
            self._patience.admit(self._forward.counter + self._backward.counter, now_s)
            if not self._host.step_allowed(self.previous.link):
                raise PeerViolation("a link's circuits step too often")
            self._ratchet.request(bytes(ratchet))
            if self._asked_s is not None:
                took_s = now_s - self._asked_s
                self.mux.round_trip_s = min(self.mux.round_trip_s or took_s, took_s)
            self._speak()

    def _opened(self, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        if name == HOP:
            self._extend(conveyor, arguments)
        else:
            self._host.operation(self, conveyor, name, arguments)

    def _extend(self, conveyor: Conveyor, arguments: bytes) -> None:
        if self.next is not None or self._command == RELAY or self._hops_tried >= HOP_TRIES:
            raise PeerViolation("HOP is not allowed here and now")
        if len(arguments) != FINGERPRINT_SIZE + SETUP_SIZE:
            raise PeerViolation("a HOP is malformed")
        self._hops_tried += 1
        self._hop = conveyor
        conveyor.no_data()
        link = self._host.lane(arguments[:FINGERPRINT_SIZE], self.previous.link)
        if link is None:
            conveyor.reset(Reason.NO_LANE)
            return
        self.next = link.open(self)
        if self.next is None:
            conveyor.reset(Reason.RESOURCES)
            return
        self._setup = arguments[FINGERPRINT_SIZE:]
        self.next.wake()

    def _speak(self) -> None:
        """This node has something to say on the circuit."""
        self._speaking = True
        self.previous.wake()

    # -- what goes out ------------------------------------------------------------------------------
    def _say(self, leg: Leg, out: memoryview) -> int | None:
        turn = None
        if self._ratchet.due:
            key = self._host.spare_key(self._suite) if self._ratchet.epoch == 0 else self._suite.generate()
            turn = self._ratchet.response(key)
            write_ratchet(self._scratch.payload, turn.data)
            self._asked_s = leg.link.now_s
        elif not self.mux.pull(self._scratch.payload):
            return None
        self._backward.seal(self._scratch.spoken, out)
        if turn is not None:
            turn.sealed()
        return RELAY

    def _pull_onward(self, out: memoryview) -> int | None:
        if self._setup is not None:
            out[:SETUP_SIZE] = self._setup
            out[SETUP_SIZE:] = SETUP_REST
            self._setup = None
            return SETUP
        if not self._onward:
            return None
        command, body = self._onward.popleft()
        out[:] = body
        self.previous.drained()
        self._onward_s = self.previous.link.now_s
        return command
