#!/usr/bin/env python3
"""Measures a tunnel of three hops beside two private Tor networks, in one run, against the project's floors.

    python benchmarks/tunnel.py --peers DIR            # everything, some five minutes
    python benchmarks/tunnel.py --peers DIR --quick    # a first look, some two minutes

Everything runs on loopback. Load, clock and Tor networks are those of DIR, which holds ``bench_socks.py``,
``compare_tor.py`` and ``tor_net.py``. All networks are up from the start, and each repeat measures them one
after the other; a ratio is the median of the repeats' own ratios, so that a machine that slows down slows
both. ``tor`` is Tor as shipped, ``tor-tuned`` the same relieved of what slows it on loopback only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from figures import Report
from rig.testnet import Testnet, resident

NODES = 5
"""A route has three: the others show what standing by costs."""
TOR_SHARE = 8
"""Tor as shipped gets a part of the bytes only: it takes 20 times as long for each."""
TOR_START_S = 90
"""Seconds for a Tor network to come up; it takes 25 to 40."""
TOR_TRIES = 3
"""Attempts at that, and at building circuits: on a busy machine its authorities now and then agree on a
network without guards, and its client refuses to begin a circuit."""
IDLE_S = 3.0
"""Seconds without traffic before an idle node's memory is read."""
SOAK_WARM_MIB = 512
"""MiB carried before growth is measured from: until then allocator and buffers take what they keep."""
SOAK_STEP_MIB = 256
"""MiB of one download of the soak: each is a new connection, so that what connections leave behind shows."""
BUILD_S = 0.5
"""Seconds that one circuit may take, its pause included, before the question for it is given up."""

Row = dict[str, float]


class Peer(Protocol):
    """Something to measure."""

    name: str
    proxy: tuple[str, int]

    def once(self, tools: Tools) -> Row:
        """One repeat: every figure."""


class Tools:
    """The load generator's modules, its destination and the options of this run."""

    def __init__(self, load: ModuleType, target: Any, options: argparse.Namespace) -> None:
        self.load = load
        self.target = target
        self.options = options

    def measure(self, proxy: tuple[str, int], pids: list[int], mib: int) -> tuple[Row, dict[int, float]]:
        """All that needs no knowledge of the network behind the proxy.

        :returns: figures, and CPU seconds per GiB by process.
        """
        options = argparse.Namespace(**{**vars(self.options), "mib": mib})
        row, shares = self.load.measure(proxy, self.target, pids, options, False)
        size = mib << 20
        self.load.parallel(proxy, self.target.addr, 4 << 20, options.streams, True)
        self.load.wait_quiet(options.quiet)
        took = self.load.parallel(proxy, self.target.addr, size, options.streams, True)
        row["par_iso_mb_s"] = size / 1e6 / took
        return row, shares


