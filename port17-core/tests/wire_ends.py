"""Both ends of a session's conveyors, and the payloads that are under way between them."""

from __future__ import annotations

from collections import deque

from port17.wire.block import PAYLOAD_SIZE
from port17.wire.conveyor import Conveyor
from port17.wire.mux import Mux
from port17.wire.quota import Budget


class Ends:
    """A client's mux and a hop's, and payloads under way between them."""

    def __init__(self, budget: int = 1 << 30, server_budget: int | None = None) -> None:
        self.budgets = Budget(budget), Budget(server_budget if server_budget is not None else budget)
        self.served: list[Conveyor] = []
        self.opened: list[tuple[str, bytes]] = []
        self.accepts = True
        self.woken = [0, 0]
        self.client = Mux(self.budgets[0], lambda: self._woke(0), None)
        self.server = Mux(self.budgets[1], lambda: self._woke(1), self._opened)
        self.there: deque[bytes] = deque()
        self.back: deque[bytes] = deque()
        self.now_s = 100.0

    def _woke(self, end: int) -> None:
        self.woken[end] += 1

    def _opened(self, conveyor: Conveyor, name: str, arguments: bytes) -> None:
        self.served.append(conveyor)
        self.opened.append((name, arguments))
        if self.accepts:
            conveyor.accept(b"ready")

    def send(self, forward: bool) -> bool:
        """One payload onto its way."""
        payload = bytearray(b"\xee" * PAYLOAD_SIZE)
        mux = self.client if forward else self.server
        said = mux.pull(memoryview(payload))
        if said:
            (self.there if forward else self.back).append(bytes(payload))
        else:
            assert not mux.pending
        return said

    def arrive(self, forward: bool) -> bool:
        """The oldest payload arrives."""
        way = self.there if forward else self.back
        if not way:
            return False
        mux = self.server if forward else self.client
        assert mux.take(memoryview(way.popleft()), self.now_s) is None
        return True

    def settle(self) -> int:
        """Until nothing is to be sent; the payloads that were."""
        payloads = 0
        while True:
            sent = [self.send(way) for way in (True, False)]
            arrived = [self.arrive(way) for way in (True, False)]
            payloads += sum(sent)
            if not any(sent + arrived):
                return payloads

    def pair(self, data: bytes = b"x") -> tuple[Conveyor, Conveyor]:
        """A conveyor, open at both ends."""
        near = self.client.open("TEST", data, self.now_s)
        self.settle()
        return near, self.served[-1]

    def write(self, forward: bool, *frames: bytes) -> None:
        """Hand an end any frames.

        :raises PeerViolation: what it made of them.
        """
        mux = self.server if forward else self.client
        payload = b"".join(frames).ljust(PAYLOAD_SIZE, b"\0")
        mux.take(memoryview(payload), self.now_s)


def take(conveyor: Conveyor, now_s: float = 100.0) -> bytes:
    data = conveyor.take()
    conveyor.consumed(len(data), now_s)
    return data
