"""When steps come: by volume and by time of use, jittered, one at a time, and never too often."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LinkLost, PeerViolation
from port17.wire.block import BLOCK_SIZE
from port17.wire.link_ratchet import LinkInitiator
from port17.wire.pace import (
    ANSWER_S,
    CELLS_PER_ANSWER,
    JITTER_LEAST,
    JITTER_MOST,
    MIB,
    NEVER,
    STEP_MIB_FLOOR,
    STEP_S_FLOOR,
    STEPS_BURST,
    STEPS_PER_S,
    USUAL,
    Pace,
    Patience,
    StepTerms,
)
from port17.wire.reasons import Reason

from .ratchet_links import BACKWARD, FORWARD, Ends
from .ratchet_watch import Watched
from .wire_suites import TOY

FLOOR = StepTerms(step_cells=STEP_MIB_FLOOR * MIB // 4072, step_s=STEP_S_FLOOR)
"""The most frequent steps that a configuration may ask for."""
PIECE = 30_000
FULL_SPEED = 200e6 / BLOCK_SIZE
"""Cells in a second at 200 MB/s."""


def fixed(factor: float) -> Callable[[float, float], float]:
    """No dice: always one factor, which must be within the bounds asked for."""

    def uniform(least: float, most: float) -> float:
        assert (least, most) == (JITTER_LEAST, JITTER_MOST) == (0.5, 1.5)
        return factor

    return uniform


def answered(terms: StepTerms, factor: float, used: int = 0, now_s: float = 0.0) -> Pace:
    pace = Pace(terms, now_s, fixed(factor))
    pace.answered(used, now_s)
    return pace


# -- one session's pace -------------------------------------------------------------------------------
@given(factor=st.floats(0.5, 1.5), used=st.integers(0, 10**9), cells=st.integers(257, 10**6))
def test_a_step_is_due_by_volume_at_its_cell_and_not_one_before(factor: float, used: int, cells: int) -> None:
    pace = answered(StepTerms(step_cells=cells, step_s=60.0), factor, used, 5.0)
    at = used + int(cells * factor)
    assert pace.mark == at
    assert not pace.due(at - 1, 5.0)
    assert pace.due(at, 5.0)


@given(factor=st.floats(0.5, 1.5), now_s=st.floats(0, 1e6), step_s=st.floats(2, 1e5))
def test_a_step_is_due_by_time_if_there_was_use(factor: float, now_s: float, step_s: float) -> None:
    pace = answered(StepTerms(step_cells=1000, step_s=step_s), factor, 7, now_s)
    due_s = now_s + step_s * factor
    assert not pace.due(8, due_s - 0.01)
    assert pace.due(8, due_s + 0.01)
    assert not pace.due(7, due_s + 1e9), "no use, no step"


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 100)), max_size=40))
def test_one_step_at_most_is_outstanding_and_the_next_counts_from_its_answer(
    moves: list[tuple[int, float]],
) -> None:
    pace = Pace(StepTerms(step_cells=1000, step_s=60.0), 0.0)
    used, now_s, outstanding = 0, 0.0, True
    since, since_s = 0, 0.0
    for cells, seconds in moves:
        used, now_s = used + cells, now_s + seconds
        if outstanding:
            assert not pace.due(used, now_s)
            assert pace.mark == NEVER
            pace.answered(used, now_s)
            outstanding, since, since_s = False, used, now_s
        elif pace.due(used, now_s):
            assert used - since >= 500 or (now_s - since_s >= 30.0 and used > since)
            pace.asked(now_s)
            outstanding = True
        else:
            assert used - since < 1500
            assert now_s - since_s < 90.0 or used == since


def test_an_answer_is_waited_for_as_long_as_stated() -> None:
    pace = Pace(USUAL, 100.0)
    assert not pace.overdue(100.0 + ANSWER_S)
    assert pace.overdue(100.1 + ANSWER_S)
    pace.answered(0, 150.0)
    assert not pace.overdue(1e9)
    pace.asked(200.0)
    assert not pace.overdue(200.0 + ANSWER_S)
    assert pace.overdue(200.1 + ANSWER_S)


def test_the_dice_are_even_between_their_bounds_and_thrown_for_each_step_and_for_both() -> None:
    volumes, times = [], []
    pace = Pace(StepTerms(step_cells=1_000_000, step_s=1.0), 0.0)
    for _ in range(2000):
        pace.answered(0, 0.0)
        volumes.append(pace.mark / 1e6)
        times.append(pace._due_s)
    for drawn in (volumes, times):
        assert JITTER_LEAST <= min(drawn) < 0.51
        assert 1.49 < max(drawn) <= JITTER_MOST
        assert 0.95 < sum(drawn) / len(drawn) < 1.05
        assert len(set(drawn)) > 1900
    # The two are thrown apart.
    assert max(abs(v - t) for v, t in zip(volumes, times, strict=True)) > 0.8


# -- what a responder puts up with --------------------------------------------------------------------
def taken(patience: Patience, cells: int, now_s: float) -> int:
    """How many steps it takes at one moment."""
    for count in range(1000):
        try:
            patience.admit(cells, now_s)
        except PeerViolation:
            return count
    raise AssertionError("it takes any number")


def test_a_responder_takes_some_at_once_then_one_a_second_or_one_for_so_many_cells() -> None:
    patience = Patience()
    assert taken(patience, 0, 1000.0) == STEPS_BURST
    assert taken(patience, 0, 1003.0) == 3 * STEPS_PER_S
    assert taken(patience, CELLS_PER_ANSWER - 1, 1003.0) == 0
    assert taken(patience, 2 * CELLS_PER_ANSWER, 1003.0) == 2
    assert taken(patience, 10**9, 1003.0) == STEPS_BURST, "what was not asked for is not saved up"
    assert taken(patience, 10**9, 9999.0) == STEPS_BURST


@settings(deadline=None, max_examples=60)
@given(
    terms=st.sampled_from([USUAL, FLOOR]),
    cells_per_s=st.sampled_from([0.3, 60.0, 500.0, FULL_SPEED, 10 * FULL_SPEED]),
    round_trip_s=st.sampled_from([0.0, 0.02, 1.5]),
    jitter=st.sampled_from([fixed(JITTER_LEAST), random.Random(17).uniform]),
)
def test_an_honest_initiator_is_never_too_fast_whatever_the_speed(
    terms: StepTerms,
    cells_per_s: float,
    round_trip_s: float,
    jitter: Callable[[float, float], float],
) -> None:
    """The initiator sees all of its responder's cells later than they were counted there, never earlier."""
    pace, patience = Pace(terms, 0.0, jitter), Patience()
    now_s = 0.0
    pace.answered(0, now_s)
    steps = 0
    while steps < 300:
        by_volume = (pace.mark - cells_per_s * now_s) / cells_per_s
        now_s += max(0.001, min(by_volume, max(pace._due_s - now_s, 1 / cells_per_s)))
        used = int(cells_per_s * now_s)
        if pace.due(used, now_s):
            pace.asked(now_s)
            patience.admit(used, now_s + round_trip_s / 2)
            now_s += round_trip_s
            pace.answered(int(cells_per_s * now_s), now_s)
            steps += 1


