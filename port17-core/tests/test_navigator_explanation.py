"""Explanations: what is said of a route is so, and what is said to bring one brings one."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from port17.errors import NoRoute
from port17.navigator import explanation as explaining
from port17.navigator.changes import Change
from port17.navigator.chart import Chart, ChartNode, LeftOut
from port17.navigator.explain import CLIENT, NETWORK, Removal, Search, explain
from port17.navigator.explanation import Explanation, explain_request
from port17.navigator.policy import AGREED, Judgement, NoPolicies, Objection, Request, Route
from port17.navigator.situation import Situation
from port17.plugins.loader import Registry
from port17.plugins.panel import Panel

from .policy_nodes import full_mesh, node

HTTPS = Request("secret.example", 443)
ASH = node("ash", "85.1.0.1=DE/1", group="acme")
BIRCH = node("birch", "85.2.0.1=FR/2", group="b")
CEDAR = node("cedar", "85.3.0.1=US/3", group="c")
DATE = node("date", "85.4.0.1=JP/4", group="acme")
NODES = (ASH, BIRCH, CEDAR, DATE)


def panel(policies: Sequence[str] = (), /, **options: Mapping[str, Any]) -> Panel:
    return Registry().policies([*policies], options)


def explained(
    chart: Chart, policies: Panel | NoPolicies, request: Request = HTTPS, **more: Any
) -> Explanation:
    found = explain_request(Situation(chart, policies, **more), request, random.Random(5))
    refused = json.loads(json.dumps(found.plain()))["no_route"]
    assert refused is None or "route explain" not in refused["cure"], "whoever reads this is there"
    return found


def helping(found: Explanation) -> dict[tuple[str, tuple[str, ...]], Change]:
    return {(change.kind, change.names): change for change in found.changes if change.helps}


def no_exit(one: ChartNode) -> ChartNode:
    return replace(one, exit=None)


# -- where there is a route ------------------------------------------------------------------------------
def test_the_route_and_the_others_with_what_they_cost() -> None:
    found = explained(full_mesh(*NODES), panel(["exclude"], exclude={"exit": ["birch"]}))
    assert found.chosen is not None
    assert found.chosen in found.routes[: found.near]
    costs = [scored.cost_us for scored in found.routes[: found.near]]
    assert costs == sorted(costs)
    assert sum(found.chances) == pytest.approx(1.0)
    assert (found.refusal, found.changes, found.kin) == (None, (), {})
    plain = found.plain()
    assert plain["route"]["cost_us"] == pytest.approx(
        sum(part["us"] for part in plain["route"]["parts"]), abs=1.0
    )
    assert plain["destination"]["host"] == "secret.example"
    assert all(route["nodes"][-1] != "birch" for route in plain["routes"]["list"])
    assert [one["chance"] > 0 for one in plain["routes"]["list"]] == [
        place < found.near for place in range(len(found.routes))
    ]


def test_a_level_that_a_policy_asks_for_is_the_one_that_holds() -> None:
    rules = {"rule": [{"to": ["secret.example"], "level": "high"}]}
    five = full_mesh(*NODES, node("elm", "85.5.0.1=BR/5", group="e"))
    found = explained(five, panel(["rules"], rules=rules))
    assert (found.asked, found.request.level, found.hops) == ("normal", "high", 4)
    assert found.chosen is not None
    assert len(found.chosen.route.nodes) == 4


def test_who_is_left_out_and_by_whom() -> None:
    chart = Chart(
        full_mesh(*NODES[:3], no_exit(DATE)), [LeftOut("old", "it has said that it is going offline")]
    )
    found = explained(chart, panel(["exclude"], exclude={"nodes": ["birch"]}))
    said = {(one.subject, one.by, one.position) for one in found.removed}
    assert {("birch", "exclude", None), ("date", NETWORK, "exit"), ("old", NETWORK, None)} <= said
    assert (found.known, found.usable) == (5, 4)


def test_of_very_many_routes_the_quickest_are_told_and_the_number_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explaining, "ROUTES_CAP", 3)
    plain = explained(full_mesh(*NODES), panel()).plain()
    assert len(plain["routes"]["list"]) == 3 < plain["routes"]["count"]


# -- where there is none ---------------------------------------------------------------------------------
def test_the_policy_that_stands_in_the_way_is_found() -> None:
    policies = panel(["exclude", "only"], exclude={"nodes": ["date"]}, only={"exit": ["country:CH"]})
    found = explained(full_mesh(*NODES), policies)
    assert found.chosen is None
    assert found.refusal is not None
    assert found.refusal.by_policy
    bring = helping(found)
    assert set(bring) == {("policy", ("only",))}
    assert bring["policy", ("only",)].routes == len(explained(full_mesh(*NODES[:3]), panel()).routes)


def test_one_reason_of_several_may_be_enough() -> None:
    policies = panel(
        ["exclude"], exclude={"entry": ["ash", "group:b"], "exit": ["cedar"], "groups": ["acme"]}
    )
    found = explained(full_mesh(*NODES), policies)
    reasons = [change for change in found.changes if change.kind == "reason" and change.helps]
    assert [change.names for change in reasons] == [("exclude",)]
    assert "acme" in reasons[0].what


def test_what_only_helps_together_is_the_fewest_policies() -> None:
    policies = panel(
        ["exclude", "only", "rules"],
        exclude={"exit": ["group:acme", "group:b", "group:c"]},
        only={"exit": ["country:CH"]},
        rules={"rule": [{"ports": [80], "block": "no"}]},
    )
    found = explained(full_mesh(*NODES), policies)
    assert set(helping(found)) == {("policies", ("exclude", "only"))}
    assert "exclude and only together" in found.changes[-1].what


def test_two_of_one_family() -> None:
    chart = full_mesh(ASH, BIRCH, DATE)
    found = explained(chart, panel())
    assert found.kin == {"group:acme": (ASH.name, DATE.name)} or found.kin == {
        "group:acme": (DATE.name, ASH.name)
    }
    what = {change.what for change in found.changes if change.helps}
    assert what == {"if a route could have two nodes of one group", "without the policy diversity"}


def test_a_weaker_level() -> None:
    found = explained(full_mesh(*NODES[:3]), panel(), replace(HTTPS, level="high"))
    assert {change.what for change in found.changes if change.kind == "level" and change.helps} == {
        "at the level normal",
        "at the level fast",
    }


def test_what_a_client_does_before_it_gives_up() -> None:
    failed = explained(full_mesh(*NODES[:3]), panel(), avoid=[BIRCH.fingerprint])
    assert (failed.fallback, failed.refusal, failed.hops) == ("failed", None, 3)
    assert failed.chosen is not None
    assert BIRCH.fingerprint in {one.fingerprint for one in failed.chosen.route.nodes}

    row = (ASH, BIRCH, CEDAR, node("elm", "85.5.0.1=BR/5"))
    claims = {
        one.fingerprint: [(other.fingerprint, 1, 1) for other in row if abs(row.index(other) - place) == 1]
        for place, one in enumerate(row)
    }
    chain = Chart.build([*map(no_exit, row[:3]), row[3]], claims)
    longer = explained(chain, panel(), entries=[ASH.fingerprint])
    assert (longer.fallback, longer.refusal, longer.hops) == ("longer", None, 4)
    assert explained(chain, panel(), entries=[ASH.fingerprint], max_hops=3).refusal is not None
    assert explained(chain, panel()).fallback == ""


def test_other_entries_and_an_encrypted_port() -> None:
    alone = full_mesh(*NODES[:3], DATE)
    alone = Chart([replace(one, lanes={}) if one.name == "date" else one for one in alone])
    elsewhere = explained(alone, panel(), entries=[DATE.fingerprint])
    assert elsewhere.entries == ("date",)
    assert set(helping(elsewhere)) == {("entries", ())}

    careful = full_mesh(*(replace(one, plain_text=False) for one in NODES[:3]))
    assert set(helping(explained(careful, panel(), replace(HTTPS, port=80)))) == {("port", ())}


def test_routes_that_are_vetoed() -> None:
    class Shy(NoPolicies):
        by_request = frozenset({"veto_route"})

        def judge_route(self, route: Route, request: Request) -> Judgement:
            return Judgement((Objection("shy", "seen before"),)) if route.exit.name != "cedar" else AGREED

    found = explained(full_mesh(*NODES[:3]), Shy())
    assert {scored.route.exit.name for scored in found.routes} == {"cedar"}
    vetoed = {
        one.subject
        for one in found.removed
        if (one.kind, one.by, one.reason) == ("route", "shy", "seen before")
    }
    assert "cedar birch ash" in vetoed
    none = explained(
        full_mesh(*(replace(one, exit=one.exit if one is not CEDAR else None) for one in NODES[:3])), Shy()
    )
    assert none.refusal is not None
    assert none.refusal.short == "every route was vetoed (policies: shy)"
    assert {one.by for one in none.removed if one.kind == "route"} == {"shy"}


def test_if_nothing_helps_that_is_said() -> None:
    found = explained(full_mesh(*map(no_exit, NODES)), panel(["exclude"], exclude={"nodes": ["ash"]}))
    assert not helping(found)
    assert found.changes[-1].kind == "policies"
    assert found.changes[-1].what == "without any policy"


def test_without_policies_and_without_nodes() -> None:
    assert explained(full_mesh(*NODES), NoPolicies()).chosen is not None
    found = explained(Chart([]), NoPolicies())
    assert (found.chosen, found.known, helping(found)) == (None, 0, {})


def test_what_was_tried_changes_nothing() -> None:
    policies = panel(["only"], only={"exit": ["country:CH"]})
    situation = Situation(full_mesh(*NODES), policies)
    for _ in range(2):
        with pytest.raises(NoRoute):
            situation.survey().draw(HTTPS, random.Random(1))
        assert explain_request(situation, HTTPS, random.Random(1)).chosen is None


def test_examples_are_routes_and_kept_to_the_other_policies() -> None:
    policies = panel(["exclude", "only"], exclude={"nodes": ["date"]}, only={"exit": ["country:CH"]})
    for change in explained(full_mesh(*NODES), policies).changes:
        if change.example is not None:
            nodes = change.example.nodes
            assert all(b.fingerprint in a.lanes for a, b in pairwise(nodes))
            assert all(one.name != "date" for one in nodes)


# -- the refusal itself ----------------------------------------------------------------------------------
def never() -> Sequence[Removal]:
    raise AssertionError("asked though nobody wants to know")


def search(**changes: Any) -> Search:
    return replace(
        Search(chart=full_mesh(*NODES), hops=3, request=HTTPS, removed=never, entries=3, exits=3), **changes
    )


REASONS = (
    Removal("ash", "eu-only", f"leads to {HTTPS.host}", position="exit"),
    Removal("birch", NETWORK, "is no exit", position="exit"),
    Removal("cedar", "careful", "no entry", position="entry"),
    *(Removal(f"n{number}", CLIENT, "it has just failed") for number in range(9)),
)


@pytest.mark.parametrize(
    ("changes", "short", "mendable", "by_policy"),
    [
        (
            {"objections": [Objection("rules", f"never {HTTPS.host}")]},
            "is refused (policies: rules)",
            False,
            True,
        ),
        ({"objections": [Objection(NETWORK, "too long")]}, "the connection is refused", False, False),
        ({"chart": Chart([])}, "no node is known", False, False),
        ({"chart": Chart([ASH], [LeftOut("old", "gone")])}, "1 of 2 nodes can be used", False, False),
        ({"entries": 0}, "no node can be connected to that routes may begin at", False, False),
        ({"entries": 0, "failed": True}, "no node can be connected to that routes may begin at", True, False),
        (
            {"exits": 0, "refusing": ["eu-only"]},
            "no node may open the connection (policies: eu-only)",
            False,
            True,
        ),
        ({"exits": 0, "failed": True}, "no node may open the connection", True, False),
        (
            {"vetoes": [Removal("ash", "shy", "no", "route")]},
            "every route was vetoed (policies: shy)",
            True,
            True,
        ),
        ({"exhausted": False}, "no chain of lanes was found that joins", True, False),
        ({}, "no chain of lanes joins an entry to one of 3 exits", True, False),
    ],
)
def test_a_refusal_says_at_once_how_far_the_search_came(
    changes: dict[str, Any], short: str, mendable: bool, by_policy: bool
) -> None:
    error = explain(search(**changes))
    assert short in error.short
    assert error.short in error.message
    assert (error.mendable, error.by_policy) == (mendable, by_policy)
    assert error.lacks == ("entry" if "entries" in changes else "exit" if "exits" in changes else "")
    assert error.cure
    assert HTTPS.host not in f"{error} {error.short}"


def test_a_refusal_says_why_to_who_asks() -> None:
    error = explain(search(exits=0, refusing=["eu-only"], removed=lambda: REASONS)).explained()
    assert (
        f"ash: leads to {HTTPS.host} (policy eu-only); n0, n1, n2, n3, n4 and 4 more: it has just failed"
        in error.message
    )
    assert "birch: is no exit" in error.message
    assert "no entry" not in error.message
    assert error.short == "no node may open the connection (policies: eu-only)"
    assert "eu-only" in error.cure
    assert "port17 route explain" in error.cure
    assert error.explained() is error
