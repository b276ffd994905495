"""A process that writes a SQLite rack is killed at any moment: what was written is there, and whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from port17.bottles.sqlite_rack import SqliteRack

from . import rack_writer
from .rack_writer import CROWD, FLEET, KEYS, NETWORK, SCHEME

PLAN = (*(("early", 0.015),) * 8, *(("late", 0.05),) * 8, *(("aimed", 0.0004),) * 16)
"""Kills, and the longest time to each, seconds: of racks that are just being made; of one, again and again,
that is written for a while; of the same as it commits."""


class Writer:
    """The process of :mod:`rack_writer`, and the one that it starts."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().split()

    def run_and_kill(self, folder: Path, begun: int, pause_s: float, aimed: bool) -> dict[int, int]:
        """
        :param begun: the first sequence to write.
        :param pause_s: from opening the rack to the kill; or, aimed, from the beginning of a commit.
        :returns: per number, the last sequence that was said to be written.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{begun} {pause_s if aimed else 0:.6f} {folder}\n".encode())
        self._process.stdin.flush()
        said: dict[int, int] = {}
        child, ready = 0, False
        while (line := self._line()) != ["ended"]:
            assert line, "the writer has failed"
            if line[0] == "begun":
                child = int(line[1])
            elif line[0] == "ready":
                ready = True
            else:
                said[int(line[0])] = int(line[1])
            if child and ready and not aimed:
                time.sleep(pause_s)
                os.kill(child, signal.SIGKILL)
                ready = False
        return said


def whole(folder: Path) -> dict[bytes, int]:
    """Per node, the sequence that is held; everything is checked."""
    held: dict[bytes, int] = {}
    rack = SqliteRack()
    rack.open(NETWORK, folder)
    with closing(rack):
        for bottle in rack:
            bottle.verify(NETWORK, {"ed25519": SCHEME}, 1_000_000)
            assert len(bottle.bundle) == KEYS
            held[bottle.fingerprint] = bottle.contents.seq
        assert len(rack) == len(held)
        assert {(stamp.fingerprint, stamp.contents_seq) for stamp in rack.stamps()} == set(held.items())
    with closing(sqlite3.connect(folder / "rack.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return held


def test_nothing_that_was_written_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(17)
    fingerprints = [rack_writer.bottle(number, 0).fingerprint for number in range(FLEET + CROWD)]
    with subprocess.Popen(
        [sys.executable, rack_writer.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        writer = Writer(process)
        said: dict[int, int] = {}
        for number, (kills, longest_s) in enumerate(PLAN):
            early = kills == "early"
            folder = tmp_path / (f"early-{number}" if early else "old")
            before = {} if early or not (tmp_path / "old").exists() else said
            begun = max(before.values(), default=0) + 2  # one more may have been written than was said
            pause_s = chance.uniform(longest_s / 50, longest_s)
            said = before | writer.run_and_kill(folder, begun, pause_s, kills == "aimed")
            held = whole(folder)
            for one, seq in said.items():
                assert held.get(fingerprints[one], 0) >= seq, "written, and gone"
            fleet = {held.get(fingerprints[one]) for one in range(FLEET)}
            assert len(fleet) == 1, "half a batch"
        assert max(said.values()) > len(PLAN) / 2, "hardly anything was written"
