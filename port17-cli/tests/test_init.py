"""Founding a network, and making its nodes and clients: what is written, and what is never overwritten."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from port17.bottles.rack import MemoryRack, load_bottle, load_directory
from port17.config import ClientConfig, NodeConfig, load
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17.records.charter_file import CharterFile
from port17.records.level import Status
from port17_cli import drivers
from port17_cli.main import main
from port17_crypto.schemes import Ed25519


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON document of a command that succeeds."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture
def charter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    made = run(capsys, "charter", "init", "--dir", str(tmp_path), "--name", "home")
    return Path(made["charter"])


def node(tmp_path: Path, charter: Path, name: str, *more: str) -> list[str]:
    config = str(tmp_path / f"{name}.toml")
    words = ["node", "init", "--config", config, "--charter", str(charter), "--name", name]
    return [*words, "--listen", "127.0.0.1:7017", *more]


def read(charter: Path) -> Charter:
    return Charter.load(charter, drivers.schemes(Registry()))


def test_a_charter_with_several_update_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trusted = "ab" * 32
    made = run(
        capsys, "charter", "init", "--dir", str(tmp_path / "new"), "--update-keys", "3", "--threshold", "2",
        "--plain-text-exit", trusted,
    )  # fmt: skip
    assert made["schema"] == "port17.charter.init/1"
    charter = read(Path(made["charter"]))
    assert charter.network_id.hex() == made["network_id"]
    assert (len(charter.genesis.update_keys), charter.genesis.threshold) == (3, 2)
    assert charter.current(time.time()).plain_text_exits == (bytes.fromhex(trusted),)
    for folder in made["update_keys"]:
        (key,) = Path(folder).iterdir()
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_charter_is_not_overwritten(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = charter.read_bytes()
    again = ["charter", "init", "--dir", str(tmp_path), "--name", "home"]
    assert main(again) == 3
    assert "--force" in capsys.readouterr().err
    assert charter.read_bytes() == before
    run(capsys, *again, "--force")
    assert charter.read_bytes() != before


def test_unknown_suites_and_schemes_are_the_plugins_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flag in ("--suite", "--identity"):
        assert main(["charter", "init", "--dir", str(tmp_path / "x"), flag, "p17-1-none-such"]) == 4
        assert not (tmp_path / "x").exists()


def test_a_broken_scheme_makes_no_keys_and_vouches_for_no_bottle(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(capsys, *node(tmp_path, charter, "alpha"))
    explain = ("suites", "explain", "--config", made["config"])
    assert run(capsys, *explain)["problems"] == []
    monkeypatch.setattr(Ed25519, "status", Status.BROKEN)
    assert "ed25519 is not allowed" in "".join(run(capsys, *explain)["problems"])
    assert main(["charter", "init", "--dir", str(tmp_path / "new"), "--name", "new"]) == 3
    assert "is broken" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main(node(tmp_path, charter, "beta")) == 3
    assert not (tmp_path / "beta.toml").exists()


def test_a_node(tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = run(capsys, *node(tmp_path, charter, "alpha", "--exit", "--allow", "accept *:443"))
    assert made["schema"] == "port17.node.init/1"
    config, _ = load(NodeConfig, Path(made["config"]))
    assert (config.name, config.group, config.exit.allow) == ("alpha", "alpha", ["accept *:443"])
    assert config.charter == charter
    rack = MemoryRack()
    founded = read(charter)
    assert (
        load_directory(config.bottles, founded.network_id, drivers.schemes(Registry()), rack, time.time())
        == []
    )
    (bottle,) = rack
    assert bottle.node_id == made["id"]
    assert bottle.fingerprint.hex() == made["fingerprint"]
    assert bottle.label.addresses == {"tcp": ("127.0.0.1:7017",)}
    assert bottle.label.exit == ("accept *:443",)
    assert len(bottle.bundle) == 8


def test_a_node_is_no_exit_unless_told(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(capsys, *node(tmp_path, charter, "alpha"))
    config, _ = load(NodeConfig, Path(made["config"]))
    assert not config.exit.enabled
    assert not config.exit.allow_private


def test_a_nodes_keys_survive_force(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(capsys, *node(tmp_path, charter, "alpha"))
    assert main(node(tmp_path, charter, "alpha")) == 3
    assert "--force" in capsys.readouterr().err
    again = run(capsys, *node(tmp_path, charter, "alpha", "--force", "--group", "other"))
    assert again["id"] == first["id"]
    assert load(NodeConfig, Path(again["config"]))[0].group == "other"


def test_lanes_are_named_by_id_and_stay(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alpha = run(capsys, *node(tmp_path, charter, "alpha"))
    beta = run(capsys, *node(tmp_path, charter, "beta", "--lane", alpha["id"]))
    assert beta["lanes"] == [alpha["fingerprint"]]
    renewed = run(capsys, "node", "bottle", "--config", alpha["config"], "--lane", beta["id"])
    assert (renewed["schema"], renewed["lanes"]) == ("port17.node.bottle/1", [beta["fingerprint"]])
    assert run(capsys, "node", "bottle", "--config", alpha["config"])["lanes"] == [beta["fingerprint"]]
    assert main(["node", "bottle", "--config", alpha["config"], "--lane", "a" * 32]) == 3
    assert "no valid bottle" in capsys.readouterr().err


def test_a_bottle_is_renewed_while_yesterdays_key_is_still_good(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(capsys, *node(tmp_path, charter, "alpha"))
    config, _ = load(NodeConfig, Path(made["config"]))
    lifetime_s = read(charter).current(time.time()).prekey_lifetime_s
    past_midnight_s = (int(time.time()) // lifetime_s + 1) * lifetime_s + 60
    monkeypatch.setattr(time, "time", lambda: float(past_midnight_s))
    run(capsys, "node", "bottle", "--config", made["config"])
    rack = MemoryRack()
    installed = drivers.schemes(Registry())
    assert not load_directory(config.bottles, read(charter).network_id, installed, rack, time.time())
    (bottle,) = rack
    assert min(record.slot for record in bottle.bundle) == past_midnight_s // lifetime_s


def test_no_command_signs_a_number_twice(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in one second, with the clock set back, and if the bottle is lost meanwhile."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    words = node(tmp_path, charter, "alpha")
    made = run(capsys, *words)
    bottles = [load_bottle(Path(made["bottle"]))]
    for lost, back_s in (False, 0), (True, 0), (True, 30), (False, 30):
        monkeypatch.setattr(time, "time", lambda at=now - back_s: at)
        if lost:
            Path(made["bottle"]).unlink()
        bottles.append(load_bottle(Path(run(capsys, "node", "bottle", "--config", made["config"])["bottle"])))
    run(capsys, *words, "--group", "others", "--force")
    bottles.append(load_bottle(Path(made["bottle"])))
    numbers = [bottle.contents.seq for bottle in bottles]
    assert numbers == sorted(set(numbers))
    labels = {bottle.label.seq: bottle.label for bottle in bottles}
    assert all(labels[bottle.label.seq] == bottle.label for bottle in bottles)
    assert [bottle.label.seq for bottle in bottles] == sorted(bottle.label.seq for bottle in bottles)
    assert len(labels) == 4, "two that were lost, and one that says something else"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--listen", "127.0.0.1:0"], "port is 0"),
        (["--days", "90"], "--days 1 to 7"),
        (["--suite", "p17-1-none-such"], "does not allow"),
        (["--identity", "none"], "does not allow"),
        (["--name", "no spaces"], "name"),
        (["--exit", "--allow", "everything"], "rule"),
    ],
)
def test_a_node_that_cannot_be_leaves_nothing_behind(
    more: list[str], said: str, tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert main(node(tmp_path, charter, "alpha", *more)) == 3
    assert said in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_client(tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["client", "init", "--config", str(tmp_path / "c.toml"), "--charter", str(charter)]
    made = run(capsys, *words, "--socks", "127.0.0.1:9050", "--policy", "example")
    assert made["schema"] == "port17.client.init/1"
    config, _ = load(ClientConfig, tmp_path / "c.toml")
    assert config.ingress == {"socks5": {"listen": "127.0.0.1:9050"}}
    assert config.policies == ["example"]
    assert main(words) == 3
    assert main([*words, "--force"]) == 0


def test_without_a_charter_nothing_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(node(tmp_path, tmp_path / "none", "alpha")) == 3
    assert "charter init" in capsys.readouterr().err


def test_a_charter_is_amended(tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = "ab" * 32, "cd" * 32
    words = ["charter", "amend", "--charter", str(charter)]
    before = read(charter)
    made = run(capsys, *words, "--plain-text-exit", first, "--plain-text-exit", second)
    assert (made["schema"], made["revision"]) == ("port17.charter.amend/1", 1)
    assert made["plain_text_exits"] == [first, second]
    again = run(capsys, *words, "--distrust-exit", first)
    assert (again["revision"], again["plain_text_exits"]) == (2, [second])
    assert run(capsys, *words, "--least-hops", "4", "--in", "0")["least_hops"] == 4
    assert main([*words, "--least-hops", "2"]) == 3
    assert "least_hops" in capsys.readouterr().err
    after = read(charter)
    assert [one.revision.least_hops for one in after.revisions] == [3, 3, 3, 4]
    assert after.network_id == before.network_id
    assert after.current(time.time()).suites == before.current(time.time()).suites


def test_an_amendment_deprecates_and_says_when_it_holds(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, other = "p17-1-xwing-aes256gcm-sha256", "p17-1-xwing-chacha20poly1305-blake2s"
    words = ["charter", "amend", "--charter", str(charter)]
    began = int(time.time())
    both = ["--suite", usual, "--suite", other]
    made = run(capsys, *words, *both, "--deprecate", usual, "--in", "600", "--overlap", "90")
    assert (made["suites"], made["deprecated"], made["overlap_s"]) == ([usual, other], [usual], 90)
    assert began + 600 <= made["not_before"] <= int(time.time()) + 600
    kept = run(capsys, *words, "--deprecate", other)
    assert kept["deprecated"] == [usual, other]
    assert kept["not_before"] == made["not_before"], "not before the revision before it"
    assert run(capsys, *words, "--reinstate", usual)["deprecated"] == [other]
    assert run(capsys, *words, "--suite", usual)["deprecated"] == [], (
        "what is forbidden is not deprecated, too"
    )
    assert main([*words, "--deprecate", other]) == 2
    assert f"It would allow {usual}" in capsys.readouterr().err
    assert main([*words, "--in", "-1"]) == 2
    assert main(words) == 0
    assert "clients within 90 seconds after that" in capsys.readouterr().out


def test_no_command_goes_by_a_charter_older_than_what_the_node_has_seen(
    tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(capsys, *node(tmp_path, charter, "alpha"))
    older = charter.read_bytes()
    chacha = "p17-1-xwing-chacha20poly1305-blake2s"
    run(capsys, "charter", "amend", "--charter", str(charter), "--suite", chacha, "--in", "0")
    config, _ = load(NodeConfig, Path(made["config"]))
    CharterFile(charter, config.state, drivers.schemes(Registry())).load()  # as the node does
    charter.write_bytes(older)
    told = run(capsys, "suites", "explain", "--config", made["config"])
    assert told["revision"] == 1
    listed = run(capsys, "suites", "list", "--config", made["config"])
    assert [one["name"] for one in listed["suites"] if one["charter"] == 1] == [chacha]
    for command in ("node", "bottle"), ("identity", "rotate"):
        signed = run(capsys, *command, "--config", made["config"])
        bottle = load_bottle(Path(signed["bottle"]))
        assert bottle.label.suites[0] == chacha
    run(capsys, "bottle", "verify", "--config", made["config"], signed["bottle"])


def test_only_update_keys_amend(tmp_path: Path, charter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = run(capsys, "charter", "init", "--dir", str(tmp_path), "--name", "other")["update_keys"]
    before = charter.read_bytes()
    assert main(["charter", "amend", "--charter", str(charter), "--key", *stranger]) == 3
    assert "update key" in capsys.readouterr().err
    assert charter.read_bytes() == before
