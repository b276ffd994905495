"""Costs of attacks: the formulas by hand, and that they are no less than what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import ConfigError, UsageError
from port17.navigator.chart import Chart
from port17.navigator.destinations import usual_destinations
from port17.navigator.field import Field
from port17.navigator.measure import Trial, measure
from port17.navigator.policy import NoPolicies, Policies, Request
from port17.navigator.prices import LIST_CAP, PriceList
from port17.navigator.promise import MONTHS_CAP, Model, Promise, Terms, _Reckoning, promise
from port17.navigator.simulated import HOSTILE_MARK, Hostile, simulated_chart
from port17.plugins.loader import Registry

HTTPS = Request("host.example.com", 443)
SOURCE = "https://example.com/prices"


def price(value: float, currency: str = "EUR") -> dict[str, object]:
    return {"value": value, "currency": currency, "what": "it", "date": "2026-01-02", "source": SOURCE}


def guess(value: float) -> dict[str, object]:
    return {"value": value, "what": "it", "why": "so"}


def listed() -> dict[str, Any]:
    return {
        "name": "test",
        "prices": {
            "usd": price(0.5),
            "server": price(4),
            "traffic": price(2),
            "traffic_included": price(10, ""),
            "hour": price(10),
            "order": price(1000, "USD"),
            "order_days": price(30, ""),
            "insider": price(300),
            "network": price(700),
        },
        "assumptions": {
            "server_traffic": guess(15),
            "server_hours": guess(1),
            "server_hours_month": guess(0.5),
            "provider_hours": guess(20),
            "servers_per_provider": guess(10),
            "insider_hours": guess(5),
            "network_hours": guess(6),
            "order_hours": guess(7),
        },
    }


PRICES = PriceList.model_validate(listed(), strict=False)


@pytest.fixture(scope="module")
def usual() -> Policies:
    return Registry().policies([], {})


def reckoned(
    chart: Chart, policies: Policies, terms: Terms | None = None, models: tuple[Model, ...] = ("servers",)
) -> Promise:
    return promise(Field(chart, policies, HTTPS), PRICES, terms or Terms(), models)


def test_rented_machines_by_hand(usual: Policies) -> None:
    chart = simulated_chart(200, seed=1)
    terms = Terms(months=1, chance=0.5, limit_eur=5000)
    found = reckoned(chart, usual, terms)
    attack = found.findings[0].cheapest
    assert attack is not None
    servers, entries, exits = attack.count, found.entries, found.exits
    assert entries == sum(bool(node.addresses) for node in chart)
    assert found.pull == pytest.approx(6)

    e = servers / (entries + servers)
    assert attack.holding.exit == pytest.approx(servers / (exits + servers))
    draws = 3 * (1 + (365 / 12) / 90)
    assert attack.chances.newcomer == pytest.approx(1 - (1 - e) ** draws)
    assert attack.chances.newcomer >= 0.5
    one_less = (servers - 1) / (entries + servers - 1)
    assert 1 - (1 - one_less) ** draws < 0.5, "the fewest that do"
    assert attack.chances.settled == pytest.approx(1 - (1 - e) ** (draws - 3))
    providers = -(-servers // 10)
    assert attack.holding.apart == pytest.approx(1 - 1 / providers)
    assert attack.chances.both == pytest.approx(e * (1 - 1 / providers))
    work = (servers * 1.5 + providers * 20) * 10
    assert attack.cost_eur == pytest.approx(servers * 4 + servers * 5 * 2 + work)

    bought = found.findings[0].afforded
    assert bought is not None
    assert bought.cost_eur <= 5000
    assert bought.cost_eur + 4 + 10 + 215 > 5000, "one machine more is too dear"


def test_orders_networks_and_operators_by_hand(usual: Policies) -> None:
    chart = simulated_chart(300, seed=2)
    found = reckoned(chart, usual, Terms(months=2), ("networks", "countries", "operators"))
    networks, countries, operators = (finding.cheapest for finding in found.findings)
    assert networks is not None
    assert networks.cost_eur == pytest.approx(networks.count * (networks.months * 700 + 60))
    assert operators is not None
    assert operators.cost_eur == pytest.approx(operators.count * (operators.months * 300 + 50))
    assert countries is not None
    watched = {place.asn for node in chart for place in node.places if place.country in set(countries.names)}
    times = {1: 2, 2: 3}[countries.months]
    assert countries.cost_eur == pytest.approx(len(watched) * times * (1000 * 0.5 + 70))
    for attack in (networks, countries, operators):
        assert attack.chances.newcomer == attack.chances.settled, "guards that clients have may be theirs"
        assert attack.chances.newcomer >= 0.5
        assert attack.count == len(attack.names) >= 2
        held = [
            node
            for node in chart
            if node.addresses
            and {f"AS{node.places[0].asn}", node.places[0].country, node.group, f"node {node.name}"}
            & set(attack.names)
        ]
        assert attack.holding.entry == pytest.approx(len(held) / found.entries)


@settings(max_examples=10, deadline=None)
@given(months=st.integers(1, 8), chance=st.floats(0.05, 0.95), nodes=st.integers(30, 120))
def test_more_time_and_less_ambition_cost_no_more(months: int, chance: float, nodes: int) -> None:
    chart = simulated_chart(nodes, seed=3)
    field = Field(chart, NoPolicies(), HTTPS)
    models: tuple[Model, ...] = ("servers", "networks", "operators")
    found = promise(field, PRICES, Terms(months, chance), models)
    longer = promise(field, PRICES, Terms(months + 1, chance), models)
    surer = promise(field, PRICES, Terms(months, min(0.99, chance + 0.04)), models)
    for ours, more, dearer in zip(found.findings, longer.findings, surer.findings, strict=True):
        if ours.cheapest is None:
            assert dearer.cheapest is None
            continue
        assert ours.cheapest.chances.newcomer >= chance
        assert more.cheapest is not None
        assert more.cheapest.cost_eur <= ours.cheapest.cost_eur + 1e-6
        assert dearer.cheapest is None or dearer.cheapest.cost_eur >= ours.cheapest.cost_eur - 1e-6
        assert ours.afforded is None or ours.afforded.cost_eur <= 1_000_000


def test_a_larger_network_costs_more(usual: Policies) -> None:
    costs = []
    for nodes in (100, 400, 1600):
        cheapest = reckoned(simulated_chart(nodes, seed=4), usual).cheapest
        assert cheapest is not None
        costs.append(cheapest.cost_eur)
    assert costs == sorted(costs)
    assert costs[2] > 3 * costs[0]


def test_it_is_kept_or_not(usual: Policies) -> None:
    chart = simulated_chart(200, seed=5)
    cheapest = reckoned(chart, usual).cheapest
    assert cheapest is not None
    assert reckoned(chart, usual, Terms(limit_eur=cheapest.cost_eur)).kept
    assert not reckoned(chart, usual, Terms(limit_eur=cheapest.cost_eur + 1)).kept


def test_who_takes_known_nodes_alone_cannot_be_bought_into() -> None:
    chart = simulated_chart(200, seed=6)
    vouched = frozenset({"owner_verified"})
    chart = Chart([replace(node, marks=node.marks | vouched, owner=f"o{n}") for n, node in enumerate(chart)])
    policies = Registry().policies(["only"], {"only": {"entry": ["mark:owner_verified"]}})
    found = promise(Field(chart, policies, HTTPS), PRICES, Terms(), ("servers",))
    assert found.entries > 100
    assert found.findings[0].cheapest is None
    assert "not known to them" in found.findings[0].note
    assert found.kept


def test_where_nobody_says_where_nodes_are_nothing_is_known_of_countries(usual: Policies) -> None:
    chart = Chart([replace(node, places=()) for node in simulated_chart(100, seed=7)])
    found = reckoned(chart, usual, models=("networks", "countries", "operators"))
    assert [finding.cheapest is None for finding in found.findings] == [True, True, False]
    assert "geo source" in found.findings[0].note


@pytest.mark.parametrize("lying", [False, True])
def test_what_is_said_of_both_ends_is_not_less_than_what_is_measured(lying: bool, usual: Policies) -> None:
    chart = simulated_chart(600, seed=8, hostile=Hostile(0.2, lying=lying))
    bad = frozenset(node for node in chart if HOSTILE_MARK in node.marks)
    found = measure(
        chart, usual, Trial(usual_destinations(4), 60), {"bad": [node.fingerprint for node in bad]}
    )
    field = Field(chart, usual, HTTPS)
    holding = field.held(bad)
    assert holding.entry == pytest.approx(0.2, abs=0.03)
    reckoning = _Reckoning(field, PRICES, Terms())
    assert found.coalitions[0].both <= reckoning.chances("servers", holding, 1, 9).both
    assert found.coalitions[0].both <= reckoning.chances("networks", holding, 1, 9).both
    assert found.coalitions[0].whole <= reckoning.chances("networks", holding, 1, 9).whole
    if not lying:
        assert found.coalitions[0].both == pytest.approx(
            holding.entry * holding.exit * holding.apart, rel=0.35
        ), "who doesn't lie has his share"


@pytest.mark.parametrize(
    "terms",
    [
        Terms(months=0),
        Terms(months=MONTHS_CAP + 1),
        Terms(chance=1.0),
        Terms(limit_eur=-5.0),
        Terms(limit_eur=float("nan")),
    ],
)
def test_terms_that_make_no_sense(terms: Terms, usual: Policies) -> None:
    with pytest.raises(UsageError):
        reckoned(simulated_chart(50), usual, terms)


def test_no_promise_without_routes(usual: Policies) -> None:
    with pytest.raises(UsageError, match="no route"):
        reckoned(Chart([]), usual)


# -- price lists ---------------------------------------------------------------------------------------
def toml(values: dict[str, Any]) -> bytes:
    lines = [f'name = "{values["name"]}"']
    for table in ("prices", "assumptions"):
        for name, held in values[table].items():
            lines.append(f"[{table}.{name}]")
            for key, value in held.items():
                bare = isinstance(value, float | int) or key == "date"
                lines.append(f"{key} = {value}" if bare else f'{key} = "{value}"')
    return "\n".join(lines).encode()


def with_(change: Callable[[dict[str, Any]], object]) -> bytes:
    values = listed()
    change(values)
    return toml(values)


def test_an_own_list_is_read() -> None:
    assert PriceList.parse(toml(listed()), "own.toml") == PRICES


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "no TOML"),
        (b"name = ", "no TOML"),
        (b"name = " + b"[" * 5000, "no TOML"),
        (b"", "name"),
        (b"#" * (LIST_CAP + 1), "longer than"),
        (with_(lambda one: one["prices"].pop("server")), "prices.server"),
        (with_(lambda one: one["prices"].update(more=price(1))), "prices.more"),
        (with_(lambda one: one["prices"]["server"].update(value=-1)), "prices.server.value"),
        (with_(lambda one: one["prices"]["server"].update(currency="GBP")), "prices.server.currency"),
        (with_(lambda one: one["prices"]["server"].pop("source")), "prices.server.source"),
        (with_(lambda one: one["prices"]["order_days"].update(value=0)), "order_days is nothing"),
        (with_(lambda one: one["assumptions"]["servers_per_provider"].update(value=0)), "is nothing"),
    ],
)
def test_what_is_no_price_list_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        PriceList.parse(data, "own.toml")
    assert reason in raised.value.message
    assert "own.toml" in raised.value.message
    assert raised.value.cure
