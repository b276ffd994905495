"""What a lane costs, or would cost: by its round trip, what it can carry, and how busy its other end is."""

from __future__ import annotations

import random
from statistics import median
from typing import Final

from port17.node.candidates import Nodes
from port17.records.bottle import CAPACITY_CAP, LATENCY_CAP_US, LOAD_CAP

PIECE: Final = 64 * 1024
"""Bytes whose way over the lane is what it costs: what a web page's part has."""
USUAL_CAPACITY: Final = 1_250_000
"""Bytes per second that are assumed where nobody says: 10 Mbit/s, what a poor line has."""
USUAL_LATENCY_US: Final = 100_000
"""Microseconds that are assumed before anything was measured: half around the world."""
WITNESSES: Final = 5
"""Most neighbours of a node whose word on it is read: more of them cost more and say little new."""
NEWEST: Final = 0.3
"""Weight of a new measurement against all before it: a single slow one says little."""


class LaneCost:
    """What is known of lanes' costs at one node."""

    def __init__(self, nodes: Nodes, rng: random.Random) -> None:
        self._nodes = nodes
        self._rng = rng
        self._measured: dict[bytes, tuple[int, int]] = {}

    def measured(self, peer: bytes, round_trip_s: float, capacity: int = 0) -> None:
        """Note what a lane was found to be like.

        :param capacity: bytes per second; 0 says nothing.
        """
        latency_us = min(LATENCY_CAP_US, max(1, round(round_trip_s * 1e6)))
        old = self._measured.get(peer)
        if old is not None:
            latency_us = round(NEWEST * latency_us + (1 - NEWEST) * old[0])
        known = min(CAPACITY_CAP, capacity) or (old[1] if old is not None else 0)
        self._measured[peer] = latency_us, known

    def forget(self, peer: bytes) -> None:
        """The lane is gone."""
        self._measured.pop(peer, None)

    def found(self, peer: bytes) -> tuple[int, int]:
        """Latency in microseconds and capacity in bytes per second, as measured; 0 where nothing was."""
        return self._measured.get(peer, (0, 0))

    def of(self, peer: bytes) -> float:
        """Seconds that a piece takes, or is believed to take, over a lane to a node."""
        latency_us, capacity = self.found(peer)
        claimed_us, claimed_capacity, load = self._claimed(peer)
        latency_us = latency_us or claimed_us or self._usual_us()
        capacity = capacity or claimed_capacity or USUAL_CAPACITY
        return (latency_us / 1e6 + PIECE / capacity) * (1 + load / LOAD_CAP)

    def _claimed(self, peer: bytes) -> tuple[int, int, int]:
        """What a node and its neighbours say of its lanes, the middle of it, and its load.

        A lane counts that both name, with the worse of both words: nobody makes himself cheaper alone.
        """
        bottle = self._nodes.get(peer)
        if bottle is None:
            return 0, 0, 0
        lanes = bottle.contents.lanes
        latencies, capacities = [], []
        for index in sorted(self._rng.sample(range(len(lanes)), min(WITNESSES, len(lanes)))):
            witness = self._nodes.get(lanes[index].fingerprint)
            if witness is None:
                continue
            for back in witness.contents.lanes:
                if back.fingerprint == peer:
                    latencies.append(max(lanes[index].latency_us, back.latency_us))
                    capacities.append(min(lanes[index].capacity, back.capacity))
        latencies = [one for one in latencies if one]
        capacities = [one for one in capacities if one]
        return (
            round(median(latencies)) if latencies else 0,
            round(median(capacities)) if capacities else 0,
            bottle.contents.load,
        )

    def _usual_us(self) -> int:
        """The middle of what was measured."""
        found = [latency_us for latency_us, _ in self._measured.values()]
        return round(median(found)) if found else USUAL_LATENCY_US
