"""Rules per destination, with real processes: curl leaves by the exits that they say, or not at all."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import socket
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from rig.house import command
from rig.patience import until
from rig.testnet import PROGRAM, Testnet, read_line

from port17 import control
from port17.navigator import chart_file
from port17_cli import toml
from port17_cli.main import main
from port17_cli.network import free_ports

COUNTRIES = ("DE", "FR", "US")
"""In turn, of six nodes."""
FIRST, SECOND = "FR", "US"
"""Where connections to either name are to leave."""
NOBODYS = "JP"
"""A country that no node is in."""
READY_S = 60.0
"""How long the client may take until it listens and knows of all nodes, seconds."""
PROGRAM_S = 60.0
"""How long curl may take, seconds."""
END_S = 10.0
"""How long the client may take to end, seconds."""
REFUSED = 97
"""curl's exit code where a proxy refuses (CURLE_PROXY)."""
CIRCUITS = 5
"""Connections per name, each on a circuit of its own: of 6 exits at random, all would be in the right third
once in 243 times."""


OWN = """
from port17 import ChartNode, RoutePolicy, hookimpl

class Own(RoutePolicy):
    @hookimpl
    def exclude_node(self, node: ChartNode) -> str | None:
        return "too near the water" if node.name == "n1" else None
"""


def second_name() -> str:
    """A name of this machine beside localhost, for which no name server is asked."""
    for name in (socket.gethostname(), "ip6-localhost", "localhost.localdomain"):
        with contextlib.suppress(OSError):
            if name != "localhost" and socket.getaddrinfo(name, 80, socket.AF_INET):
                return name
    return "127.0.0.1"  # for rules it is another destination, too


NAMES = ("localhost", second_name())


@dataclass
class Web:
    """A server on all addresses of this machine; it answers with the name of the process that has connected.

    :param processes: process ids of those that may.
    :param callers: who did.
    """

    processes: dict[str, int]
    port: int = 0
    callers: list[str] = field(default_factory=list)

    def holder(self, peer: int) -> str:
        """The process whose connection it is.

        :param peer: the port of its end.
        """
        for name, pid in self.processes.items():
            for one in psutil.Process(pid).net_connections("tcp"):
                if one.raddr and (one.laddr.port, one.raddr.port) == (peer, self.port):
                    return name
        return "a stranger"


