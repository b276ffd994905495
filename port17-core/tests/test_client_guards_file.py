"""The file of guards: what is written is read again, and what is damaged is never replaced in silence."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from port17.client.guards_file import FILE_CAP, GuardsFile
from port17.errors import ConfigError
from port17.navigator.guards import Guard, Guards

NETWORK = bytes(range(32))
HELD = [
    Guard(bytes([1]) * 32, 1e9, 7e6, 1.1e9),
    Guard(bytes([2]) * 32, 1e9, 8e6, 1.1e9, 1.2e9),
    Guard(bytes([3]) * 32, 1e9, 9e6),
]


def saved(folder: Path) -> GuardsFile:
    file = GuardsFile(folder / "state", NETWORK)
    file.save(Guards(HELD, rng=Random(1), dropped_s=12.5))
    return file


def test_what_is_kept_is_there_again(tmp_path: Path) -> None:
    file = saved(tmp_path)
    again = file.load()
    assert list(again.listed) == HELD
    assert again.dropped_s == 12.5
    assert [one.name for one in (tmp_path / "state").iterdir()] == ["guards.json"]
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    assert GuardsFile(tmp_path, NETWORK).load().listed == ()


def changed(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: {**value, **changes}


def row(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda value: {**value, "guards": [{**value["guards"][0], **changes}, *value["guards"][1:]]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: [], "the whole"),
        (lambda value: None, "the whole"),
        (changed(version=0), "version"),
        (changed(version="1"), "version"),
        (changed(version=2), "newer Port17"),
        (changed(more=1), "more"),
        (changed(guards={}), "guards"),
        (changed(network="00"), "another network"),
        (lambda value: {**value, "guards": [value["guards"][0]] * 2}, "twice"),
        (lambda value: {**value, "guards": value["guards"] * 9}, "guards"),
        (row(id="xyz"), "guards.0.id"),
        (row(id="ab" * 32 + "\n"), "guards.0.id"),
        (row(since_s="yesterday"), "guards.0.since_s"),
        (row(life_s=-1), "guards.0.life_s"),
        (row(used_s=1e300), "guards.0.used_s"),
        (row(gone_s=True), "guards.0.gone_s"),
        (row(owner="me"), "guards.0.owner"),
    ],
)
def test_a_damaged_file_is_an_error_and_stays(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    file = saved(tmp_path)
    file.path.write_text(json.dumps(change(json.loads(file.path.read_text()))))
    before = file.path.read_bytes()
    with pytest.raises(ConfigError, match=said) as caught:
        file.load()
    assert caught.value.cure
    assert file.path.read_bytes() == before


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (FILE_CAP + 1), b'{"version": NaN}']
)
def test_so_is_what_is_no_such_file_at_all(tmp_path: Path, data: bytes) -> None:
    file = saved(tmp_path)
    file.path.write_bytes(data)
    with pytest.raises(ConfigError, match="guards") as caught:
        file.load()
    assert "copy of it back" in caught.value.cure


def test_and_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "guards.json").mkdir()
    with pytest.raises(ConfigError, match="can't be read"):
        GuardsFile(tmp_path, NETWORK).load()


def test_what_cannot_be_written_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("no folder")
    saved(tmp_path)
    assert "the guards cannot be kept" in caplog.text
