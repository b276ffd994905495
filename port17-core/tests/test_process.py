"""What a process asks of its system: no dump of its memory, whatever the limit was."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from port17.links.process import CORE_LIMIT

DIES = """
import os, resource, sys
from port17.links.process import forbid_core_dumps
soft, hard = (int(word) for word in sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
if sys.argv[3] == "forbid":
    forbid_core_dumps()
    print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.abort()
"""
TELLS = """
import ctypes, resource, sys
from port17.links.process import forbid_core_dumps
resource.setrlimit(resource.RLIMIT_CORE, (0, int(sys.argv[1])))
forbid_core_dumps()
PR_GET_DUMPABLE = 3
print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))
"""
LARGE = 1 << 30


def largest() -> int:
    """The largest limit that a child may be given: earlier tests may have forbidden this process more."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return LARGE if hard == resource.RLIM_INFINITY else min(hard, LARGE)


def die(folder: Path, soft: int, hard: int, how: str = "forbid") -> tuple[list[int], bool]:
    """A process that crashes: the limits that it had, and whether the system says that it dumped core."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(soft), str(hard), how],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        limits = [int(word) for word in process.stdout.read().split()]
    _, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # it is reaped
    assert os.WTERMSIG(status) == signal.SIGABRT
    return limits, os.WCOREDUMP(status)


@pytest.mark.parametrize("soft", [0, LARGE])
def test_a_crash_leaves_no_memory_behind(soft: int, tmp_path: Path) -> None:
    hard = largest()
    limits, dumped = die(tmp_path, min(soft, hard), hard)
    assert limits == [min(CORE_LIMIT, hard)] * 2  # hard, too: nothing in the process can raise it again
    assert not dumped
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hard", [0, LARGE])
def test_no_crash_collector_gets_a_dump(hard: int) -> None:
    """Linux pipes a dump to a collector although the limit is 0 (core(5)): then none must be made."""
    hard = min(hard, largest())
    done = subprocess.run(
        [sys.executable, "-c", TELLS, str(hard)], check=True, stdout=subprocess.PIPE, text=True
    )
    limit, dumpable = map(int, done.stdout.split())
    assert limit == CORE_LIMIT or not dumpable


def test_a_limit_that_is_lower_still_stays(tmp_path: Path) -> None:
    assert die(tmp_path, 0, 0) == ([0, 0], False)
