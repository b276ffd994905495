"""``port17 client status``: what the client answers, as lines and a table for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from port17_cli import asking
from port17_cli.main import main

SOURCE = {"id": "id-ash", "name": "ash", "group": "trees", "scope": "near", "synced": False}
GUARD = {"id": "id-elm", "name": "elm", "state": "down", "days": 3.2, "days_left": 70.9, "again_s": 12.3}
ANSWER = {"revision": 3, "sources": [SOURCE], "guards": [GUARD], "nodes": {"known": 7, "usable": 5}}


def test_sources_have_a_table_and_the_rest_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(args: object, kind: str, verb: str) -> dict[str, Any]:
        assert (kind, verb) == ("client", "status")
        return dict(ANSWER)

    monkeypatch.setattr(asking, "answer", answer)
    assert main(["client", "status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["revision: 3", "nodes.known: 7", "nodes.usable: 5", ""]
    assert lines[4].split()[:3] == ["GUARD", "ID", "STATE"]
    assert lines[5].split() == ["elm", "id-elm", "down,", "called", "again", "in", "12", "s", "3", "71"]
    assert lines[8].split() == ["ash", "trees", "id-ash", "near", "no"]
    assert main(["client", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "port17.client.status/1", **ANSWER}
    monkeypatch.setattr(asking, "answer", lambda *asked: {**ANSWER, "sources": []})
    assert main(["client", "status"]) == 0
    assert "No node tells it" in capsys.readouterr().out
