"""Measures of routes: what is said of them is what comes of counting them one by one."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import NoRoute, UsageError
from port17.navigator.chart import Chart, ChartNode, Fingerprint
from port17.navigator.compiled import Compiled
from port17.navigator.destinations import usual_destinations
from port17.navigator.evenness import entropy, gini, min_entropy, percentile
from port17.navigator.measure import Trial, measure
from port17.navigator.policy import LEVELS, Policies, Request
from port17.navigator.route import Survey
from port17.navigator.simulated import HOSTILE_MARK, Hostile, simulated_chart
from port17.navigator.tally import KINDS, Tally, labels_of
from port17.plugins.loader import Registry

HTTPS = Request("example.com", 443)


@pytest.fixture(scope="module")
def usual() -> Policies:
    """What is always on, and nothing else."""
    return Registry().policies([], {})


def hostile_of(chart: Chart) -> frozenset[Fingerprint]:
    return frozenset(node.fingerprint for node in chart if HOSTILE_MARK in node.marks)


def test_entropies() -> None:
    assert entropy([1] * 8) == pytest.approx(3)
    assert min_entropy([1] * 8) == pytest.approx(3)
    assert entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5)
    assert min_entropy([2, 1, 1]) == pytest.approx(1)
    assert entropy([]) == min_entropy([]) == entropy([7]) == 0


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=50))
def test_entropies_are_bounded(weights: list[float]) -> None:
    assert -1e-9 <= min_entropy(weights) <= entropy(weights) + 1e-9 <= math.log2(len(weights)) + 2e-9


def test_gini() -> None:
    assert gini([1, 1, 1, 1]) == pytest.approx(0)
    assert gini([0, 0, 0, 1]) == pytest.approx(0.75)
    assert gini([1, 2, 3, 4]) == pytest.approx(0.25)
    assert gini([]) == gini([0, 0]) == 0


def test_percentiles() -> None:
    assert percentile({1: 1.0, 5: 1.0, 9: 2.0}, 0.5) == 5
    assert percentile({1: 1.0, 5: 1.0, 9: 2.0}, 0.95) == 9
    assert percentile({}, 0.5) == 0


def test_it_is_what_drawing_many_routes_shows(usual: Policies) -> None:
    chart = simulated_chart(120, seed=1, hostile=Hostile(0.3))
    bad = hostile_of(chart)
    trial = Trial((HTTPS, Request("example.org", 80)), clients=3)
    found = measure(chart, usual, trial, {"bad": bad})

    drawn = _draws(chart, usual, trial, 1500)
    total = sum(drawn.values())
    both = sum(
        n for nodes, n in drawn.items() if nodes[0].fingerprint in bad and nodes[-1].fingerprint in bad
    )
    whole = sum(n for nodes, n in drawn.items() if all(node.fingerprint in bad for node in nodes))
    (seen,) = found.coalitions
    assert seen.both == pytest.approx(both / total, abs=0.02)
    assert seen.whole == pytest.approx(whole / total, abs=0.02)
    for kind, common in zip(KINDS, found.common, strict=True):
        same = sum(n for nodes, n in drawn.items() if labels_of(nodes[0], kind) & labels_of(nodes[-1], kind))
        assert common.both == pytest.approx(same / total, abs=0.02), kind
    exits: Counter[ChartNode] = Counter()
    for nodes, n in drawn.items():
        exits[nodes[-1]] += n
    assert found.positions["exit"].entropy == pytest.approx(entropy(exits.values()), abs=0.15)
    assert found.positions["exit"].nodes >= len(exits)
    assert sum(found.serving["middle"].values()) == pytest.approx(1)
    assert sum(found.flows.values()) == pytest.approx(2)
    assert found.hops == pytest.approx(3)


def _draws(chart: Chart, policies: Policies, trial: Trial, each: int) -> Counter[tuple[ChartNode, ...]]:
    """Routes as clients with the same guards would draw them."""
    from port17.navigator.measure import guards_of

    compiled = Compiled(policies)
    drawn: Counter[tuple[ChartNode, ...]] = Counter()
    for client in range(trial.clients):
        guards = guards_of(chart, compiled, trial, random.Random(f"{trial.seed} client {client}"))
        survey = Survey(chart, policies, entries=guards, compiled=compiled)
        rng = random.Random(client)
        for request in trial.requests:
            drawn.update(survey.draw(request, rng).nodes for _ in range(each))
    return drawn


def test_equal_seeds_measure_the_same_and_others_another_thing(usual: Policies) -> None:
    chart = simulated_chart(150, seed=2)
    requests = usual_destinations(3)
    one, again, other = (measure(chart, usual, Trial(requests, 5, seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_rules_keep_those_apart_that_are_one(usual: Policies) -> None:
    chart = simulated_chart(300, seed=3)
    with_rules = measure(chart, usual, Trial(usual_destinations(3), 20))
    without = measure(
        chart, Registry(blocked=["diversity"]).policies([], {}), Trial(usual_destinations(3), 20)
    )
    for kind, kept, free in zip(KINDS, with_rules.common, without.common, strict=True):
        if kind in ("group", "as", "prefix"):
            assert kept.both == 0
            assert free.both > 0
            assert free.both >= free.whole >= free.worst[0].whole
            assert free.worst[0].both == max(sight.both for sight in free.worst)


@pytest.mark.parametrize("level", LEVELS)
def test_levels_trade_speed_for_spread(level: str, usual: Policies) -> None:
    chart = simulated_chart(150, seed=4)
    found = measure(chart, usual, Trial(usual_destinations(2, level=level), 4))  # type: ignore[arg-type]
    if level == "high":
        assert found.hops == pytest.approx(4)
        assert found.common[3].both == 0, "no two of one country"
    else:
        assert found.hops == pytest.approx(3)
        spread = measure(chart, usual, Trial(usual_destinations(2, level="high"), 4))
        assert found.round_trip_ms[0] < spread.round_trip_ms[0]
        assert found.positions["middle"].entropy < spread.positions["middle"].entropy


def test_connections_without_a_route_are_counted_and_none_with_one_is_an_error(usual: Policies) -> None:
    chart = simulated_chart(100, seed=5)
    plain = Request("example.com", 23)
    trusted = Chart([node for node in chart if not node.plain_text or node.exit is None])
    found = measure(trusted, usual, Trial((HTTPS, plain), 4))
    assert found.refused == pytest.approx(0.5)
    assert found.connections == 8
    with pytest.raises(NoRoute, match="port 23"):
        measure(trusted, usual, Trial((plain,), 4))
    with pytest.raises(NoRoute):
        measure(Chart([]), usual, Trial((HTTPS,), 1))


@pytest.mark.parametrize("trial", [Trial((), 5), Trial((HTTPS,), 0), Trial((HTTPS,), 100_001)])
def test_nothing_to_judge_by(trial: Trial, usual: Policies) -> None:
    with pytest.raises(UsageError, match="Nothing to judge by"):
        measure(simulated_chart(10), usual, trial)


def test_labels_are_of_all_addresses() -> None:
    node = next(one for one in simulated_chart(30, seed=6) if one.places)
    place = node.places[0]
    assert labels_of(node, "as") == {f"AS{place.asn}"}
    assert labels_of(node, "country") == {place.country}
    (prefix,) = labels_of(node, "prefix")
    assert str(place.ip).split(".")[:2] == prefix.split(".")[:2]


def test_an_empty_tally_says_nothing() -> None:
    found = Tally(simulated_chart(5), {}).measures()
    assert found.connections == 0
    assert found.gini == 0


@settings(max_examples=20)
@given(count=st.integers(0, 50), seed=st.integers(0, 1000))
def test_destinations_are_the_same_whatever_their_number(count: int, seed: int) -> None:
    assert usual_destinations(count, seed=seed) == usual_destinations(60, seed=seed)[:count]


# -- a third of the network is hostile -----------------------------------------------------------------
# What a rule can do that does not know who is hostile: docs/judging.md derives it. Of a thousand nodes
# 300 are the attacker's, whichever: two different nodes are both his with 300 x 299 / (1000 x 999), whoever
# chooses them, and however.
NODES, BAD = 1000, 300
BEST = BAD * (BAD - 1) / (NODES * (NODES - 1))
WITHIN = 1.2
"""So many times the best is allowed."""
TRIES = 12
"""Ways in which the attacker's nodes may lie among the others: one way is good or bad luck."""


