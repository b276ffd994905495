"""Prekeys die on time: whatever their suite, over restarts and crashes; and what is dead stops nobody."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from port17.errors import ConfigError
from port17.node import key_file
from port17.node.identity_file import IDENTITY_FILE
from port17.node.keyring import Keyring
from port17.node.prekey_journal import JOURNAL_FILE
from port17.records import cbor
from port17.wire.suite import CipherSuite
from port17_crypto.schemes import Ed25519
from port17_crypto.suites import X25519ChaCha20Poly1305Blake2s, XWingAes256GcmSha256

SCHEME = Ed25519()
OLD, NEW = X25519ChaCha20Poly1305Blake2s(), XWingAes256GcmSha256()
BOTH: dict[str, CipherSuite] = {OLD.name: OLD, NEW.name: NEW}
NETWORK = bytes(range(32))
LIFETIME = 100
FIRST_DIES = 610
"""When slot 5 expires, Unix second: its end, and ten seconds of overlap."""


def create(folder: Path, *suites: CipherSuite) -> Keyring:
    return Keyring.create(folder, SCHEME, suites or (OLD,), NETWORK, 5, 2, LIFETIME, overlap=10)


def load(folder: Path, *suites: CipherSuite, now: float | None = None, **changed: Any) -> Keyring:
    served = {suite.name: suite for suite in suites or (OLD,)}
    return Keyring.load(folder, {"ed25519": SCHEME}, served, NETWORK, now=now, **changed)


def prekey(folder: Path, slot: int = 5, suite: CipherSuite = OLD) -> Path:
    return folder / f"{suite.name}.{slot}.prekey"


def slots(keyring: Keyring) -> list[tuple[str, int]]:
    return sorted(keyring.prekeys)


def damaged(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def test_suites_that_are_not_loaded_are_burned_too(tmp_path: Path) -> None:
    create(tmp_path, OLD, NEW)
    kept = os.open(prekey(tmp_path), os.O_RDONLY)  # as somebody who undeletes would
    keyring = load(tmp_path, NEW, now=FIRST_DIES)
    assert slots(keyring) == [(NEW.name, 6)]
    keyring.burn(FIRST_DIES)
    assert sorted(file.name for file in tmp_path.glob("*.prekey")) == sorted(
        prekey(tmp_path, 6, suite).name for suite in (OLD, NEW)
    )
    assert set(os.pread(kept, 10_000, 0)) == {0}
    os.close(kept)


def test_a_prekey_of_a_suite_that_nobody_has_any_more_is_burned(tmp_path: Path) -> None:
    create(tmp_path, OLD)
    keyring = load(tmp_path, NEW, now=0)
    assert slots(keyring) == []
    keyring.burn(FIRST_DIES)
    assert not prekey(tmp_path).exists()
    assert prekey(tmp_path, 6).exists()


def test_what_expired_while_nothing_ran_is_never_loaded(tmp_path: Path) -> None:
    create(tmp_path)
    assert slots(load(tmp_path, now=FIRST_DIES)) == [(OLD.name, 6)]
    assert slots(load(tmp_path, now=FIRST_DIES - 1)) == [(OLD.name, 5), (OLD.name, 6)]


def test_keys_that_another_process_made_are_burned_by_this_one(tmp_path: Path) -> None:
    running = create(tmp_path)
    running.burn(0)
    renewal = load(tmp_path)
    renewal.stock(NETWORK, 7, 1, LIFETIME, overlap=10)
    renewal.save()
    assert prekey(tmp_path, 7).exists()
    running.burn(810)
    assert not list(tmp_path.glob("*.prekey"))


@pytest.mark.parametrize("damage", ["half", "noise", "mode", "empty", "zeros", "another's"])
def test_a_damaged_key_that_has_expired_stops_nothing_and_is_erased(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    create(folder)
    file = prekey(folder)
    size = file.stat().st_size
    if damage == "half":
        damaged(file)
    elif damage == "noise":
        file.write_bytes(os.urandom(size))
    elif damage == "mode":
        file.chmod(0o644)
    elif damage in ("empty", "zeros"):
        file.write_bytes(bytes(size if damage == "zeros" else 0))
    else:
        create(tmp_path / "other")
        prekey(tmp_path / "other").replace(file)
    keyring = load(folder, now=FIRST_DIES)
    assert slots(keyring) == [(OLD.name, 6)]
    keyring.burn(FIRST_DIES)
    assert not file.exists()
    if damage in ("half", "noise"):
        assert file.name in caplog.text
    load(folder, now=FIRST_DIES).burn(FIRST_DIES)


@pytest.mark.parametrize("damage", ["half", "mode", "another's"])
def test_a_damaged_key_in_force_is_an_error_and_nothing_is_lost(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    create(folder)
    running = load(folder, now=0)
    file = prekey(folder)
    if damage == "half":
        damaged(file)
    elif damage == "mode":
        file.chmod(0o644)
    else:
        create(tmp_path / "other")
        prekey(tmp_path / "other").replace(file)
    before = file.read_bytes()
    with pytest.raises(ConfigError, match=file.name) as raised:
        load(folder, now=FIRST_DIES - 1)
    assert raised.value.cure
    running.burn(FIRST_DIES - 1)
    assert file.read_bytes() == before


@pytest.mark.parametrize("data", [b"", bytes(2000)])
def test_a_key_that_was_overwritten_but_not_removed_stops_nothing(
    data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(tmp_path)
    prekey(tmp_path).write_bytes(data)
    keyring = load(tmp_path, now=0)
    assert "its slot stays without a key" in caplog.text
    keyring.burn(0)
    assert not prekey(tmp_path).exists()
    assert keyring.stock(NETWORK, 5, 2, LIFETIME) == []  # its commitment is out


class Crash(Exception):
    """The process dies here."""


def crashing(after: int) -> Callable[..., Any]:
    """An os.fsync that dies at its n-th call."""
    left = [after]
    real = os.fsync

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Crash
        real(descriptor)

    return fsync


def test_erasing_survives_a_crash_anywhere(tmp_path: Path) -> None:
    for at in range(3):
        folder = tmp_path / str(at)
        create(folder, OLD, NEW)
        secret = _private(prekey(folder))
        keyring = load(folder, OLD, NEW)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", crashing(at))
            with pytest.raises(Crash):
                keyring.burn(FIRST_DIES)
        keyring = load(folder, OLD, NEW, now=FIRST_DIES)
        assert slots(keyring) == sorted([(OLD.name, 6), (NEW.name, 6)])
        keyring.burn(FIRST_DIES)
        names = {file.name for file in folder.iterdir()}
        assert names == {IDENTITY_FILE, JOURNAL_FILE, prekey(folder, 6).name, prekey(folder, 6, NEW).name}
        assert not any(secret in file.read_bytes() for file in folder.iterdir())


def _private(file: Path) -> bytes:
    value = cbor.decode(file.read_bytes(), cap=1 << 16)
    assert isinstance(value, dict)
    private: bytes = value["private"]
    return private


def test_a_crash_before_the_overwriting_leaves_no_key_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = create(tmp_path)
    monkeypatch.setattr(os, "pwrite", _dying)
    with pytest.raises(Crash):
        keyring.burn(FIRST_DIES)
    monkeypatch.undo()
    assert not prekey(tmp_path).exists()
    left = tmp_path / f"{prekey(tmp_path).name}.gone"
    held = os.open(left, os.O_RDONLY)
    load(tmp_path, now=0).burn(0)  # dead is dead, even if the clock was set back since
    assert not left.exists()
    assert set(os.pread(held, 10_000, 0)) == {0}
    os.close(held)


def _dying(*_: object) -> int:
    raise Crash


def test_what_a_dying_process_left_half_written_is_erased(tmp_path: Path) -> None:
    create(tmp_path)
    leftovers = [tmp_path / f"{IDENTITY_FILE}.new", tmp_path / f"{prekey(tmp_path, 9).name}.new"]
    for file in leftovers:
        file.write_bytes(b"half a key")
    (tmp_path / "replays.new").write_bytes(b"not ours")
    load(tmp_path, now=0).burn(0)
    assert not any(file.exists() for file in leftovers)
    assert (tmp_path / "replays.new").exists()


def test_one_that_can_t_be_erased_does_not_save_the_others(tmp_path: Path) -> None:
    keyring = create(tmp_path, OLD, NEW)
    first = min(prekey(tmp_path), prekey(tmp_path, 5, NEW))
    first.unlink()
    first.mkdir()
    with pytest.raises(ConfigError, match="can't be erased") as raised:
        keyring.burn(FIRST_DIES)
    assert str(first) in raised.value.message
    assert slots(keyring) == sorted([(OLD.name, 6), (NEW.name, 6)])
    assert len([file for file in tmp_path.glob("*.5.prekey") if file.is_file()]) == 0


def test_a_folder_that_is_gone_is_an_error_with_a_cure(tmp_path: Path) -> None:
    keyring = create(tmp_path / "state")
    for file in (tmp_path / "state").iterdir():
        file.unlink()
    (tmp_path / "state").rmdir()
    (tmp_path / "state").write_text("a file in its place")
    with pytest.raises(ConfigError, match="can't be") as raised:
        keyring.burn(FIRST_DIES)
    assert raised.value.cure


def test_burning_only_lists_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node does it every minute, between its cells."""
    keyring = load(create(tmp_path).folder)
    keyring.burn(0)
    read: list[Path] = []
    real = key_file.peek
    monkeypatch.setattr(key_file, "peek", lambda file, cap: (read.append(file), real(file, cap))[1])
    keyring.burn(1)
    assert not [file for file in read if file.suffix == ".prekey"]