class Tor:
    """One private Tor network: guard, middle and exit pinned."""

    def __init__(self, name: str, net: Any, hops: tuple[str, ...], share: int) -> None:
        self.name = name
        self.proxy = net.socks
        self._net = net
        self._pids = [net.pids[hop] for hop in ("client", *hops)]
        self._share = share

    def once(self, tools: Tools) -> Row:
        """See :class:`Peer`."""
        row, shares = tools.measure(self.proxy, self._pids, max(4, tools.options.mib // self._share))
        row["cpu_s_gib"] = row["all_cpu_s_gib"] = sum(shares.values())
        tools.load.wait_quiet(tools.options.quiet)
        times_ms = self._build_times(tools.options.builds)
        if times_ms:
            row["build_p50_ms"] = row["whole_p50_ms"] = statistics.median(times_ms)
        return row

    def _build_times(self, builds: int) -> list[float]:
        """Tor now and then refuses to start a circuit; then it is asked once more. May be none."""
        for _ in range(TOR_TRIES):
            try:
                times: list[float] = self._net.build_times(builds)
            except RuntimeError as error:
                print(f"{self.name}: {error}; once more", file=sys.stderr)
                time.sleep(1)
            else:
                return times
        return []


class Port17:
    """The test network of this checkout."""

    name = "port17"

    def __init__(self, net: Testnet) -> None:
        self.net = net
        self.proxy = net.socks
        time.sleep(IDLE_S)
        self.idle_mib = {name: resident(pid) / 2**20 for name, pid in net.pids.items()}

    def once(self, tools: Tools) -> Row:
        """See :class:`Peer`."""
        pids = self.net.pids
        with tools.load.connect(self.proxy, tools.target.addr):
            route = self._route()
        row, shares = tools.measure(self.proxy, list(pids.values()), tools.options.mib)
        row["cpu_s_gib"] = sum(shares[pids[name]] for name in ("client", *route))
        row["all_cpu_s_gib"] = sum(shares.values())
        for name, node in zip(("client", "entry", "middle", "exit"), ("client", *route), strict=True):
            row[f"{name}_cpu_s_gib"] = shares[pids[node]]
        tools.load.wait_quiet(tools.options.quiet)
        count = tools.options.builds
        built = self.net.ask("build", {"count": count}, timeout=10 + count * BUILD_S)
        row["build_p50_ms"] = statistics.median(built["build_ms"])
        row["whole_p50_ms"] = statistics.median(built["whole_ms"])
        return row

    def _route(self) -> list[str]:
        """The nodes of the circuit that connections without credentials use now."""
        circuits = self.net.ask("circuits")["circuits"]
        used = max((one for one in circuits if one["conveyors"]), key=lambda one: one["id"])
        return [hop["name"] for hop in used["hops"]]

    def soak(self, tools: Tools, gib: float) -> list[dict[str, float]]:
        """Carry bytes, and watch memory: MiB by process, before and after every step."""

        def sample(done_mib: int) -> dict[str, float]:
            rows = {name: resident(pid) / 2**20 for name, pid in self.net.pids.items()}
            return {"mib": float(done_mib), **{name: round(mib, 2) for name, mib in rows.items()}}

        def carry(mib: int) -> None:
            with tools.load.connect(self.proxy, tools.target.addr) as sock:
                tools.load.down(sock, mib << 20)

        carry(SOAK_WARM_MIB)
        done, samples = 0, [sample(0)]
        while done < gib * 1024:
            carry(SOAK_STEP_MIB)
            done += SOAK_STEP_MIB
            samples.append(sample(done))
        return samples


def start(name: str, directory: Path, stack: ExitStack) -> Peer:
    """One network, running until the stack closes."""
    if name == "port17":
        return Port17(stack.enter_context(Testnet(directory / "net", NODES)))
    tor_net = importlib.import_module("tor_net")
    tuned = importlib.import_module("compare_tor").TUNED if name == "tor-tuned" else ()
    for tries_left in range(TOR_TRIES - 1, -1, -1):
        net = tor_net.TorNet(tuned, nodelay=name == "tor-tuned", timeout=TOR_START_S)
        try:
            return Tor(name, stack.enter_context(net), tor_net.HOPS, 1 if tuned else TOR_SHARE)
        except RuntimeError as error:
            if not tries_left:
                raise
            say(f"{name} did not come up, once more: {str(error).splitlines()[0]}")
    raise AssertionError("the last try returns or raises")


def run(options: argparse.Namespace) -> Report:
    """Start all networks, measure in turn."""
    sys.path.insert(0, str(options.peers.resolve()))
    load = importlib.import_module("bench_socks")
    names = ["port17", "tor-tuned", "tor"]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p17-")))
        tools = Tools(load, stack.enter_context(load.Target()), options)
        say(f"starting {', '.join(names)}")
        with ThreadPoolExecutor() as pool:
            peers = list(pool.map(lambda name: start(name, directory, stack), names))
        for peer in peers:
            load.check(peer.proxy, tools.target.addr)
        rows: dict[str, list[Row]] = {name: [] for name in names}
        for repeat in range(options.repeats):
            for peer in peers:
                say(f"repeat {repeat + 1} of {options.repeats}: {peer.name}")
                rows[peer.name].append(peer.once(tools))
        ours = next(peer for peer in peers if isinstance(peer, Port17))
        soaked = []
        if options.soak_gib:
            say(f"carrying {options.soak_gib:g} GiB")
            soaked = ours.soak(tools, options.soak_gib)
        return Report(rows, ours.idle_mib, soaked)


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", type=Path, required=True, metavar="DIR", help="where the load and Tor scripts are"
    )
    parser.add_argument("--repeats", type=int, help="repeats of everything, in turn (5; --quick: 2)")
    parser.add_argument("--mib", type=int, help="MiB of each bulk transfer (64; --quick: 32)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats, less of everything, no waiting for quiet"
    )
    parser.add_argument("--soak-gib", type=float, default=0, metavar="N", help="also watch memory over N GiB")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every repeat's every figure there")
    options = parser.parse_args()
    quick = options.quick
    options.repeats = options.repeats or (2 if quick else 5)
    options.mib = options.mib or (32 if quick else 64)
    options.streams = 8
    options.pings, options.load_pings, options.opens, options.builds = (
        (200, 50, 15, 10) if quick else (500, 200, 40, 20)
    )
    options.quiet, options.tries = (0.5, 1) if quick else (2.0, 2)
    begun = time.monotonic()
    report = run(options)
    for line in report.lines():
        print(line)
    say(f"took {time.monotonic() - begun:.0f} s")
    if options.json:
        machine = {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()}
        options.json.write_text(
            json.dumps({"schema": "port17.benchmark/1", "machine": machine, **report.document()}, indent=1)
            + "\n"
        )


if __name__ == "__main__":
    main()
