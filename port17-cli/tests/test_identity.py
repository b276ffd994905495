"""``port17 identity``: what is written, who is asked for a passphrase, and that no identity is ever lost."""

from __future__ import annotations

import getpass
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from port17.node.identity_file import IDENTITY_FILE
from port17.node.key_lock import Lock
from port17_cli import drivers
from port17_cli.main import main

from .identity_home import PASSPHRASE, Descriptors, bottles, init, private

pytestmark = pytest.mark.usefixtures("cheap_guesses")


def test_a_new_identity_is_its_owners_alone_and_is_never_overwritten(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    folder = tmp_path / "state"
    made = run("identity", "new", "--dir", str(folder))
    assert made["schema"] == "port17.identity.new/1"
    assert made["protection"] == {"kind": "file"}
    assert made["keys"] == [{"algorithm": "ed25519", "public_bytes": 32}]
    file = folder / "identity.key"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o700, 0o600]
    before = file.read_bytes()
    assert "exists already" in refused("identity", "new", "--dir", str(folder))
    assert file.read_bytes() == before
    shown = run("identity", "show", "--dir", str(folder))
    assert shown["id"] == made["id"]
    assert shown["prekeys"] == []


def test_a_locked_identity_is_shown_without_its_passphrase(
    tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("identity", "new", "--dir", str(tmp_path), "--lock", passphrase=PASSPHRASE)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: pytest.fail("it asked"))
    shown = run("identity", "show", "--dir", str(tmp_path))
    assert (shown["fingerprint"], shown["scheme"]) == (made["fingerprint"], "ed25519")
    assert shown["protection"] == {
        "kind": "passphrase", "kdf": "scrypt", "log_n": 15, "r": 8, "p": 1, "suite": drivers.USUAL_SUITE,
    }  # fmt: skip


