"""Suites are swapped in a network that carries traffic: first both side by side, then the old one forbidden.

No process is started again, no fetch fails, and what goes on by an old circuit is cut at the grace alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from rig.destination import Destination
from rig.house import command
from rig.patience import until
from rig.testnet import Testnet
from rig.traffic import SlowDownload, Traffic

X25519 = "p17-1-x25519-chacha20poly1305-blake2s"
XWING = "p17-1-xwing-aes256gcm-sha256"
CHACHA = "p17-1-xwing-chacha20poly1305-blake2s"
NODES = 4
HOLDS_IN_S = 4
"""Seconds that processes have to read an amended charter; they look every two."""
OVERLAP_S = 8
"""Seconds for which what the new charter forbids may go on."""
SETTLED_S = 45.0
"""How long anything may take to come about after an amendment, seconds, on a machine that is busy."""
LARGE = 6 * 1024 * 1024
"""Bytes of a download that a slow program is far from having when its suite is forbidden."""
HEARD = "looking at charter and bottles again"
"""What a process logs when it is told to look."""
CUT_S = 10.0
"""How long after the grace the last old circuit may be seen, seconds: looks, and a busy machine's delays."""


class Swapped:
    """A network whose charter is amended."""

    def __init__(self, network: Testnet, old: str, new: str) -> None:
        self.network = network
        self.old, self.new = old, new

    def amend(self, *changes: str) -> dict[str, Any]:
        """One revision more."""
        charter = self.network.state["charter"]
        key = str(self.network.directory / "update.key" / "1")
        words = ("charter", "amend", "--charter", charter, "--key", key, "--in", str(HOLDS_IN_S))
        return command(*words, *changes)

    def circuits(self) -> list[tuple[int, set[str]]]:
        """How many streams each of the client's circuits carries, and the suites of its hops."""
        found = self.network.ask("circuits")["circuits"]
        return [(one["conveyors"], {hop["suite"] for hop in one["hops"]}) for one in found]

    def old_streams(self) -> int:
        """How many streams go over circuits that have anything of the old suite."""
        return sum(streams for streams, suites in self.circuits() if self.old in suites)

    def links(self) -> set[str]:
        """The suites of the client's links that stand."""
        return {one["suite"] for one in self.network.ask("circuits")["links"] if one["suite"]}

    def nodes(self) -> list[dict[str, Any]]:
        """What each node says of itself."""
        return [self.network.ask("status", of=node["name"]) for node in self.network.state["nodes"]]

    def only_new(self) -> bool:
        """Whether circuits are there, and all of them, and the links, under the new suite alone."""
        suites = [suites for _, suites in self.circuits()]
        return bool(suites) and all(one == {self.new} for one in (*suites, self.links()))

    def until_all(self, holds: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until something holds of every node."""
        until(lambda: all(map(holds, self.nodes())), what, SETTLED_S)

    def old_with_streams_alone(self) -> bool:
        """Whether circuits are under the new suite, or under the old one and in use."""
        circuits = self.circuits()
        return any(suites == {self.new} for _, suites in circuits) and all(
            suites == {self.new} or (streams and suites == {self.old}) for streams, suites in circuits
        )


def test_a_suite_is_swapped_under_traffic(tmp_path: Path, destination: Destination) -> None:
    """For one with another key agreement and another cipher."""
    old, new = X25519, XWING
    with Testnet(tmp_path / "net", NODES, ("--suite", old)) as network:
        network.settle()
        swapped = Swapped(network, old, new)
        begun = {pid: psutil.Process(pid).create_time() for pid in network.pids.values()}
        endless = SlowDownload(network, destination, "endless")
        large = SlowDownload(network, destination, "large", LARGE)
        with Traffic(network, destination) as traffic:
            until(lambda: len(traffic.fetches) > 5, "programs fetch", SETTLED_S)
            assert {suite for _, suites in swapped.circuits() for suite in suites} == {old}

            amended = swapped.amend("--suite", new, "--suite", old)
            assert (amended["suites"], amended["deprecated"]) == ([new, old], [])
            until(swapped.old_with_streams_alone, "new circuits are under the new suite", SETTLED_S)
            assert time.time() >= amended["not_before"]
            swapped.until_all(lambda node: set(node["suites"]) == {old, new}, "nodes serve both suites")
            assert (endless.how, large.how) == ("", ""), "what goes on may go on"
            assert swapped.old_streams() == 2
            later = SlowDownload(network, destination, "endless")
            until(lambda: bool(later.check.got), "a download that may share the old circuit", SETTLED_S)
            assert swapped.old_streams() == 2, "it does not, since the old one takes no new connections"
            later.stop()
            fetch_anew(traffic)

            forbidden = swapped.amend("--suite", new, "--overlap", str(OVERLAP_S))
            swapped.until_all(lambda node: node["revision"] == forbidden["revision"], "nodes know it")
            large.hurry()
            until(lambda: bool(large.how), "the large download ends", SETTLED_S)
            assert (large.how, large.check.right, large.check.got) == ("in order", True, LARGE)

            until(swapped.only_new, "old circuits are gone", SETTLED_S)
            late_s = time.time() - (forbidden["not_before"] + OVERLAP_S)
            assert -1 < late_s < CUT_S, "what is in use goes on until the grace is over"
            endless.hurry()
            until(lambda: bool(endless.how), "the endless download learns that it was cut", SETTLED_S)
            assert (endless.how, endless.check.right) == ("ConnectionResetError", True)
            swapped.until_all(lambda node: node["suites"] == [new], "nodes serve the new suite alone")
            swapped.until_all(
                lambda node: node["lanes"]["standing"] == node["lanes"]["wanted"], "all lanes stand"
            )
            fetch_anew(traffic)
            assert swapped.only_new()

        assert traffic.failures == []
        assert traffic.direct == 0, "the client has talked to the destination itself"
        assert {pid: psutil.Process(pid).create_time() for pid in network.pids.values()} == begun


def test_a_deprecated_suite_gives_way_and_a_signal_is_heard(tmp_path: Path, destination: Destination) -> None:
    """Deprecated, it is used nowhere; reinstated, it is the charter's first again. The other has the same key
    agreement."""
    both = ("--suite", CHACHA, "--suite", XWING)
    with ExitStack() as stack:
        network = stack.enter_context(Testnet(tmp_path / "net", NODES, both))
        network.settle()
        traffic = stack.enter_context(Traffic(network, destination))
        swapped = Swapped(network, CHACHA, XWING)
        until(lambda: len(traffic.fetches) > 3, "programs fetch", SETTLED_S)
        assert {suite for _, suites in swapped.circuits() for suite in suites} == {CHACHA}
        amended = swapped.amend("--deprecate", CHACHA)
        assert (amended["suites"], amended["deprecated"]) == ([CHACHA, XWING], [CHACHA])
        for pid in network.pids.values():
            os.kill(pid, signal.SIGHUP)
        for name in network.pids:
            log = network.directory / f"{name}.log"
            until(lambda log=log: HEARD in log.read_text(), f"{name} hears the signal", SETTLED_S)  # type: ignore[misc]
        until(swapped.only_new, "the deprecated suite is not used any more", SETTLED_S)
        fetch_anew(traffic)
        swapped = Swapped(network, XWING, CHACHA)
        assert swapped.amend("--reinstate", CHACHA)["deprecated"] == []
        until(swapped.only_new, "the reinstated suite is used", SETTLED_S)
        fetch_anew(traffic)
    assert traffic.failures == []


def fetch_anew(traffic: Traffic) -> None:
    """Wait for some fetches that begin now."""
    now = time.monotonic()
    until(
        lambda: sum(fetch.begun > now and not fetch.failure for fetch in list(traffic.fetches)) >= 5,
        "programs go on fetching",
        SETTLED_S,
    )
