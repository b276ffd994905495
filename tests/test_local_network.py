"""Machines on wires of their own find each other, and what is local stays there.

Every machine is a network namespace with interfaces of its own; where none can be made, these tests are left
out, and the summary says so (tests/conftest.py).
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from rig.house import command
from rig.machines import Machines, text_of
from rig.patience import until
from rig.testnet import PROGRAM, read_line

from port17 import Bottle, control

CURL = ("curl", "-sS", "-m", "10", "--socks5-hostname", "127.0.0.1:1080")
PORT = 4717
READY_S = 60.0
"""How long a process may take until it is ready, seconds."""
FOUND_S = 45.0
"""How long neighbours may take to find each other on a loaded machine; a beacon comes every second here."""
DISTRUSTED_S = 150.0
"""How long a claim may be looked into: who is not there is called twice, half a minute apart."""
QUIET_S = 8.0
"""How long nothing is to happen: several beacons, and rounds of gossip."""


class Village:
    """Nodes on several machines that share nothing but a charter.

    :param machines: where they live.
    :param directory: for their files; each node has one of its own.
    :param options: of ``charter init``.
    """

    def __init__(self, machines: Machines, directory: Path, *options: str) -> None:
        self.machines = machines
        self.directory = directory
        self.homes: dict[str, str] = {}
        self.running: dict[str, subprocess.Popen[str]] = {}
        command("charter", "init", "--dir", str(directory), "--name", "village", *options)
        self.charter = directory / "village.charter"

    def settle(self, name: str, machine: str, *words: str, more: str = "interval_s = 1") -> None:
        """Make a node on a machine, from the charter alone.

        :param words: options of ``node init``.
        :param more: of the driver's table.
        """
        self.homes[name] = machine
        config = self.config(name)
        config.parent.mkdir()
        shutil.copy(self.charter, config.parent)
        charter = str(config.parent / self.charter.name)
        self.machines.run(
            machine,
            *(*PROGRAM, "node", "init", "--config", str(config), "--charter", charter, "--name", name),
            *words,
        )
        with config.open("a") as file:
            file.write(f"\n[local_network.options]\n{more}\n")

    def config(self, name: str) -> Path:
        return self.directory / name / "node.toml"

    def start(self, *names: str) -> None:
        """Run nodes, and wait until each says that it does."""
        for name in names:
            with self.log(name).open("ab") as log:
                self.running[name] = self.machines.start(
                    self.homes[name],
                    *(*PROGRAM, "node", "run", "--config", str(self.config(name))),
                    *("--set", "log.level=debug"),
                    log=log,
                )
        for name in names:
            assert read_line(self.running[name], READY_S), text_of(self.log(name))

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def ask(self, name: str, verb: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = anyio.run(
            control.ask, self.directory / name / "node.sock", verb, args or {}, READY_S
        )
        return answer

    def known(self, name: str) -> dict[str, str]:
        """PortNames of whom a node knows, and why it distrusts them."""
        rows = self.ask(name, "bottles", {"after": ""})["bottles"]
        return {Bottle.parse(base64.b64decode(row["bottle"])).label.name: row["distrust"] for row in rows}

    def lanes(self, name: str) -> int:
        standing: int = self.ask(name, "status")["lanes"]["standing"]
        return standing

    def wait(self, what: str, *conditions: Any, limit: float = FOUND_S) -> None:
        try:
            until(lambda: all(condition() for condition in conditions), what, limit)
        except AssertionError as error:
            logs = "\n".join(f"{name}:\n{text_of(self.log(name))}" for name in self.running)
            raise AssertionError(f"{error}\n{logs}") from None


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("v")  # a short path: control sockets lie below it


@pytest.fixture
def machines() -> Iterator[Machines]:
    with Machines("a", "b", "c") as three:
        yield three


@pytest.fixture(scope="module", autouse=True)
def claim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    """A village on machines of its own, one of whose nodes claims another's address. To look into that takes
    most of a minute: it begins before all tests, which run meanwhile."""
    with Machines("d", "e") as machines:
        machines.wire("d", "e", ipv4="10.77.1")
        village = Village(machines, tmp_path_factory.mktemp("v"))
        village.settle("ash", "d", "--listen", f"*:{PORT}", "--local")
        village.settle("elm", "e", "--listen", f"*:{PORT}", "--local")
        village.settle("oak", "e", "--listen", f"*:{PORT + 1}", "--local")
        # Beacons say where it is; its bottle says that it is where elm is.
        claimed = "--advertise", f"10.77.1.2:{PORT}"
        village.settle("fig", "d", "--listen", f"*:{PORT + 1}", *claimed, "--local")
        village.start("ash", "elm", "oak", "fig")
        yield village


LISTEN = """
import anyio
from port17_lan import Multicast

