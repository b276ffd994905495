"""``port17 charter bootstrap``: who is listed, who signs, and what is said of a list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from port17.records.bootstrap import SignedBootstrap
from port17.records.bottle import Bottle
from port17_cli.main import main


class Harbour:
    """A network of three nodes under two of three update keys."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.error = ""
        self._capsys = capsys
        self.run(
            *("charter", "init", "--dir", str(folder), "--name", "harbour"),
            *("--update-keys", "3", "--threshold", "2"),
        )
        self.charter = str(folder / "harbour.charter")
        self.list = folder / "bootstrap-nodes.json"
        self.nodes = {name: self._node(name) for name in ("ash", "elm", "oak")}

    def _node(self, name: str) -> dict[str, Any]:
        words = ["node", "init", "--config", str(self.folder / f"{name}.toml"), "--charter", self.charter]
        return self.run(*words, "--name", name, "--listen", "127.0.0.1:7017", "--days", "2")

    def run(self, *words: str, code: int = 0, json_: bool = True) -> dict[str, Any]:
        self._capsys.readouterr()
        assert main([*words, *(["--json"] if json_ else [])]) == code, self._capsys.readouterr().err
        said = self._capsys.readouterr()
        self.error = said.err
        return json.loads(said.out) if json_ and said.out else {"text": said.out}

    def key(self, *numbers: int) -> list[str]:
        keys = self.folder / "harbour-update-keys"
        return [word for one in numbers for word in ("--key", str(keys / str(one)))]

    def bootstrap(self, *words: str, code: int = 0) -> dict[str, Any]:
        return self.run("charter", "bootstrap", str(self.list), "--charter", self.charter, *words, code=code)

    def show(self, code: int = 0) -> dict[str, Any]:
        return self.run("charter", "bootstrap-show", str(self.list), "--charter", self.charter, code=code)

    def listed(self) -> list[str]:
        held = SignedBootstrap.parse(self.list.read_bytes()).held
        return sorted(Bottle.parse(one).label.name for one in held.bottles)

    def card(self, name: str) -> str:
        self.run("identity", "new", "--dir", str(self.folder / name))
        out = str(self.folder / f"{name}.id")
        self.run("identity", "export", "--dir", str(self.folder / name), "--out", out)
        return out


@pytest.fixture
def harbour(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Harbour:
    return Harbour(tmp_path, capsys)


def test_all_that_can_be_called_are_listed(harbour: Harbour) -> None:
    made = harbour.bootstrap()
    assert made["schema"] == "port17.charter.bootstrap/1"
    assert (made["holds"], made["needed"], len(made["signatures"])) == (True, 2, 3)
    assert harbour.listed() == ["ash", "elm", "oak"]
    assert made["expiry"] - made["seq"] == 3 * 24 * 3600
    shown = harbour.show()
    assert shown == {**made, "schema": "port17.charter.bootstrap-show/1"}
    text = harbour.run(
        "charter", "bootstrap-show", str(harbour.list), "--charter", harbour.charter, json_=False
    )["text"]
    assert "ash: prekeys until" in text
    assert "(before the list)" in text
    assert "3 of 2 signatures: it holds" in text


def test_update_keys_sign_one_after_another(harbour: Harbour) -> None:
    assert not harbour.bootstrap(*harbour.key(1))["holds"]
    harbour.show(code=3)
    assert "1 of 2 signatures" in harbour.error
    before = SignedBootstrap.parse(harbour.list.read_bytes())
    assert harbour.bootstrap("--cosign", *harbour.key(3))["holds"]
    after = SignedBootstrap.parse(harbour.list.read_bytes())
    assert after.payload == before.payload
    harbour.show()
    harbour.bootstrap("--cosign", *harbour.key(2), "--node", "ash", code=2)


def test_a_publisher_signs_alone(harbour: Harbour) -> None:
    card = harbour.card("printer")
    amend = ["charter", "amend", "--charter", harbour.charter, "--in", "0"]
    amended = harbour.run(*amend, "--publisher", card)
    assert (len(amended["publishers"]), amended["publishers_threshold"]) == (1, 1)
    harbour.bootstrap(code=3)
    assert "not a publisher" in harbour.error
    assert harbour.bootstrap("--key", str(harbour.folder / "printer"))["holds"]
    harbour.run(*amend, "--publishers-threshold", "2", code=2)
    kept = harbour.run(*amend)
    assert kept["publishers"] == amended["publishers"]
    harbour.run(*amend, "--dismiss-publisher", "nobody", code=2)
    assert "There is no publisher nobody" in harbour.error
    gone = harbour.run(*amend, "--dismiss-publisher", amended["publishers"][0])
    assert (gone["publishers"], gone["publishers_threshold"]) == ([], 0)
    harbour.show(code=3)
    assert "0 of 2" in harbour.error


def test_nodes_are_chosen(harbour: Harbour) -> None:
    harbour.bootstrap("--node", "ash", "--node", harbour.nodes["elm"]["fingerprint"])
    assert harbour.listed() == ["ash", "elm"]
    harbour.bootstrap("--node", harbour.nodes["oak"]["id"])
    assert harbour.listed() == ["oak"]
    harbour.bootstrap("--node", "yew", code=2)
    assert "No node of" in harbour.error
    assert harbour.listed() == ["oak"], "what is there stays"


def test_a_damaged_bottle_keeps_no_list_from_coming_out(harbour: Harbour) -> None:
    bottles = harbour.folder / "bottles"
    ash = bottles / f"{harbour.nodes['ash']['id']}.bottle"
    ash.write_bytes(ash.read_bytes().replace(b"ash", b"axe"))
    harbour.bootstrap()
    assert harbour.listed() == ["elm", "oak"]
    assert f"left out: {ash}" in harbour.error
    for one in bottles.iterdir():
        one.unlink()
    harbour.bootstrap(code=2)
    assert "0 nodes of" in harbour.error


def test_each_list_is_newer_than_the_one_that_it_replaces(harbour: Harbour) -> None:
    numbers = [harbour.bootstrap("--days", "0.5")["seq"] for _ in range(3)]
    assert numbers == sorted(set(numbers))
    harbour.bootstrap("--days", "31", code=2)
    harbour.bootstrap("--days", "0", code=2)
    harbour.bootstrap("--days", "nan", code=2)


def test_what_is_no_list_is_not_replaced_or_signed(harbour: Harbour) -> None:
    harbour.list.write_text("something else")
    harbour.bootstrap(code=3)
    harbour.bootstrap("--cosign", code=3)
    harbour.show(code=3)
    assert harbour.list.read_text() == "something else"


def test_nothing_is_added_to_a_forged_list(harbour: Harbour) -> None:
    harbour.bootstrap(*harbour.key(1))
    document = json.loads(harbour.list.read_text())
    (row,) = document["signatures"]
    row["signature"] = "AAAA" + row["signature"][4:]
    harbour.list.write_text(json.dumps(document))
    harbour.bootstrap("--cosign", *harbour.key(2), code=3)
    assert "is not valid" in harbour.error
