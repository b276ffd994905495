"""No process of a network says a secret: not in its logs at their most talkative, not when it is asked."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from pathlib import Path

import pytest
from conformance.leaks import shows
from python_socks import ProxyError
from rig.destination import HOST, Destination
from rig.house import House, command
from rig.program import connect, download

from port17.node.identity_file import IDENTITY_FILE, IdentityFile
from port17.records import cbor
from port17_cli.main import main
from port17_cli.network import free_ports

NAMES = ("ash", "elm", "oak")
PASSPHRASE = b"seventeen gulls over the harbour"


def keys_of(house: House) -> list[bytes]:
    """Every private key on disk, and the passphrase."""
    found = [PASSPHRASE]
    for file in house.directory.rglob(IDENTITY_FILE):
        held = IdentityFile.read(file)
        if held.lock is None:
            found.append(held.private)
    for file in house.directory.rglob("*.prekey"):
        value = cbor.decode(file.read_bytes(), cap=1 << 16)
        assert isinstance(value, dict)
        found.append(value["private"])
    return found


def printed(*words: str) -> str:
    """All that a command says."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main([*words])
    return said.getvalue()


def test_no_process_says_a_secret(tmp_path: Path) -> None:
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    with House(tmp_path, NAMES, ports) as house, Destination() as destination:
        # The key that is to be locked is a secret too: it is told of before.
        secrets = keys_of(house)
        secret = tmp_path / "secret"
        secret.write_bytes(PASSPHRASE)
        secret.chmod(0o600)
        oak = ["--config", str(house.config("oak"))]
        with secret.open() as stream:
            command("identity", "passphrase", *oak, "--new-passphrase-fd", str(stream.fileno()))
        file = f"identity.passphrase_file={secret}"
        house.start("ash", "elm")
        house.start("oak", settings=[file])
        house.wait_for_lanes()
        house.start("client")
        with connect(house.socks, destination.port, HOST) as connection:
            assert download(connection, b"oak", 200_000).right
        with socket.create_connection((HOST, ports["ash"])) as stranger:
            stranger.sendall(os.urandom(100_000))
        said = [str(house.ask(name, "status")) for name in NAMES]
        said.append(str(house.ask("client", "circuits")))
        said.append(printed("identity", "show", *oak))
        said.append(printed("--debug", "identity", "export", *oak, "--out", str(tmp_path / "no" / "where")))
        said.append(printed("--debug", "node", "bottle", *oak))
        said.append(printed("--debug", "node", "bottle", *oak, "--set", file, "--lane", "nobody"))
        said.append(printed("config", "show", *oak, "--set", file, "--origin"))
        house.kill("elm")
        with pytest.raises((OSError, ProxyError)):  # two nodes are no route
            connect(house.socks, destination.port, HOST, "2")
        assert house.end("oak") == 0
        secrets += keys_of(house)
        said += [file.read_text() for file in tmp_path.glob("*.log")]
    assert len(said[-1]) > 100
    assert "Traceback" in "".join(said)
    text = "\n".join(said)
    assert len(set(secrets)) > 20
    for one in set(secrets):
        assert not shows(text, one[:64])
    assert PASSPHRASE.decode() not in text
