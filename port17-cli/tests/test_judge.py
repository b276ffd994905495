"""``port17 route judge`` and ``port17 promise``, over simulated networks."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from port17.navigator import chart_file
from port17.navigator.prices import PriceList
from port17.navigator.simulated import simulated_chart
from port17_cli.main import main
from port17_cli.promise import BROKEN, OWN_LIST

SMALL = ["route", "judge", "--clients", "3", "--destinations", "3", "--chart"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def judged(run: Run, *words: str) -> dict[str, Any]:
    code, out, err = run(*SMALL, *words, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    assert found["schema"] == "port17.route.judge/1"
    return found


def test_a_simulated_network_is_judged(run: Run) -> None:
    found = judged(run, "simulated:100:30", "--seed", "7")
    assert found["chart"]["nodes"] == 100
    measures = found["measures"]
    assert measures["connections"] == 9
    assert measures["positions"]["entry"]["nodes"] <= 9
    assert [one["name"] for one in measures["coalitions"]] == ["hostile"]
    assert measures["coalitions"][0]["nodes"] == 30
    assert {one["kind"]: one["both"] for one in measures["common"]}["as"] == 0
    assert not {"flows", "serving", "examples"} & measures.keys()
    assert found == judged(run, "simulated:100:30", "--seed", "7")
    assert found != judged(run, "simulated:100:30", "--seed", "8")


def test_people_see_tables(run: Run) -> None:
    code, out, _ = run(*SMALL, "simulated:100", "--coalition", "country:DE", "country:US")
    assert code == 0
    for words in ("100 nodes", "MIN-ENTROPY", "BOTH ENDS", "country:DE country:US", "GINI", "CLIENTS HIT"):
        assert words in out


def test_a_chart_of_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "network.chart"
    path.write_bytes(chart_file.encode(simulated_chart(80, seed=0)))
    assert judged(run, str(path))["measures"] == judged(run, "simulated:80")["measures"]
    found = judged(run, str(path))
    assert found["chart"] == {
        "source": str(path),
        "nodes": 80,
        "lanes": found["chart"]["lanes"],
        "places": True,
    }


def test_against_another_level_and_other_policies(run: Run, tmp_path: Path) -> None:
    policy = tmp_path / "no_fours.py"
    policy.write_text(
        "from port17 import RoutePolicy, hookimpl\n"
        "class NoFours(RoutePolicy):\n"
        "    @hookimpl\n"
        "    def exclude_node(self, node):\n"
        "        return 'a four' if '4' in node.name else None\n"
    )
    spec = f"{policy}:NoFours"
    found = judged(run, "simulated:120", "--policy", spec, "--against", "none", "--against-level", "high")
    assert found["policies"] == [spec]
    assert (found["level"], found["against"]["level"]) == ("normal", "high")
    assert found["against"]["policies"] == []
    assert found["against"]["measures"]["hops"] == pytest.approx(4)
    code, out, _ = run(*SMALL, "simulated:120", "--policy", spec, "--against", "none")
    assert code == 0
    assert "CHANGE" in out
    assert "same group at both ends" in out


def test_own_destinations(run: Run) -> None:
    code, out, err = run(
        "route", "judge", "--chart", "simulated:100", "--clients", "2", "--to", "example.com:443", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["measures"]["connections"] == 2


def test_the_picture_is_one(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "map.svg"
    code, out, err = run(*SMALL, "simulated:100:30", "--svg", str(path))
    assert code == 0, err
    assert str(path) in out
    root = ElementTree.parse(path).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    key = 4  # the dots that say what dots mean
    assert len(list(root.iter(f"{space}circle"))) == 100 + key
    assert list(root.iter(f"{space}polyline"))
    assert "http" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), "it fetches nothing"
    assert {one.text for one in root.iter(f"{space}text")} >= {"DE", "US"}


@pytest.mark.parametrize(
    ("words", "reason", "code"),
    [
        (["route", "judge"], "By which chart", 2),
        (["route", "judge", "--chart", "simulated:many"], "no simulated chart", 2),
        (["route", "judge", "--chart", "simulated:0"], "no simulated chart", 2),
        (["route", "judge", "--chart", "simulated:9:200"], "no simulated chart", 2),
        (["route", "judge", "--chart", "nowhere.chart"], "can't be read", 3),
        ([*SMALL, "simulated:50", "--coalition", "group:nobody"], "No node of the chart", 2),
        ([*SMALL, "simulated:50", "--coalition", "colour:red"], "no kind", 3),
        ([*SMALL, "simulated:50", "--against", "none", "--against", "only"], "contradict", 2),
        ([*SMALL, "simulated:50", "--policy", "nothing-like-it"], "nothing-like-it", 4),
        (["route", "judge", "--chart", "simulated:50", "--clients", "0"], "Nothing to judge by", 2),
        (["route", "judge", "--chart", "simulated:50", "--destinations", "0"], "0 destinations", 2),
        (["route", "judge", "--chart", "simulated:2"], "no route", 5),
        (["promise"], "By which chart", 2),
        (["promise", "--chart", "simulated:50", "--prices", "nowhere.toml"], "can't be read", 3),
        (["promise", "--chart", "simulated:50", "--chance", "2"], "a chance between 0 and 1", 2),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], reason: str, code: int, run: Run) -> None:
    ended, out, err = run(*words)
    assert ended == code
    assert reason in err
    assert out == ""


# -- promise -------------------------------------------------------------------------------------------
def test_a_promise_that_can_not_be_kept(run: Run) -> None:
    code, out, err = run("promise", "--chart", "simulated:100")
    assert code == BROKEN
    assert "can't keep its promise" in err
    for words in (
        "machines x months x price",
        "newcomer = 1 - (1 - e)",
        "3.99 EUR",
        "operators",
        "What 1 000 000 EUR buy",
    ):
        assert words in out


def test_a_promise_that_is_kept(run: Run) -> None:
    code, out, err = run("promise", "--chart", "simulated:100", "--limit", "10")
    assert (code, err) == (0, "")
    assert "The promise is kept" in out


def test_a_promise_for_programs_with_an_own_list(run: Run, tmp_path: Path) -> None:
    code, own, _ = run("promise", "--show-prices")
    assert code == 0
    dear = tmp_path / "dear.toml"
    dear.write_text(own.replace("value = 3.99", "value = 3990"))
    cheap, much = (
        json.loads(run("promise", "--chart", "simulated:100", "--json", *flags)[1])
        for flags in ([], ["--prices", str(dear)])
    )
    assert cheap["schema"] == "port17.promise/1"
    assert not cheap["kept"]
    assert cheap["limit_eur"] == 1_000_000
    servers, dearer = (found["attackers"][0]["cheapest"] for found in (cheap, much))
    assert servers["cost_eur"] == pytest.approx(sum(one["eur"] for one in servers["bill"]), abs=0.02)
    assert dearer["cost_eur"] > 10 * servers["cost_eur"]
    assert much["prices"]["prices"]["server"]["value"] == 3990


def test_the_list_that_comes_along_names_its_sources() -> None:
    data = (files("port17_cli") / OWN_LIST).read_bytes()
    found = PriceList.parse(data, OWN_LIST)
    assert tomllib.loads(data.decode())["name"] == found.name
    for _, one in found.prices:
        assert one.source.startswith("http")
        assert one.date.year >= 2015
