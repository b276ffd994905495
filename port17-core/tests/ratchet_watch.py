"""A circuit on the bench whose every cell is kept, and who carried what of the ratchet, and when."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from port17.wire.block import HEAD, Command
from port17.wire.conveyor import Conveyor
from port17.wire.frame import FRAME_HEAD, SESSION, Frame
from port17.wire.mux import Mux
from port17.wire.onion import FOR_YOU
from port17.wire.pace import StepTerms
from port17.wire.ratchet import RATCHET_HEAD, Chain
from port17.wire.suite import CipherSuite, KemKey

from .ratchet_thief import FrameOf
from .wire_bench import Bench

FORWARD, BACKWARD = True, False
Place = tuple[int, bool]
"""A hop, and a direction of the client's session with it."""


def frame_of_payload(payload: bytes | memoryview) -> bytes:
    """The RATCHET data of a cell's payload, empty if there is none."""
    ident, kind, size = FRAME_HEAD.unpack_from(payload)
    if (ident, kind) != (SESSION, Frame.RATCHET):
        return b""
    return bytes(payload[FRAME_HEAD.size : FRAME_HEAD.size + size])


def frame_of_layer(plain: bytes) -> bytes:
    """The RATCHET data for, or of, the very hop whose layer was opened."""
    return frame_of_payload(plain[HEAD:-1]) if plain[-1] == FOR_YOU else b""


FRAME_OF_LAYER: FrameOf = frame_of_layer


@dataclass(frozen=True)
class Step:
    """A RATCHET frame that arrived.

    :param cell: index of its cell among those of its direction.
    """

    epoch: int
    cell: int


def began(steps: Sequence[Step], cells: int, cells_per_step: int) -> int:
    """The first cell of the keys that are in force after so many cells of a direction.

    :param steps: those that turned it.
    """
    turns = {step.cell + 1 for step in steps}
    first = 0
    for cell in range(cells + 1):
        if cell in turns or cell - first == cells_per_step:
            first = cell
    return first


class Watched(Bench):
    """A bench that keeps what crossed each edge. Node's spare keys are the test's."""

    def __init__(self, suites: Sequence[CipherSuite], terms: StepTerms, spare: int = 2) -> None:
        super().__init__(suites, steps=terms)
        self.terms = terms
        count = len(suites)
        self.moves = 0
        places = list(itertools.product(range(count), (FORWARD, BACKWARD)))
        self.wire: dict[Place, list[bytes]] = {place: [] for place in places}
        self.sealed_at: dict[Place, list[int]] = {place: [] for place in places}
        """In which move each cell was sealed."""
        self.steps: dict[Place, list[Step]] = {place: [] for place in places}
        self.spare = [deque(suite.generate() for _ in range(spare)) for suite in suites]
        for hop, host in enumerate(self.hosts):
            host.spare_key = lambda suite, stock=self.spare[hop]: self._spare(suite, stock)  # type: ignore[method-assign,misc]
            self._listen(self.circuit.hops[hop].mux, (hop, BACKWARD))
        self._heard: set[int] = set()
        self.near: list[Conveyor] = [hop.mux.open("TEST", b"", 0.0) for hop in self.circuit.hops]

    @staticmethod
    def _spare(suite: CipherSuite, stock: deque[KemKey]) -> KemKey:
        return stock.popleft() if stock else suite.generate()

    def far(self, hop: int) -> Conveyor | None:
        """The hop's end of its conveyor, once it has it."""
        host = self.hosts[hop]
        return host.conveyors[0] if host.conveyors else None

    def chain(self, place: Place, client: bool) -> Chain:
        """One end's chain."""
        hop, way = place
        session = self.circuit.hops[hop].session if client else self.relays[hop].session
        return session.forward if way is FORWARD else session.backward

    def _listen(self, mux: Mux, place: Place) -> None:
        take: Callable[[memoryview, float], memoryview | None] = mux.take
        _, way = place

        def heard(payload: memoryview, now_s: float) -> memoryview | None:
            frame = frame_of_payload(payload)
            if frame:
                _, epoch = RATCHET_HEAD.unpack_from(frame)
                cell = self.chain(place, client=way is BACKWARD).counter - 1
                self.steps[place].append(Step(epoch, cell))
            return take(payload, now_s)

        mux.take = heard  # type: ignore[method-assign]

    def take(self, edge: int, forward: bool) -> tuple[int, bytes] | None:
        self.moves += 1
        cell = super().take(edge, forward)
        if cell is not None and cell[0] != Command.SETUP:
            self.wire[edge, forward].append(cell[1])
        self._note()
        return cell

    def give(self, edge: int, forward: bool, command: int, body: bytes) -> None:
        super().give(edge, forward, command, body)
        if command == Command.SETUP:
            self._listen(self.hosts[edge].relays[0].mux, (edge, FORWARD))

    def _note(self) -> None:
        for (hop, way), at in self.sealed_at.items():
            if way is FORWARD or self.hosts[hop].relays:
                cells = self.chain((hop, way), client=way is FORWARD).counter
                at += [self.moves] * (cells - len(at))

    def chatter(self) -> None:
        """Every hop is told something, and says something."""
        for hop, near in enumerate(self.near):
            near.send(b"question")
            far = self.far(hop)
            if far is not None:
                far.send(b"answer")

    def step(self) -> None:
        """A whole step with every hop, with something said before and after."""
        self.chatter()
        self.settle()
        self.clock.pass_s(2 * self.terms.step_s)
        self.circuit.tend(self.clock.now_s)
        self.settle()
        self.chatter()
        self.settle()

    def began(self, place: Place, cells: int) -> int:
        """The first cell of the keys that are in force after so many, by the frames on the wire alone."""
        return began(self.steps[place], cells, self.terms.cells_per_step)
