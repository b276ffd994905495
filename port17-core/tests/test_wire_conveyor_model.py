"""Conveyors against a model of what a stream is."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from port17.wire.conveyor import FIRST_WINDOW, Conveyor
from port17.wire.reasons import Reason

from .wire_ends import Ends, take


class Streams(RuleBasedStateMachine):
    """Two muxes against what a stream is: the bytes that were sent, in order, once, and little kept."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends(budget=64 * FIRST_WINDOW)
        self.pairs: list[list[Conveyor | None]] = []
        self.sent: dict[tuple[int, int], bytes] = {}
        self.got: dict[tuple[int, int], bytes] = {}
        self.finished: set[tuple[int, int]] = set()
        self.resets: set[int] = set()
        self.count = 0

    def _conveyor(self, place: int, end: int) -> Conveyor | None:
        if end and self.pairs[place][1] is None:
            served = [c for c in self.ends.served if c.ident == place + 1]
            self.pairs[place][1] = served[0] if served else None
        return self.pairs[place][end]

    @precondition(lambda self: len(self.pairs) < 6)
    @rule()
    def open(self) -> None:
        place = len(self.pairs)
        self.pairs.append([self.ends.client.open("TEST", b"", self.ends.now_s), None])
        for end in (0, 1):
            self.sent[place, end] = self.got[place, end] = b""

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), end=st.integers(0, 1), size=st.integers(1, 60_000))
    def send(self, data: st.DataObject, end: int, size: int) -> None:
        place = data.draw(st.integers(0, len(self.pairs) - 1))
        conveyor = self._conveyor(place, end)
        if conveyor is None or (place, end) in self.finished or conveyor.ended:
            return
        self.count += 1
        piece = (self.count % 251).to_bytes(1, "big") * size
        conveyor.send(piece)
        self.sent[place, end] += piece

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), end=st.integers(0, 1))
    def finish(self, data: st.DataObject, end: int) -> None:
        place = data.draw(st.integers(0, len(self.pairs) - 1))
        conveyor = self._conveyor(place, end)
        if conveyor is not None and not conveyor.ended:
            conveyor.finish()
            self.finished.add((place, end))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), end=st.integers(0, 1))
    def reset(self, data: st.DataObject, end: int) -> None:
        place = data.draw(st.integers(0, len(self.pairs) - 1))
        conveyor = self._conveyor(place, end)
        if conveyor is not None and self.count % 4 == 0:
            conveyor.reset(Reason.RESET)
            self.resets.add(place)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), end=st.integers(0, 1), after_s=st.sampled_from([0.0, 0.0, 1.0]))
    def take(self, data: st.DataObject, end: int, after_s: float) -> None:
        self.ends.now_s += after_s
        place = data.draw(st.integers(0, len(self.pairs) - 1))
        conveyor = self._conveyor(place, end)
        if conveyor is not None:
            self.got[place, end] += take(conveyor, self.ends.now_s)

    @rule(forward=st.booleans(), count=st.integers(1, 20))
    def travel(self, forward: bool, count: int) -> None:
        for _ in range(count):
            self.ends.send(forward)

    @rule(forward=st.booleans(), count=st.integers(1, 20))
    def arrive(self, forward: bool, count: int) -> None:
        for _ in range(count):
            self.ends.arrive(forward)

    @invariant()
    def what_arrives_was_sent(self) -> None:
        for (place, end), got in self.got.items():
            assert self.sent[place, 1 - end].startswith(got)

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        for budget, mux, end in zip(
            self.ends.budgets, (self.ends.client, self.ends.server), (0, 1), strict=True
        ):
            kept = [c for place in range(len(self.pairs)) if (c := self._conveyor(place, end)) is not None]
            assert all(c.received + max(c.allowance, 0) <= c._window or c.ended or c.finished for c in kept)
            assert budget.used == sum(c._window for c in kept)
            assert sum(c.received for c in kept) <= budget.used
            assert set(mux.conveyors) == {c.ident for c in kept if not c.ended}

    def teardown(self) -> None:
        for _ in range(400):
            moved = self.ends.settle()
            for place in range(len(self.pairs)):
                for end in (0, 1):
                    conveyor = self._conveyor(place, end)
                    if conveyor is not None:
                        self.got[place, end] += take(conveyor, self.ends.now_s)
            if not moved and not self.ends.settle():
                break
        for place in range(len(self.pairs)):
            ours, theirs = (self._conveyor(place, end) for end in (0, 1))
            assert ours is not None
            assert theirs is not None
            if place in self.resets:
                both = {(place, 0), (place, 1)} <= self.finished
                assert both or (ours.reset_reason is theirs.reset_reason is Reason.RESET)
                continue
            for end in (0, 1):
                assert self.got[place, end] == self.sent[place, 1 - end]
            assert ours.finished == ((place, 1) in self.finished)
            assert theirs.finished == ((place, 0) in self.finished)
            assert ours.ended == theirs.ended == (ours.finished and theirs.finished)
            assert ours.reset_reason is theirs.reset_reason is None
        self.ends.client.close(Reason.DONE)
        self.ends.server.close(Reason.DONE)
        for place in range(len(self.pairs)):
            for end in (0, 1):
                conveyor = self._conveyor(place, end)
                if conveyor is not None:
                    conveyor.take()
        assert [budget.used for budget in self.ends.budgets] == [0, 0]


TestStreams = Streams.TestCase
TestStreams.settings = settings(deadline=None, max_examples=120, stateful_step_count=40)
