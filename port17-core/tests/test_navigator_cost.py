"""The cost model: more claimed never costs more, and no claim counts for less than its floor."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from port17.navigator import cost
from port17.navigator.chart import Lane
from port17.navigator.geo import Place
from port17.navigator.policy import Judgement
from port17.records.bottle import CAPACITY_CAP, LATENCY_CAP_US, LOAD_CAP

from .route_charts import dear, node, place

SOMEWHERE = ip_address("192.0.2.1")
BERLIN, NEW_YORK = (52.52, 13.405), (40.7128, -74.006)
CLAIMS = st.builds(Lane, st.integers(0, LATENCY_CAP_US), st.integers(0, CAPACITY_CAP))
APART = st.one_of(st.none(), st.floats(0, 20_016))


def test_distances_are_great_circles_between_the_closest_places() -> None:
    def point(where: tuple[float, float]) -> cost.Point:
        found = cost.point(Place(SOMEWHERE, 0, "", "", *where))
        assert found is not None
        return found

    # 6,385 km, as calculators of great circles on a sphere of mean radius say.
    assert cost.apart_km([point(BERLIN)], [point(NEW_YORK)]) == pytest.approx(6385, abs=5)
    assert cost.apart_km([point(NEW_YORK), point(BERLIN)], [point(BERLIN)]) == pytest.approx(0, abs=0.2)
    assert cost.apart_km([point((90.0, 0.0))], [point((-90.0, 0.0))]) == pytest.approx(20_015, abs=2)
    assert cost.apart_km([], [point(BERLIN)]) is None
    assert cost.distance_km([place(1, "DE")], [place(2, "US"), place(3, "FR")]) == pytest.approx(815, abs=10)
    nowhere = Place(SOMEWHERE, 3320, "DE")
    assert cost.points([nowhere]) == ()
    assert cost.distance_km([nowhere], [place(1, "DE")]) is None


@given(claim=CLAIMS, apart=APART)
def test_no_claim_is_worth_more_than_the_floor_and_none_quicker_than_light(
    claim: Lane, apart: float | None
) -> None:
    latency = cost.latency_us(claim, apart)
    assert cost.LATENCY_FLOOR_US <= latency <= cost.LATENCY_CAP_US
    assert latency >= (apart or 0.0) * cost.LIGHT_US_PER_KM
    assert cost.PIECE * 1e6 / cost.CAPACITY_MOST <= cost.piece_us(claim) <= cost.PIECE_CAP_US


MEASURED = CLAIMS.filter(lambda lane: lane.latency_us > 0 < lane.capacity)


@given(claims=st.lists(MEASURED, min_size=2, max_size=2), apart=APART)
def test_a_better_claim_never_costs_more(claims: list[Lane], apart: float | None) -> None:
    slower, quicker = sorted(claims, key=lambda lane: -lane.latency_us)
    assert cost.latency_us(quicker, apart) <= cost.latency_us(slower, apart)
    narrow, wide = sorted(claims, key=lambda lane: lane.capacity)
    assert cost.piece_us(wide) <= cost.piece_us(narrow)


def test_what_nobody_measured_is_taken_for_worse_than_usual() -> None:
    assert cost.latency_us(Lane(), None) == cost.USUAL_LANE_US
    assert cost.latency_us(Lane(), 1_000.0) == 25_000.0
    assert cost.latency_us(Lane(16_000), 1_000.0) < cost.latency_us(Lane(), 1_000.0)
    assert cost.latency_us(Lane(1), 1_000.0) == 10_000.0, "by light"
    assert cost.piece_us(Lane()) == cost.piece_us(Lane(0, cost.USUAL_CAPACITY))
    assert cost.entry_us(None) == cost.USUAL_ENTRY_US
    assert cost.entry_us(1.0) == cost.LATENCY_FLOOR_US
    assert cost.entry_us(1e12) == cost.LATENCY_CAP_US


def test_load_waits_as_in_a_queue_and_has_an_end() -> None:
    waits = [cost.waiting_us(node(1, load=load)) for load in (0, 500, 800, 900, LOAD_CAP, 10**9, -5)]
    assert waits == pytest.approx([0, 10_000, 40_000, 90_000, 90_000, 90_000, 0])


def test_policies_are_told_apart_and_count_up_to_their_cap() -> None:
    two = Judgement((), 3e6, (("a", 1e6), ("b", 2e6)))
    assert cost.charged_us(two) == cost.POLICY_CAP_US
    parts = cost.charges("n1 as exit", two)
    assert [part.what for part in parts] == ["n1 as exit: a", "n1 as exit: b"]
    assert [part.us for part in parts] == pytest.approx([1e6 / 3, 2e6 / 3])
    assert cost.charges("x", dear(0.0)) == []
