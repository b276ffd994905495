"""Identities of running nodes: locked; and rotated under way, followed by neighbours whose files stay."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from python_socks import ProxyError
from rig.destination import HOST, Destination
from rig.house import House, command
from rig.patience import until
from rig.program import connect, download
from rig.testnet import PROGRAM, read_line

from port17_cli.network import free_ports

NAMES = ("ash", "elm", "oak")
FOLLOW_S = 30.0
"""Within how many seconds a client follows: it looks at the folder, and draws a new chart."""
AMOUNT = 300_000
"""Bytes of a download."""
END_S = 20.0
"""How long a process that refuses to start may take, seconds."""
INTERRUPT = b"\x03"
"""Ctrl-C, as a terminal gets it."""
AGAIN_S = 2.0
"""Seconds after which it is pressed again: a signal that comes just before a read begins does not end it."""


@pytest.fixture
def destination() -> Iterator[Destination]:
    with Destination() as serving:
        yield serving


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    with House(tmp_path, NAMES, ports) as made:
        yield made


def fetch(house: House, destination: Destination, isolation: str) -> None:
    with connect(house.socks, destination.port, HOST, isolation) as connection:
        check = download(connection, b"oak", AMOUNT)
        assert check.right
        assert check.got == AMOUNT


def hops(house: House) -> set[str]:
    circuits = house.ask("client", "circuits")["circuits"]
    return {hop["id"] for circuit in circuits for hop in circuit["hops"]}


def test_a_rotated_node_is_followed_without_any_file_being_edited(
    house: House, destination: Destination
) -> None:
    config = str(house.config("oak"))
    old = command("identity", "show", "--config", config)
    lanes = {name: (house.directory / f"{name}-lanes.json").read_bytes() for name in NAMES}
    assert old["fingerprint"].encode() in lanes["ash"]
    house.start(*NAMES, "client")
    house.wait_for_lanes()
    fetch(house, destination, "before")
    assert old["id"] in hops(house)  # three nodes, three hops

    new = command("identity", "rotate", "--config", config)
    assert house.ask("oak", "status")["id"] == old["id"]  # what runs, runs on
    assert house.end("oak") == 0
    house.start("oak")
    assert house.ask("oak", "status")["id"] == new["id"]
    house.wait_for_lanes()

    def followed() -> bool:
        try:
            fetch(house, destination, f"after-{os.urandom(4).hex()}")
        except (ProxyError, OSError):
            return False
        return new["id"] in hops(house)

    until(followed, "the client uses the successor", FOLLOW_S)

    for name in NAMES:
        assert house.end(name) == 0
    house.start(*NAMES)
    house.wait_for_lanes()
    assert lanes == {name: (house.directory / f"{name}-lanes.json").read_bytes() for name in NAMES}


def run_oak(house: House, passphrase: bytes | None = None) -> subprocess.Popen[str]:
    """Its process, without a terminal.

    :param passphrase: given by a descriptor.
    """
    words = [*PROGRAM, "node", "run", "--config", str(house.config("oak"))]
    reading, writing = os.pipe()
    os.write(writing, passphrase or b"")
    os.close(writing)
    try:
        return subprocess.Popen(
            words if passphrase is None else [*words, "--passphrase-fd", str(reading)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(reading,),
        )
    finally:
        os.close(reading)


def test_a_locked_node_asks_and_runs_only_with_its_passphrase(house: House) -> None:
    passphrase = "gulls over the harbour"
    secret = house.directory / "secret"
    secret.write_text(passphrase + "\n")
    secret.chmod(0o600)
    with secret.open() as stream:
        words = ["--config", str(house.config("oak")), "--new-passphrase-fd", str(stream.fileno())]
        assert command("identity", "passphrase", *words)["protection"]["kind"] == "passphrase"

    for wrong, complaint in ((None, "no terminal"), (b"wrong", "does not open")):
        process = run_oak(house, wrong)
        said = process.communicate(timeout=END_S)[1]
        assert process.returncode == 3
        assert complaint in said
        assert "Traceback" not in said

    process = run_oak(house, passphrase.encode())
    try:
        assert read_line(process, END_S).startswith("ready")
        # Neither what it was called with nor its environment tells the passphrase.
        for place in ("cmdline", "environ"):
            assert passphrase.encode() not in Path(f"/proc/{process.pid}/{place}").read_bytes()
    finally:
        process.kill()
        process.communicate()

    house.start("oak", settings=[f"identity.passphrase_file={secret}"])
    assert house.ask("oak", "status")["name"] == "oak"


def at_terminal(house: House, typed: bytes, until_said: bytes) -> bytes:
    """What oak's process says at a terminal of its own, where something is typed at its prompt."""
    pid, terminal = pty.fork()
    if not pid:
        # Where the tests run in the background it may be ignored, and then by all that they start.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(PROGRAM[0], [*PROGRAM, "node", "run", "--config", str(house.config("oak"))])
    said = b""
    try:
        for awaited, again in ((b"Passphrase of", False), (until_said, typed == INTERRUPT)):
            deadline = time.monotonic() + END_S
            while awaited not in said:
                assert time.monotonic() < deadline, said
                if select.select([terminal], [], [], AGAIN_S)[0]:
                    said += os.read(terminal, 4096)
                elif again:
                    os.write(terminal, INTERRUPT)
            os.write(terminal, typed)
            typed = b""
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return said


def test_at_a_terminal_the_passphrase_is_typed_unseen_or_not_at_all(house: House) -> None:
    words = ["--config", str(house.config("oak"))]
    reading, writing = os.pipe()
    os.write(writing, b"gulls and terns")
    os.close(writing)
    command("identity", "passphrase", *words, "--new-passphrase-fd", str(reading))
    os.close(reading)
    assert b"gulls" not in at_terminal(house, b"gulls and terns\n", b"ready: ")
    assert b"ready" not in at_terminal(house, INTERRUPT, b"interrupted")
    assert b"ready" not in at_terminal(house, b"gulls\n", b"does not open")


def test_no_process_that_holds_keys_dumps_its_memory(house: House) -> None:
    house.start("oak", "client")
    for name in ("oak", "client"):
        pid = house.processes[name].pid
        (line,) = [
            line
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
            if line.startswith("Max core file size")
        ]
        assert line.split()[4:6] == ["1", "1"]
