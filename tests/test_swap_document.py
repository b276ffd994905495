"""docs/switching-suites.md, run as it stands: its commands, in its order, on a network that runs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig.destination import Destination
from rig.house import House
from rig.patience import until
from rig.program import connect, download

from port17_cli.main import main
from port17_cli.network import HOST, free_ports

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "switching-suites.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OLD, NEW = "p17-1-x25519-chacha20poly1305-blake2s", "p17-1-xwing-aes256gcm-sha256"
NODES = ("ash", "elm", "oak")
SETTLED_S = 60.0
"""How long anything may take to come about after a command, seconds, on a machine that is busy."""
FETCH_SIZE = 50_000
"""Bytes of a fetch."""


@pytest.fixture
def harbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The network of the document, running; the present folder is the one that it lies in."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    ports = dict(zip(NODES, free_ports(*[HOST] * len(NODES)), strict=True))
    with House(folder, NODES, ports, options=("--suite", OLD), network="harbour") as house:
        shutil.copy(house.config("client"), folder / "me.toml")
        house.start(*NODES, "client")
        house.wait_for_lanes()
        monkeypatch.chdir(tmp_path)
        yield house


def blocks() -> list[list[list[str]]]:
    """The words of the commands of each shell block."""
    found = BLOCK.findall(DOCUMENT.read_text())
    return [[shlex.split(line) for line in block.splitlines()] for block in found]


def test_the_document_does_what_it_says(
    harbour: House, destination: Destination, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(words: list[str]) -> str:
        assert words[0] == "port17"
        assert main(words[1:]) == 0, words
        return capsys.readouterr().out

    def fetch() -> set[str]:
        """The suites of all circuits, after a fetch that works."""
        with connect(harbour.socks, destination.port) as program:
            assert download(program, b"document", FETCH_SIZE).got == FETCH_SIZE
        circuits = harbour.ask("client", "circuits")["circuits"]
        return {hop["suite"] for circuit in circuits for hop in circuit["hops"]}

    def holds(revision: int) -> bool:
        return all(harbour.ask(name, "status")["revision"] == revision for name in NODES)

    (allow,), look, (deprecate,), (forbid,) = blocks()
    assert fetch() == {OLD}

    assert "Revision 1" in run(allow)
    until(lambda: fetch() == {NEW}, "fetches use the new suite alone", SETTLED_S)
    explained, status, shown = map(run, look)
    for name in NODES:
        assert re.search(rf"^{name} \(\w+\): {NEW}$", explained, re.MULTILINE), explained
    assert OLD in status
    assert NEW in status
    assert NEW in shown

    assert f"{OLD} (deprecated)" in run(deprecate)
    until(lambda: holds(2), "the suite is deprecated", SETTLED_S)
    assert fetch() == {NEW}

    assert OLD not in run(forbid)
    until(lambda: holds(3), "the suite is forbidden", SETTLED_S)
    assert fetch() == {NEW}
    explained = run(look[0])
    assert all("the charter does not allow it" in line for line in explained.splitlines() if OLD in line)
