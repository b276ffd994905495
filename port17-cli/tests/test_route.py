"""``port17 route show``: what the client answers, as tables for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from port17_cli import asking, route_new
from port17_cli.main import main

SUITES = ("p17-1-xwing-aes256gcm-sha256", "p17-1-x25519-chacha20poly1305-blake2s")


def hop(name: str, suite: str, number: int, last_s: float | None) -> dict[str, Any]:
    steps = {
        "forward": number,
        "backward": number + 1,
        "forward_rekeys": number + 2,
        "backward_rekeys": number + 3,
        "last_s": last_s,
    }
    return {"id": f"id-{name}", "name": name, "suite": suite, "confirmed": True, "steps": steps}


CIRCUITS = [
    {
        "id": 7,
        "hops": [hop("ash", SUITES[0], 10, 12.4), hop("birch", SUITES[1], 20, None)],
        "state": "open",
        "standing": "superseded",
        "spare": False,
        "retired": False,
        "age_s": 61.2,
        "conveyors": 3,
        "bytes_up": 2048,
        "bytes_down": 5 * 1024 * 1024,
    }
]
LINKS = [
    {
        "id": "id-ash",
        "name": "ash",
        "circuits": 1,
        "suite": SUITES[0],
        "steps": {"forward": 1, "backward": 2, "forward_rekeys": 3, "backward_rekeys": 4, "last_s": 5.4},
    },
    {"id": "id-cedar", "name": None, "circuits": 0, "suite": None, "steps": None},
]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints, as the words of its lines."""

    def shown(*flags: str, circuits: Any = CIRCUITS, links: Any = LINKS) -> list[list[str]]:
        monkeypatch.setattr(asking, "answer", lambda *asked: {"circuits": circuits, "links": links})
        assert main(["route", "show", *flags]) == 0
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    return shown


def test_circuits(show: Any) -> None:
    head, row = show()
    assert head == ["ID", "STATE", "AGE", "ROUTE", "STREAMS", "UP", "DOWN"]
    assert row == [
        "7",
        "open,",
        "superseded",
        "61",
        "s",
        "ash",
        ">",
        "birch",
        "3",
        "2.0",
        "KiB",
        "5.0",
        "MiB",
    ]
    good = {**CIRCUITS[0], "standing": "good"}
    assert show(circuits=[good])[1][:3] == ["7", "open", "61"]
    assert show(circuits=[{**good, "spare": True}])[1][:4] == ["7", "open,", "spare", "61"]
    assert show(circuits=[{**good, "retired": True}])[1][:4] == ["7", "open,", "leaving", "61"]


def test_a_new_identity(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def run(function: Any, path: Any, verb: str, args: dict[str, Any]) -> dict[str, int]:
        asked.append((verb, args))
        return {"ended": 1, "left": 0 if args["end"] else 2}

    monkeypatch.setattr(route_new.loop, "run", run)
    assert main(["route", "new", "--control", "sock"]) == 0
    assert capsys.readouterr().out.split("\n")[:2] == [
        "New connections take new routes; 1 circuit ended.",
        "  2 circuits go on until what uses it is over; --end ends that, too",
    ]
    assert main(["route", "new", "--control", "sock", "--end", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "port17.route.new/1", "ended": 1, "left": 0}
    assert asked == [("renew", {"end": False}), ("renew", {"end": True})]


def test_hops_and_links_with_every_step(show: Any) -> None:
    lines = show("--hops")
    assert lines[4:] == [
        f"7 1 ash {SUITES[0]} 10 11 12 13 12 s ago".split(),
        f"2 birch {SUITES[1]} 20 21 22 23 -".split(),
        f"link - ash {SUITES[0]} 1 2 3 4 5 s ago".split(),
        ["link", "-", "id-cedar", "-", "-", "-", "-", "-", "-"],
    ]


def test_nothing(show: Any) -> None:
    assert (
        show(circuits=[], links=[])
        == show("--hops", circuits=[], links=[])
        == [["No", "circuit", "is", "open."]]
    )


def test_json_is_what_the_client_says(show: Any) -> None:
    (words,) = show("--json")
    document = json.loads(" ".join(words))
    assert document == {"schema": "port17.route.show/1", "circuits": CIRCUITS, "links": LINKS}
