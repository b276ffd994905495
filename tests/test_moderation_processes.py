"""Moderators block a node and another is caught cheating, while real processes carry traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.destination import Destination
from rig.house import command
from rig.patience import until
from rig.testnet import Testnet
from rig.traffic import Traffic

from port17.bottles.rack import load_bottle, save_bottle
from port17.node.keyring import Keyring
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle
from port17.records.charter import Charter
from port17_cli import drivers

NODES = 5
SETTLED_S = 45.0
"""How long anything may take to come about, seconds, on a machine that is busy."""


class Watched:
    """A network, of which the test reaches one node's folder of bottles, and its client's routes."""

    def __init__(self, network: Testnet, traffic: Traffic) -> None:
        self.network, self._traffic = network, traffic
        self.charter = network.state["charter"]
        self.bottles = network.directory / "nodes" / "n1" / "bottles"

    def avoided(self, name: str) -> None:
        """Wait until no route goes through a node, and programs go on fetching."""
        until(lambda: self._fetched_since(time.monotonic()), "programs fetch", SETTLED_S)
        until(lambda: self._routes() and name not in self._hops(), f"routes avoid {name}", SETTLED_S)
        for _ in range(10):
            time.sleep(0.2)
            assert name not in self._hops()

    def _routes(self) -> bool:
        return bool(self.network.circuits())

    def _hops(self) -> set[str]:
        return {hop for hops in self.network.circuits().values() for hop in hops}

    def _fetched_since(self, begun: float) -> bool:
        deadline = time.monotonic() + SETTLED_S
        while time.monotonic() < deadline:
            if any(fetch.begun > begun and not fetch.failure for fetch in list(self._traffic.fetches)):
                return True
            time.sleep(0.1)
        return False


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Destination() as destination, Testnet(tmp_path / "net", NODES) as network:
        network.settle()
        with Traffic(network, destination) as traffic:
            yield Watched(network, traffic)
            assert not traffic.failures, "no fetch fails for it"


def test_a_blocked_node_and_a_cheat_leave_every_route(watched: Watched, tmp_path: Path) -> None:
    network = watched.network
    command("identity", "new", "--dir", str(tmp_path / "anne"))
    card = str(tmp_path / "anne.id")
    command("identity", "export", "--dir", str(tmp_path / "anne"), "--out", card)
    key = str(network.directory / "update.key" / "1")
    command("charter", "amend", "--charter", watched.charter, "--key", key, "--in", "3", "--moderator", card)
    until(
        lambda: all(network.ask("status", of=f"n{at}")["revision"] == 1 for at in range(1, NODES + 1)),
        "all know the moderator",
        SETTLED_S,
    )
    known = tmp_path / "known"
    config = str(network.directory / "client" / "client.toml")
    command("bottle", "export", "--config", config, "--out", str(known))
    command(
        "moderate", "sign", str(watched.bottles / "net.moderation"), "--charter", watched.charter, "--key",
        str(tmp_path / "anne"), "--bottles", str(known), "--block", "n2", "--reason", "a test",
    )  # fmt: skip
    watched.avoided("n2")

    def is_caught() -> bool:
        # Again and again: who has the node's next contents by then has no use for a second version of these.
        cheat(watched, "n4")
        return bool(network.ask("status", of="n1")["bottles"]["barred"] == 2)

    until(is_caught, "the cheat is caught", SETTLED_S)
    watched.avoided("n4")
    others = [f"n{at}" for at in range(1, NODES + 1) if at not in (2, 4)]
    until(
        lambda: all(network.ask("status", of=name)["bottles"]["barred"] == 2 for name in others),
        "all honest nodes bar both",
        SETTLED_S,
    )
    assert "aborted.equivocated" in network.ask("status", of="n1")["bottles"]["outcomes"]
    cheater = next(node["id"] for node in network.state["nodes"] if node["name"] == "n4")
    for name in others:
        (proof,) = (network.directory / "nodes" / name / "bottles").glob("*.proof")
        assert proof.stem == cheater


def cheat(watched: Watched, name: str) -> None:
    """Signs a second contents for a second, and gives it to a node that has the first."""
    schemes = drivers.schemes(Registry())
    charter = Charter.load(Path(watched.charter), schemes)
    state = watched.network.directory / "nodes" / name / "state"
    keyring = Keyring.load(state, schemes, {}, charter.network_id)
    held = load_bottle(state.parent / "bottles" / f"{keyring.identity.node_id}.bottle")
    contents = held.contents.model_copy(update={"load": 999})
    save_bottle(
        watched.bottles,
        Bottle.seal(
            charter.network_id, keyring.scheme, keyring.signing_key, held.label, contents, held.bundle
        ),
    )
