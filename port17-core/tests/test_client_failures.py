"""What fails is set aside, longer each time, and less again once it works."""

from __future__ import annotations

from port17.client.failures import ASIDE_CAP_S, ASIDE_S, FAILURES_CAP, FORGIVEN_S, Failures
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Route

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))
ROUTE = Route(tuple(ChartNode(one, one.hex(), one.hex()) for one in (A, B, C)))


def aside_s(failures: Failures, one: bytes, now_s: float) -> float:
    """For how long a node is set aside from now on."""
    for waited in range(int(ASIDE_CAP_S) + 2):
        failures.version(now_s + waited)
        if one not in failures.nodes:
            return float(waited)
    raise AssertionError("for ever")


def test_it_is_longer_each_time_up_to_a_cap() -> None:
    failures, now_s, waited = Failures(), 0.0, []
    for _ in range(9):
        failures.node(A, now_s)
        waited.append(aside_s(failures, A, now_s))
        now_s += waited[-1]
    assert waited == [min(ASIDE_S * 2**times, ASIDE_CAP_S) for times in range(9)]


def test_what_was_under_way_when_it_was_set_aside_counts_once() -> None:
    failures = Failures()
    for _ in range(50):
        failures.node(A, 1.0)
    assert aside_s(failures, A, 1.0) == ASIDE_S


def test_who_works_again_is_forgiven_bit_by_bit() -> None:
    failures, now_s = Failures(), 0.0
    for _ in range(5):
        failures.node(A, now_s)
        now_s += aside_s(failures, A, now_s)
    failures.worked(ROUTE, now_s)
    failures.node(A, now_s)
    assert aside_s(failures, A, now_s) == ASIDE_S * 2**2, "half of five, and one"
    failures.worked(ROUTE, now_s)
    assert A not in failures.nodes, "a circuit stands over it: it is used at once"
    failures.worked(ROUTE, now_s)
    failures.node(A, now_s)
    assert aside_s(failures, A, now_s) == ASIDE_S


def test_time_forgives_too() -> None:
    failures, now_s = Failures(), 0.0
    for _ in range(4):
        failures.node(A, now_s)
        now_s += aside_s(failures, A, now_s)
    failures.node(A, now_s + 3 * FORGIVEN_S)
    assert aside_s(failures, A, now_s + 3 * FORGIVEN_S) == ASIDE_S * 2


def test_lanes_are_set_aside_by_themselves() -> None:
    failures = Failures()
    before = failures.version(0.0)
    failures.lane(A, B, 0.0)
    assert (failures.nodes, failures.lanes) == (frozenset(), {(A, B)})
    changed = failures.version(0.0)
    assert changed != before
    assert failures.version(ASIDE_S - 1) == changed
    assert failures.version(ASIDE_S) != changed
    assert not failures.lanes
    failures.lane(A, B, ASIDE_S)
    failures.worked(ROUTE, ASIDE_S)
    assert not failures.lanes


def test_memory_is_bounded() -> None:
    failures = Failures()
    for number in range(FAILURES_CAP + 10):
        failures.node(number.to_bytes(32, "big"), 0.0)
    assert len(failures.nodes) == FAILURES_CAP
