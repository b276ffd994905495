"""Real processes that begin with a charter and the address of a bootstrap list, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.destination import Destination
from rig.house import HOST, House, command
from rig.program import connect, download
from rig.testnet import PROGRAM
from rig.web import Authority, Web

from port17_cli.network import free_ports

NAMES = ("ash", "elm", "oak")
ENDS_S = 60.0
"""How long a client that can't start may take to say so, seconds."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("boot")
    ports = dict(zip(NAMES, free_ports(*[HOST] * len(NAMES)), strict=True))
    with House(folder, NAMES, ports) as made:
        command("identity", "new", "--dir", str(folder / "publisher"))
        card = str(folder / "publisher.id")
        command("identity", "export", "--dir", str(folder / "publisher"), "--out", card)
        exits = [word for one in made.fingerprints.values() for word in ("--plain-text-exit", one.hex())]
        charter = str(folder / "house.charter")
        command("charter", "amend", "--charter", charter, "--in", "0", "--publisher", card, *exits)
        made.start(*NAMES)
        made.wait_for_lanes()
        yield made


@pytest.fixture(scope="module")
def listed(house: House) -> bytes:
    """The list, as the publisher has signed it."""
    file = house.directory / "bootstrap-nodes.json"
    charter = str(house.directory / "house.charter")
    key = str(house.directory / "publisher")
    made = command("charter", "bootstrap", str(file), "--charter", charter, "--key", key)
    assert made["holds"]
    assert {node["name"] for node in made["nodes"]} == set(NAMES)
    assert command("charter", "bootstrap-show", str(file), "--charter", charter)["holds"]
    return file.read_bytes()


def newcomer(house: House, folder: Path, pin: Path, *sources: str) -> Path:
    """The configuration of a client on a machine of its own: it has the charter, and an empty folder."""
    folder.mkdir()
    charter = folder / "house.charter"
    charter.write_bytes((house.directory / "house.charter").read_bytes())
    file = folder / "client.toml"
    words = [word for source in sources for word in ("--bootstrap", source)]
    socks = f"{HOST}:{free_ports(HOST)[0]}"
    words += ["--private-addresses"]
    command("client", "init", "--config", str(file), "--charter", str(charter), "--socks", socks, *words)
    file.write_text(file.read_text().replace("[bootstrap]", f'[bootstrap]\npin = "{pin}"\ntimeout_s = 5'))
    return file


def test_a_client_starts_from_the_list_alone(house: House, listed: bytes, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    altered = listed.replace(b'"payload": "', b'"payload": "AAAA')
    with (
        Web(authority.server("server")) as web,
        Destination() as destination,
        (tmp_path / "away.log").open("w") as errors,
    ):
        sources = (
            web.url("/missing"),
            web.page("/altered", altered),
            str(tmp_path / "missing.json"),
            web.page("/bootstrap-nodes.json", listed),
        )
        config = newcomer(house, tmp_path / "away", authority.file, *sources)
        house.processes["away"] = process = subprocess.Popen(
            [*PROGRAM, "client", "run", "--config", str(config), "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline(), (tmp_path / "away.log").read_text()
        log = (tmp_path / "away.log").read_text()
        assert log.count("is of no use") == 3
        assert not list((tmp_path / "away" / "bottles").iterdir())
        listen = config.read_text().partition('listen = "')[2].partition('"')[0]
        host, _, port = listen.rpartition(":")
        with connect((host, int(port)), destination.port) as connection:
            check = download(connection, b"boot", 1_000_000)
        assert check.right
        assert check.got == 1_000_000
        assert house.end("away") == 0


def test_without_a_source_a_client_says_what_to_do(house: House, listed: bytes, tmp_path: Path) -> None:
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    with Web(authority.server("server")) as web:
        config = newcomer(house, tmp_path / "away", other.file, web.page("/list", listed))
        ended = subprocess.run(
            [*PROGRAM, "client", "run", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=ENDS_S,
            check=False,
        )
    assert ended.returncode == 5
    assert "certificate is refused" in ended.stderr
    assert "folder of bottles" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_node_starts_from_the_list_alone(house: House, listed: bytes, tmp_path: Path) -> None:
    charter, sources = tmp_path / "house.charter", tmp_path / "list.json"
    charter.write_bytes((house.directory / "house.charter").read_bytes())
    config = tmp_path / "fir.toml"
    command(
        *("node", "init", "--config", str(config), "--charter", str(charter), "--name", "fir"),
        *("--listen", f"{HOST}:{free_ports(HOST)[0]}", "--bootstrap", str(sources)),
        *("--lane", house.fingerprints["ash"].hex()),
    )
    run = [*PROGRAM, "node", "run", "--config", str(config), "--json"]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=ENDS_S, check=False)
    assert ended.returncode == 5, "its own bottle is nobody to start from"
    sources.write_bytes(listed)
    with (tmp_path / "fir.log").open("w") as errors:
        house.processes["fir"] = process = subprocess.Popen(
            run, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout is not None
    assert process.stdout.readline()
    assert "has 3 nodes" in (tmp_path / "fir.log").read_text()
    assert house.end("fir") == 0
