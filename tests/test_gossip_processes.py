"""A network without any map: real processes that know some nodes and learn of all others by gossip."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.destination import Destination
from rig.house import command
from rig.patience import until
from rig.program import connect, download
from rig.testnet import PROGRAM, Testnet, read_line
from rig.traffic import Traffic

from port17_cli.network import HOST, free_ports

NODES = 5
READY_S = 60.0
"""How long a process may take until it is ready, seconds."""
SETTLED_S = 60.0
"""How long anything may take to come about, seconds, on a machine that is busy."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    with Testnet(tmp_path_factory.mktemp("gossip") / "net", NODES) as made:
        yield made


def names(network: Testnet) -> list[str]:
    return [node["name"] for node in network.state["nodes"]]


def known(network: Testnet, place: str) -> set[str]:
    """The nodes that a process knows, as its user sees it."""
    config = network.directory / place / ("client.toml" if place == "client" else "node.toml")
    return {node["name"] for node in command("bottle", "list", "--config", str(config))["nodes"]}


def standing(network: Testnet, name: str) -> bool:
    status = network.ask("status", of=name)
    return status["state"] == "standing" and status["lanes"]["standing"] >= NODES - 1


def test_everybody_learns_of_everybody(network: Testnet) -> None:
    assert not (network.directory / "bottles").exists()
    until(lambda: all(standing(network, name) for name in names(network)), "all stand", SETTLED_S)
    for place in ("client", *(f"nodes/{name}" for name in names(network))):
        until(lambda place=place: known(network, place) == set(names(network)), "all are known", SETTLED_S)
    own = [list((network.directory / "nodes" / name / "bottles").iterdir()) for name in names(network)]
    assert [len(files) for files in own] == [1] * NODES, "no folder holds another node's bottle"


class Late:
    """A node that is made and started while the network runs, with nothing but charter and bootstrap list.

    :param name: one that no node had before: who has left keeps his for weeks.
    """

    def __init__(self, network: Testnet, folder: Path, name: str, *words: str) -> None:
        self.config = folder / f"{name}.toml"
        command(
            *("node", "init", "--config", str(self.config), "--charter", network.state["charter"]),
            *("--bootstrap", network.state["bootstrap"], "--name", name, "--private-addresses"),
            *words,
        )
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*PROGRAM, "node", "run", "--config", str(self.config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert read_line(self.process, READY_S), self.log.read_text()[-2000:]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def drawn(network: Testnet, destination: Destination) -> list[str]:
    """The names of the nodes on a circuit that is made now, for a program that nobody saw before."""
    with connect(network.socks, destination.port, isolation=secrets.token_hex(8)) as program:
        assert download(program, b"drawn", 1000).got == 1000
        circuits = network.circuits()
        return circuits[max(circuits)]


def test_a_node_added_later_is_used_in_routes_and_leaves_in_order(network: Testnet, tmp_path: Path) -> None:
    late = Late(
        network, tmp_path, "late", "--listen", f"{HOST}:{free_ports(HOST)[0]}", "--exit", "--allow-private"
    )
    try:
        network.settle()
        with Destination() as destination, Traffic(network, destination) as traffic:
            until(lambda: "late" in drawn(network, destination), "the late node is used", SETTLED_S)
            late.process.send_signal(signal.SIGTERM)
            assert late.process.wait(SETTLED_S) == 0, late.log.read_text()[-2000:]
            for _ in range(10):
                assert "late" not in drawn(network, destination)
        assert not traffic.failures, "a graceful leave ends no connection"
    finally:
        late.end()
    for name in names(network):
        until(lambda name=name: standing(network, name), f"{name} has its lanes", SETTLED_S)


def test_a_node_without_an_address_serves_in_the_middle(network: Testnet, tmp_path: Path) -> None:
    late = Late(network, tmp_path, "inner")
    try:
        with Destination() as destination:
            until(lambda: drawn(network, destination)[1:-1] == ["inner"], "it is a middle node", SETTLED_S)
            for _ in range(20):
                hops = drawn(network, destination)
                assert "inner" not in (hops[0], hops[-1])
    finally:
        late.end()


def test_a_node_that_is_killed_is_gone_around(network: Testnet, tmp_path: Path) -> None:
    late = Late(
        network, tmp_path, "doomed", "--listen", f"{HOST}:{free_ports(HOST)[0]}", "--exit", "--allow-private"
    )
    try:
        with Destination() as destination:
            until(lambda: "doomed" in drawn(network, destination), "the late node is used", SETTLED_S)
            late.end()
            until(
                lambda: all("doomed" not in drawn(network, destination) for _ in range(5)),
                "routes go around it",
                SETTLED_S,
            )
    finally:
        late.end()


def test_no_port_but_the_programs_listens_at_the_client(network: Testnet) -> None:
    """Clients are leaves: nobody can call one."""
    with socket.create_connection(network.socks, timeout=5):
        pass
    pid = network.pids["client"]
    inodes = {
        link.readlink().name.removeprefix("socket:[").removesuffix("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:[")
    }
    listening = [
        line.split()
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes
    ]
    assert len(listening) == 1