@contextmanager
def web(processes: dict[str, int]) -> Iterator[Web]:
    found = Web(processes)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            caller = found.holder(self.client_address[1])
            found.callers.append(caller)
            self.send_response(200)
            self.send_header("Content-Length", str(len(caller)))
            self.end_headers()
            self.wfile.write(caller.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing."""

    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler) as server:
        found.port = server.server_address[1]
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Scene:
    """A network whose nodes are in countries, a client with rules, and servers.

    :param open: may be asked by both names.
    :param nowhere: whose port is kept to exits in a country without any.
    :param blocked: whose port is blocked.
    """

    network: Testnet
    open: Web
    nowhere: Web
    blocked: Web
    config: Path
    socks: str
    log: Path
    client: subprocess.Popen[str]

    def countries(self) -> dict[str, str]:
        """By node."""
        return {node["name"]: COUNTRIES[at % len(COUNTRIES)] for at, node in enumerate(self.nodes)}

    @property
    def nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.network.state["nodes"]
        return nodes

    def curl(self, host: str, port: int, who: str) -> subprocess.CompletedProcess[bytes]:
        """:param who: whose circuits are not shared."""
        return subprocess.run(
            [
                *("curl", "-q", "-sS", "--fail", "--max-time", str(PROGRAM_S)),
                *("-x", f"socks5h://{who}:x@{self.socks}", f"http://{host}:{port}/"),
            ],
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            timeout=2 * PROGRAM_S,
            check=False,
        )

    def explain(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and document of ``route explain``."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = main(["route", "explain", *words, "--config", str(self.config), "--json"])
        document: dict[str, Any] = json.loads(said.getvalue())
        return code, document


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("rules")
    with (
        Testnet(folder / "net", 6, ("--countries", ",".join(COUNTRIES))) as network,
        contextlib.ExitStack() as stack,
    ):
        nodes = {name: pid for name, pid in network.pids.items() if name != "client"}
        servers = [stack.enter_context(web(nodes)) for _ in range(3)]
        rules = [
            {"name": "nowhere", "ports": [servers[1].port], "exit_only": [f"country:{NOBODYS}"]},
            {"ports": [servers[2].port], "block": "nobody shall ask it"},
            {"name": "first", "to": [NAMES[0]], "exit_only": [f"country:{FIRST}"]},
            {"name": "second", "to": [NAMES[1]], "exit_only": [f"country:{SECOND}"]},
        ]
        values = tomllib.loads((folder / "net/client/client.toml").read_text())
        socks = f"127.0.0.1:{free_ports('127.0.0.1')[0]}"
        values |= {
            "control": "own.sock",
            "state": "own-state",
            "bottles": str(folder / "net/client/bottles"),
            "ingress": {"socks5": {"listen": socks}},
            "policies": ["rules"],
            "policy_options": {"rules": {"rule": rules}},
        }
        config = folder / "own.toml"
        config.write_text(toml.dumps(values))
        log = folder / "own.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [*PROGRAM, "client", "run", "--config", str(config), "--set", "log.level=debug"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        stack.callback(_end, process)
        assert read_line(process, READY_S), log.read_text()[-2000:]

        def settled() -> bool:
            state = anyio.run(control.ask, folder / "own.sock", "status")
            return state["nodes"]["usable"] == len(nodes) and state["prekeys"]["usable"] == len(nodes)

        until(settled, "the client knows of all nodes", READY_S)
        yield Scene(network, *servers, config, socks, log, process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_S)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize(("name", "country"), [(NAMES[0], FIRST), (NAMES[1], SECOND)])
def test_each_name_leaves_by_the_exits_that_its_rule_says(scene: Scene, name: str, country: str) -> None:
    for number in range(CIRCUITS):
        done = scene.curl(name, scene.open.port, f"{country}{number}")
        assert done.returncode == 0, done.stderr
        assert scene.countries()[done.stdout.decode()] == country


@pytest.mark.parametrize("which", ["nowhere", "blocked"])
def test_a_rule_that_leaves_no_route_ends_the_connection(scene: Scene, which: str) -> None:
    server: Web = getattr(scene, which)
    for name in NAMES:
        done = scene.curl(name, server.port, which)
        assert (done.returncode, done.stdout) == (REFUSED, b"")
        assert b"(2)" in done.stderr  # not allowed by ruleset
    assert server.callers == []
    log = scene.log.read_text()
    assert "policies: rules" in log
    assert NAMES[0] not in log
    assert str(server.port) not in log


def test_explanations_say_the_same(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, found = scene.explain(f"http://{NAMES[0]}:{scene.open.port}")
    assert (code, found["source"], found["no_route"]) == (0, "client", None)
    exits = {route["nodes"][-1] for route in found["routes"]["list"]}
    assert {scene.countries()[one] for one in exits} == {FIRST}
    assert found["route"]["nodes"][-1]["countries"] == [FIRST]
    reasons = {
        one["reason"] for one in found["removed"] if one["by"] == "rules" and one["position"] == "exit"
    }
    assert reasons
    assert all(reason.startswith("rule 3 (first): ") and FIRST in reason for reason in reasons)

    code, found = scene.explain(f"{NAMES[0]}:{scene.nowhere.port}")
    assert (code, found["route"]) == (5, None)
    assert found["no_route"]["short"].endswith("(policies: rules)")
    helping = [(one["kind"], one["policies"]) for one in found["changes"] if one["helps"]]
    assert ("policy", ["rules"]) in helping
    assert found["no_route"]["lacks"] == "exit"

    code, found = scene.explain(f"{NAMES[0]}:{scene.nowhere.port}", "--policy", "exclude")
    assert (code, found["source"], found["no_route"]) == (0, "files", None)
    assert "rules" not in found["policies"]

    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    code, found = scene.explain(f"{NAMES[0]}:{scene.nowhere.port}", "--policy", "./own.py:Own")
    assert (code, found["source"]) == (0, "files")
    assert {"own.py:Own", "n1", "too near the water"} <= {
        word for one in found["removed"] for word in (one["by"], one["subject"], one["reason"])
    }


def test_the_chart_is_written_as_the_client_has_it(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "chart.json"
    made = command("route", "chart", "--config", str(scene.config), "--out", str(file))
    chart = chart_file.decode(file.read_bytes())
    assert {node.name for node in chart} == set(scene.countries())
    assert made["nodes"] == len(chart)
    assert made["lanes"] == sum(len(node.lanes) for node in chart) // 2 > 0
    assert {node.name: node.places[0].country for node in chart} == scene.countries()
    assert main(["route", "chart", "--config", str(scene.config), "--out", str(file)]) == 3  # it is there


def test_a_new_identity_takes_a_new_circuit_and_keeps_the_guards(scene: Scene) -> None:
    where = ("--control", str(scene.config.parent / "own.sock"))

    def used() -> set[int]:
        """Circuits that have carried something."""
        return {one["id"] for one in command("route", "show", *where)["circuits"] if one["bytes_up"]}

    def fetch() -> None:
        assert scene.curl(NAMES[0], scene.open.port, "somebody").returncode == 0

    def guards() -> list[str]:
        return [one["id"] for one in command("client", "status", *where)["guards"]]

    fetch()
    before, kept = used(), guards()
    fetch()
    assert used() == before, "the same one's connections to one host share a circuit"
    command("route", "new", *where)
    fetch()
    assert len(used() - before) == 1
    assert guards() == kept != []
    command("route", "new", "--end", *where)
    until(lambda: not used(), "what was open has ended", END_S)


def test_a_client_that_does_not_run_is_explained_from_its_files(scene: Scene) -> None:
    """The last one: it ends the client."""
    wanted = f"{NAMES[1]}:{scene.open.port}"
    _, before = scene.explain(wanted)
    _end(scene.client)
    written = {path: path.stat().st_mtime_ns for path in (scene.config.parent / "own-state").rglob("*")}
    code, found = scene.explain(wanted)
    assert (code, found["source"]) == (0, "files")
    for same in ("destination", "level", "hops", "nodes", "entries", "policies", "removed"):
        assert found[same] == before[same], same
    assert {tuple(route["nodes"]) for route in found["routes"]["list"]} == {
        tuple(route["nodes"]) for route in before["routes"]["list"]
    }
    code, found = scene.explain(f"{NAMES[1]}:{scene.blocked.port}")
    assert (code, found["no_route"]["short"]) == (5, "the connection is refused (policies: rules)")
    assert {path: path.stat().st_mtime_ns for path in written} == written
