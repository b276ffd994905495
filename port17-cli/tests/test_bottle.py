"""``port17 bottle``: what is shown, what is checked, and that a hostile file costs little."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from port17.bottles.name_order import OFFLINE_S
from port17.bottles.rack import load_bottle
from port17.records import cbor
from port17.records.bottle import BOTTLE_CAP
from port17_cli.main import main


class Shell:
    """Commands in a network of two nodes."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.charter = str(folder / "home.charter")
        self.bottles = str(folder / "bottles")
        self._capsys = capsys
        self.run("charter", "init", "--dir", str(folder), "--name", "home")
        self.oak = self._node("oak", "--exit", "--allow", "accept *:443")
        self.elm = self._node("elm")

    def _node(self, name: str, *more: str) -> dict[str, Any]:
        words = ["node", "init", "--config", str(self.folder / f"{name}.toml"), "--charter", self.charter]
        return self.run(*words, "--name", name, "--listen", "127.0.0.1:7017", "--days", "2", *more)

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        self._capsys.readouterr()
        assert main([*words, "--json"]) == code
        said = self._capsys.readouterr()
        self.error = said.err
        return json.loads(said.out) if said.out else {}  # type: ignore[no-any-return]

    def text(self, *words: str) -> str:
        self._capsys.readouterr()
        assert main(list(words)) == 0
        return self._capsys.readouterr().out


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_everything_a_bottle_says_is_shown(shell: Shell) -> None:
    shown = shell.run("bottle", "show", shell.oak["bottle"])
    bottle = load_bottle(Path(shell.oak["bottle"]))
    assert shown["schema"] == "port17.bottle.show/1"
    assert (shown["id"], shown["fingerprint"]) == (shell.oak["id"], shell.oak["fingerprint"])
    assert shown["bytes"] == len(bottle.encode())
    assert shown["label"]["addresses"] == {"tcp": ["127.0.0.1:7017"]}
    assert shown["label"]["exit"] == ["accept *:443"]
    assert shown["label"]["since"] == bottle.label.since > 0
    assert shown["contents"]["seq"] == bottle.contents.seq
    assert [one["held"] for one in shown["prekeys"]] == [True] * len(bottle.bundle)
    assert shown["signatures"]["label"] == {"scheme": "ed25519", "bytes": 64, "valid": None}
    assert shown["verdict"] is None, "nobody can say without a charter"
    text = shell.text("bottle", "show", shell.oak["bottle"])
    assert "not checked: give --charter or --config" in text
    assert f"Bottle of oak ({shell.oak['id']})" in text


def test_a_node_is_found_by_id_fingerprint_or_name(shell: Shell) -> None:
    config = str(shell.folder / "elm.toml")
    for name in (shell.oak["id"], shell.oak["fingerprint"], "oak", "OAK"):
        assert shell.run("bottle", "show", name, "--config", config)["id"] == shell.oak["id"]
        assert shell.run("bottle", "show", name, "--bottles", shell.bottles)["id"] == shell.oak["id"]
    shell.run("bottle", "show", "ash", "--config", config, code=3)
    assert "neither a file ash nor a node of that name or id" in shell.error
    shell.run("bottle", "show", "oak", code=3)
    assert "--bottles DIR or --config FILE" in shell.error
    twin = shell._node("oak2", "--force")
    file = Path(twin["bottle"])
    file.with_name("copy.bottle").write_bytes(Path(shell.oak["bottle"]).read_bytes())
    shell.run("bottle", "show", "oak", "--bottles", shell.bottles, code=2)
    assert "2 nodes claim the name oak" in shell.error


def test_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> io.BytesIO:
        stream = io.BytesIO(data)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        return stream

    given(Path(shell.oak["bottle"]).read_bytes())
    assert shell.run("bottle", "show", "-")["id"] == shell.oak["id"]
    flood = given(bytes(4 * BOTTLE_CAP))
    shell.run("bottle", "show", "-", code=3)
    assert "at most" in shell.error
    assert flood.tell() < 2 * BOTTLE_CAP, "no more is read than a bottle can have"


