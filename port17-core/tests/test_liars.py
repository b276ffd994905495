"""What lying about lanes and load wins, on simulated networks: no more than docs/measuring.md derives."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from types import MappingProxyType

import pytest

from port17.navigator import walks
from port17.navigator.chart import Chart, ChartNode, Fingerprint, Lane
from port17.navigator.compiled import Compiled
from port17.navigator.cost import USUAL_CAPACITY
from port17.navigator.policy import Request, SecurityLevel
from port17.navigator.ranking import LEAST_NEAR, Ranking
from port17.navigator.route import Survey
from port17.navigator.simulated import HOSTILE_MARK, Hostile, simulated_chart
from port17.plugins.loader import Registry
from port17.records.bottle import CAPACITY_CAP, LANES_CAP

NODES = 600
CLIENTS = 6
SHARES = (0.05, 0.3)
HOST = "198.51.100.7"


@cache
def honest(share: float) -> Chart:
    """A network in which some nodes are an attacker's, who does as everybody does and says whose they are to
    nobody."""
    return simulated_chart(NODES, seed=3, hostile=Hostile(share))


def his(chart: Chart) -> frozenset[Fingerprint]:
    return frozenset(node.fingerprint for node in chart if HOSTILE_MARK in node.marks)


def lying(chart: Chart) -> Chart:
    """What he makes of it by lying as well as can be.

    Lanes among his nodes take no time and carry everything. Of lanes with others the worse word counts, so
    that silence is all he can choose there: where little is measured he says nothing. His nodes are idle.
    """
    ours = his(chart)

    def told(node: ChartNode, peer: Fingerprint, lane: Lane) -> Lane:
        if node.fingerprint in ours and peer in ours:
            return Lane(1, CAPACITY_CAP)
        if (node.fingerprint in ours or peer in ours) and lane.capacity < USUAL_CAPACITY:
            return Lane(lane.latency_us, 0)
        return lane

    return Chart(
        replace(
            node,
            lanes=MappingProxyType({peer: told(node, peer, lane) for peer, lane in node.lanes.items()}),
            load=0 if node.fingerprint in ours else node.load,
        )
        for node in chart
    )


def inventing(chart: Chart) -> Chart:
    """The same, and between his nodes there are as many lanes as bottles can name."""
    ours, rng = sorted(his(chart)), random.Random(4)
    lanes = {one: dict(chart.nodes[one].lanes) for one in ours}
    for one in ours:
        for other in rng.sample(ours, len(ours)):
            if other != one and max(len(lanes[one]), len(lanes[other])) < LANES_CAP:
                lanes[one][other] = lanes[other][one] = Lane(1, CAPACITY_CAP)
    return Chart(
        replace(node, lanes=MappingProxyType(lanes.get(node.fingerprint, dict(node.lanes)))) for node in chart
    )


@dataclass
class Drawn:
    """Of one client's routes, those that have somebody in a place.

    :param fair: their share of all that it may use.
    :param drawn: how likely one of them is drawn.
    :param routes: how many it may use.
    """

    fair: float
    drawn: float
    routes: int


Where = Callable[[tuple[ChartNode, ...]], bool]


def clients(chart: Chart, level: SecurityLevel, count: int = CLIENTS) -> Iterator[tuple[Survey, Ranking]]:
    """Clients with three honest guards each, and what routes they have to one place."""
    policies = Registry().policies([], {}, placed=True)
    compiled, rng, ours = Compiled(policies), random.Random(5), his(chart)
    entries = [node.fingerprint for node in chart if node.addresses and node.fingerprint not in ours]
    for _ in range(count):
        survey = Survey(chart, policies, entries=rng.sample(entries, 3), compiled=compiled)
        yield survey, survey.rank(Request(HOST, 443, level=level))


def drawn(ranking: Ranking, where: Where) -> Drawn:
    hits = [where(scored.route.nodes) for scored in ranking.scored]
    chances = [chance for chance, hit in zip(ranking.weights, hits, strict=False) if hit]
    by_entry: dict[ChartNode, list[bool]] = {}
    for scored, hit in zip(ranking.scored, hits, strict=True):
        by_entry.setdefault(scored.route.entry, []).append(hit)
    fair = fmean(fmean(one) for one in by_entry.values())  # each entry has the same chance
    return Drawn(fair, sum(chances) / sum(ranking.weights), len(hits))


def at_the_exit(ours: frozenset[Fingerprint]) -> Where:
    return lambda nodes: nodes[-1].fingerprint in ours


def in_the_middle(ours: frozenset[Fingerprint]) -> Where:
    return lambda nodes: any(node.fingerprint in ours for node in nodes[1:-1])


def anywhere(ours: frozenset[Fingerprint]) -> Where:
    return lambda nodes: any(node.fingerprint in ours for node in nodes)


PLACES = (at_the_exit, in_the_middle, anywhere)


@pytest.mark.parametrize("level", ["fast", "normal"])
@pytest.mark.parametrize("share", SHARES)
def test_lies_about_what_lanes_are_like_win_no_more_than_the_spread_allows(
    share: float, level: SecurityLevel
) -> None:
    chart = honest(share)
    ours = his(chart)
    told, true = ([ranking for _, ranking in clients(one, level)] for one in (lying(chart), chart))
    ratio, part = told[0].spread.ratio, told[0].spread.share
    for place in PLACES:
        found = [drawn(ranking, place(ours)) for ranking in told]
        for one in found:
            # Among k near-best routes a are his: they get a of a + (k - a) / ratio at most, and k is what the
            # share says.
            near = max(LEAST_NEAR, one.routes * part)
            most = one.fair * one.routes
            assert one.drawn <= most / (most + max(near - most, 0) / ratio) + 1e-9
            assert one.drawn <= one.fair * ratio / part + 1e-9
        fair, lied = fmean(one.fair for one in found), fmean(one.drawn for one in found)
        assert lied <= 2.5 * fair, "what he really gets of it"
        assert lied > fmean(drawn(ranking, place(ours)).drawn for ranking in true), "else this tests nothing"
    for one_of_his in sorted(ours)[:10]:
        for ranking in told:
            alone = drawn(ranking, anywhere(frozenset([one_of_his])))
            assert alone.drawn <= alone.fair * ratio / part + 1e-9


def test_at_the_level_that_takes_all_routes_alike_lies_win_nothing() -> None:
    chart = honest(0.3)
    told, true = ([ranking for _, ranking in clients(one, "high", 3)] for one in (lying(chart), chart))
    for place in PLACES:
        lied, plain = ([drawn(ranking, place(his(chart))) for ranking in found] for found in (told, true))
        assert [one.drawn for one in lied] == pytest.approx([one.fair for one in lied])
        assert fmean(one.drawn for one in lied) == pytest.approx(fmean(one.drawn for one in plain), abs=0.05)


def test_a_node_with_lanes_that_nobody_else_sees_counts_as_one_with_twice_the_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart = inventing(honest(0.1))
    ours = his(chart)

    def got() -> float:
        return fmean(drawn(ranking, in_the_middle(ours)).drawn for _, ranking in clients(chart, "normal"))

    bounded = got()
    with monkeypatch.context() as patch:
        patch.setattr(walks, "WAYS_LEAST", 10_000)
        assert bounded < 0.85 * got()
    for survey, ranking in clients(chart, "normal", 3):
        every = next(iter(survey._every.values()))
        assert every is not None
        assert not every.is_even
        counted: Counter[bool] = Counter()
        ways: Counter[tuple[Fingerprint, ...]] = Counter()
        for scored in ranking.scored:
            nodes = scored.route.nodes
            counts = every.chance(nodes)
            counted[nodes[1].fingerprint in ours] += counts  # type: ignore[assignment]
            ways[nodes[0].fingerprint, nodes[1].fingerprint] += counts  # type: ignore[assignment]
        assert max(ways.values()) <= walks.WAYS_LEAST + 1e-9, "twice the usual is less here"
        fair = counted[True] / counted.total()
        spread = ranking.spread
        assert drawn(ranking, in_the_middle(ours)).drawn <= fair * spread.ratio / spread.share
