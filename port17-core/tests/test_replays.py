"""What a node has seen, over stops of every kind and under clocks that jump."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from port17.errors import ConfigError, PeerViolation
from port17.node import replays
from port17.node.replays import FILE, MARK, Replays
from port17.wire.replay import ReplaySet, stamp

NOW_S = 1_800_000_000.0
SKEW_S = 120.0
KEY = b"k" * 16


def seen(folder: Path) -> Replays:
    """A node's sets with one SETUP in them."""
    replays = Replays.load(folder, SKEW_S, NOW_S)
    replays.setups.admit(KEY, stamp(NOW_S), NOW_S)
    return replays


def test_a_clean_stop_keeps_the_sets_apart(tmp_path: Path) -> None:
    seen(tmp_path).store(tmp_path, NOW_S)
    after = Replays.load(tmp_path, SKEW_S, NOW_S + 30)
    assert after.setups.seen(KEY)
    assert not after.links.seen(KEY)
    after.links.admit(KEY, stamp(NOW_S + 30), NOW_S + 30)


@pytest.mark.parametrize("left", ["a mark", "an empty file", "half a file"])
def test_sets_that_are_lost_cost_a_wait(tmp_path: Path, left: str) -> None:
    replays = seen(tmp_path)
    if left != "a mark":
        replays.store(tmp_path, NOW_S)
        file = tmp_path / FILE
        file.write_bytes(b"" if left == "an empty file" else file.read_bytes()[:9])
    after = Replays.load(tmp_path, SKEW_S, NOW_S + 30)
    for fresh in (KEY, b"x" * 16):
        with pytest.raises(PeerViolation, match="unclean"):
            after.setups.admit(fresh, stamp(NOW_S + 30), NOW_S + 30)
    later_s = NOW_S + 30 + SKEW_S + 60
    after.setups.admit(b"x" * 16, stamp(later_s), later_s)


def test_sets_of_a_backup_count_as_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen after the backup was made is not in them."""
    monkeypatch.setattr(
        replays, "time", SimpleNamespace(time=lambda: time.time() - 60, monotonic=time.monotonic)
    )
    seen(tmp_path).store(tmp_path, NOW_S)
    monkeypatch.undo()
    backup = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).write_bytes(backup)
    after = Replays.load(tmp_path, SKEW_S, NOW_S + 30)
    with pytest.raises(PeerViolation, match="unclean"):
        after.setups.admit(b"x" * 16, stamp(NOW_S + 30), NOW_S + 30)


def test_without_sets_beside_keys_of_a_backup_they_count_as_lost(tmp_path: Path) -> None:
    after = Replays.load(tmp_path, SKEW_S, NOW_S, unknown_until_s=NOW_S - 30)
    with pytest.raises(PeerViolation, match="unclean"):
        after.links.admit(KEY, stamp(NOW_S), NOW_S)
    later_s = NOW_S + 3600
    (tmp_path / MARK).unlink()
    Replays.load(tmp_path, SKEW_S, later_s, unknown_until_s=NOW_S - 30).links.admit(
        KEY, stamp(later_s), later_s
    )


def test_a_clean_stop_soon_after_a_crash_does_not_hide_it(tmp_path: Path) -> None:
    seen(tmp_path)  # and killed
    after = Replays.load(tmp_path, SKEW_S, NOW_S + 10)
    after.store(tmp_path, NOW_S + 20)
    again = Replays.load(tmp_path, SKEW_S, NOW_S + 30)
    with pytest.raises(PeerViolation, match="unclean"):
        again.setups.admit(KEY, stamp(NOW_S + 30), NOW_S + 30)
    again.store(tmp_path, NOW_S + 30 + 2 * SKEW_S + 61)
    assert not (tmp_path / MARK).exists()


def test_a_stop_that_cannot_store_counts_as_unclean(tmp_path: Path) -> None:
    replays = seen(tmp_path)
    (tmp_path / f"{FILE}.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        replays.store(tmp_path, NOW_S)
    assert (tmp_path / MARK).exists()
    assert not (tmp_path / FILE).exists()


def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    seen(tmp_path).store(tmp_path, NOW_S)
    assert os.stat(tmp_path / FILE).st_mode & 0o077 == 0


def test_a_state_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="state"):
        Replays.load(tmp_path / "missing", SKEW_S, NOW_S)


def test_a_clock_that_jumps_ahead_and_back_empties_no_set() -> None:
    passed_s = 0.0
    replays = ReplaySet(SKEW_S, elapsed=lambda: passed_s)
    replays.admit(KEY, stamp(NOW_S), NOW_S)
    with pytest.raises(PeerViolation, match="window"):
        replays.admit(b"x" * 16, stamp(NOW_S), NOW_S + 3600)
    passed_s = 5.0
    with pytest.raises(PeerViolation, match="replay"):
        replays.admit(KEY, stamp(NOW_S), NOW_S + 5)


def test_a_nodes_sets_go_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    replays = Replays.load(tmp_path, SKEW_S, NOW_S)
    assert replays.setups._elapsed is replays.links._elapsed is time.monotonic