def test_a_valid_bottle_verifies(shell: Shell) -> None:
    for against in (["--charter", shell.charter], ["--config", str(shell.folder / "elm.toml")]):
        shown = shell.run("bottle", "verify", shell.oak["bottle"], *against)
        assert shown["verdict"] == {"valid": True, "ruling": "accept", "reasons": []}
        assert [one["valid"] for one in shown["signatures"].values()] == [True, True]
    assert shell.text("bottle", "verify", shell.oak["bottle"], "--charter", shell.charter).endswith(
        "valid; accept\n"
    )


def test_one_that_is_not_valid_says_what_is_wrong_and_fails(shell: Shell) -> None:
    oak, elm = Path(shell.oak["bottle"]), Path(shell.elm["bottle"])
    mixed = shell.folder / "mixed.bottle"
    parts = [cbor.decode(file.read_bytes(), cap=BOTTLE_CAP) for file in (oak, elm)]
    mixed.write_bytes(cbor.encode([parts[0][0], parts[1][1], []]))  # type: ignore[index]
    shown = shell.run("bottle", "verify", str(mixed), "--charter", shell.charter, code=3)
    assert shown["verdict"]["valid"] is False
    assert [one["valid"] for one in shown["signatures"].values()] == [True, False]
    assert "is not valid" in shell.error
    shell.run("charter", "init", "--dir", str(shell.folder / "b"), "--name", "away")
    foreign = str(shell.folder / "b" / "away.charter")
    shown = shell.run("bottle", "verify", str(oak), "--charter", foreign, code=3)
    assert [one["valid"] for one in shown["signatures"].values()] == [False, False]
    assert shell.run("bottle", "show", str(oak), "--charter", foreign)["verdict"]["valid"] is False


def test_one_that_is_valid_and_not_wanted_fails_too(shell: Shell) -> None:
    odd = shell._node("yew", "--exit", "--allow", "reject *:*")
    shown = shell.run("bottle", "verify", odd["bottle"], "--charter", shell.charter, code=3)
    assert (shown["verdict"]["valid"], shown["verdict"]["ruling"]) == (True, "distrust")
    assert "valid, but not used" in shell.error


def test_a_name_is_claimed_once_and_kept_through_changes_and_rotation(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the order of names goes by; a silence that is too long begins it anew."""
    config = str(shell.folder / "oak.toml")
    begun, clock = time.time(), time.time

    def claimed_after(seconds: float, *words: str) -> int:
        monkeypatch.setattr(time, "time", lambda: clock() + seconds)
        made = shell.run(*words)
        label = shell.run("bottle", "show", made["bottle"])["label"]
        assert label["seq"] >= begun + seconds - 5
        return int(label["since"])

    first = shell.run("bottle", "show", shell.oak["bottle"])["label"]["since"]
    assert claimed_after(100, "node", "bottle", "--config", config, "--set", "group=grove") == first
    assert claimed_after(200, "identity", "rotate", "--config", config) == first
    renamed = claimed_after(300, "node", "bottle", "--config", config, "--set", "name=ash")
    assert renamed >= begun + 295
    away = 400 + OFFLINE_S
    assert claimed_after(away, "node", "bottle", "--config", config, "--set", "name=ash") >= begun + away - 5


def test_verify_needs_something_to_verify_against(shell: Shell) -> None:
    shell.run("bottle", "verify", shell.oak["bottle"], code=2)
    shell.run("bottle", "verify", shell.oak["bottle"], "--charter", str(shell.folder / "none"), code=3)


@pytest.mark.parametrize(
    "noise", [b"", b"noise", bytes(BOTTLE_CAP + 1), b"\x83" * 500, b"\x9b" + b"\xff" * 8]
)
def test_noise_is_refused(shell: Shell, noise: bytes) -> None:
    file = shell.folder / "noise.bottle"
    file.write_bytes(noise)
    shell.run("bottle", "show", str(file), code=3)
    assert str(file) in shell.error
    assert "unexpected" not in shell.error
    shell.run("bottle", "show", str(shell.folder), code=3)
