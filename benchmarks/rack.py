#!/usr/bin/env python3
"""Measures the racks: opening, asking and writing one of 100,000 bottles, and drawing a chart from it.

    python benchmarks/rack.py                          # some minute
    python benchmarks/rack.py --bottles 10000          # some fifteen seconds

One bottle is signed; the others are that one with other keys, names, lanes and prekeys, which a store takes
for real ones, since it verifies nothing. Opening is measured in a process of its own. Figures are medians,
and where it matters the longest of all: calls are made by the event loop, which waits for each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from port17.bottles.rack import BottleStore, MemoryRack, Racked
from port17.bottles.sqlite_rack import SqliteRack
from port17.navigator.chart import Chart
from port17.navigator.chart_maker import ChartKeeper, ChartTerms
from port17.plugins.loader import Registry
from port17.records.bottle import Bottle, Contents, Label, Lane
from port17.records.framing import digest
from port17.records.identity import Identity
from port17.records.prekey import PrekeyRecord
from port17.records.revision import Revision

NETWORK = digest("benchmark")
SUITES = ("p17-1-xwing-aes256gcm-sha256", "p17-1-xwing-chacha20poly1305-blake2s")
PUBLIC_SIZE = 1216
"""Bytes of an X-Wing key."""
NOW = 1_800_000_000
SLOTS, LANES = 8, 8
"""What a node of a network of some hundreds says in its contents: keys for a week, and its lanes."""
CHART_NODES = 10_000
CHART_CHANGES = 5
"""Nodes of whom a client hears between two charts."""
TIMES = 2000
"""Repeats of what takes a fraction of a millisecond."""
BATCH = 1000
OPEN_FLOOR_S = 2.0
"""Longest time to open a rack of 100,000 bottles."""
OPENER = """
import os, sys, time
from pathlib import Path
from port17.bottles.sqlite_rack import SqliteRack
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, begun = resident(), time.perf_counter()
rack = SqliteRack()
rack.open(bytes.fromhex(sys.argv[1]), Path(sys.argv[2]))
opened = time.perf_counter() - begun
count, at_open = len(rack), resident()
some = [stamp.fingerprint for stamp in rack.stamps()][::max(1, count // 1000)]
for fingerprint in some:
    assert rack.get(fingerprint) is not None
print(opened, count, before, at_open, resident(), flush=True)
if sys.argv[3] == "kill":
    for number in range(300):
        rack.mark(some[number % len(some)], f"reason {number}")
    os.kill(os.getpid(), 9)
rack.close()
"""
"""Opens a rack, asks for a thousand bottles, and closes it; or writes a while, and is killed."""


@dataclass(frozen=True)
class Figure:
    """One row.

    :param longest: of all calls; 0 where there was one.
    """

    title: str
    value: float
    unit: str
    longest: float = 0.0
    note: str = ""

    def __str__(self) -> str:
        longest = f"{self.longest:10.4g}" if self.longest else " " * 10
        return f"{self.title:48}{self.value:10.4g}{longest} {self.unit:5} {self.note}".rstrip()


class Press:
    """Makes bottles of real size from one that is signed."""

    def __init__(self) -> None:
        registry = Registry()
        scheme = registry.make("port17.identity_schemes", "ed25519")
        key = scheme.generate()
        identity = Identity.made(scheme="ed25519", public=key.public)
        self._public = key.public[0][1]
        self._algorithm = key.public[0][0]
        self._name = "node-000000"
        self._lanes = [digest("lane", bytes([lane])) for lane in range(LANES)]
        self._commitment = digest("commitment")
        slots = {
            suite: [
                [slot, NOW + 86_400 * (slot + 1), digest("slot", suite.encode(), bytes([slot]))]
                for slot in range(SLOTS)
            ]
            for suite in SUITES
        }
        slots[SUITES[0]][0][2] = self._commitment
        label = Label.made(
            identity=identity,
            name=self._name,
            group="some-owner",
            addresses={"tcp": ["192.0.2.17:7001", "[2001:db8::17]:7001"]},
            suites=list(SUITES),
            exit=["reject *:25", "accept *:*"],
            seq=3,
        )
        contents = Contents.made(
            fingerprint=identity.fingerprint,
            seq=NOW,
            slots=slots,
            lanes=[[lane, 20_000, 12_500_000] for lane in self._lanes],
        )
        self._bottle = Bottle.seal(NETWORK, scheme, key, label, contents)

    def public(self, number: int) -> bytes:
        return digest("key", number.to_bytes(4, "big"))

    def fingerprint(self, number: int) -> bytes:
        return self._identity(number).fingerprint

    def _identity(self, number: int) -> Identity:
        return self._bottle.label.identity.model_copy(
            update={"public": ((self._algorithm, self.public(number)),)}
        )

    def bottle(self, number: int, fingerprints: list[bytes]) -> Bottle:
        """The bottle of the node of a number; its lanes are a ring's, so both ends name them."""
        one, identity, fingerprint = self._bottle, self._identity(number), fingerprints[number]
        steps = [step for half in range(1, LANES // 2 + 1) for step in (half, -half)]
        lanes = [fingerprints[(number + step) % len(fingerprints)] for step in steps]
        record = PrekeyRecord.model_construct(
            network_id=NETWORK,
            fingerprint=fingerprint,
            suite=SUITES[0],
            slot=0,
            expiry=NOW + 86_400,
            public=fingerprint * (PUBLIC_SIZE // len(fingerprint)),
        )
        name = f"node-{number:06}"
        label = one.label_envelope.payload.replace(self._public, self.public(number))
        contents = one.contents_envelope.payload.replace(one.fingerprint, fingerprint)
        contents = contents.replace(self._commitment, record.hash)
        for old, new in zip(self._lanes, lanes, strict=True):
            contents = contents.replace(old, new)
        label = label.replace(self._name.encode(), name.encode())
        return Bottle(
            label_envelope=one.label_envelope.model_copy(update={"payload": label}),
            contents_envelope=one.contents_envelope.model_copy(update={"payload": contents}),
            bundle=(record,),
            label=one.label.model_copy(update={"identity": identity, "name": name}),
            contents=one.contents.model_copy(
                update={
                    "fingerprint": fingerprint,
                    "lanes": tuple(Lane(lane, 20_000, 12_500_000) for lane in lanes),
                }
            ),
        )

    def newer(self, bottle: Bottle) -> Bottle:
        """The same node a minute later."""
        contents = bottle.contents.model_copy(update={"seq": bottle.contents.seq + 60})
        payload = bottle.contents_envelope.payload
        before, after = (seq.to_bytes(4, "big") for seq in (bottle.contents.seq, contents.seq))
        envelope = bottle.contents_envelope.model_copy(update={"payload": payload.replace(before, after)})
        return replace(bottle, contents=contents, contents_envelope=envelope, bundle=())


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def each(title: str, call: Callable[[Any], object], arguments: Iterable[object]) -> Figure:
    """Of many calls."""
    times = []
    for argument in arguments:
        begun = time.perf_counter()
        call(argument)
        times.append((time.perf_counter() - begun) * 1e6)
    return Figure(title, statistics.median(times), "us", max(times))


def filled(store: BottleStore, press: Press, fingerprints: list[bytes]) -> float:
    """Seconds that a store took to take all bottles in, in batches."""
    took = 0.0
    for begin in range(0, len(fingerprints), BATCH):
        numbers = range(begin, min(begin + BATCH, len(fingerprints)))
        entries = [Racked(press.bottle(number, fingerprints), NOW) for number in numbers]
        begun = time.perf_counter()
        store.put_all(entries)
        took += time.perf_counter() - begun
    return took


def opening(folder: Path, title: str, *, cold: bool = False, kill: bool = False) -> list[Figure]:
    """Open a rack in a process of its own."""
    if cold:
        with open(folder / "rack.sqlite", "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, "-c", OPENER, NETWORK.hex(), str(folder), "kill" if kill else "close"]
    said = subprocess.run(command, capture_output=True, text=True, check=not kill).stdout.split()
    opened, count, before, at_open, after = (float(word) for word in said)
    met = "met" if opened < OPEN_FLOOR_S else "MISSED"
    return [
        Figure(
            f"open, {title}",
            opened * 1e3,
            "ms",
            note=f"{count:.0f} bottles (floor {OPEN_FLOOR_S:g} s: {met})",
        ),
        Figure("  memory that it takes, once open", (at_open - before) / 2**20, "MiB"),
        Figure("  and after all stamps and 1000 bottles", (after - before) / 2**20, "MiB"),
    ]


def asking(store: BottleStore, fingerprints: list[bytes], press: Press) -> Iterator[Figure]:
    """What a store answers, one bottle at a time."""
    count = len(fingerprints)
    step = max(1, count // TIMES)
    some = fingerprints[::step][:TIMES]
    yield each("get by fingerprint", store.get, some)
    yield each("the same as it travels", store.encoded, some)
    yield each("who is named so", store.named, (f"node-{number:06}" for number in range(TIMES)))
    yield each("an id bucket of 10 bits", lambda value: store.bucket(10, value), range(1024))
    yield Figure("stamps of all", timed(lambda: [None for _ in store.stamps()]) * 1e3, "ms")
    yield Figure("names of all", timed(lambda: [None for _ in store.namings()]) * 1e3, "ms")
    yield Figure("successors among all", timed(lambda: list(store.successors())) * 1e3, "ms")
    newer = [press.newer(press.bottle(number, fingerprints)) for number in range(0, count, step)]
    yield each("put: newer contents", store.put, newer[: TIMES // 4])
    yield each("put: nothing new", store.put, newer[: TIMES // 4])
    strangers = [*fingerprints, *(press.fingerprint(count + number) for number in range(BATCH + TIMES // 4))]
    fresh = [press.bottle(number, strangers) for number in range(count, len(strangers))]
    yield each("put: a new node", store.put, fresh[BATCH:])
    yield Figure(f"put_all of {BATCH}", timed(lambda: store.put_all(map(Racked, fresh[:BATCH]))) * 1e3, "ms")


def charting(store: BottleStore, press: Press, fingerprints: list[bytes], title: str) -> Iterator[Figure]:
    terms = ChartTerms(Revision.made(not_before=NOW, suites=list(SUITES), schemes=["ed25519"]))
    drawn: list[Chart] = []
    keeper = ChartKeeper(store)
    took = timed(lambda: drawn.append(keeper.draw(terms, NOW + 1)))
    lanes = sum(len(node.lanes) for node in drawn[0]) // 2
    yield Figure(f"chart of {len(drawn[0])} nodes from {title}", took, "s", note=f"{lanes} lanes")
    for number in range(CHART_CHANGES):
        store.put(press.newer(press.bottle(number, fingerprints)))
    took = timed(lambda: drawn.append(keeper.draw(terms, NOW + 2)))
    yield Figure(f"the same, after {CHART_CHANGES} have changed", took * 1e3, "ms")


def measured(folder: Path, count: int) -> Iterator[Figure]:
    press = Press()
    fingerprints = [press.fingerprint(number) for number in range(count)]
    size = len(press.bottle(0, fingerprints).encode())
    small = fingerprints[: min(CHART_NODES, count)]
    store = SqliteRack()
    store.open(NETWORK, folder / "large")
    took = filled(store, press, fingerprints)
    store.close()
    disk = (folder / "large" / "rack.sqlite").stat().st_size
    yield Figure("fill, in batches", took / count * 1e6, "us", note=f"per bottle of {size} bytes")
    yield Figure("file", disk / 2**20, "MiB", note=f"{disk / count:.0f} bytes per bottle")
    yield from opening(folder / "large", "file not in memory", cold=True)
    yield from opening(folder / "large", "file in memory", kill=True)
    yield from opening(folder / "large", "after kill -9 while it was written")
    store = SqliteRack(SqliteRack.Config(capacity=count * 2))
    store.open(NETWORK, folder / "large")
    with closing(store):
        yield from asking(store, fingerprints, press)
    for each_store, title in ((SqliteRack(), "SQLite"), (MemoryRack(), "memory")):
        each_store.open(NETWORK, folder / "small")
        with closing(each_store):
            filled(each_store, press, small)
            yield from charting(each_store, press, small, title)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bottles", type=int, default=100_000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    args = parser.parse_args()
    rows: list[Figure] = []
    print(f"{'':48}{'median':>10}{'longest':>10}")
    with tempfile.TemporaryDirectory() as folder:
        for row in measured(Path(folder), args.bottles):
            rows.append(row)
            print(row, flush=True)
    if args.json:
        args.json.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
