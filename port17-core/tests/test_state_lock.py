"""A node's state is one process's at a time, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from port17.errors import ConfigError
from port17.node.state_lock import alone

HOLDER = """
import sys
from pathlib import Path
from port17.node.state_lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_by_the_first_ones_name(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"process {holder.pid} runs"), alone(tmp_path):
            pytest.fail("two at once")
        holder.send_signal(signal.SIGKILL)
    with alone(tmp_path):
        pass


def test_it_is_free_again_at_the_end_and_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone(tmp_path):
        raise ZeroDivisionError
    with alone(tmp_path):
        assert os.stat(tmp_path / "lock").st_mode & 0o077 == 0


def test_a_state_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"), alone(tmp_path / "missing"):
        pytest.fail("nothing to lock")
