"""A test network's directory: one network at a time, and nobody else's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from port17.errors import ConfigError
from port17_cli.workplace import STATE, Workplace


def test_it_is_made_and_taken(tmp_path: Path) -> None:
    with Workplace(tmp_path / "a" / "b") as place:
        place.write_state({"charter": "c"})
        assert json.loads((place.directory / STATE).read_text()) == {"charter": "c"}
        with pytest.raises(ConfigError, match="in use by a running test network"), Workplace(place.directory):
            pass
        assert (place.directory / STATE).exists()


def test_what_an_earlier_network_left_is_cleared(tmp_path: Path) -> None:
    with Workplace(tmp_path) as place:
        place.write_state({})
        (tmp_path / "nodes" / "n1").mkdir(parents=True)
        (tmp_path / "n1.log").write_text("old")
        (tmp_path / "notes.txt").write_text("the user's")
    with Workplace(tmp_path):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "testnet.lock"]


def test_a_directory_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    with pytest.raises(ConfigError, match="not empty"), Workplace(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["nodes"]


def test_sockets_are_elsewhere_when_the_path_is_too_long(tmp_path: Path) -> None:
    with Workplace(tmp_path / ("x" * 100)) as place:
        assert place.sockets != place.directory
        (place.sockets / "n1.sock").touch()
    assert not place.sockets.exists()


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"), Workplace(tmp_path / "file" / "net"):
        pass
