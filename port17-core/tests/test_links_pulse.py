"""A link's pulse: quick while somebody relies on the link, rare while nobody does, never wrong in between."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.links.pulse import DEAD_AFTER_S, PING_AFTER_S, QUIET_PING_S, Pulse, Sign

TICK_S = 1.0
LEARNT_S = 10.0
"""Seconds in which programs learn that a link is gone."""


class Line:
    """A link's end that is looked at every second, and a peer that answers while it is alive."""

    def __init__(self, *, sparing: bool = True, seed: int = 1) -> None:
        self.now_s = 1000.0
        self.heard_s = self.now_s
        self.pulse = Pulse(self.now_s, sparing=sparing, rng=Random(seed))
        self.pings: list[float] = []
        self.alive = True
        self.in_use = False
        self.lost = False

    def run(self, seconds: float, *, traffic: Callable[[], bool] = lambda: False) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s and not self.lost:
            self.now_s += TICK_S
            sign = self.pulse.look(self.now_s, self.heard_s, in_use=self.in_use)
            self.lost = sign is Sign.LOST
            if sign is Sign.PING:
                self.pings.append(self.now_s)
            if self.alive and (sign is Sign.PING or traffic()):
                self.heard_s = self.now_s + 0.1


def test_a_quiet_link_is_asked_rarely() -> None:
    line = Line()
    line.run(36000)
    gaps = [after - before for before, after in zip(line.pings, line.pings[1:], strict=False)]
    assert 36000 / QUIET_PING_S[1] - 2 <= len(line.pings) <= 36000 / QUIET_PING_S[0]
    assert min(gaps) >= QUIET_PING_S[0]
    assert len(set(gaps)) > 5, "not by the clock: that would be a mark to know it by"


def test_news_that_come_meanwhile_are_signs_of_life() -> None:
    line, beat = Line(), iter(range(10_000))
    line.run(3600, traffic=lambda: next(beat) % 250 == 0)
    assert not line.pings


@pytest.mark.parametrize("quiet_s", [0, 3, 60, 1000])
def test_who_begins_to_use_a_dead_link_learns_it_in_time(quiet_s: float) -> None:
    line = Line(seed=5)
    line.run(2000)
    line.alive = False
    line.heard_s = line.now_s
    line.run(min(quiet_s, QUIET_PING_S[0] - 10))
    assert not line.lost
    used_s, line.in_use = line.now_s, True
    line.run(60)
    assert line.lost
    assert line.now_s - used_s <= LEARNT_S


def test_a_long_silence_is_not_held_against_a_peer_that_nobody_asked() -> None:
    line = Line()
    for _ in range(20):
        line.in_use = False
        line.run(QUIET_PING_S[0] - 10)
        line.in_use = True
        line.run(3)
    assert not line.lost


def test_a_dead_quiet_link_is_found_out_in_the_end() -> None:
    line = Line()
    line.alive = False
    line.run(2000)
    assert line.lost
    assert line.now_s - 1000.0 <= QUIET_PING_S[1] + DEAD_AFTER_S + 2 * TICK_S


@pytest.mark.parametrize("sparing", [False, True])
def test_a_link_in_use_and_a_lane_are_asked_at_once(sparing: bool) -> None:
    line = Line(sparing=sparing)
    line.in_use = sparing
    line.run(60)
    assert len(line.pings) >= 60 / (PING_AFTER_S + 2 * TICK_S)
    dead_s, line.alive = line.now_s, False
    line.run(60)
    assert line.lost
    assert line.now_s - dead_s <= LEARNT_S


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 400)), max_size=12),
    st.integers(0, 100),
)
def test_a_peer_that_answers_is_never_taken_for_lost(turns: list[tuple[bool, int]], seed: int) -> None:
    line = Line(seed=seed)
    for in_use, seconds in turns:
        line.in_use = in_use
        line.run(seconds)
    assert not line.lost