def heard(data, host, link):
    print(data.decode(), host, link, flush=True)

anyio.run(Multicast().run, lambda: None, heard)
"""
SHOUT = """
import socket, struct, sys
from port17_lan.sockets import GROUP4, GROUP6

link, port, hops = sys.argv[1], 17017, int(sys.argv[2])
index = socket.if_nametoindex(link)
four, six = (socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6))
four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
four.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
for word, host4, host6 in (argument.split("/") for argument in sys.argv[3:]):
    four.sendto(f"{word}4".encode(), (host4 or GROUP4, port))
    six.sendto(f"{word}6".encode(), (host6 or GROUP6, port, 0, index))
"""


def test_only_what_was_sent_to_all_of_a_link_is_heard_on_it(machines: Machines, directory: Path) -> None:
    machines.wire("a", "b", ipv4="10.77.1")
    machines.wire("b", "c", ipv4="10.77.2")
    machines.run("b", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    machines.ip("c", "route", "add", "default", "via", "10.77.2.1")
    log = directory / "listen.log"
    with log.open("ab") as errors:
        listener = machines.start("b", sys.executable, "-c", LISTEN, log=errors)
    lines: list[str] = []
    deadline = time.monotonic() + FOUND_S
    while not any(line.startswith("ready") for line in lines):  # until it listens
        assert time.monotonic() < deadline, text_of(log)
        machines.run("a", sys.executable, "-c", SHOUT, "ab", "1", "ready//")
        lines.append(read_line(listener, 1))
    # To one machine alone; from a source that is not on the link; and what any neighbour may say.
    machines.run("a", sys.executable, "-c", SHOUT, "ab", "1", "alone/10.77.1.2/fe80::2")
    machines.ip("a", "addr", "add", "10.99.9.9/32", "dev", "ab")
    machines.ip("a", "addr", "del", "10.77.1.1/24", "dev", "ab")
    machines.run("a", sys.executable, "-c", SHOUT, "ab", "64", "afar//")
    machines.run("c", sys.executable, "-c", SHOUT, "cb", "64", "fair//")
    while not {"fair4", "fair6"} <= {line.split()[0] for line in lines if line.split()}:
        assert time.monotonic() < deadline, (lines, text_of(log))
        lines.append(read_line(listener, FOUND_S))
    heard = {tuple(line.split()) for line in lines if line.split() and not line.startswith("ready")}
    assert heard == {
        ("afar6", "fe80::1%ba", "ba"),
        ("fair4", "10.77.2.2", "bc"),
        ("fair6", "fe80::2%bc", "bc"),
    }


@pytest.mark.parametrize(
    ("ipv4", "options"),
    [
        pytest.param("10.77.1", (), id="both families"),
        pytest.param("", (), id="link-local addresses alone"),
        # Their beacons are longer than what a link carries whole, and no label fits into a cold call.
        pytest.param("10.77.1", ("--identity", "ed25519-mldsa65"), id="post-quantum identities"),
    ],
)
def test_two_machines_with_a_charter_and_no_more_become_a_network(
    machines: Machines, directory: Path, ipv4: str, options: tuple[str, ...]
) -> None:
    machines.wire("a", "b", ipv4=ipv4)
    village = Village(machines, directory, *options)
    for name, machine in (("ash", "a"), ("elm", "b")):
        village.settle(name, machine, "--listen", f"*:{PORT}", "--local")
    village.start("ash", "elm")
    village.wait("a lane stands", lambda: village.lanes("ash") == 1, lambda: village.lanes("elm") == 1)
    assert village.known("ash") == village.known("elm") == {"ash": "", "elm": ""}


def test_what_is_local_crosses_no_further(machines: Machines, directory: Path) -> None:
    """The machine in the middle routes, and has a public node that knows both sides."""
    machines.wire("a", "b", ipv4="10.77.1")
    machines.wire("b", "c", ipv4="10.77.2")
    machines.run("b", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    machines.ip("a", "route", "add", "default", "via", "10.77.1.2")
    machines.ip("c", "route", "add", "default", "via", "10.77.2.1")
    village = Village(machines, directory)
    near = 'interval_s = 1\ninterfaces = ["ba"]'
    village.settle("ash", "a", "--listen", f"*:{PORT}", "--local")
    village.settle("elm", "b", "--listen", f"10.77.1.2:{PORT}", "--local", more=near)
    oak = "--listen", f"*:{PORT + 1}", "--advertise", f"10.77.2.1:{PORT + 1}"
    village.settle("oak", "b", *oak, "--local-network", more=near)
    village.settle("fir", "c", "--listen", f"10.77.2.2:{PORT}", "--local-network")
    village.settle("yew", "c", "--listen", f"10.77.2.2:{PORT + 1}", "--local")
    # The public ones can't hear each other; one has the other's bottle, as a bootstrap list gives it.
    shutil.copytree(directory / "oak" / "bottles", directory / "fir" / "bottles", dirs_exist_ok=True)
    village.start("ash", "elm", "oak", "fir", "yew")
    village.wait(
        "the neighbours have found each other",
        lambda: village.lanes("ash") == village.lanes("elm") == 1,
        lambda: village.lanes("oak") == village.lanes("fir") == 1,
        lambda: {"ash", "elm"} <= set(village.known("oak")),
        lambda: {"oak", "fir"} <= set(village.known("ash")) & set(village.known("elm")),
        lambda: "yew" in village.known("fir"),
    )
    time.sleep(QUIET_S)
    # oak holds all of both sides, and each side only what is its own and what is public.
    assert set(village.known("oak")) == {"ash", "elm", "oak", "fir"}
    assert set(village.known("fir")) == {"fir", "oak", "yew"}
    assert set(village.known("ash")) == set(village.known("elm")) == {"ash", "elm", "oak", "fir"}
    assert set(village.known("yew")) == {"yew", "fir", "oak"}


def test_a_client_finds_its_neighbours_and_fetches_through_them(machines: Machines, directory: Path) -> None:
    machines.wire("a", "b", ipv4="10.77.1")
    village = Village(machines, directory)
    village.settle("ash", "a", "--listen", f"*:{PORT}", "--local")
    village.settle("elm", "b", "--listen", f"*:{PORT}", "--local")
    village.settle("oak", "b", "--listen", f"*:{PORT + 1}", "--local", "--exit", "--allow-private")
    village.start("ash", "elm", "oak")
    village.wait("the lanes stand", *(lambda name=name: village.lanes(name) == 2 for name in village.homes))
    home = directory / "client"
    home.mkdir()
    shutil.copy(village.charter, home)
    machines.run(
        "a",
        *(*PROGRAM, "client", "init", "--config", str(home / "client.toml")),
        *("--charter", str(home / village.charter.name), "--local-network"),
    )
    with (home / "client.toml").open("a") as file:
        file.write("\n[local_network.options]\ninterval_s = 1\n")
    # A port that is usually TLS's: what is not encrypted no exit gets that the charter doesn't trust.
    (directory / "page.txt").write_text("through three neighbours")
    with (directory / "client.log").open("ab") as log:
        machines.start("b", "python3", "-m", "http.server", "443", "-d", str(directory), log=log)
        client = machines.start(
            "a", *(*PROGRAM, "client", "run", "--config", str(home / "client.toml")), log=log
        )
    assert read_line(client, READY_S), text_of(directory / "client.log")

    def fetched() -> bool:
        done = subprocess.run(
            machines.at("a", *CURL, "http://10.77.1.2:443/page.txt"),
            capture_output=True,
            text=True,
        )
        return done.stdout == "through three neighbours"

    until(fetched, "a page through three neighbours", FOUND_S)


def test_an_address_that_is_claimed_and_not_held_is_distrusted_by_all(claim: Village) -> None:
    honest = ("ash", "elm", "oak")
    claim.wait(
        "it is distrusted",
        *(lambda name=name: claim.known(name).get("fig", "") != "" for name in honest),
        limit=DISTRUSTED_S,
    )
    for name in honest:
        assert [one for one, why in claim.known(name).items() if why] == ["fig"]
