"""Charts as files: what is written is read again, and what is no chart is refused with a reason."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import ConfigError
from port17.navigator import chart_file
from port17.navigator.chart import Chart, ChartNode, LeftOut
from port17.navigator.chart_file import decode, encode
from port17.navigator.policy import NoPolicies, Request
from port17.navigator.route import Survey
from port17.navigator.simulated import Hostile, simulated_chart


def values(node: ChartNode) -> list[object]:
    return [getattr(node, field.name) for field in fields(node) if field.name != "slots"]


@settings(max_examples=15, deadline=None)
@given(nodes=st.integers(0, 80), seed=st.integers(0, 100))
def test_what_is_written_is_read_again(nodes: int, seed: int) -> None:
    chart = simulated_chart(nodes, seed=seed, hostile=Hostile(0.2, "bad"))
    chart = Chart(chart, [LeftOut("gone", "it has said that it is going offline")])
    data = encode(chart)
    again = decode(data)
    assert [values(node) for node in again] == [values(node) for node in chart]
    assert again.left_out == chart.left_out
    assert encode(again) == data


def test_routes_over_it_are_the_same() -> None:
    chart = simulated_chart(200, seed=8)
    again = decode(encode(chart))
    request = Request("example.com", 443)
    for seed in range(5):
        routes = [Survey(one, NoPolicies()).draw(request, random.Random(seed)) for one in (chart, again)]
        assert [node.name for node in routes[0].nodes] == [node.name for node in routes[1].nodes]


def test_exit_rules_are_kept_in_order_and_none_at_all_is_an_exit_that_opens_nothing() -> None:
    chart = simulated_chart(40, seed=9)
    value = json.loads(encode(chart))
    value["nodes"][0]["exit"] = []
    value["nodes"][1]["exit"] = rules = ["reject *:25", "accept [2001:db8::/32]:80-90", "accept *.org:*"]
    none, some, *_ = decode(encode(decode(json.dumps(value).encode())))
    assert none.exit is not None
    assert not none.exit.allows("example.com", 443)
    assert some.exit is not None
    assert list(some.exit.lines()) == rules


def written() -> Any:
    return json.loads(encode(simulated_chart(30, seed=10)))


def with_(change: Callable[[Any], object]) -> bytes:
    value = written()
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "names no schema"),
        (b'{"schema":7}', "names no schema"),
        (encode(simulated_chart(10))[:-200], "no JSON, or only a part"),
        (with_(lambda one: one.update(schema="port17.chart/2")), "reads port17.chart/1"),
        (with_(lambda one: one.update(more=1)), "more"),
        (with_(lambda one: one.pop("lanes")), "lanes"),
        (with_(lambda one: one["nodes"].append(one["nodes"][0])), "a node is there twice"),
        (with_(lambda one: one["lanes"].append(one["lanes"][0])), "the lane is there twice"),
        (with_(lambda one: one["lanes"].append([*one["lanes"][0][1::-1], 0, 0])), "the lane is there twice"),
        (with_(lambda one: one["lanes"].append([0, 0, 1, 1])), "no other node"),
        (with_(lambda one: one["lanes"].append([0, 99, 1, 1])), "no other node"),
        (with_(lambda one: one["lanes"].append([0, 1, -5, 1])), "lanes"),
        (with_(lambda one: one["lanes"].append([0, 1])), "lanes"),
        (with_(lambda one: one["lanes"].append({"one": 0, "other": 1})), "not a list"),
        (with_(lambda one: one["nodes"][0].update(load=5000)), "nodes.0.load"),
        (with_(lambda one: one["nodes"][0].update(load=True)), "nodes.0.load"),
        (with_(lambda one: one["nodes"][0].update(name="a\nb")), "nodes.0.name"),
        (with_(lambda one: one["nodes"][0].update(fingerprint="AA" * 32)), "nodes.0.fingerprint"),
        (with_(lambda one: one["nodes"][0].update(exit=["allow everything"])), "nodes.0.exit"),
        (with_(lambda one: one["nodes"][0].update(places=[{"ip": "here"}])), "nodes.0.places"),
        (
            with_(lambda one: one["nodes"][0].update(places=[{"ip": "192.0.2.1", "latitude": float("nan")}])),
            "nodes.0.places.0.latitude",
        ),
        (with_(lambda one: one["nodes"][0].update(places=[{"ip": "192.0.2.1"}] * 65)), "nodes.0.places"),
    ],
)
def test_what_is_no_chart_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        decode(data)
    assert reason in raised.value.message
    assert raised.value.cure
    assert len(str(raised.value)) < 500


def test_a_node_has_no_more_lanes_than_a_bottle_names() -> None:
    value = written()
    first = value["nodes"][0]
    more = [{**first, "fingerprint": f"{index:064x}"} for index in range(1, 140)]
    value["nodes"] += more
    value["lanes"] = [[0, 30 + index, 1, 1] for index in range(129)]
    with pytest.raises(ConfigError, match="129 lanes"):
        decode(json.dumps(value).encode())


def test_a_long_file_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_file, "FILE_CAP", 1000)
    with pytest.raises(ConfigError, match="longer than 1000 bytes"):
        decode(encode(simulated_chart(30)))
