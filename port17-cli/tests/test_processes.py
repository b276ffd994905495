"""The crew of a test network ends whatever state it is in, and with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from port17.errors import NetworkError
from port17_cli.processes import Child, Crew

pytestmark = pytest.mark.anyio

END_S = 5.0
CHILD = """
import json, os, signal, sys, threading
from port17_cli.service import _end_with_stdin

mode = sys.argv[1]
threading.Thread(target=_end_with_stdin, daemon=True).start()
if mode == "dies":
    sys.exit("boom")
if mode == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
strange = [name for name in os.environ if name.startswith("PORT17_")]
print(json.dumps({"mode": mode, "strange": strange}), flush=True)
threading.Event().wait()
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # What its dead parent cannot reap may stay a zombie where no init does it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def program(directory: Path) -> list[str]:
    file = directory / "child.py"
    file.write_text(CHILD)
    return [sys.executable, str(file)]


async def test_every_child_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT17_CONTROL", "the user's own")
    ended: list[str] = []

    def report(child: Child) -> None:
        ended.append(child.name)

    async with Crew(tmp_path, program(tmp_path)) as crew:
        for name in ("obeys", "hangs", "stopped", "killed"):
            child = await crew.start(name, [name])
            assert child.ready == {"mode": name, "strange": []}
        os.kill(crew.children[2].pid, signal.SIGSTOP)
        os.kill(crew.children[3].pid, signal.SIGKILL)
        with anyio.move_on_after(0.5):
            await crew.watch(report)
        begin = time.monotonic()
    assert time.monotonic() - begin < END_S
    assert ended == ["killed"]
    assert [child.process.returncode for child in crew.children] == [-15, -9, -15, -9]
    assert not any(alive(child.pid) for child in crew.children)


async def test_a_child_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    async with Crew(tmp_path, program(tmp_path)) as crew:
        with pytest.raises(NetworkError, match="boom") as caught:
            await crew.start("dies", ["dies"])
    assert "dies.log" in caught.value.cure


def test_children_end_with_who_started_them(tmp_path: Path) -> None:
    """SIGKILL leaves the foreground process no chance to end anybody: its children see the pipe end."""
    code = (
        "import anyio, pathlib, sys\n"
        "from port17_cli.processes import Crew\n"
        "async def main():\n"
        f"    async with Crew(pathlib.Path({str(tmp_path)!r}), {program(tmp_path)!r}) as crew:\n"
        "        for name in ('obeys', 'hangs'):\n"
        "            print((await crew.start(name, [name])).pid, flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + END_S
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in pids)
