"""Routes: all valid ones are drawn alike, no other ever, and who finds none is told why."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LocalViolation, NoRoute
from port17.navigator.chart import Chart, ChartNode, Lane, LeftOut
from port17.navigator.policy import AGREED, Judgement, NoPolicies, Objection, Request, Route
from port17.navigator.route import HALVING_US, Survey, choose
from port17.records.exit_rules import ExitRules

HTTPS = Request("example.com", 443)
OPEN = ExitRules.parse(["accept *:*"])


def fingerprint(index: int) -> bytes:
    return bytes([index]) * 32


def node(index: int, **changes: object) -> ChartNode:
    made = ChartNode(
        fingerprint=fingerprint(index),
        node_id=f"id{index}",
        name=f"n{index}",
        group=f"g{index}",
        addresses={"tcp": (f"192.0.2.{index}:1",)},
        suites=("s",),
        exit=OPEN,
        plain_text=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def chart(nodes: Sequence[ChartNode], pairs: Sequence[tuple[int, int]] | None = None) -> Chart:
    """Joined by the pairs of indices, or each with each."""
    if pairs is None:
        pairs = [(a.fingerprint[0], b.fingerprint[0]) for a, b in permutations(nodes, 2)]
    claims: dict[bytes, list[tuple[bytes, int, int]]] = {one.fingerprint: [] for one in nodes}
    for a, b in {tuple(sorted(pair)) for pair in pairs}:
        claims[fingerprint(a)].append((fingerprint(b), 10, 5))
        claims[fingerprint(b)].append((fingerprint(a), 10, 5))
    return Chart.build(nodes, claims)


def names(route: Route) -> tuple[str, ...]:
    return tuple(one.name for one in route.nodes)


def refusal(survey: Survey, request: Request = HTTPS) -> NoRoute:
    with pytest.raises(NoRoute) as raised:
        survey.draw(request, random.Random(1))
    assert raised.value.cure
    assert "example.com" not in str(raised.value)
    return raised.value


def valid(one: Chart, hops: int) -> set[tuple[str, ...]]:
    """All routes, the slow way."""
    return {
        tuple(each.name for each in nodes)
        for nodes in permutations(one, hops)
        if nodes[0].addresses
        and nodes[-1].addresses
        and nodes[-1].exit is not None
        and nodes[-1].exit.allows(HTTPS.host, HTTPS.port)
        and len({each.group or each.name for each in nodes}) == hops
        and all(b.fingerprint in a.lanes for a, b in pairwise(nodes))
    }


class Opinion(NoPolicies):
    """Policies that a test says in a line."""

    def __init__(
        self,
        node: dict[str, str] | None = None,
        lane: dict[tuple[str, str], Judgement] | None = None,
        exit: dict[str, Judgement] | None = None,  # noqa: A002
        veto: str = "",
    ) -> None:
        self._node, self._lane, self._exit, self._veto = node or {}, lane or {}, exit or {}, veto

    def judge_node(self, node: ChartNode) -> Judgement:
        return no("eu-only", self._node[node.name]) if node.name in self._node else AGREED

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        return self._lane.get((source.name, target.name), AGREED)

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        return self._exit.get(node.name, AGREED)

    def judge_route(self, route: Route, request: Request) -> Judgement:
        return no("vetoer", "never") if self._veto in names(route) else AGREED


def no(by: str, reason: str) -> Judgement:
    return Judgement((Objection(by, reason),))


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20),
    st.sets(st.integers(0, 9), max_size=4),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_where_routes_begin_may_be_given_and_changes_nothing_else(
    pairs: list[tuple[int, int]], entries: set[int], hops: int
) -> None:
    one = chart([node(index) for index in range(8)], [(a, b) for a, b in pairs if a != b])
    survey = Survey(one, None, hops, entries={fingerprint(entry) for entry in entries})
    wanted = {route for route in valid(one, hops) if int(route[0][1:]) in entries}
    rng, drawn = random.Random(2), set()
    if not wanted:
        refusal(survey)
        return
    for _ in range(40):
        drawn.add(names(survey.draw(HTTPS, rng)))
    assert drawn <= wanted
    if len(wanted) <= 3:
        assert drawn == wanted


def test_a_lane_counts_if_both_ends_claim_it_and_with_the_worse_claim() -> None:
    one = Chart.build(
        [node(1), node(2), node(3)],
        {
            fingerprint(1): [(fingerprint(2), 10, 100), (fingerprint(3), 1, 1), (fingerprint(1), 1, 1)],
            fingerprint(2): [(fingerprint(1), 30, 50), (fingerprint(9), 1, 1)],
            fingerprint(3): [],
        },
    )
    lanes = {each.name: dict(each.lanes) for each in one}
    assert lanes == {
        "n1": {fingerprint(2): Lane(30, 50)},
        "n2": {fingerprint(1): Lane(30, 50)},
        "n3": {},
    }
    found = one.find("n2")
    assert found is not None
    assert one.find("id2") is found
    assert one.find("n9") is None


def test_every_valid_route_has_the_same_chance() -> None:
    """Nodes of unlike degree; a walk that goes on from node to neighbour at random would favour some."""
    one = chart([node(i) for i in range(1, 7)], [(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (4, 6), (1, 4)])
    expected = valid(one, 3)
    survey, rng = Survey(one), random.Random(7)
    draws = 200 * len(expected)
    counts = Counter(names(survey.draw(HTTPS, rng)) for _ in range(draws))
    assert set(counts) == expected
    chi_square = sum((counts[route] - 200) ** 2 / 200 for route in expected)
    # The mean is n - 1, its deviation sqrt(2(n - 1)): five of these above would be one run in a million.
    freedom = len(expected) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


@given(
    st.lists(
        st.tuples(st.integers(1, 7), st.integers(1, 7)).filter(lambda pair: pair[0] != pair[1]), max_size=21
    ),
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.sampled_from(["", "a", "b"])), min_size=7, max_size=7
    ),
    st.integers(1, 5),
    st.integers(0, 2**32),
)
def test_a_route_is_found_exactly_if_there_is_one(
    pairs: list[tuple[int, int]], kinds: list[tuple[bool, bool, str]], hops: int, seed: int
) -> None:
    nodes = [
        node(index, addresses={"tcp": ("a",)} if dialled else {}, exit=OPEN if leaves else None, group=group)
        for index, (dialled, leaves, group) in enumerate(kinds, 1)
    ]
    one = chart(nodes, pairs)
    expected = valid(one, hops)
    survey = Survey(one, hops=hops)
    if expected:
        assert names(survey.draw(HTTPS, random.Random(seed))) in expected
    else:
        refusal(survey)


def test_the_same_seed_draws_the_same_route() -> None:
    one = chart([node(i) for i in range(1, 10)])
    assert choose(one, HTTPS, None, random.Random(5)) == choose(one, HTTPS, None, random.Random(5))
    assert choose(one, HTTPS, None, random.SystemRandom()).entry.addresses


def test_cost_halves_the_chance() -> None:
    one = chart([node(i) for i in range(1, 5)])
    dear = Judgement(cost_us=2 * HALVING_US)
    rng = random.Random(3)
    survey = Survey(one, Opinion(exit={"n1": dear}))
    counts = Counter(survey.draw(HTTPS, rng).exit.name for _ in range(6500))
    assert 400 < counts["n1"] < 600, "a quarter of each other exit's 2000"
    survey = Survey(one, Opinion(lane={("n1", "n2"): dear, ("n2", "n1"): dear}))
    uphill = sum("n1n2" in "".join(names(survey.draw(HTTPS, rng))) for _ in range(3000))
    # 4 of 24 routes go from n1 to n2 and as many back, each with a quarter of the chance: 1 in 18.
    assert 110 < uphill < 230


def test_a_cost_without_measure_makes_rare_but_not_impossible() -> None:
    one = chart([node(1), node(2), node(3)])
    only = Opinion(lane={(f"n{a}", f"n{b}"): Judgement(cost_us=1e300) for a, b in permutations((1, 2, 3), 2)})
    assert len(Survey(one, only).draw(HTTPS, random.Random(1)).nodes) == 3


def test_policies_are_obeyed_and_named_when_nothing_is_left() -> None:
    one = chart([node(i) for i in range(1, 5)])
    survey = Survey(one, Opinion(node={"n1": "not in the EU"}))
    assert all("n1" not in names(survey.draw(HTTPS, random.Random(seed))) for seed in range(60))
    assert [(gone.subject, gone.by, gone.reason) for gone in survey.removed] == [
        ("n1", "eu-only", "not in the EU")
    ]
    error = refusal(Survey(one, Opinion(node={"n1": "not in the EU", "n3": "not in the EU"})))
    assert "2 of 4 nodes can be used; n1, n3: not in the EU (policy eu-only)" in error.message
    assert "eu-only" in error.cure

    no_exit = Opinion(exit={f"n{i}": no("near", "too far") for i in range(1, 5)})
    error = refusal(Survey(one, no_exit))
    assert "n1, n2, n3, n4: too far (policy near)" in error.message
    assert "near" in error.cure


def test_a_lane_is_removed_in_one_direction() -> None:
    one = chart([node(1), node(2, exit=None), node(3)], [(1, 2), (2, 3)])
    survey = Survey(one, Opinion(lane={("n1", "n2"): no("oneway", "uphill")}))
    assert {names(survey.draw(HTTPS, random.Random(seed))) for seed in range(20)} == {("n3", "n2", "n1")}
    both = Opinion(lane={("n1", "n2"): no("oneway", "uphill"), ("n3", "n2"): no("oneway", "uphill")})
    error = refusal(Survey(one, both))
    assert "lane n1 to n2, lane n3 to n2: uphill (policy oneway)" in error.message


def test_a_vetoed_route_is_drawn_again_even_if_nearly_all_are() -> None:
    """Only routes through a node that one lane in hundreds leads to are agreed to."""
    nodes = [node(i) for i in range(1, 40)]
    one = chart(nodes)
    survey = Survey(one, _OnlyOne())
    assert names(survey.draw(HTTPS, random.Random(2))) == ("n1", "n2", "n3")
    every = Survey(chart([node(i) for i in range(1, 5)]), _Never())
    error = refusal(every)
    assert "every route was vetoed; a route: never (policy vetoer)" in error.message
    assert "vetoer" in error.cure
    assert "was vetoed" in refusal(Survey(one, _Never())).message


class _OnlyOne(NoPolicies):
    def judge_route(self, route: Route, request: Request) -> Judgement:
        return AGREED if names(route) == ("n1", "n2", "n3") else no("vetoer", "never")

    def judge_node(self, node: ChartNode) -> Judgement:
        return AGREED if node.fingerprint[0] < 25 else no("small", "keeps the search short")


class _Never(NoPolicies):
    def judge_route(self, route: Route, request: Request) -> Judgement:
        return no("vetoer", "never")


def test_what_has_just_failed_is_avoided() -> None:
    one = chart([node(i) for i in range(1, 6)])
    survey = Survey(one, avoid=[fingerprint(1)], avoid_lanes=[(fingerprint(3), fingerprint(2))])
    for seed in range(100):
        drawn = "".join(names(survey.draw(HTTPS, random.Random(seed))))
        assert "n1" not in drawn
        assert "n2n3" not in drawn
        assert "n3n2" not in drawn
    error = refusal(Survey(one, avoid=[fingerprint(i) for i in (1, 2, 3)]))
    assert "n1, n2, n3: it has just failed" in error.message


def test_unencrypted_connections_leave_only_through_trusted_exits() -> None:
    plain, trusted = Request("example.com", 80), node(4, plain_text=True)
    one = chart([node(1, plain_text=False), node(2, plain_text=False), node(3, plain_text=False), trusted])
    assert plain.plain_text
    assert not HTTPS.plain_text
    survey = Survey(one)
    assert {survey.draw(plain, random.Random(seed)).exit.name for seed in range(40)} == {"n4"}
    assert len({survey.draw(HTTPS, random.Random(seed)).exit.name for seed in range(40)}) == 4
    error = refusal(Survey(one, avoid=[fingerprint(4)]), plain)
    assert "n1, n2, n3: the charter does not trust it with unencrypted connections" in error.message
    assert "encrypted port" in error.cure


def test_exit_rules_choose_the_exit() -> None:
    mail = ExitRules.parse(["accept *:465"])
    one = chart([node(1, exit=mail), node(2), node(3, exit=None), node(4, exit=mail)])
    survey = Survey(one)
    assert {survey.draw(HTTPS, random.Random(seed)).exit.name for seed in range(40)} == {"n2"}
    error = refusal(Survey(one, avoid=[fingerprint(2)]))
    assert "n1, n4: its exit rules do not allow the destination" in error.message
    assert "n3: is no exit" in error.message
    assert "port 443" in error.message


def test_the_entry_has_an_address_of_a_transport_that_is_installed() -> None:
    one = chart([node(1, addresses={}), node(2, addresses={"quic": ("a",)}), node(3), node(4)])
    survey = Survey(one, transports={"tcp"})
    assert {survey.draw(HTTPS, random.Random(seed)).entry.name for seed in range(40)} == {"n3", "n4"}
    assert "can be connected to" in refusal(Survey(one, transports={"smoke"})).message


def test_groups_never_meet_in_a_route() -> None:
    one = chart(
        [node(1, group="a"), node(2, group="a"), node(3, group="b"), node(4, group=""), node(5, group="")]
    )
    survey = Survey(one)
    drawn = {names(survey.draw(HTTPS, random.Random(seed))) for seed in range(300)}
    assert not any({"n1", "n2"} <= set(each) for each in drawn)
    assert any({"n4", "n5"} <= set(each) for each in drawn), "without a group, each is its own"
    assert "different groups" in refusal(Survey(chart([node(i, group="a") for i in (1, 2, 3)]))).message


def test_messages_for_an_empty_chart_and_for_nodes_left_out() -> None:
    assert "no node is known" in refusal(Survey(Chart([]))).message
    left = [LeftOut(f"old{i}", "no unexpired prekey of it is held") for i in range(9)]
    message = refusal(Survey(Chart([node(1)], left))).message
    assert "1 of 10 nodes can be used" in message
    assert "old0, old1, old2, old3, old4 and 4 more: no unexpired prekey" in message


@pytest.mark.parametrize("hops", [0, 6, -1])
def test_a_length_that_no_circuit_has_is_our_own_mistake(hops: int) -> None:
    with pytest.raises(LocalViolation):
        Survey(Chart([]), hops=hops)


def test_a_route_knows_its_lanes() -> None:
    route = choose(chart([node(i) for i in range(1, 4)]), HTTPS, None, random.Random(1))
    assert route.lanes == (Lane(10, 5), Lane(10, 5))
    assert (route.entry, route.exit) == (route.nodes[0], route.nodes[2])