# -- circuits -----------------------------------------------------------------------------------------
def asked(bench: Watched) -> list[int]:
    """How many steps each hop was asked for."""
    return [len(bench.steps[hop, FORWARD]) for hop in range(len(bench.hosts))]


def speak(bench: Watched, hop: int, way: bool, size: int) -> None:
    """So many bytes, a few at a time, and taken by whoever they are for: little is ever under way."""
    far = bench.far(hop)
    assert far is not None
    source, sink = (bench.near[hop], far) if way is FORWARD else (far, bench.near[hop])
    while size:
        piece = bytes(min(size, PIECE))
        source.send(piece)
        bench.settle()
        assert sink.take() == piece
        sink.consumed(len(piece), bench.clock.now_s)
        size -= len(piece)


def cells(bench: Watched, hop: int) -> int:
    """Those of both directions that crossed a hop's edge."""
    return len(bench.wire[hop, FORWARD]) + len(bench.wire[hop, BACKWARD])


@pytest.mark.parametrize("way", [FORWARD, BACKWARD])
@pytest.mark.parametrize("count", [1, 3])
def test_circuits_step_by_volume_with_every_hop_though_one_direction_is_idle(count: int, way: bool) -> None:
    bench = Watched([TOY] * count, FLOOR)
    bench.settle()
    assert asked(bench) == [1] * count
    speak(bench, count - 1, way, 12 * MIB)
    for hop, steps in enumerate(asked(bench)):
        use = cells(bench, hop) / FLOOR.step_cells
        assert use > 11
        assert use / JITTER_MOST - 2 <= steps <= use / JITTER_LEAST + 2
        # Apart by no less than the jitter's least, and by no more than its most and what was under way.
        sealed = [step.cell for step in bench.steps[hop, way]]
        gaps = [after - before for before, after in pairwise(sealed[2:])]
        assert min(gaps) > 0
        assert len(set(gaps)) > len(gaps) // 2, "steps come like a clock"
    if count > 1:
        assert len({tuple(step.cell for step in bench.steps[hop, FORWARD]) for hop in range(count)}) == count


