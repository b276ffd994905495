"""A whole test network, as scripts use it: its state, its commands, and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from port17_cli import destination
from port17_cli.fetch import fetch
from port17_cli.network import free_ports, parse_address

PORT17 = [sys.executable, "-m", "port17_cli"]
END_S = 5.0
FETCH_S = 10.0
ROUTE_AGAIN_S = 20.0


@contextmanager
def network(directory: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A ready test network, ended if the test did not."""
    command = [*PORT17, "testnet", "up", "--dir", str(directory), "--nodes", "5", *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()  # or its failure to end would be this test's


def state(directory: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((directory / "state.json").read_text())
    return value


def pids(value: dict[str, Any]) -> list[int]:
    return [*(node["pid"] for node in value["nodes"]), value["client"]["pid"]]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def await_end(all_pids: list[int]) -> None:
    deadline = time.monotonic() + END_S
    while any(map(alive, all_pids)):
        assert time.monotonic() < deadline, [pid for pid in all_pids if alive(pid)]
        time.sleep(0.02)


def port17(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PORT17, *arguments], capture_output=True, text=True, check=False, timeout=30)


def works(value: dict[str, Any]) -> bool:
    body = os.urandom(100_000)
    with destination.serve(body) as target:
        try:
            proxy = parse_address(value["client"]["socks"])
            fetched = fetch(proxy, destination.HOST, target.port, None, FETCH_S)
        except Exception:  # noqa: BLE001 - whatever failed, it did not work
            return False
        return fetched.digest == target.digest


def test_a_network_from_ready_to_end(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    with network(directory, "--lanes", "3") as process:
        now = state(directory)
        assert set(now) == {"charter", "bootstrap", "nodes", "client"}
        assert len(now["nodes"]) == 5
        assert all(
            set(node) == {"id", "name", "pid", "address", "control", "country"} for node in now["nodes"]
        )
        assert set(now["client"]) == {"pid", "socks", "control"}
        assert Path(now["charter"]).is_file()
        assert Path(now["bootstrap"]).is_file()
        assert all(map(alive, pids(now)))
        assert works(now)

        shown = port17("route", "show", "--control", now["client"]["control"], "--json")
        document = json.loads(shown.stdout)
        assert document["schema"] == "port17.route.show/1"
        names = {node["name"] for node in now["nodes"]}
        for circuit in document["circuits"]:
            assert len({hop["name"] for hop in circuit["hops"]} & names) == 3
        plain = port17("route", "show", "--control", now["client"]["control"])
        assert plain.returncode == 0
        assert " > " in plain.stdout

        first = now["nodes"][0]
        asked = json.loads(port17("node", "status", "--control", first["control"], "--json").stdout)
        assert (asked["schema"], asked["id"]) == ("port17.node.status/1", first["id"])
        assert Path(first["control"]).stat().st_mode & 0o777 == 0o600

        again = port17("testnet", "up", "--dir", str(directory), "--nodes", "5")
        assert again.returncode == 3
        assert f"(process {process.pid})" in again.stderr
        assert works(now)

        os.kill(first["pid"], signal.SIGKILL)
        deadline = time.monotonic() + ROUTE_AGAIN_S
        while not works(now):
            assert time.monotonic() < deadline
        os.kill(now["nodes"][1]["pid"], signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0
        assert not any(map(alive, pids(now)))


def test_killed_in_the_foreground_nothing_is_left_and_the_directory_serves_again(tmp_path: Path) -> None:
    with network(tmp_path) as process:
        before = state(tmp_path)
        process.kill()
        process.wait()
        await_end(pids(before))
    socks = f"127.0.0.1:{free_ports('127.0.0.1')[0]}"
    with network(tmp_path, "--socks", socks) as process:
        now = state(tmp_path)
        assert now["client"]["socks"] == socks
        assert {node["id"] for node in now["nodes"]}.isdisjoint(node["id"] for node in before["nodes"])
        assert works(now)
        process.terminate()
        assert process.wait(END_S) == 0


@pytest.mark.parametrize("flags", [["--suite", "p17-1-none-such"], ["--identity", "none"]])
def test_what_nobody_has_is_the_plugins_fault(tmp_path: Path, flags: list[str]) -> None:
    done = port17("testnet", "up", "--dir", str(tmp_path), "--nodes", "3", *flags)
    assert done.returncode == 4
    assert "none" in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with destination.serve(b"") as target:
        done = port17(
            "testnet", "up", "--dir", str(tmp_path), "--nodes", "3", "--socks", f"127.0.0.1:{target.port}"
        )
    assert done.returncode == 3
    assert str(target.port) in done.stderr


def test_the_demonstration() -> None:
    done = port17("demo", "--size", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "port17.demo/1"
    assert document["sha256_sent"] == document["sha256_arrived"]
    assert len(set(document["route"])) == 3


def test_the_demonstration_in_plain_lines() -> None:
    done = port17("demo", "--size", "1")
    assert done.returncode == 0, done.stderr
    assert "Route: client > n" in done.stdout
    assert "is what was sent" in done.stdout
    assert "\x1b" not in done.stdout