def test_the_public_half_is_exported_and_can_be_verified(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    made = run("identity", "new", "--dir", str(tmp_path / "a"), "--lock", passphrase=PASSPHRASE)
    card = tmp_path / "a.identity"
    words = ["identity", "export", "--dir", str(tmp_path / "a"), "--out", str(card)]
    assert "does not open" in refused(*words, passphrase="wrong")
    assert not card.exists()
    exported = run(*words, passphrase=PASSPHRASE)
    assert (exported["id"], exported["private"]) == (made["id"], False)
    shown = run("identity", "show", "--file", str(card))
    assert (shown["fingerprint"], shown["protection"]) == (made["fingerprint"], None)
    data = card.read_bytes()
    for at in range(0, len(data), 7):
        card.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert str(card) in refused("identity", "show", "--file", str(card))
    assert "exists already" in refused(*words, passphrase=PASSPHRASE)


@pytest.mark.parametrize("locked", [False, True])
def test_a_backup_is_locked_and_restores_the_identity(
    locked: bool, tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    folder, backup = tmp_path / "a", tmp_path / "a.backup"
    words = ["identity", "new", "--dir", str(folder)]
    made = run(*words, "--lock", passphrase=PASSPHRASE) if locked else run(*words)
    words = ["identity", "export", "--dir", str(folder), "--out", str(backup), "--private"]
    run(*words) if locked else run(*words, new_passphrase=PASSPHRASE)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert locked == (private(folder) in backup.read_bytes())
    assert run("identity", "show", "--file", str(backup))["protection"]["kind"] == "passphrase"
    words = ["identity", "new", "--dir", str(tmp_path / "b"), "--from", str(backup)]
    assert "does not open" in refused(*words, passphrase="wrong")
    assert not (tmp_path / "b").exists()
    restored = run(*words, passphrase=PASSPHRASE)
    assert restored["fingerprint"] == made["fingerprint"]
    assert "exists already" in refused(*words, passphrase=PASSPHRASE)


def test_who_gives_a_passphrase_gets_locked_keys(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    made = run("identity", "new", "--dir", str(tmp_path / "a"), passphrase=PASSPHRASE)
    assert made["protection"]["kind"] == "passphrase"
    made = run("charter", "init", "--dir", str(tmp_path / "c"), passphrase=PASSPHRASE)
    assert run("identity", "show", "--dir", made["update_keys"][0])["protection"]["kind"] == "passphrase"
    # A suite is of what locks it: then there is something to lock it with.
    words = ["identity", "new", "--dir", str(tmp_path / "b"), "--suite", drivers.USUAL_SUITE]
    assert "no terminal" in refused(*words)
    assert not (tmp_path / "b").exists()


def test_a_passphrase_that_would_lock_nothing_is_refused(
    network: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    oak = run(*init(network, "oak"))
    state, secret = network / "oak-state", network / "secret"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    out = str(network / "out")
    place, config = ["--dir", str(state)], ["--config", oak["config"]]
    said = "is not locked"
    assert said in refused(*init(network, "oak", "--force"), passphrase="x", code=2)
    assert "not locked" in refused(*init(network, "oak", "--force", "--passphrase-file", str(secret)))
    assert said in refused("identity", "rotate", *config, passphrase="x", code=2)
    assert said in refused("identity", "passphrase", *place, passphrase="x", code=2)
    assert said in refused("identity", "export", "--private", *place, "--out", out, passphrase="x", code=2)
    words = ["identity", "new", "--dir", str(network / "new"), "--from", str(state / IDENTITY_FILE)]
    assert said in refused(*words, passphrase="x", code=2)
    public = ["identity", "export", *place, "--out", out]
    assert "public half" in refused(*public, new_passphrase="x", code=2)
    run("identity", "passphrase", *place, new_passphrase="x")
    typed = {"passphrase": "x", "new_passphrase": "y"}
    assert "keeps its passphrase" in refused(*public, "--private", **typed, code=2)
    assert "two wishes" in refused("identity", "passphrase", *place, "--remove", **typed, code=2)
    assert not (network / "out").exists()
    assert not (network / "new").exists()


@pytest.mark.parametrize("half", [["--private"], []], ids=["private", "public"])
@pytest.mark.parametrize("beside", [".new", ".gone"])
def test_an_export_touches_nobodys_file(
    half: list[str], beside: str, tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    run("identity", "new", "--dir", str(tmp_path / "a"))
    out, notes = tmp_path / "b.key", tmp_path / f"b.key{beside}"
    notes.write_text("notes")
    words = ["identity", "export", "--dir", str(tmp_path / "a"), "--out", str(out), *half]
    typed = {"new_passphrase": "x"} if half else {}
    run(*words, **typed)
    assert notes.read_text() == "notes"
    mode = stat.S_IMODE(out.stat().st_mode)
    assert mode == 0o600 if half else mode & 0o600 == 0o600
    # Nor through a link that leads nowhere.
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    words[words.index(str(out))] = str(link)
    assert "exists already" in refused(*words, **typed)
    assert not target.exists()


def test_a_passphrase_is_set_changed_and_removed(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    made = run("identity", "new", "--dir", str(tmp_path))
    words = ["identity", "passphrase", "--dir", str(tmp_path)]
    secret = private(tmp_path)
    old = os.open(tmp_path / "identity.key", os.O_RDONLY)  # as somebody who undeletes would
    assert run(*words, new_passphrase="first")["protection"]["kind"] == "passphrase"
    assert secret not in os.pread(old, 1 << 16, 0)
    os.close(old)
    assert secret not in (tmp_path / "identity.key").read_bytes()
    assert "does not open" in refused(*words, passphrase="wrong", new_passphrase="second")
    run(*words, passphrase="first", new_passphrase="second")
    assert "does not open" in refused(*words, "--remove", passphrase="first")
    opened = run(*words, "--remove", passphrase="second")
    assert opened["protection"] == {"kind": "file"}
    assert opened["fingerprint"] == made["fingerprint"]
    assert private(tmp_path) == secret
    refused(*words, "--remove", code=2)


def test_at_a_terminal_a_new_passphrase_is_asked_for_twice(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = ["one", "other"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda prompt: typed.pop(0))
    words = ["identity", "new", "--dir", str(tmp_path / "a"), "--lock"]
    assert "differ" in refused(*words)
    assert not (tmp_path / "a").exists()
    typed[:] = ["same", "same"]
    run(*words)
    typed[:] = ["same"]
    run("identity", "passphrase", "--dir", str(tmp_path / "a"), "--remove")
    assert typed == []


def test_without_a_terminal_nobody_is_asked(tmp_path: Path, refused: Callable[..., str]) -> None:
    said = refused("identity", "new", "--dir", str(tmp_path / "a"), "--lock")
    assert "no terminal" in said
    assert "--passphrase-fd" in said


def test_a_restored_identity_never_publishes_a_second_key_for_a_slot(
    network: Path, run: Callable[..., Any], refused: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    oak = run(*init(network, "oak"))
    backup = str(network / "backup")
    run("identity", "export", "--config", oak["config"], "--out", backup, "--private", new_passphrase="x")
    (published,) = bottles(network)
    # Only the backup is left; the bottle is out in the world.
    state = Path(oak["state"])
    for file in state.iterdir():
        file.unlink()
    Path(oak["bottle"]).unlink()
    run("identity", "new", "--dir", str(state), "--from", backup, passphrase="x")
    assert "identity rotate" in refused("node", "bottle", "--config", oak["config"], passphrase="x")
    assert "may have been published" in caplog.text
    # What is known to be new is made: under a successor at once.
    run("identity", "rotate", "--config", oak["config"], passphrase="x")
    (successor,) = bottles(network)
    assert len(successor.bundle) == 8
    assert {record.hash for record in successor.bundle}.isdisjoint({one.hash for one in published.bundle})


def test_a_restored_identity_that_was_never_used_serves_at_once(
    network: Path, run: Callable[..., Any]
) -> None:
    made = run("identity", "new", "--dir", str(network / "offline"))
    backup = str(network / "backup")
    words = ["--out", backup, "--private"]
    run("identity", "export", "--dir", str(network / "offline"), *words, new_passphrase="x")
    words = ["--from", backup, "--unused"]
    run("identity", "new", "--dir", str(network / "oak-state"), *words, passphrase="x")
    oak = run(*init(network, "oak"), passphrase="x")
    assert oak["id"] == made["id"]
    (bottle,) = bottles(network)
    assert len(bottle.bundle) == 8


def test_keys_older_than_the_bottle_never_get_seconds(network: Path, run: Callable[..., Any]) -> None:
    oak = run(*init(network, "oak", "--days", "1"))
    state = Path(oak["state"])
    snapshot = {file.name: file.read_bytes() for file in state.iterdir()}
    run("node", "bottle", "--config", oak["config"], "--days", "3")
    (before,) = bottles(network)
    for file in state.iterdir():
        file.unlink()
    for name, data in snapshot.items():
        (state / name).write_bytes(data)
        (state / name).chmod(0o600)
    run("node", "bottle", "--config", oak["config"], "--days", "5")
    (after,) = bottles(network)
    first = {(one.suite, one.slot): one.hash for one in before.bundle}
    second = {(one.suite, one.slot): one.hash for one in after.bundle}
    assert len(first) == 4
    assert len(second) == 4  # the two that the snapshot had, and two that nobody had seen
    assert all(second[place] == first[place] for place in first.keys() & second.keys())


def test_update_keys_can_be_locked(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    made = run("charter", "init", "--dir", str(tmp_path), "--update-keys", "2", "--lock", passphrase="long")
    shown = [run("identity", "show", "--dir", folder)["protection"]["kind"] for folder in made["update_keys"]]
    assert shown == ["passphrase"] * 2
    amend = ["charter", "amend", "--charter", made["charter"]]
    before = Path(made["charter"]).read_bytes()
    assert "does not open" in refused(*amend, passphrase="short")
    assert Path(made["charter"]).read_bytes() == before
    assert run(*amend, passphrase="long")["revision"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show"], "not said"),
        (["show", "--dir", "x", "--file", "y"], "instead of"),
        (["new", "--dir", "x", "--unused"], "--from"),
        (["new", "--dir", "x", "--from", "y", "--lock"], "backup"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], said: str, refused: Callable[..., str]) -> None:
    assert said in refused("identity", *words, code=2)


def test_the_traceback_of_a_failure_shows_no_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Lock, private: bytes, passphrase: bytes, *_: object) -> bytes:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(Lock, "seal", fail)
    with Descriptors({"passphrase": PASSPHRASE}) as flags:
        assert main(["--debug", "identity", "new", "--dir", str(tmp_path), "--lock", *flags]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in fail" in said
    assert PASSPHRASE not in said
