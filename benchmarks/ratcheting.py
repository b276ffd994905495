"""What ratcheting costs a tunnel: one network, clients that differ in how often their circuits' keys turn."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from rig.testnet import PROGRAM, Testnet, read_line

USUAL_FLOOR, EACH_CELL_FLOOR = 0.05, 0.60
"""Most of the throughput that ratcheting may cost at the defaults, and with one symmetric step a cell."""
NODES = 5
READY_S = 30.0
"""Seconds for a client to be ready."""
WARM_MIB = 8
"""MiB before each timing: windows are grown then."""
NONE, USUAL, EACH_CELL = "hardly any steps", "the defaults", "a step for each cell"
SETTINGS = {
    NONE: ("ratchet.cells_per_step=1048576", "ratchet.step_mib=65536", "ratchet.step_s=86400"),
    USUAL: (),
    EACH_CELL: ("ratchet.cells_per_step=1",),
}
"""Each client's own settings."""

Proxy = tuple[str, int]


@contextmanager
def client(net: Testnet, name: str, directory: Path, settings: tuple[str, ...]) -> Iterator[Proxy]:
    """Another client of a network, while the context is open; where it listens."""
    place = ("ingress.socks5.listen=127.0.0.1:0", f"control={directory / name}.sock", "log.level=error")
    config = net.directory / "client" / "client.toml"
    command = [*PROGRAM, "client", "run", "--config", str(config), "--json"]
    command += [part for setting in (*settings, *place) for part in ("--set", setting)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        host, _, port = json.loads(read_line(process, READY_S))["ingress"]["socks5"].rpartition(":")
        yield host, int(port)
    finally:
        process.terminate()
        process.wait()


def measure(peers: Path, repeats: int, mib: int) -> dict[str, list[float]]:
    """MB/s by "settings, direction"; every repeat is a new circuit of each client, in turn."""
    sys.path.insert(0, str(peers.resolve()))
    load: ModuleType = importlib.import_module("bench_socks")
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="p17-")))
        target = stack.enter_context(load.Target())
        net = stack.enter_context(Testnet(directory / "net", NODES))
        proxies = {
            name: stack.enter_context(client(net, f"c{number}", directory, settings))
            for number, (name, settings) in enumerate(SETTINGS.items())
        }
        for repeat in range(repeats):
            print(f"repeat {repeat + 1} of {repeats}", file=sys.stderr, flush=True)
            # Forth and back, so that whoever comes after whom comes before him next time.
            for name, proxy in sorted(proxies.items(), reverse=bool(repeat % 2)):
                with load.connect(proxy, target.addr, f"repeat {repeat}") as sock:
                    for way, work in (("download", load.down), ("upload", load.up)):
                        work(sock, WARM_MIB << 20)
                        rates.setdefault(f"{name}, {way}", []).append(
                            (mib << 20) / 1e6 / work(sock, mib << 20)
                        )
    return rates


def costs(rates: dict[str, list[float]]) -> list[tuple[str, float, float]]:
    """(what, share of the throughput that it costs, floor), the medians of the repeats' own."""
    found = []
    for name, floor in ((USUAL, USUAL_FLOOR), (EACH_CELL, EACH_CELL_FLOOR)):
        for way in ("download", "upload"):
            pairs = zip(rates[f"{name}, {way}"], rates[f"{NONE}, {way}"], strict=True)
            share = 1 - statistics.median(ours / theirs for ours, theirs in pairs)
            found.append((f"share of the {way} that {name} cost", share, floor))
    return found
