"""The tunnel over each pair of an installed cipher suite and identity scheme: real processes and programs."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from rig.destination import ENDLESS, HOST, Check, Destination, content, order, receive_all
from rig.house import command
from rig.patience import until
from rig.program import End, connect, download, echoes, read_to_end, upload
from rig.testnet import PROGRAM, Testnet, read_line

from port17.plugins.loader import Registry

NODES = 3
"""A route."""
AMOUNT = 3 * 1024 * 1024 + 77
"""Bytes of a transfer: many symmetric steps, and several times every first window."""
ERROR_S = 10.0
"""Within how many seconds a program learns that its connection is dead: the promise."""
WAIT_S = 30.0
"""How long a new connection may take to work once a node is gone, seconds."""
PROGRAM_S = 60.0
"""How long a program may take, seconds."""

registry = Registry()
SUITES = sorted(registry.names("port17.cipher_suites"))
SCHEMES = sorted(registry.names("port17.identity_schemes"))
PAIRS = [(suite, scheme) for suite in SUITES for scheme in SCHEMES]
KILLED = [(suite, SCHEMES[at % len(SCHEMES)]) for at, suite in enumerate(SUITES)]
"""Pairs in whose networks a node more runs, which is killed: each suite and each scheme is among them."""


@pytest.fixture(scope="module", params=PAIRS, ids="/".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A suite and a scheme."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture(scope="module")
def network(pair: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """A network of the pair."""
    suite, scheme = pair
    nodes = NODES + (pair in KILLED)
    options = ["--lanes", str(nodes - 1), "--suite", suite, "--identity", scheme]
    with Testnet(tmp_path_factory.mktemp("pair") / "net", nodes, options) as made:
        yield made


def run(*command: str, feed: bytes | None = None) -> bytes:
    """What a program prints, which has to end well."""
    done = subprocess.run(command, input=feed, capture_output=True, timeout=PROGRAM_S)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    return done.stdout


def hops(network: Testnet) -> list[dict[str, Any]]:
    """All hops of all circuits, as ``port17 route show`` has them."""
    shown = command("route", "show", "--control", network.state["client"]["control"])
    return [hop for circuit in shown["circuits"] for hop in circuit["hops"]]


def test_every_key_and_record_is_of_the_pair(
    network: Testnet, pair: tuple[str, str], destination: Destination
) -> None:
    """What the network was asked for is what it runs on, not a default beside it."""
    suite, scheme = pair
    config = str(network.directory / "client" / "client.toml")
    attempts = count()

    def is_whole() -> bool:
        """Whether the client can use every node. Of who was not on its bootstrap list it learns by gossip,
        and has the prekeys once a route goes there."""
        works = echoes(network.socks, destination.port, f"whole {next(attempts)}", ERROR_S)
        told = command("suites", "explain", "--config", config)["nodes"]
        for node in told:
            assert [one["name"] for one in node["suites"]] == [suite]
            assert node["suite"] == suite
        return works and len(told) == len(network.state["nodes"]) and all(node["usable"] for node in told)

    until(is_whole, "every node can be used", WAIT_S)
    listed = command("suites", "list", "--config", config)
    assert [one["name"] for one in listed["schemes"] if one["charter"]] == [scheme]
    assert [one["name"] for one in listed["suites"] if one["config"]] == [suite]


def test_a_program_fetches_and_another_sends(
    network: Testnet, destination: Destination, tmp_path: Path
) -> None:
    """``curl`` and ``ncat`` by the checksums of what was there and what arrived."""
    page = b"".join(content(b"page", AMOUNT))
    (tmp_path / "page.bin").write_bytes(page)
    proxy = f"{network.socks[0]}:{network.socks[1]}"
    said = order(b"H") + page
    there = run(*("ncat", "--proxy", proxy, "--proxy-type", "socks5", HOST, str(destination.port)), feed=said)
    assert there == hashlib.sha256(page).digest()
    with subprocess.Popen(
        ["python3", "-m", "http.server", "0", "--bind", HOST, "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as web:
        try:
            assert web.stdout is not None
            port = web.stdout.readline().split(" port ")[1].split()[0]
            url = f"http://{HOST}:{port}/page.bin"
            here = run("curl", "-q", "--silent", "--fail", "--socks5-hostname", proxy, url)
        finally:
            web.kill()
    assert hashlib.sha256(here).digest() == hashlib.sha256(page).digest()


def test_both_ways_at_once_and_a_direction_ends_alone(network: Testnet, destination: Destination) -> None:
    with (
        connect(network.socks, destination.port) as down,
        connect(network.socks, destination.port) as up,
    ):
        got: list[Check] = []
        fetching = threading.Thread(target=lambda: got.append(download(down, b"down", AMOUNT)))
        fetching.start()
        assert upload(up, b"up", AMOUNT)
        fetching.join()
    assert (got[0].right, got[0].got) == (True, AMOUNT)
    body = b"".join(content(b"half", AMOUNT))
    with connect(network.socks, destination.port) as program:
        program.sendall(order(b"H") + body)
        program.shutdown(1)
        assert receive_all(program) == hashlib.sha256(body).digest()
    with connect(network.socks, destination.port) as program:
        program.sendall(order(b"D", b"first", AMOUNT))
        check = Check(b"first")
        assert read_to_end(program, check).how == "in order"
        assert (check.right, check.got) == (True, AMOUNT)
        assert "ended" not in destination.became_of(b"first")  # our own direction has not


def test_routes_show_the_suite_and_its_steps(
    network: Testnet, pair: tuple[str, str], destination: Destination
) -> None:
    with connect(network.socks, destination.port, isolation="steps") as program:
        assert download(program, b"steps", AMOUNT).got == AMOUNT
    assert {hop["suite"] for hop in hops(network)} == {pair[0]}
    busy = [hop for hop in hops(network) if hop["cells_down"] > 500]
    assert len(busy) >= 3
    for hop in busy:
        assert hop["confirmed"]
        assert hop["steps"]["backward"] >= 3
        assert hop["steps"]["forward_rekeys"] >= 1
        assert hop["steps"]["backward_rekeys"] >= 2


@pytest.mark.parametrize("pair", KILLED, ids="/".join, indirect=True, scope="module")
def test_a_node_is_killed(network: Testnet, destination: Destination) -> None:
    """An error in time, nothing false delivered, and new connections work."""
    before = set(network.circuits())
    with connect(network.socks, destination.port, isolation="killed") as program:
        program.sendall(order(b"D", b"killed", ENDLESS))
        check, ended = Check(b"killed"), list[End]()
        reader = threading.Thread(target=lambda: ended.append(read_to_end(program, check)))
        reader.start()
        until(lambda: check.got > AMOUNT, "the download is under way", WAIT_S)
        (route,) = (route for ident, route in network.circuits().items() if ident not in before)
        os.kill(network.pids[route[1]], signal.SIGKILL)
        begun = time.monotonic()
        reader.join(ERROR_S)
        assert ended, "the program was not told in time"
    assert ended[0].how == "ConnectionResetError"
    assert ended[0].at - begun < ERROR_S
    assert check.right
    until(lambda: echoes(network.socks, destination.port, "after", ERROR_S), "a new connection works", WAIT_S)


def test_switching_suites_is_one_line_of_configuration(tmp_path: Path, destination: Destination) -> None:
    """A network that serves all suites side by side; the client's file gets one line, and another."""
    first, *others = SUITES
    options = [word for suite in SUITES for word in ("--suite", suite)]
    with Testnet(tmp_path / "net", 3, ["--lanes", "2", *options]) as network:
        assert {hop["suite"] for hop in hops(network)} == {first}
        file = network.directory / "client" / "client.toml"
        before = file.read_text()
        os.kill(network.pids["client"], signal.SIGTERM)
        until(
            lambda: not echoes(network.socks, destination.port, "gone", ERROR_S),
            "the client has ended",
            ERROR_S,
        )
        for suite in (others[-1], others[0]):
            file.write_text(f'suites = ["{suite}"]\n{before}')
            client = subprocess.Popen(
                [*PROGRAM, "client", "run", "--config", str(file)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            try:
                assert read_line(client, WAIT_S)
                with connect(network.socks, destination.port) as program:
                    assert download(program, suite[-8:].encode(), AMOUNT).got == AMOUNT
                assert {hop["suite"] for hop in hops(network)} == {suite}
            finally:
                client.terminate()
                assert client.wait(ERROR_S) == 0
                assert client.stdout is not None
                client.stdout.close()
