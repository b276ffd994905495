"""``port17 route explain``: what people read of an explanation, and how the command finds one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from port17_cli import asking, route_explain
from port17_cli.explained import NAMES_SHOWN, REASON_CAP, ROUTES_SHOWN, groups, lines
from port17_cli.main import main


def removal(
    subject: str, by: str, reason: str, position: str | None = None, kind: str = "node"
) -> dict[str, Any]:
    return {"kind": kind, "subject": subject, "id": None, "position": position, "by": by, "reason": reason}


def node(name: str, country: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "id": f"id-{name}",
        "group": "acme" if name == "ash" else "",
        "owner": "",
        "marks": [],
        "load": 0,
        "countries": [country] if country else [],
        "asns": [],
    }


def route(*names: str, us: float = 1000.0, chance: float = 0.0) -> dict[str, Any]:
    return {"nodes": list(names), "cost_us": us, "parts": [], "chance": chance}


def change(kind: str, what: str, *policies: str, routes: int = 0) -> dict[str, Any]:
    example = ["ash", "birch", "cedar"] if routes else None
    return {
        "kind": kind,
        "what": what,
        "policies": list(policies),
        "helps": bool(routes),
        "routes": routes,
        "exact": routes < 100,
        "example": example,
    }


FOUND: dict[str, Any] = {
    "source": "client",
    "destination": {"host": "2001:db8::7", "port": 443, "program": "/usr/bin/curl"},
    "level": "high",
    "asked_level": "normal",
    "hops": 3,
    "fallback": "",
    "nodes": {"known": 30, "usable": 28},
    "entries": ["ash", "oak"],
    "policies": ["diversity", "rules"],
    "route": {
        "nodes": [node("ash", "DE"), node("birch"), node("cedar", "US")],
        "cost_us": 82_400.0,
        "parts": [{"what": "client to ash: latency", "us": 50_000.0}, {"what": "ash: load", "us": 32_400.0}],
    },
    "routes": {
        "count": 50,
        "exact": True,
        "near": 10,
        "list": [
            route("ash", "birch", "cedar", us=82_400.0, chance=0.1),
            *(route("ash", f"elm{number}", "cedar", chance=0.1) for number in range(9)),
            *(route("oak", f"elm{number}", "cedar") for number in range(40)),
        ],
    },
    "removed": [
        *(removal(f"n{number}", "network", "is no exit", "exit") for number in range(12)),
        *(removal(f"n{number}", "rules", "rule 1: not you", "exit") for number in range(9, 15)),
        removal("bad", "exclude", "you excluded bad"),
        removal("ash to oak", "client", "it has just failed", kind="lane"),
        removal("ash elm0 cedar", "shy", "too short", kind="route"),
    ],
    "no_route": None,
    "changes": [],
    "families": {},
}
NONE: dict[str, Any] = {
    **FOUND,
    "route": None,
    "routes": {"count": 0, "exact": True, "near": 0, "list": []},
    "no_route": {"message": "no route", "cure": "Do something.", "short": "no node may open it"},
    "changes": [
        change("policy", "without the policy rules", "rules", routes=14),
        change("family", "if a route could have two nodes of one group", routes=100),
        change("policy", "without the policy diversity", "diversity"),
        change("policy", "without the policy levels", "levels"),
        change("entries", "through other entry nodes than the guards"),
    ],
    "families": {"group:acme": ["ash", "birch"]},
}


def shown(found: dict[str, Any]) -> str:
    return "\n".join(lines(found))


def test_what_a_user_wants_to_know_first_comes_first() -> None:
    text = shown(FOUND)
    places = [
        text.index(part)
        for part in (
            "[2001:db8::7]:443 for /usr/bin/curl: 3 nodes, level high (a policy asks for it; you",
            "Routes begin at ash, oak.",
            "ROUTE, 82.4 ms: drawn from the 10 near-best of 50 that may be used",
            "entry   ash    DE       -   acme",
            "50.0 ms  client to ash: latency",
            "Drawn with a chance of 10%",
            "ash > elm0 > cedar",
            f"and {9 - ROUTES_SHOWN} more",
            "LEFT OUT, of 30 nodes",
        )
    ]
    assert places == sorted(places)
    assert "oak > elm" not in text  # never drawn


def test_reasons_are_grouped_the_users_own_first() -> None:
    rows = [" ".join(line.split()) for line in shown(FOUND).partition("LEFT OUT")[2].splitlines()[2:]]
    listed = ", ".join(f"n{number}" for number in range(NAMES_SHOWN))
    assert rows == [
        "3 nodes as exit rules rule 1: not you n12, n13, n14",  # the others are no exits anyway
        "1 node exclude you excluded bad bad",
        "1 route shy too short ash elm0 cedar",
        f"12 nodes as exit network is no exit {listed} and {12 - NAMES_SHOWN} more",
        "1 lane client it has just failed ash to oak",
        "--json has all of it.",
    ]


def test_a_reason_may_be_anything_and_stays_in_its_line() -> None:
    found = {**FOUND, "removed": [removal("ash", "mine", "a\nb\x1b[2J" + "x" * 500)]}
    text = shown(found)
    assert "a b [2J" in text
    assert max(map(len, text.splitlines())) < REASON_CAP + 60
    assert groups(found["removed"])[0][0][1] == found["removed"][0]["reason"]


def test_without_a_route_what_would_bring_one() -> None:
    text = shown(NONE)
    assert "NO ROUTE: no node may open it." in text
    assert "  without the policy rules: 14 routes, like ash > birch > cedar" in text
    assert "  if a route could have two nodes of one group: more than 100 routes" in text
    wouldnt = (
        "Would not help: without the policy diversity or levels; through other entry nodes than the guards."
    )
    assert wouldnt in text
    assert "NOT TOGETHER in one route:\n  group:acme: ash, birch" in text
    assert "Do something." not in text


def test_where_nothing_helps_the_cure_is_the_networks() -> None:
    text = shown({**NONE, "changes": NONE["changes"][2:]})
    assert "No change that is yours to make would bring one.\nDo something." in text
    assert "NOT TOGETHER" not in text


def test_who_refuses_the_connection_stands_in_the_headline() -> None:
    refusal = removal("the request", "rules", "rule 2 blocks: never", kind="request")
    text = shown({**NONE, "removed": [refusal]})
    assert "NO ROUTE: no node may open it; rules: rule 2 blocks: never." in text
    assert "LEFT OUT" not in text


def test_what_a_client_does_before_it_gives_up_is_said() -> None:
    assert "longer ones are used" in shown({**FOUND, "fallback": "longer"})
    assert "tried again" in shown({**FOUND, "fallback": "failed"})
    assert "tried again" not in shown(FOUND)


def test_files_are_said_to_be_files_and_no_guards_to_be_none() -> None:
    text = shown({**FOUND, "source": "files", "entries": [], "policies": []})
    assert "from the client's files" in text
    assert "there is no guard" in text
    assert "Policies: none." in text
    assert "Routes begin" not in shown({**FOUND, "entries": None})


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[Any]]:
    """Has a running client answer; gives what it was asked."""

    def answer(found: dict[str, Any]) -> list[Any]:
        asked: list[Any] = []

        def run(function: object, *args: Any) -> dict[str, Any]:
            asked.append(args)
            return {name: value for name, value in found.items() if name != "source"}

        monkeypatch.setattr(route_explain.loop, "run", run)
        monkeypatch.setattr(asking, "listens", lambda path: True)
        return asked

    return answer


def test_a_running_client_is_asked(
    answered: Callable[[dict[str, Any]], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answered(FOUND)
    words = ["--control", "c.sock", "--level", "fast", "--program", "/bin/x", "--json"]
    assert main(["route", "explain", "http://example.com", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "port17.route.explain/1", **FOUND}
    wanted = {"host": "example.com", "port": 80, "program": "/bin/x", "level": "fast"}
    assert asked[0][:3] == (Path("c.sock"), "explain", wanted)

    answered(NONE)
    assert main(["route", "explain", "example.com", "--control", "c.sock"]) == 5
    assert "NO ROUTE" in capsys.readouterr().out


def test_who_has_changed_files_since_the_client_started_is_told(
    answered: Callable[[dict[str, Any]], list[Any]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    answered(FOUND)
    config, policy, control = Path("me.toml"), Path("ours.py"), Path("me.sock")
    config.write_text('charter = "c"\ncontrol = "me.sock"\npolicies = ["exclude", "./ours.py:Ours"]\n')
    for file in (policy, control):
        file.touch()

    def said(config_s: int, policy_s: int) -> str:
        for file, moment in ((config, config_s), (policy, policy_s), (control, 2_000)):
            os.utime(file, (moment, moment))
        assert main(["route", "explain", "example.com", "--config", "me.toml"]) == 0
        return capsys.readouterr().err

    assert said(1_000, 1_000) == ""
    assert "me.toml has changed" in said(3_000, 1_000)
    assert "ours.py has changed" in said(1_000, 3_000)
    policy.unlink()
    control.unlink()
    assert main(["route", "explain", "example.com", "--config", "me.toml"]) == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["two words", "--control", "c.sock"], 2, "no destination"),
        (["example.com"], 2, "Which process is to be asked"),
        (["example.com", "--control", "c.sock", "--policy", "exclude"], 2, "--config FILE"),
        (["example.com", "--control", "c.sock"], 5, "c.sock"),
        (["example.com", "--config", "nothing.toml"], 3, "nothing.toml"),
        (["example.com", "--config", "node.toml"], 3, "is a node's configuration"),
        (["example.com", "--config", "node.toml", "--policy", "exclude"], 3, "is a node's configuration"),
        (["example.com", "--level", "none", "--control", "c.sock"], 2, "--level"),
    ],
)
def test_what_cannot_be_asked_is_said(
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(asking.VARIABLE, raising=False)
    Path("node.toml").write_text('charter = "c"\nname = "ash"\n')
    assert main(["route", "explain", *words]) == code
    assert said in capsys.readouterr().err
