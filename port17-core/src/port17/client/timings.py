"""What a client measures: how long its own circuits take to stand, and nothing else of anybody.

What follows for routes is the navigator's to say; what becomes of a slow circuit is the circuits'.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median
from types import MappingProxyType
from typing import Final

from port17.client.built import Built
from port17.navigator.chart import Fingerprint

KEPT: Final = 64
"""Circuits whose times are remembered: of the last minutes, in use."""
ENOUGH: Final = 8
"""Times before one can be called unusual."""
UNUSUAL: Final = 3.0
"""Times the usual that a circuit takes if it is unusually slow."""
UNUSUAL_S: Final = 0.5
"""And at least so many seconds more than usual: less is not felt."""
PATIENCE: Final = 8.0
"""Times the usual after which a circuit that does not stand is given up."""
PATIENCE_S: Final = (6.0, 20.0)
"""Least and most seconds of that: a machine may be busy; and programs get their answer within 30."""
SMOOTHED: Final = 0.25
"""Weight of the newest time of an entry: four circuits are as good as new."""


class Timings:
    """The times of one client's circuits."""

    def __init__(self) -> None:
        self._whole_s: deque[float] = deque(maxlen=KEPT)
        self._entry_us: dict[Fingerprint, float] = {}

    @property
    def entry_us(self) -> Mapping[Fingerprint, float]:
        """Per guard, microseconds from the client to it and back, and for what it makes circuits wait beside:
        what they take less what their lanes are known to take, smoothed."""
        return MappingProxyType(self._entry_us)

    @property
    def patience_s(self) -> float:
        """Seconds that a circuit may take to stand before it is given up."""
        least, most = PATIENCE_S
        if len(self._whole_s) < ENOUGH:
            return most
        return min(max(PATIENCE * median(self._whole_s), least), most)

    def forget(self, keep: frozenset[Fingerprint]) -> None:
        """The line is another: nothing is known of how long anything takes; of nodes that are no guards any
        more nothing is kept.

        :param keep: of these the times stay.
        """
        self._entry_us = {one: us for one, us in self._entry_us.items() if one in keep}
        if not keep:
            self._whole_s.clear()

    def stands(self, built: Built) -> bool:
        """A circuit is confirmed.

        :returns: whether it is unusually slow.
        """
        circuit = built.circuit
        if circuit.confirmed_s is None or circuit.written_s is None:
            return False
        took_s = circuit.confirmed_s - circuit.written_s
        usual_s = median(self._whole_s) if len(self._whole_s) >= ENOUGH else None
        self._whole_s.append(took_s)
        lanes_us = sum(lane.latency_us for lane in built.route.lanes)
        entry = built.route.entry.fingerprint
        excess_us = max(took_s * 1e6 - lanes_us, built.crane.link.control.round_trip_s * 1e6)
        before_us = self._entry_us.get(entry, excess_us)
        self._entry_us[entry] = before_us + SMOOTHED * (excess_us - before_us)
        return usual_s is not None and took_s > max(UNUSUAL * usual_s, usual_s + UNUSUAL_S)
