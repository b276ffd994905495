"""A network whose every connection, of nodes and of the client, crosses a recorder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from port17_cli.network import HOST, free_ports
from rig.house import House
from rig.recorder import Crossing, Recorder


class Watched:
    """See the module."""

    def __init__(self, house: House, recorders: dict[str, Recorder]) -> None:
        self.house = house
        self.recorders = recorders
        self._cut: Counter[frozenset[str]] = Counter()
        """How often each lane was cut."""

    def crossings(self) -> set[Crossing]:
        """All connections so far."""
        return {one for recorder in self.recorders.values() for one in recorder.crossings}

    def open(self) -> set[Crossing]:
        """The connections that have not ended."""
        return {one for recorder in self.recorders.values() for one in recorder.open}

    def called_by(self, name: str) -> set[Crossing]:
        """The open connections that a process has made: the client's, say, among checks of addresses."""
        process = psutil.Process(self.house.processes[name].pid)
        ports = {one.laddr.port for one in process.net_connections("tcp") if one.raddr}
        return {one for one in self.open() if one.port in ports}

    def lanes(self) -> dict[frozenset[str], list[Crossing]]:
        """The open connections between nodes, by their two ends: a lane, and beside it perhaps another that
        both ends made at the same moment, or one that was retired and whose circuits are still in use."""
        found: dict[frozenset[str], list[Crossing]] = {}
        for caller in self.house.names:
            made = self.called_by(caller) if caller in self.house.processes else set()
            for called, recorder in self.recorders.items():
                for one in recorder.open:
                    if one in made:
                        found.setdefault(frozenset((caller, called)), []).append(one)
        return found

    def take_lane(self) -> list[Crossing]:
        """All connections of one lane, to be cut: of that which was cut the least often, since its ends then
        wait the shorter before they dial again."""
        lanes = self.lanes()
        ends = min(lanes, key=lambda ends: (self._cut[ends], sorted(ends)))
        self._cut[ends] += 1
        return lanes[ends]

    def set_gate(self, gate: int | None) -> None:
        """The gate of all connections to come."""
        for recorder in self.recorders.values():
            recorder.gate = gate

    def most_called(self) -> str:
        """The node to which all others dial their lanes: that with the greatest fingerprint."""
        return max(self.house.names, key=lambda name: self.house.fingerprints[name])


@contextmanager
def watched(directory: Path, names: Sequence[str]) -> Iterator[Watched]:
    """The network's nodes run, with all their lanes; the client can be started."""
    ports = dict(zip(names, free_ports(*[HOST] * len(names)), strict=True))
    with ExitStack() as stack:
        recorders = {name: stack.enter_context(Recorder((HOST, port))) for name, port in ports.items()}
        advertised = {name: recorder.address for name, recorder in recorders.items()}
        house = stack.enter_context(House(directory, names, ports, advertised=advertised))
        house.start(*names)
        house.wait_for_lanes()
        yield Watched(house, recorders)
