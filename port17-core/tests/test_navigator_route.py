"""Routes: what the chart, the network and the client itself allow, and what is said when there is none."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from port17.errors import LocalViolation, NoRoute
from port17.navigator.chart import Chart, Lane, LeftOut
from port17.navigator.compiled import Compiled
from port17.navigator.policy import Kin, Objection, Request, Route, Spread
from port17.navigator.route import Survey
from port17.navigator.simulated import simulated_chart
from port17.plugins.loader import Registry
from port17.records.exit_rules import ExitRules

from .route_charts import HTTPS, Opinion, chart, dear, fingerprint, names, no, node

ALL_ALIKE = Spread(1.0, 1.0)


def four() -> Chart:
    return chart([node(index) for index in range(1, 5)])


def drawn(survey: Survey, request: Request = HTTPS, count: int = 60) -> set[tuple[str, ...]]:
    return {names(survey.draw(request, random.Random(seed)).nodes) for seed in range(count)}


def refusal(survey: Survey, request: Request = HTTPS) -> NoRoute:
    with pytest.raises(NoRoute) as raised:
        survey.draw(request, random.Random(1))
    assert raised.value.short
    assert request.host not in raised.value.message
    return raised.value


def test_a_lane_counts_if_both_ends_claim_it_and_with_the_worse_claim() -> None:
    claims = {
        fingerprint(1): [(fingerprint(2), 10, 500), (fingerprint(3), 10, 5), (fingerprint(9), 1, 1)],
        fingerprint(2): [(fingerprint(1), 30, 100), (fingerprint(2), 1, 1)],
    }
    one = Chart.build([node(1), node(2), node(3)], claims)
    assert dict(one.nodes[fingerprint(1)].lanes) == {fingerprint(2): Lane(30, 100)}
    assert dict(one.nodes[fingerprint(2)].lanes) == {fingerprint(1): Lane(30, 100)}
    assert not one.nodes[fingerprint(3)].lanes


def test_without_policies_all_routes_of_equal_cost_are_drawn_alike() -> None:
    survey, rng = Survey(four(), Opinion(spread=ALL_ALIKE)), random.Random(7)
    counts = Counter(names(survey.draw(HTTPS, rng).nodes) for _ in range(2400))
    assert len(counts) == 24
    # Of 24 that come 100 times in the mean, the rarest came fewer than 60 times in one of 20,000 tries.
    assert 60 < min(counts.values()) <= max(counts.values()) < 150


def test_the_quicker_of_the_near_best_are_likelier_and_the_rest_is_never_drawn() -> None:
    quick = {(1, 2): Lane(10_000, 10_000_000), (2, 3): Lane(10_000, 10_000_000)}
    slow = {
        (a, b): Lane(200_000, 10_000_000) for a in range(1, 6) for b in range(a + 1, 6) if (a, b) not in quick
    }
    one = chart([node(index) for index in range(1, 6)], None, {**quick, **slow})
    survey, rng = Survey(one, Opinion(spread=Spread(0.01, 4.0))), random.Random(3)
    counts = Counter(names(survey.draw(HTTPS, rng).nodes) for _ in range(2000))
    ranking = survey.rank(HTTPS)
    near = [names(scored.route.nodes) for scored in ranking.scored[: ranking.near]]
    assert set(counts) == set(near)
    assert len(near) == 22, "two over both quick lanes, and all 20 over one, for these cost the same"
    assert len(ranking.scored) == 60
    best, worst = counts["n1", "n2", "n3"], sum(counts[route] for route in near[2:]) / 20
    assert 2.8 < best / worst < 5.6


def test_parts_tell_where_the_time_goes_and_add_up() -> None:
    opinion = Opinion(
        nodes={("n2", "middle"): dear(3_000, "shy")},
        lanes={("n1", "n2"): dear(500, "steep")},
        exits={("n3", 443): dear(7e9, "far")},
    )
    one = chart([node(1, load=500), node(2), node(3)])
    survey = Survey(one, opinion, entries=[fingerprint(1)], entry_us={fingerprint(1): 20_000.0})
    (scored,) = [one for one in survey.rank(HTTPS).scored if names(one.route.nodes)[1] == "n2"]
    told = {part.what: part.us for part in scored.parts}
    assert told == {
        "client to n1: latency": 20_000.0,
        "n1: load": 10_000.0,
        "n1 to n2: latency": 10_000.0,
        "n1 to n2: capacity": pytest.approx(26_214.4),
        "n1 to n2: steep": 500.0,
        "n2 as middle: shy": 3_000.0,
        "n2 to n3: latency": 10_000.0,
        "n2 to n3: capacity": pytest.approx(26_214.4),
        "n3 as exit: far": pytest.approx(1e6),  # no policy's word counts for more
    }
    assert scored.cost_us == pytest.approx(sum(told.values()))


def test_policies_are_obeyed_by_position_and_named() -> None:
    everywhere = {("n1", "entry"): no("near", "not here"), ("n1", "middle"): no("near", "not here")}
    opinion = Opinion(nodes={**everywhere, ("n1", "exit"): no("near", "not here"), ("n2", "exit"): no("shy")})
    survey = Survey(four(), opinion)
    routes = drawn(survey)
    assert not any("n1" in route or route[-1] == "n2" for route in routes)
    assert any("n2" in route for route in routes)
    removed = {(one.subject, one.position, one.by, one.reason) for one in survey.removed(HTTPS)}
    assert removed == {("n1", None, "near", "not here"), ("n2", "exit", "shy", "no")}


def test_what_fails_to_name_families_keeps_the_node_out() -> None:
    survey = Survey(four(), Opinion(kin={"n4": Kin(frozenset(), (Objection("odd", "it failed"),))}))
    assert not any("n4" in route for route in drawn(survey))
    assert [(one.subject, one.by, one.position) for one in survey.removed(HTTPS)] == [("n4", "odd", None)]


def test_a_lane_is_removed_in_one_direction() -> None:
    line = chart([node(1), node(2), node(3)], [(1, 2), (2, 3)])
    survey = Survey(line, Opinion(lanes={("n1", "n2"): no("oneway", "uphill")}))
    assert drawn(survey) == {("n3", "n2", "n1")}
    (removal,) = survey.removed(HTTPS)
    assert (removal.kind, removal.subject, removal.by) == ("lane", "n1 to n2", "oneway")


def test_a_route_that_is_vetoed_gives_way_to_the_next_best() -> None:
    every = {names(scored.route.nodes) for scored in Survey(four()).rank(HTTPS).scored}
    spared = ("n3", "n1", "n4")
    assert drawn(Survey(four(), Opinion(vetoed=every - {spared}))) == {spared}
    assert "veto" in refusal(Survey(four(), Opinion(vetoed=every))).message


def test_who_refuses_the_request_leaves_no_route() -> None:
    survey = Survey(four(), Opinion(refused=(Objection("rules", "blocked"),)))
    refusal(survey)
    assert survey.rank(HTTPS).scored == ()
    assert not survey.suits(Survey(four()).draw(HTTPS, random.Random(1)), HTTPS)


def test_the_level_that_holds_is_the_one_that_is_asked_for() -> None:
    ranking = Survey(four(), Opinion(level="high")).rank(replace(HTTPS, level="fast"))
    assert ranking.request == replace(HTTPS, level="high")


def test_who_asks_for_more_nodes_gets_them_or_no_route() -> None:
    assert {len(route) for route in drawn(Survey(four(), Opinion(hops=4)))} == {4}
    assert {len(route) for route in drawn(Survey(four(), Opinion(hops=2)))} == {3}
    assert {len(route) for route in drawn(Survey(four(), hops=4))} == {4}
    refusal(Survey(four(), Opinion(hops=4), max_hops=3))
    refusal(Survey(four(), Opinion(hops=9)))


@pytest.mark.parametrize(("hops", "most"), [(2, 5), (6, 6), (4, 3), (0, 5)])
def test_a_length_that_no_route_has_is_our_own_mistake(hops: int, most: int) -> None:
    with pytest.raises(LocalViolation):
        Survey(Chart([]), hops=hops, max_hops=most)


def test_what_is_known_of_other_policies_is_not_taken() -> None:
    with pytest.raises(LocalViolation):
        Survey(four(), Opinion(), compiled=Compiled(Opinion()))


def test_what_has_just_failed_is_avoided() -> None:
    survey = Survey(four(), avoid=[fingerprint(1)], avoid_lanes=[(fingerprint(3), fingerprint(2))])
    assert drawn(survey) == {("n2", "n4", "n3"), ("n3", "n4", "n2")}
    removed = {(one.kind, one.subject) for one in survey.removed(HTTPS) if one.by == "client"}
    assert removed == {("node", "n1"), ("lane", "n2 to n3"), ("lane", "n3 to n2")}
    refusal(Survey(four(), avoid=[fingerprint(index) for index in (1, 2)]))


def test_unencrypted_connections_leave_only_through_trusted_exits() -> None:
    one = chart([node(index, plain_text=index == 4) for index in range(1, 5)])
    plain = Request("example.com", 80)
    assert {route[-1] for route in drawn(Survey(one), plain)} == {"n4"}
    assert {route[-1] for route in drawn(Survey(one))} == {"n1", "n2", "n3", "n4"}
    assert "unencrypted" in refusal(Survey(one, avoid=[fingerprint(4)]), plain).cure


def test_exit_rules_choose_the_exit_and_nodes_without_address_are_none() -> None:
    closed = ExitRules.parse(["reject *.example.com:*", "reject example.com:*", "accept *:*"])
    one = chart([node(1, exit=closed), node(2), node(3, exit=None), node(4, addresses={})])
    survey = Survey(one)
    routes = drawn(survey)
    assert {route[-1] for route in routes} == {"n2"}
    assert any(route[1] == "n4" for route in routes), "inside a route it may serve"
    assert not any(route[0] == "n4" for route in routes)
    reasons = {one.subject: one.reason for one in survey.removed(HTTPS) if one.position == "exit"}
    assert reasons["n1"] == "its exit rules do not allow the destination"
    assert reasons["n3"] == "is no exit"
    assert "no address" in reasons["n4"]


def test_the_entry_has_an_address_of_a_transport_that_is_installed() -> None:
    smoke = {"smoke": ("somewhere",)}
    one = chart([node(1, addresses=smoke), node(2, addresses=smoke), node(3), node(4, addresses={"tcp": ()})])
    assert {route[0] for route in drawn(Survey(one, transports={"tcp"}))} == {"n3"}
    assert {route[0] for route in drawn(Survey(one, transports={"smoke"}))} == {"n1", "n2"}
    assert "can be connected to" in refusal(Survey(one, transports={"mirror"})).message


def test_routes_begin_where_they_may() -> None:
    assert {route[0] for route in drawn(Survey(four(), entries=[fingerprint(2), fingerprint(99)]))} == {"n2"}
    refusal(Survey(four(), entries=[]))


def test_messages_for_an_empty_chart_and_for_nodes_left_out() -> None:
    assert "no node is known" in refusal(Survey(Chart([]))).message
    assert "1 of 3" in refusal(Survey(Chart([node(1)], [LeftOut("a", "old"), LeftOut("b", "odd")]))).message


def test_a_route_that_stands_suits_what_it_might_have_been_drawn_for() -> None:
    one = chart([node(index, plain_text=index > 2) for index in range(1, 6)])
    opinion = Opinion(spread=Spread(0.2, 2.0), exits={("n5", 443): dear(500_000.0)})
    survey = Survey(one, opinion)
    route = survey.draw(HTTPS, random.Random(1))
    assert survey.suits(route, HTTPS)
    far = Route((one.nodes[fingerprint(1)], one.nodes[fingerprint(2)], one.nodes[fingerprint(5)]))
    assert survey.allows(far, HTTPS)
    assert not survey.suits(far, HTTPS), "it is slower than any that would be drawn"
    plain = Route((one.nodes[fingerprint(3)], one.nodes[fingerprint(4)], one.nodes[fingerprint(2)]))
    assert survey.suits(plain, HTTPS)
    assert not survey.suits(plain, Request("example.com", 80))
    assert not Survey(one, opinion, avoid=[fingerprint(4)]).suits(plain, HTTPS)
    assert not Survey(one, opinion, entries=[fingerprint(1)]).suits(plain, HTTPS)
    lanes = [(fingerprint(4), fingerprint(2))]
    assert not Survey(one, opinion, avoid_lanes=lanes).suits(plain, HTTPS)
    gone = chart([node(index) for index in (1, 2, 3, 5)])
    assert not Survey(gone, opinion).suits(plain, HTTPS)
    assert not Survey(one, Opinion(hops=4)).suits(plain, HTTPS), "it is too short for the level"
    assert not Survey(one, Opinion(vetoed={names(plain.nodes)}, spread=ALL_ALIKE)).suits(plain, HTTPS)
    families = {"n3": Kin(frozenset({"x"})), "n2": Kin(frozenset({"x"}))}
    assert not Survey(one, Opinion(kin=families, spread=ALL_ALIKE)).suits(plain, HTTPS)


def test_what_changed_of_a_route_s_nodes_counts_as_it_is_now() -> None:
    route = Survey(four()).draw(HTTPS, random.Random(1))
    closed = chart([node(index, exit=None) for index in range(1, 5)])
    assert not Survey(closed).suits(route, HTTPS)
    assert Survey(four()).suits(route, HTTPS), "other objects, but the same nodes"


def test_a_network_of_500_under_the_policies_that_are_always_on() -> None:
    """Nobody's word is taken for it: families are looked up in the nodes themselves."""
    one = simulated_chart(500, seed=4)
    panel = Registry().policies([])
    guards = [node.fingerprint for node in one if node.addresses][:3]
    compiled, rng = Compiled(panel), random.Random(1)
    for level, hops in (("fast", 3), ("normal", 3), ("high", 4)):
        survey = Survey(one, panel, entries=guards, compiled=compiled)
        request = replace(HTTPS, level=level)  # type: ignore[arg-type]
        for _ in range(40):
            nodes = survey.draw(request, rng).nodes
            assert len(nodes) == hops == len(set(nodes))
            assert nodes[0].fingerprint in guards
            assert nodes[-1].exit is not None
            assert nodes[-1].exit.allows("example.com", 443)
            groups = [node.group for node in nodes if node.group]
            assert len(groups) == len(set(groups))
            networks = [place.asn for node in nodes for place in node.places]
            assert len(networks) == len(set(networks))
            if level == "high":
                countries = [place.country for node in nodes for place in node.places]
                assert len(countries) == len(set(countries))
        ranking = survey.rank(request)
        assert ranking.exact == (hops == 3)
        assert len(ranking.scored) > 30


def test_a_route_knows_its_lanes() -> None:
    route = Survey(four()).draw(HTTPS, random.Random(1))
    assert route.lanes == (Lane(10_000, 10_000_000),) * 2
    assert (route.entry, route.exit) == (route.nodes[0], route.nodes[2])