def test_circuits_step_by_time_with_every_hop_and_at_a_time_of_its_own() -> None:
    bench = Watched([TOY] * 5, USUAL)
    bench.settle()
    started: list[dict[int, float]] = []
    for _ in range(4):
        begin_s = bench.clock.now_s
        before, found = asked(bench), {}
        speak(bench, 4, FORWARD, 1)
        while len(found) < 5:
            bench.clock.pass_s(0.25)
            bench.circuit.tend(bench.clock.now_s)
            bench.settle()
            took_s = bench.clock.now_s - begin_s
            found.update(
                {hop: took_s for hop, n in enumerate(asked(bench)) if n > before[hop] and hop not in found}
            )
            assert took_s < 2 * USUAL.step_s
            speak(bench, 4, FORWARD, 1)
            if len(found) == 5:
                break
        started.append(found)
        # Begin all anew, so that the next round is measured from one moment.
        for hop in bench.circuit.hops:
            hop.pace.answered(bench.circuit._used, bench.clock.now_s)
    assert all(
        0.5 * USUAL.step_s <= took_s <= 1.5 * USUAL.step_s + 0.5 for f in started for took_s in f.values()
    )
    assert all(len(set(found.values())) > 2 for found in started)
    assert started[0] != started[1]


def test_an_idle_circuit_asks_for_nothing_however_long() -> None:
    bench = Watched([TOY] * 3, FLOOR)
    for _ in range(3):
        bench.step()
    bench.clock.pass_s(3600.0)
    bench.circuit.tend(bench.clock.now_s)
    bench.settle()
    before = cells(bench, 0), asked(bench)
    for _ in range(50):
        bench.clock.pass_s(3600.0)
        bench.circuit.tend(bench.clock.now_s)
        assert not bench.circuit.pending(bench.circuit._leg)  # type: ignore[arg-type]
        bench.settle()
    assert (cells(bench, 0), asked(bench)) == before
    assert bench.circuit.closed is None


@pytest.mark.parametrize("first", [True, False])
def test_a_circuit_whose_hop_answers_no_step_ends_after_the_time_stated(first: bool) -> None:
    bench = Watched([TOY] * 2, USUAL)
    if first:
        began_s = bench.clock.now_s
    else:
        bench.settle()
        speak(bench, 1, FORWARD, 1)
        bench.clock.pass_s(100.0)
        began_s = bench.clock.now_s
        bench.circuit.tend(began_s)
    while bench.carry(0, True):
        pass
    bench.clock.pass_s(began_s + ANSWER_S - bench.clock.now_s)
    bench.circuit.tend(bench.clock.now_s)
    assert bench.circuit.closed is None
    bench.clock.pass_s(0.1)
    bench.circuit.tend(bench.clock.now_s)
    assert bench.circuit.closed is Reason.PROTOCOL
    assert bench.edges[0].near_link.destroyed_for is Reason.PROTOCOL


