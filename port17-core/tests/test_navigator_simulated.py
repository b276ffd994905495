"""Simulated charts: like real ones, the same from equal seeds, and with an attacker where one is wanted."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import UsageError
from port17.navigator import cost
from port17.navigator.chart import Chart
from port17.navigator.simulated import (
    ENDS_CAP,
    HOSTILE_MARK,
    NODES_CAP,
    Hostile,
    distance_km,
    simulated_chart,
    unit_vector,
    usual_ends,
)
from port17.records.bottle import CAPACITY_CAP


def hostile_of(chart: Chart) -> list[str]:
    return [node.name for node in chart if HOSTILE_MARK in node.marks]


def shown(chart: Chart) -> list[object]:
    return [
        (
            node.fingerprint,
            node.name,
            node.group,
            node.addresses,
            node.exit,
            node.load,
            node.places,
            node.lanes,
        )
        for node in chart
    ]


@settings(max_examples=25, deadline=None)
@given(nodes=st.integers(0, 120), seed=st.integers(0, 5), share=st.floats(0, 1))
def test_equal_seeds_give_equal_charts_whose_lanes_both_ends_have(
    nodes: int, seed: int, share: float
) -> None:
    chart = simulated_chart(nodes, seed=seed, hostile=Hostile(share, "bad", lying=True))
    assert len(chart) == nodes
    assert shown(chart) == shown(simulated_chart(nodes, seed=seed, hostile=Hostile(share, "bad", lying=True)))
    assert [node.fingerprint for node in chart] == sorted(chart.nodes)
    for node in chart:
        assert node.fingerprint not in node.lanes
        assert list(node.lanes) == sorted(node.lanes)
        for peer, lane in node.lanes.items():
            assert chart.nodes[peer].lanes[node.fingerprint] == lane


def test_another_seed_gives_another_chart() -> None:
    assert shown(simulated_chart(50, seed=1)) != shown(simulated_chart(50, seed=2))


def test_it_is_like_a_network() -> None:
    chart = simulated_chart(2000, seed=3)
    ends = [len(node.lanes) for node in chart]
    assert sum(ends) / 2000 == pytest.approx(usual_ends(2000), abs=1)
    assert min(ends) >= 4
    assert max(ends) <= 2 * usual_ends(2000) + 1 + usual_ends(2000) // 2
    exits = [node for node in chart if node.exit is not None]
    assert 0.25 < len(exits) / 2000 < 0.35
    assert all(node.addresses for node in exits)
    assert any(node.plain_text for node in exits)
    assert not any(node.plain_text for node in chart if node.exit is None)
    assert 0.07 < sum(not node.addresses for node in chart) / 2000 < 0.13
    countries = Counter(place.country for node in chart for place in node.places)
    assert len(countries) > 25
    assert countries.most_common(1)[0][0] in {"DE", "US"}
    systems = Counter(place.asn for node in chart for place in node.places)
    assert len(systems) > 150
    assert systems.most_common(1)[0][1] > 40, "some are large"
    groups = Counter(node.group for node in chart if node.group)
    assert groups.most_common(1)[0][1] >= 5
    capacities = [lane.capacity for node in chart for lane in node.lanes.values()]
    assert 0.2 < capacities.count(0) / len(capacities) < 0.3


def test_lanes_are_no_quicker_than_light() -> None:
    chart = simulated_chart(300, seed=4, hostile=None)
    known = [
        (lane.latency_us, km)
        for node in chart
        for peer, lane in node.lanes.items()
        if (km := cost.distance_km(node.places, chart.nodes[peer].places)) is not None
    ]
    # Places are their countries'; nodes stand some hundreds of kilometres beside them.
    assert all(latency_us > (km - 2000) * cost.LIGHT_US_PER_KM for latency_us, km in known)
    far = [latency_us for latency_us, km in known if km > 8000]
    near = [latency_us for latency_us, km in known if km < 500]
    assert min(far) > 80_000
    assert sorted(near)[len(near) // 2] < 20_000


def test_a_distance_is_what_the_cost_model_takes_it_for() -> None:
    there = simulated_chart(20, seed=1)
    places = [node.places[0] for node in there if node.places][:5]
    for one in places:
        for other in places:
            assert one.latitude is not None
            assert one.longitude is not None
            assert other.latitude is not None
            assert other.longitude is not None
            ours = distance_km(
                unit_vector(one.latitude, one.longitude), unit_vector(other.latitude, other.longitude)
            )
            assert ours == pytest.approx(cost.distance_km([one], [other]), abs=1e-3)


def test_hostile_nodes_are_as_many_as_asked_and_lie_as_asked() -> None:
    quiet = simulated_chart(400, seed=5, hostile=Hostile(0.3))
    assert len(hostile_of(quiet)) == 120
    assert not [node for node in quiet if HOSTILE_MARK in node.marks and node.group]
    declared = simulated_chart(400, seed=5, hostile=Hostile(0.3, "bad"))
    assert {node.name for node in declared if node.group == "bad"} == set(hostile_of(declared))
    liars = simulated_chart(400, seed=5, hostile=Hostile(0.3, lying=True))
    bad = {node.fingerprint for node in liars if HOSTILE_MARK in node.marks}
    among = [lane for one in bad for peer, lane in liars.nodes[one].lanes.items() if peer in bad]
    assert among
    assert all((lane.latency_us, lane.capacity) == (0, CAPACITY_CAP) for lane in among)
    assert all(liars.nodes[one].load == 0 for one in bad)
    honest = [lane for one in bad for peer, lane in liars.nodes[one].lanes.items() if peer not in bad]
    assert all(lane.latency_us > 0 for lane in honest), "the other end says how it is"


def test_an_attacker_can_rent_of_few() -> None:
    chart = simulated_chart(400, seed=6, hostile=Hostile(0.2, systems=2))
    ours = {place.asn for node in chart if HOSTILE_MARK in node.marks for place in node.places}
    others = {place.asn for node in chart if HOSTILE_MARK not in node.marks for place in node.places}
    assert len(ours) == 2
    assert ours.isdisjoint(others)


def test_one_group_has_no_more_lanes_of_a_node_than_the_mesh_grants() -> None:
    chart = simulated_chart(600, seed=7, hostile=Hostile(0.5, "bad"))
    most = max(
        sum(chart.nodes[peer].group == "bad" for peer in node.lanes) for node in chart if node.group != "bad"
    )
    assert most <= -(-usual_ends(600) // 4)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(UsageError, match="there can be"):
        simulated_chart(NODES_CAP + 1)
    with pytest.raises(UsageError, match="there can be"):
        simulated_chart(10, ends=ENDS_CAP + 1)
