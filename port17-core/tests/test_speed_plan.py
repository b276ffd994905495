"""When a lane's capacity is measured and who is served: rarely, one at a time, and bounded whoever asks."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from port17.node.backoff import STEADY_S
from port17.node.speed_plan import (
    AGAIN_S,
    APART_S,
    BURST,
    LEAST_S,
    PEERS_CAP,
    PER_PEER_BURST,
    PER_PEER_S,
    RETRY_S,
    SERVED_BURST,
    SERVED_S,
    SpeedPlan,
    rate,
)
from port17.wire.reasons import Reason

HOUR = 3600
PEERS = [bytes([number]) * 32 for number in range(20)]


def measured(
    plan: SpeedPlan, hours: float, *, begun_s: float = 0.0, took_s: float = 1.0, **result: bool
) -> list[tuple[float, bytes]]:
    """What a node measures that looks every ten seconds and has lanes to all, always idle."""
    found = []
    now_s = begun_s
    while now_s < begun_s + hours * HOUR:
        plan.look(PEERS, now_s)
        peer = plan.next(now_s, PEERS)
        if peer is not None:
            plan.begin(now_s)
            assert plan.next(now_s, PEERS) is None, "one at a time"
            found.append((now_s, peer))
            plan.end(peer, now_s + took_s, **{"came": True, "measured": True, **result})
        now_s += 10.0
    return found


def test_every_lane_has_its_turn_and_none_often() -> None:
    plan = SpeedPlan(random.Random(1))
    found = measured(plan, 48)
    assert found[0][0] >= STEADY_S
    assert {peer for at_s, peer in found if at_s < 2 * HOUR} == set(PEERS)
    times = [at_s for at_s, _ in found]
    assert min(later - at_s for at_s, later in pairwise(times)) >= APART_S
    for peer in PEERS:
        own = [at_s for at_s, one in found if one == peer]
        gaps = [later - at_s for at_s, later in pairwise(own)]
        assert min(gaps) >= AGAIN_S / 2
        assert max(gaps) < 2 * AGAIN_S
    assert plan.measured == len(found)


def test_who_serves_nobody_is_asked_again_but_not_at_once_and_who_breaks_off_not_soon() -> None:
    refused = Counter(
        peer for _, peer in measured(SpeedPlan(random.Random(2)), 3, came=False, measured=False)
    )
    assert max(refused.values()) <= 3 * HOUR / (RETRY_S / 2)
    broken = measured(SpeedPlan(random.Random(2)), 24, came=True, measured=False)
    assert max(Counter(peer for _, peer in broken).values()) <= 1 + 24 * HOUR / (AGAIN_S / 2)
    assert len(broken) * 4 < sum(refused.values()) * 8


def test_only_what_stands_and_is_idle_is_measured() -> None:
    plan = SpeedPlan(random.Random(3))
    ash, oak, elm = PEERS[:3]
    plan.look([ash, oak, elm], 0.0)
    late_s = 10 * STEADY_S
    assert plan.next(late_s, []) is None
    assert plan.next(late_s, [oak]) == oak
    plan.look([ash, elm], late_s)
    assert plan.next(late_s, [oak]) is None
    assert plan.next(late_s, [elm]) == elm


def test_a_lane_that_comes_and_goes_is_measured_no_more_often() -> None:
    plan = SpeedPlan(random.Random(4))
    times = []
    for at in range(8 * 360):
        now_s = 10.0 * at
        plan.look(PEERS[:1] if at % 60 < 45 else [], now_s)
        if plan.next(now_s, PEERS) is not None:
            plan.begin(now_s)
            plan.end(PEERS[0], now_s, came=True, measured=True)
            times.append(now_s)
    assert 1 <= len(times) <= 1 + 8 * HOUR / (AGAIN_S / 2)
    for number in range(2 * PEERS_CAP):
        plan.look([number.to_bytes(32, "big")], 1e6)
    assert len(plan._due) <= PEERS_CAP


@pytest.mark.parametrize("names", [1, 30, 2000])
def test_whoever_asks_under_however_many_names_is_served_so_much_in_an_hour_and_no_more(names: int) -> None:
    plan, rng = SpeedPlan(random.Random(5)), random.Random(6)
    served: Counter[bytes] = Counter()
    hours = 6
    for second in range(hours * HOUR):
        peer = rng.randrange(names).to_bytes(32, "big")
        if plan.serve(peer, float(second), idle=True) is None:
            served[peer] += 1
            assert plan.serve(peer, float(second), idle=True) is Reason.RESOURCES, "one at a time"
            plan.served_it()
    assert served.total() == plan.served <= SERVED_BURST + hours * HOUR / SERVED_S
    assert max(served.values()) <= PER_PEER_BURST + hours * HOUR / PER_PEER_S
    assert len(plan._peers) <= PEERS_CAP
    if names > 1:
        assert served.total() > 20


def test_as_many_lanes_as_there_can_be_are_all_served_as_often_as_they_ask() -> None:
    plan, rng = SpeedPlan(random.Random(7)), random.Random(8)
    due = {number.to_bytes(32, "big"): rng.uniform(0, AGAIN_S) for number in range(128)}
    answers: Counter[str] = Counter()
    for at in range(48 * 360):
        now_s = 10.0 * at
        for peer, due_s in due.items():
            if due_s <= now_s:
                refusal = plan.serve(peer, now_s, idle=True)
                answers[str(refusal)] += 1
                due[peer] = now_s + (AGAIN_S if refusal is None else RETRY_S) * rng.uniform(0.5, 1.5)
                if refusal is None:
                    plan.served_it()
    assert answers["None"] >= 0.6 * 128 * 48 * HOUR / AGAIN_S


def test_who_measures_does_not_serve_meanwhile_nor_who_is_busy() -> None:
    plan = SpeedPlan(random.Random(9))
    plan.look(PEERS, 0.0)
    plan.begin(0.0)
    assert plan.serve(PEERS[0], 0.0, idle=True) is Reason.RESOURCES
    plan.end(PEERS[1], 0.0, came=True, measured=True)
    assert plan.serve(PEERS[0], 0.0, idle=False) is Reason.RESOURCES
    assert plan.serve(PEERS[0], 0.0, idle=True) is None
    assert plan.next(HOUR, PEERS) is None
    plan.served_it()
    assert plan.next(HOUR, PEERS) is not None


def test_a_rate_is_of_what_came_and_of_the_time_that_it_took() -> None:
    mib = 1 << 20
    assert rate(0.0, 2 * mib, 1.0, 4 * mib, 1.5) == 4 * mib, "the first half opens the windows"
    assert rate(0.0, 0, 0.0, mib, 2.0) == mib // 2, "a slow line: all of it"
    assert rate(0.0, 2 * mib, 1.0, 2 * mib + 9, 1.5) == (2 * mib + 9) / 1.5 // 1
    assert rate(0.0, 2 * mib, 1.0, BURST, 1.0) == int(2 * mib / LEAST_S), "no line is infinitely quick"
    assert rate(0.0, 0, 0.0, 0, 3.0) == 0