def test_a_client_that_asks_too_often_loses_its_circuit() -> None:
    bench = Watched([TOY], USUAL)
    bench.settle()
    pace = bench.circuit.hops[0].pace

    class Eager(Pace):
        def due(self, used: int, now_s: float) -> bool:
            return self._asked_s is None

    eager = Eager(USUAL, bench.clock.now_s)
    eager.answered(0, bench.clock.now_s)
    bench.circuit.hops[0].pace = eager
    assert pace is not eager
    with pytest.raises(PeerViolation, match="too often"):
        for _ in range(100):
            bench.circuit.tend(bench.clock.now_s)
            bench.settle()
    assert STEPS_BURST <= len(bench.steps[0, FORWARD]) <= STEPS_BURST + 2
    assert bench.relays[0].session.forward.rekeys <= STEPS_BURST + 1


# -- links --------------------------------------------------------------------------------------------
def epoch(ends: Ends) -> int:
    """The link's newest step."""
    return ends.asks.epoch


def at_rest(terms: StepTerms = USUAL) -> Ends:
    ends = Ends(terms)
    ends.settle()
    assert epoch(ends) == 1, "the first step comes with the set-up"
    return ends


@pytest.mark.parametrize("which", [0, 1])
def test_links_step_by_volume_though_one_direction_is_idle(which: int) -> None:
    ends = at_rest(FLOOR)
    ends.talk()
    ends.settle()
    before = sum(map(len, ends.wire.values()))
    link = (ends.near, ends.far)[which]
    talker, leg = next((t, leg) for t, leg in zip(ends.talkers, ends.legs, strict=True) if leg.link is link)
    for _ in range(120):
        talker.say += FLOOR.step_cells // 10
        leg.wake()
        ends.settle()
    use = (sum(map(len, ends.wire.values())) - before) / FLOOR.step_cells
    assert use > 11
    steps = epoch(ends) - 1
    assert use / JITTER_MOST - 2 <= steps <= use / JITTER_LEAST + 2
    assert ends.answers is not None
    assert ends.answers.epoch == epoch(ends)


def test_links_step_by_time_if_used_and_not_if_not() -> None:
    ends = at_rest()
    for seconds, used, grows in ((29.0, True, False), (61.5, True, True), (10_000.0, False, False)):
        before = epoch(ends)
        if used:
            ends.talk()
        ends.settle()
        ends.clock.pass_s(seconds)
        ends.tend()
        assert ends.near.pending == grows
        ends.settle()
        assert (epoch(ends) > before) == grows


@pytest.mark.parametrize("first", [True, False])
def test_a_link_whose_peer_answers_no_step_is_lost_after_the_time_stated(first: bool) -> None:
    ends = Ends(USUAL)
    if not first:
        ends.settle()
        ends.talk()
        ends.settle()
        ends.clock.pass_s(100.0)
        ends.tend()
    ends.send(FORWARD)
    ends.clock.pass_s(ANSWER_S)
    ends.tend()
    ends.clock.pass_s(0.1)
    with pytest.raises(LinkLost):
        ends.near.tend(ends.clock.now_s)


def test_a_peer_that_asks_too_often_loses_its_link() -> None:
    ends = at_rest()
    ratchet = ends.near.keys._ratchet
    assert isinstance(ratchet, LinkInitiator)
    with pytest.raises(PeerViolation, match="too often"):
        for _ in range(100):
            ends.near.keys._turn = ratchet._ask(ends.clock.now_s)
            ends.settle()
    assert STEPS_BURST <= epoch(ends) <= STEPS_BURST + 2


def test_a_step_beyond_the_links_quota_ends_the_circuit() -> None:
    bench = Watched([TOY], FLOOR)
    bench.settle()
    bench.hosts[0].steps_allowed = False
    with pytest.raises(PeerViolation, match="link's circuits"):
        speak(bench, 0, FORWARD, 4 * MIB)


def test_use_of_a_near_hop_alone_makes_no_far_one_be_asked_too_often() -> None:
    bench = Watched([TOY] * 2, FLOOR)
    bench.settle()
    speak(bench, 0, BACKWARD, 30 * MIB)
    assert bench.circuit.closed is None
    assert len(bench.steps[0, FORWARD]) > 16