def test_nobody_in_a_declared_group_has_both_ends(usual: Policies) -> None:
    chart = simulated_chart(NODES, seed=11, hostile=Hostile(BAD / NODES, "bad"))
    found = measure(chart, usual, Trial(usual_destinations(4), 30), {"bad": hostile_of(chart)})
    (bad,) = found.coalitions
    assert bad.nodes == BAD
    assert bad.entry > 0.1
    assert (bad.both, bad.whole, bad.clients) == (0, 0, 0)


def test_nobody_who_rents_of_one_provider_has_both_ends(usual: Policies) -> None:
    chart = simulated_chart(NODES, seed=12, hostile=Hostile(BAD / NODES, systems=1))
    found = measure(chart, usual, Trial(usual_destinations(4), 30), {"bad": hostile_of(chart)})
    assert (found.coalitions[0].both, found.coalitions[0].whole) == (0, 0)


def test_an_undeclared_group_has_both_ends_as_often_as_chance_gives(usual: Policies) -> None:
    # Nobody can tell his nodes from others, so routes are the same wherever they lie.
    chart = simulated_chart(NODES, seed=13)
    everybody = sorted(chart.nodes)
    rng = random.Random(13)
    coalitions = {str(index): rng.sample(everybody, BAD) for index in range(TRIES)}
    found = measure(chart, usual, Trial(usual_destinations(4), 100), coalitions)
    both = [one.both for one in found.coalitions]
    assert BEST / WITHIN <= sum(both) / TRIES <= BEST * WITHIN
    assert max(both) <= 2 * BEST, "not even with luck"
    whole = sum(one.whole for one in found.coalitions) / TRIES
    assert whole <= WITHIN * BEST * (BAD - 2) / (NODES - 2)
