"""``port17 identity rotate``: who is handed over to, what is erased, and that nothing is left half done."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from port17.bottles.rack import MemoryRack, load_directory
from port17.bottles.successors import supersede
from port17.config import NodeConfig, load
from port17.errors import ConfigError
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17_cli import drivers
from port17_cli.main import main

from .identity_home import PASSPHRASE, bottles, init, private

pytestmark = pytest.mark.usefixtures("cheap_guesses")


def test_a_locked_node_is_made_renewed_and_rotated(
    network: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    secret = network / "secret"
    secret.write_text(PASSPHRASE + "\n")
    assert "read by others" in refused(*init(network, "oak", "--passphrase-file", str(secret)))
    assert not (network / "oak.toml").exists()
    secret.chmod(0o600)
    made = run(*init(network, "oak", "--passphrase-file", str(secret)))
    config = ["--config", made["config"]]
    assert load(NodeConfig, Path(made["config"]))[0].identity.passphrase_file == secret
    assert run("identity", "show", *config)["protection"]["kind"] == "passphrase"
    assert run("node", "bottle", *config)["id"] == made["id"]
    rotated = run("identity", "rotate", *config)
    assert rotated["protection"]["kind"] == "passphrase"
    assert run("node", "bottle", *config)["id"] == rotated["id"] != made["id"]
    secret.write_text("something else\n")
    assert "does not open" in refused("node", "bottle", *config)


def test_rotation_hands_over_and_erases(network: Path, run: Callable[..., Any]) -> None:
    ash = run(*init(network, "ash"))
    oak = run(*init(network, "oak", "--lane", ash["id"]))
    state = Path(oak["state"])
    secret = private(state)
    open_files = [os.open(file, os.O_RDONLY) for file in state.iterdir()]
    before = {file.name for file in state.iterdir()}
    rotated = run("identity", "rotate", "--config", oak["config"])
    assert rotated["schema"] == "port17.identity.rotate/1"
    assert rotated["predecessor"] == oak["fingerprint"]
    assert rotated["predecessors"] == [oak["fingerprint"]]
    assert {file.name for file in state.iterdir()} == before
    for descriptor in open_files:
        assert secret not in os.pread(descriptor, 1 << 20, 0)
        os.close(descriptor)
    shown = run("identity", "show", "--config", oak["config"])
    assert len(shown["prekeys"]) == 8
    held = {bottle.node_id: bottle for bottle in bottles(network)}
    assert set(held) == {ash["id"], rotated["id"]}
    (lane,) = held[rotated["id"]].contents.lanes
    assert lane.fingerprint.hex() == ash["fingerprint"]
    # The neighbour's lanes file names the old id for ever, and means the new one.
    again = run("identity", "rotate", "--config", oak["config"])
    renewed = run("node", "bottle", "--config", ash["config"], "--lane", oak["id"])
    assert renewed["lanes"] == [again["fingerprint"]]
    assert again["predecessors"] == [rotated["fingerprint"], oak["fingerprint"]]


def test_members_who_hold_the_old_bottle_drop_it(network: Path, run: Callable[..., Any]) -> None:
    oak = run(*init(network, "oak"))
    old = Path(oak["bottle"]).read_bytes()
    rotated = run("identity", "rotate", "--config", oak["config"])
    Path(oak["bottle"]).write_bytes(old)  # it lives on in somebody's folder
    rack = MemoryRack()
    schemes = drivers.schemes(Registry())
    charter = Charter.load(network / "home.charter", schemes)
    load_directory(network / "bottles", charter.network_id, schemes, rack, time.time())
    assert len(rack) == 2
    found = supersede(rack, charter.network_id, schemes)
    assert [bottle.node_id for bottle in rack] == [rotated["id"]]
    assert found.resolve(bytes.fromhex(oak["fingerprint"])).hex() == rotated["fingerprint"]


def test_an_identity_hands_over_only_once(
    network: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    oak = run(*init(network, "oak"))
    state = Path(oak["state"])
    snapshot = {file.name: file.read_bytes() for file in state.iterdir()}
    rotated = run("identity", "rotate", "--config", oak["config"])
    for file in state.iterdir():
        file.unlink()
    for name, data in snapshot.items():
        (state / name).write_bytes(data)
        (state / name).chmod(0o600)
    assert "handed over" in refused("identity", "rotate", "--config", oak["config"])
    assert {bottle.node_id for bottle in bottles(network)} == {rotated["id"]}
    assert run("identity", "show", "--config", oak["config"])["id"] == oak["id"]


def test_a_rotation_that_was_cut_short_is_finished_by_a_new_bottle(
    network: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    oak = run(*init(network, "oak"))
    config = ["--config", oak["config"]]

    def dies(self: Keyring, now: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Keyring, "burn", dies)
    assert main(["identity", "rotate", *config]) == 1
    monkeypatch.undo()
    finished = run("node", "bottle", *config)
    assert finished["id"] == run("identity", "show", *config)["id"] != oak["id"]
    held = {bottle.node_id: bottle for bottle in bottles(network)}
    assert len(held[finished["id"]].bundle) == 8
    assert [one.identity.node_id for one in held[finished["id"]].label.predecessors] == [oak["id"]]


def test_what_runs_under_the_old_identity_leaves_the_new_ones_keys_alone(
    network: Path, run: Callable[..., Any]
) -> None:
    oak = run(*init(network, "oak"))
    state = Path(oak["state"])
    schemes = drivers.schemes(Registry())
    charter = Charter.load(network / "home.charter", schemes)
    (suite,) = drivers.suites(Registry(), [drivers.USUAL_SUITE])
    running = Keyring.load(state, schemes, {suite.name: suite}, charter.network_id, now=time.time())
    assert len(running.prekeys) == 8
    run("identity", "rotate", "--config", oak["config"])
    after = {file.name: file.read_bytes() for file in state.iterdir()}
    for act in (
        lambda: running.burn(time.time()),
        running.save,
        lambda: running.serve({suite.name: suite}, time.time()),
        lambda: running.committed({}),
    ):
        with contextlib.suppress(ConfigError):
            act()
        assert {file.name: file.read_bytes() for file in state.iterdir()} == after
    assert len(running.prekeys) == 8


def test_a_node_changes_its_scheme_by_rotating(
    tmp_path: Path, run: Callable[..., Any], refused: Callable[..., str]
) -> None:
    both = ["--identity", "ed25519", "--identity", "ed25519-mldsa65"]
    run("charter", "init", "--dir", str(tmp_path), "--name", "home", *both)
    oak = run(*init(tmp_path, "oak"))
    config = ["--config", oak["config"]]
    assert "does not allow" in refused("identity", "rotate", *config, "--identity", "none")
    rotated = run("identity", "rotate", *config, "--identity", "ed25519-mldsa65")
    assert rotated["scheme"] == "ed25519-mldsa65"
    assert [key["algorithm"] for key in rotated["keys"]] == ["ed25519", "ml-dsa-65"]
    assert rotated["predecessors"] == [oak["fingerprint"]]
    (bottle,) = bottles(tmp_path)
    assert bottle.label.identity.scheme == "ed25519-mldsa65"
    # Once nobody believes the old scheme any more the node goes on, as an heir of nobody.
    charter = ["charter", "amend", "--charter", str(tmp_path / "home.charter"), "--in", "0"]
    run(*charter, "--identity", "ed25519-mldsa65")
    assert run("node", "bottle", *config)["id"] == rotated["id"]