# -- serving other suites while running ----------------------------------------------------------------


def test_another_suite_is_served_live(tmp_path: Path) -> None:
    create(tmp_path, OLD)
    keyring = load(tmp_path, OLD, now=0)
    keyring.serve({NEW.name: NEW}, 0)
    assert slots(keyring) == [(OLD.name, 5), (OLD.name, 6)]  # they live until they expire
    assert {record.suite for record in keyring.stock(NETWORK, 5, 2, LIFETIME, overlap=10)} == {NEW.name}
    keyring.save()
    assert len(keyring.prekeys) == 4
    assert slots(load(tmp_path, NEW)) == [(NEW.name, 5), (NEW.name, 6)]
    assert len(keyring.burn(FIRST_DIES)) == 2
    keyring.serve(BOTH, FIRST_DIES)
    assert slots(keyring) == sorted([(OLD.name, 6), (NEW.name, 6)])


def test_serving_takes_up_what_lies_on_disk(tmp_path: Path) -> None:
    create(tmp_path, OLD, NEW)
    keyring = load(tmp_path, OLD, now=0)
    keyring.serve({NEW.name: NEW}, FIRST_DIES)
    assert slots(keyring) == sorted([(OLD.name, 5), (OLD.name, 6), (NEW.name, 6)])
    assert keyring.stock(NETWORK, 6, 1, LIFETIME) == []


def test_serving_goes_on_past_a_damaged_key_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    create(tmp_path, OLD, NEW)
    keyring = load(tmp_path, OLD, now=0)
    damaged(prekey(tmp_path, 5, NEW))
    keyring.serve({NEW.name: NEW}, 0)
    assert slots(keyring) == sorted([(OLD.name, 5), (OLD.name, 6), (NEW.name, 6)])
    assert prekey(tmp_path, 5, NEW).name in caplog.text
    assert keyring.stock(NETWORK, 5, 2, LIFETIME) == []  # the damaged one may be out


def test_keys_made_before_a_switch_are_saved_after_it(tmp_path: Path) -> None:
    keyring = create(tmp_path, OLD)
    keyring.stock(NETWORK, 7, 1, LIFETIME)
    keyring.serve({NEW.name: NEW}, 0)
    keyring.save()
    assert (OLD.name, 7) in load(tmp_path, OLD).prekeys
