"""The search against a plain one over everything: the same routes, the same costs, and none where there is
none; and what is drawn is never but one of the near-best."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from port17.errors import NoRoute
from port17.navigator import compiled as compiling
from port17.navigator import route as routes
from port17.navigator.chart import Chart, Fingerprint, Lane
from port17.navigator.compiled import Compiled
from port17.navigator.policy import Request, Route, Spread
from port17.navigator.ranking import TIE_US, Ranking, near_best, weigh
from port17.navigator.route import Survey
from port17.navigator.walks import Admits, sample

from .route_charts import (
    HTTPS,
    LANES,
    OPEN,
    OPINIONS,
    Opinion,
    brute,
    chart,
    charts,
    fingerprint,
    names,
    node,
    nodes_by_chance,
)

REQUESTS = st.sampled_from(
    [HTTPS, Request("example.com", 80), Request("example.com", 22), Request("192.0.2.9", 443, level="high")]
)
ENTRIES = st.one_of(st.none(), st.sets(st.integers(1, 7).map(fingerprint), min_size=1, max_size=3))
FAILED = st.sets(st.integers(1, 7).map(fingerprint), max_size=1)
FAILED_LANES = st.lists(st.tuples(*[st.integers(1, 7).map(fingerprint)] * 2), max_size=2)


def told(ranking: Ranking) -> dict[tuple[str, ...], float]:
    return {names(one.route.nodes): one.cost_us for one in ranking.scored}


def drawn(survey: Survey, request: Request, seed: int) -> Route | None:
    try:
        return survey.draw(request, random.Random(seed))
    except NoRoute:
        return None


@settings(max_examples=120, deadline=None)
@given(
    one=charts(),
    opinion=OPINIONS,
    request=REQUESTS,
    entries=ENTRIES,
    avoid=FAILED,
    avoid_lanes=FAILED_LANES,
    hops=st.sampled_from([3, 3, 4]),
)
def test_all_routes_that_may_be_used_are_found_at_their_cost_and_the_near_best_drawn(
    one: Chart,
    opinion: Opinion,
    request: Request,
    entries: Collection[Fingerprint] | None,
    avoid: Collection[Fingerprint],
    avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]],
    hops: int,
) -> None:
    measured = {fingerprint(1): 7_000.0, fingerprint(2): 1.0}
    expected = brute(
        one,
        opinion,
        request,
        hops=hops,
        entries=entries,
        avoid=avoid,
        avoid_lanes=avoid_lanes,
        entry_us=measured,
    )

    def survey() -> Survey:
        return Survey(
            one,
            opinion,
            hops=hops,
            entries=entries,
            avoid=avoid,
            avoid_lanes=avoid_lanes,
            entry_us=measured,
        )

    whole = survey()
    ranking = whole.rank(request)
    assert told(ranking) == pytest.approx(expected)
    assert ranking.exact
    unvetoed = brute(
        one,
        replace(opinion, vetoed=()),
        request,
        hops=hops,
        entries=entries,
        avoid=avoid,
        avoid_lanes=avoid_lanes,
        entry_us=measured,
    )
    near = near_of_each_entry(expected, unvetoed, opinion.spread, apart=entries is not None)
    assert {names(scored.route.nodes) for scored in ranking.scored[: ranking.near]} == near
    assert_weights(ranking, apart=entries is not None)

    for seed in range(4):
        route = drawn(survey(), request, seed)
        again = drawn(whole, request, seed)
        assert (route is None) == (again is None) == (not expected)
        if route is not None and again is not None:
            assert route.nodes == again.nodes, "equal seeds, equal routes, whatever was drawn before"
            assert names(route.nodes) in near
    for scored in ranking.scored:
        may = opinion.spread.share == 1.0 or names(scored.route.nodes) in near
        assert whole.suits(scored.route, request) == may


def near_of_each_entry(
    routes_: dict[tuple[str, ...], float],
    unvetoed: dict[tuple[str, ...], float],
    spread: Spread,
    *,
    apart: bool,
) -> set[tuple[str, ...]]:
    """Of each entry's routes the cheapest, as many as the spread says, and whatever costs as much.

    :param apart: entries are given; otherwise all routes are looked at together.
    """
    found = set()
    for entry in {route[0] for route in routes_} if apart else {""}:
        of_entry = {route: us for route, us in routes_.items() if entry in ("", route[0])}
        count = near_best(sum(entry in ("", route[0]) for route in unvetoed), spread)
        costs = sorted(of_entry.values())
        found |= {route for route, us in of_entry.items() if us <= costs[: max(1, count)][-1] + TIE_US}
    return found


def assert_weights(ranking: Ranking, *, apart: bool) -> None:
    near = ranking.scored[: ranking.near]
    assert len(ranking.weights) == len(near)
    assert all(a.cost_us <= b.cost_us + 1e-6 for a, b in pairwise(near))
    for entry in {scored.route.entry for scored in near}:
        weights = [
            weight
            for weight, scored in zip(ranking.weights, near, strict=True)
            if not apart or scored.route.entry is entry
        ]
        assert sum(weights) == pytest.approx(1.0), "each entry has the same chance"
        assert all(a >= b for a, b in pairwise(weights))
        assert weights[0] <= weights[-1] * ranking.spread.ratio * (1 + 1e-9)


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    one=charts(),
    opinion=OPINIONS,
    request=REQUESTS,
    entries=ENTRIES,
    avoid=FAILED,
    tries=st.sampled_from([0, 1, 50]),
    seed=st.integers(0, 9),
)
def test_where_not_all_are_looked_at_a_route_is_found_exactly_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
    one: Chart,
    opinion: Opinion,
    request: Request,
    entries: Collection[Fingerprint] | None,
    avoid: Collection[Fingerprint],
    tries: int,
    seed: int,
) -> None:
    monkeypatch.setattr(routes, "EVERY_CAP", 0)
    monkeypatch.setattr(routes, "TRIES", tries)
    expected = brute(one, opinion, request, entries=entries, avoid=avoid)
    survey = Survey(one, opinion, entries=entries, avoid=avoid)
    route = drawn(survey, request, seed)
    assert (route is None) == (not expected)
    if route is not None:
        assert names(route.nodes) in expected
        again = drawn(Survey(one, opinion, entries=entries, avoid=avoid), request, seed)
        assert again is not None
        assert again.nodes == route.nodes
        assert survey.allows(route, request)
    ranking = survey.rank(request)
    assert told(ranking) == pytest.approx({route: expected[route] for route in told(ranking)})
    if ranking.exact and opinion.spread.share == 1.0:
        assert len(ranking.scored) == len(expected)


@settings(max_examples=50, deadline=None)
@given(one=charts(), opinion=OPINIONS, request=REQUESTS, data=st.data())
def test_what_was_known_of_an_older_chart_changes_nothing(
    one: Chart, opinion: Opinion, request: Request, data: st.DataObject
) -> None:
    compiled = Compiled(opinion)
    for _ in range(3):
        kept = Survey(one, opinion, compiled=compiled)
        fresh = Survey(one, opinion)
        assert told(kept.rank(request)) == told(fresh.rank(request))
        first, second = drawn(kept, request, 1), drawn(fresh, request, 1)
        assert (first and first.nodes) == (second and second.nodes)
        one = data.draw(changed(one))


@st.composite
def changed(draw: st.DrawFn, one: Chart) -> Chart:
    """The next version: some nodes gone, come or changed, some lanes too; the others are the same objects."""
    nodes = dict(one.nodes)
    for index in draw(st.sets(st.integers(1, 7), max_size=2)):
        key = fingerprint(index)
        if key in nodes and draw(st.booleans()):
            del nodes[key]
        else:
            lanes = nodes[key].lanes if key in nodes else {}
            nodes[key] = replace(draw(nodes_by_chance(index)), lanes=lanes)
    for a, b in draw(st.lists(st.tuples(*[st.sampled_from(sorted(nodes))] * 2), max_size=2)) if nodes else ():
        if a != b:
            lane = draw(st.one_of(st.none(), LANES))
            for here, there in ((a, b), (b, a)):
                others = {peer: old for peer, old in nodes[here].lanes.items() if peer != there}
                joined = others if lane is None else {**others, there: lane}
                nodes[here] = replace(nodes[here], lanes=MappingProxyType(joined))
    return Chart(nodes.values())


def test_nodes_and_lanes_that_are_the_same_are_asked_about_once() -> None:
    opinion = Opinion()
    one = chart([node(index) for index in range(1, 6)])
    compiled = Compiled(opinion)
    compiled.compile(one)
    for seed in range(3):
        Survey(one, opinion, compiled=compiled).draw(HTTPS, random.Random(seed))
    assert len(opinion.asked) == 5 + 20, "all nodes, and all lanes both ways"
    assert {opinion.asked[f"n{index}"] for index in range(1, 6)} == {3}, "once per position"
    assert {count for what, count in opinion.asked.items() if " " in what} == {1}

    before = dict(opinion.asked)
    busy = replace(one.nodes[fingerprint(5)], load=500)
    later = Chart([*list(one)[:-1], busy])
    Survey(later, opinion, compiled=compiled).draw(HTTPS, random.Random(1))
    again = {what for what, count in opinion.asked.items() if count > before[what] and " " not in what}
    assert again == {"n5"}


def test_what_is_no_longer_on_the_chart_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "KEPT_LEAST", 8)
    opinion = Opinion()
    compiled = Compiled(opinion)
    for _ in range(20):
        one = chart([node(index) for index in range(1, 5)])
        Survey(one, compiled=compiled).draw(HTTPS, random.Random(1))
        assert all(len(kept) <= 12 for kept in compiled._standings.values())
        assert all(len(kept) <= 12 for kept in compiled._onward.values())


def test_in_a_sample_each_route_has_the_same_chance_though_some_are_easier_to_meet() -> None:
    # Behind n2 there is one way on, behind n3 are four: met by chance n1 n2 n4 is met four times as often.
    nodes = [node(index, exit=None) for index in (1, 2, 3)] + [node(index) for index in range(4, 9)]
    pairs = [(1, 2), (1, 3), (2, 4), *((3, index) for index in range(5, 9))]
    one = chart(nodes, pairs)
    compiled = Compiled(Opinion())
    survey = Survey(one, compiled=compiled, entries=[fingerprint(1)])
    ground = survey._ground("normal", 3)
    met: Counter[tuple[str, ...]] = Counter()
    rng = random.Random(5)
    for _ in range(1500):
        met.update(names(walk) for _, walk in sample(ground, Admits(ground, HTTPS), rng, 4))
    assert len(met) == 5
    assert max(met.values()) < 1.6 * min(met.values())


def test_rare_exits_are_found_and_drawn_alike() -> None:
    """One exit of 250 nodes, four hops away from everybody: hardly met by chance."""
    rng = random.Random(3)
    size = 250
    nodes = [
        node(1, fingerprint=bytes([index, 1]) * 16, name=f"n{index}", exit=OPEN if index == 7 else None)
        for index in range(size)
    ]
    claims: dict[bytes, list[tuple[bytes, int, int]]] = {one.fingerprint: [] for one in nodes}
    for index in range(size):
        for peer in rng.sample(range(size), 8):
            if peer != index:
                a, b = nodes[index].fingerprint, nodes[peer].fingerprint
                claims[a].append((b, 10_000, 0))
                claims[b].append((a, 10_000, 0))
    one = Chart.build(nodes, claims)
    opinion = Opinion(hops=4, spread=Spread(1.0, 1.0))
    survey = Survey(one, opinion, entries=[nodes[index].fingerprint for index in (100, 101, 102)])
    assert not survey.rank(HTTPS).exact, "there are too many to look at all"
    middles = {survey.draw(HTTPS, random.Random(seed)).nodes[2].name for seed in range(30)}
    assert {survey.draw(HTTPS, random.Random(seed)).exit.name for seed in range(3)} == {"n7"}
    assert len(middles) > 5, "by many ways"


@pytest.mark.parametrize(
    ("count", "share", "near"),
    [(0, 0.5, 0), (1, 0.01, 1), (8, 0.01, 8), (9, 0.01, 8), (30, 1 / 3, 10), (31, 1 / 3, 11), (31, 1.0, 31)],
)
def test_how_many_are_near_best(count: int, share: float, near: int) -> None:
    assert near_best(count, Spread(share, 2.0)) == near


@given(st.lists(st.floats(1.0, 1e7), min_size=1, max_size=30), st.sampled_from([1.0, 2.0, 4.0, 1000.0]))
def test_weights_fall_with_cost_and_within_the_ratio(costs: list[float], ratio: float) -> None:
    costs.sort()
    weights = weigh(costs, Spread(1.0, ratio))
    assert weights[0] == 1.0
    assert all(a >= b for a, b in pairwise(weights))
    assert all(weight >= 1 / ratio - 1e-9 for weight in weights)
    if costs[-1] > costs[0]:
        assert math.isclose(weights[-1], 1 / ratio)


def test_what_lying_wins_is_bounded() -> None:
    """Two of twelve claim that their lanes take nothing; how often their routes are drawn is within ratio /
    share of what their number gives."""
    pairs = {(a, b) for a in range(1, 13) for b in range(a + 1, 13)}
    honest = chart([node(index) for index in range(1, 13)], pairs)
    liars = {pair: Lane(1, 1 << 40) for pair in pairs if pair[0] <= 2}
    lying = chart([node(index) for index in range(1, 13)], pairs, liars)
    spread = Spread(1 / 3, 2.0)

    def share(one: Chart) -> float:
        ranking = Survey(one, Opinion(spread=spread), entries=[fingerprint(12)]).rank(HTTPS)
        hit = [not {"n1", "n2"}.isdisjoint(names(scored.route.nodes)) for scored in ranking.scored]
        total = sum(ranking.weights)
        return sum(weight for weight, bad in zip(ranking.weights, hit, strict=False) if bad) / total

    def fair(one: Chart) -> float:
        ranking = Survey(one, Opinion(spread=Spread(1.0, 1.0)), entries=[fingerprint(12)]).rank(HTTPS)
        hit = [not {"n1", "n2"}.isdisjoint(names(scored.route.nodes)) for scored in ranking.scored]
        return sum(hit) / len(hit)

    assert share(lying) > share(honest), "it does win something, or nothing would be tested"
    assert share(lying) <= fair(lying) * spread.ratio / spread.share
