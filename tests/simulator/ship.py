"""A ship between two hosts: an ordered stream each way, with delay and a rate, until it breaks.

What crosses it are packets: a piece of a SYNC conveyor, or a verb. Nothing is lost while a ship stands, as in
TCP; what is lost is lost with the ship, or on purpose, by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from port17.wire.block import BLOCK_SIZE
from simulator.blocks import CELLS_PER_CREDIT, FLIGHT_BLOCKS, SETUP_BLOCKS, Splitter, Steps, Traffic, blocks
from simulator.heap import Heap

RATE: Final = 4_000_000
"""Bytes per second that a ship carries each way: 32 Mbit/s."""
JITTER: Final = 0.1
"""Most by which one packet comes later than the last, as a fraction of the delay."""


@dataclass(frozen=True, slots=True)
class Open:
    """A SYNC conveyor begins; the sender follows."""


@dataclass(slots=True)  # not frozen: that takes several times as long to make, and there are millions
class Data:
    """A piece of a SYNC conveyor.

    :param followed: it goes to the follower; otherwise to the source.
    """

    data: bytes
    followed: bool


@dataclass(frozen=True, slots=True)
class Verb:
    """Of the lane that the ship is, or is to be."""

    code: int


Packet: TypeAlias = Open | Data | Verb


class Host(Protocol):
    """Where ships end."""

    name: str
    traffic_in: Traffic
    traffic_out: Traffic

    def accepts(self, caller: bytes | None) -> bool:
        """Whether somebody who dials is let in.

        :param caller: fingerprint of a node that proves itself; None is a client, or somebody who calls as
            one.
        """

    def landed(self, end: End) -> None:
        """A ship that somebody else dialled stands."""

    def came(self, end: End, packet: Packet) -> None:
        """A packet."""

    def broke(self, end: End) -> None:
        """The ship is no more, by the other end or by nobody. Not told to who closes it."""


class End:
    """One host's end of a ship."""

    def __init__(self, ship: Ship, host: Host, peer: bytes | None, ours: bool) -> None:
        """
        :param peer: fingerprint of who is at the other end, as far as this end knows.
        :param ours: this end dialled.
        """
        self.ship = ship
        self.host = host
        self.peer = peer
        self.ours = ours
        self.other: End = self
        self._free_s = 0.0
        self._last_s = 0.0
        self._pieces = {False: Splitter(), True: Splitter()}
        self._credit = 0

    @property
    def name(self) -> str:
        """Unique among all ends of a world."""
        return f"{self.host.name}#{self.ship.ident}"

    def send(self, packet: Packet) -> float:
        """Put a packet on its way; nothing if the ship is broken.

        :returns: when there is room for more.
        """
        ship, heap = self.ship, self.ship.heap
        if not ship.stands:
            return heap.now_s
        cells = 1
        match packet:
            case Data(data, followed):
                cells = self._count(data, followed)
            case Open():
                there, back = SETUP_BLOCKS
                self._block(there)
                self.other._block(back)
        self._block(cells)
        self._free_s = max(self._free_s, heap.now_s) + cells * BLOCK_SIZE / RATE
        late_s = ship.delay_s * (1 + JITTER * heap.random.random())
        self._last_s = max(self._last_s, self._free_s + late_s)
        heap.at(self._last_s, self._arrive, packet)
        return self._free_s

    def _count(self, data: bytes, followed: bool) -> int:
        ship, messages = self.ship, self._pieces[followed].split(data)
        for traffic in (self.host.traffic_out, self.other.host.traffic_in):
            for kind, size, begins in messages:
                traffic.data[kind] += size
                traffic.messages[kind] += begins
        extra = ship.steps.used(ship.heap.now_s)
        self._block(extra)
        self.other._block(extra)
        cells = blocks(len(data))
        self._credit += cells
        if self._credit >= CELLS_PER_CREDIT:
            self.other._block(self._credit // CELLS_PER_CREDIT)
            self._credit %= CELLS_PER_CREDIT
        return cells

    def _block(self, count: int) -> None:
        self.host.traffic_out.blocks += count
        self.other.host.traffic_in.blocks += count

    def _arrive(self, packet: Packet) -> None:
        if self.ship.stands:
            self.other.host.came(self.other, packet)

    def close(self) -> None:
        """End the ship; the other end hears of it."""
        self.ship.sink(but=self)


class Ship:
    """What two ends have in common."""

    def __init__(self, heap: Heap, ident: int, dialler: Host, target: Host, delay_s: float) -> None:
        """:param delay_s: one way, seconds."""
        self.heap = heap
        self.ident = ident
        self.delay_s = delay_s
        self.stands = True
        self.steps = Steps()
        self.ends = End(self, dialler, None, True), End(self, target, None, False)
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        for one in self.ends:
            one._block(FLIGHT_BLOCKS)

    def sink(self, but: End | None = None) -> None:
        """It breaks.

        :param but: who knows already.
        """
        if self.stands:
            self.stands = False
            for end in self.ends:
                if end is not but:
                    self.heap.after(0 if but is None else self.delay_s, end.host.broke, end)
