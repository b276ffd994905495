"""What a node or client knows is shown to its user: from its folder, its rack, or the process itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from port17 import control
from port17.bottles.rack import load_bottle, save_bottle
from port17.config import ClientConfig, load
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.showing import PAGE, bottles
from port17_cli import network
from port17_cli.main import main
from port17_cli.workplace import Workplace

NAMES = ["n1", "n2", "n3"]


class Home:
    """A client's files, and the bottles of three nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "client" / "client.toml"
        self.config, _ = load(ClientConfig, self.file)
        self.bottles: list[Bottle] = [
            load_bottle(next((folder / "nodes" / name / "bottles").iterdir())) for name in NAMES
        ]

    def learn(self) -> None:
        """A process of the client's takes them in, and ends."""
        for bottle in self.bottles:
            save_bottle(self.config.bottles, bottle)
        KnownNetwork.load(self.config, Registry()).close()
        for file in self.config.bottles.iterdir():
            file.unlink()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Workplace(tmp_path / "net") as place:
        network.make(place, nodes=3, lanes=2, socks=None, suites=(), identity=None)
        yield Home(place.directory)


def say(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(words) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def listed(capsys: pytest.CaptureFixture[str], home: Home) -> list[str]:
    told: dict[str, Any] = json.loads(say(capsys, "bottle", "list", "--config", str(home.file), "--json"))
    return [node["name"] for node in told["nodes"]]


def test_a_rack_and_a_folder_are_both_shown(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, home) == []
    save_bottle(home.config.bottles, home.bottles[0])
    assert listed(capsys, home) == ["n1"]
    home.learn()
    assert listed(capsys, home) == NAMES
    shown = say(capsys, "bottle", "list", "--config", str(home.file))
    assert all(bottle.node_id in shown for bottle in home.bottles)


def test_one_of_them_is_shown_by_name(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.learn()
    shown = say(capsys, "bottle", "show", "n2", "--config", str(home.file))
    assert home.bottles[1].node_id in shown
    assert "bottle list" in say(capsys, "bottle", "show", "n9", "--config", str(home.file), code=3)


def test_they_are_written_into_a_folder(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.learn()
    words = ["bottle", "export", "--config", str(home.file), "--out", str(tmp_path / "out")]
    say(capsys, *words, "n1", home.bottles[2].node_id)
    written = {load_bottle(file).label.name for file in (tmp_path / "out").iterdir()}
    assert written == {"n1", "n3"}
    assert "n9" in say(capsys, *words, "n9", code=2)
    say(capsys, *words)
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_process_that_runs_is_asked(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.learn()

    async def ask() -> None:
        with closing(KnownNetwork.load(home.config, Registry())) as known:
            async with anyio.create_task_group() as tasks:
                await tasks.start(control.serve, home.config.control, {"bottles": bottles(known)})
                told = await anyio.to_thread.run_sync(listed, capsys, home)
                tasks.cancel_scope.cancel()
        assert told == NAMES

    anyio.run(ask)


def test_a_large_rack_is_given_page_by_page(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PAGE > 2
    monkeypatch.setattr("port17.showing.PAGE", 2)
    home.learn()

    async def ask() -> list[str]:
        with closing(KnownNetwork.load(home.config, Registry())) as known:
            verb = bottles(known)
            first = await verb({})
            assert len(first["bottles"]) == 2
            rest = await verb({"after": first["next"]})
            assert (len(rest["bottles"]), rest["next"]) == (1, None)
            return [row["bottle"] for row in (*first["bottles"], *rest["bottles"])]

    assert len(set(anyio.run(ask))) == 3
