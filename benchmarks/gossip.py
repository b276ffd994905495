#!/usr/bin/env python3
"""Measures how bottles travel in networks of thousands of simulated nodes, and how that grows.

    python benchmarks/gossip.py                        # 250 to 3,000 nodes, and a client of 10,000
    python benchmarks/gossip.py --sizes 250,500        # smaller, to see where one stands

Nodes are whole (``tests/simulator``): intake, rack, gossip, manager, mesh. Networks begin with full racks and
with lanes that the managers have made; verification of one identical bottle is remembered, and parsed bottles
are shared. So this machine's time says nothing: figures are of the virtual clock and of bytes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from simulator.agreement import Spread
from simulator.audience import Audience
from simulator.blocks import Traffic
from simulator.mesh_graph import diameter, mutual, wanted
from simulator.node import Node
from simulator.prefilled import Early, prefilled
from simulator.world import World

from port17.bottles.sync import Scope
from port17.node.life import State
from port17.records.bottle import Bottle
from port17.wire.block import BLOCK_SIZE

SIZES = (250, 500, 1000, 2000, 3000)
SEED = 4
QUIET_S = 40.0
"""Seconds after which all first comparisons are over."""
CHANGES = 5
CHANGE_S = 15.0
"""Seconds between two changes: the first has long arrived everywhere."""
JOIN_S = 90.0
"""Seconds that a newcomer is watched for."""
ROUND_TRIPS = 2.0
"""Most round trips in which all know of a change, per doubling of the network."""
BOTTLES = 3.0
"""Most that a change may cost on each lane, in bottles."""
HOPS = {1000: 4, 3000: 5}
"""Most lanes between any two nodes."""
CLIENT_NODES = 10_000
CLIENT_HOURS = 3
WARM_HOURS = 2
"""Hours before that, in which a client uses up what it may fetch at once."""
CLIENT_SOURCES = 2
CLIENT_MB = 10.0
"""Most that a client may get and send in a day, MB."""
DAY_HOURS = 24
MB = 1_000_000


@dataclass
class Size:
    """What was measured of one network.

    :param spreads: for each change, the seconds after which each node had it.
    :param change: traffic of all nodes for one change, on average.
    :param join: what a newcomer got until it stood, and a little longer.
    """

    nodes: int
    lanes: list[int] = field(default_factory=list)
    hops: int = 0
    round_trip_s: float = 0.0
    bottle: int = 0
    spreads: list[list[float]] = field(default_factory=list)
    change: Traffic = field(default_factory=Traffic)
    join: Traffic = field(default_factory=Traffic)
    join_sent: Traffic = field(default_factory=Traffic)
    rack: int = 0
    joined_s: float = math.inf
    cpu_s: float = 0.0
    memory_mib: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """By name."""
        lanes = sum(self.lanes) / 2
        last = statistics.median(max(one) for one in self.spreads)
        half = statistics.median(statistics.median(one) for one in self.spreads)
        sent = sum(self.change.data.values())
        return {
            "nodes": self.nodes,
            "lanes, least": min(self.lanes),
            "lanes, mean": statistics.fmean(self.lanes),
            "lanes, most": max(self.lanes),
            "hops between the farthest": self.hops,
            "all know, round trips": last / self.round_trip_s,
            "half know, round trips": half / self.round_trip_s,
            "of 2 log2 n": last / self.round_trip_s / (ROUND_TRIPS * math.log2(self.nodes)),
            "messages per node and change": sum(self.change.messages.values()) / self.nodes,
            "bytes per node and change": sent / self.nodes,
            "a change per lane, bottles": sent / lanes / self.bottle,
            "  in whole blocks, bottles": self.change.bytes / lanes / self.bottle,
            "a join gets, MB": sum(self.join.data.values()) / MB,
            "  of what its rack holds": sum(self.join.data.values()) / self.rack,
            "a join sends, MB": sum(self.join_sent.data.values()) / MB,
            "a join stands after, s": self.joined_s,
            "CPU of the simulation, s": self.cpu_s,
            "memory of the simulation, MiB": self.memory_mib,
        }


def total(nodes: Iterable[Node]) -> Traffic:
    """What all have sent."""
    sum_of = Traffic()
    for node in nodes:
        sum_of.add(node.traffic_out)
    return sum_of


def plain_size(bottle: Bottle) -> int:
    """Bytes of a bottle without prekeys, as it goes to whoever lacks it."""
    return len(Bottle.of(bottle.label_envelope, bottle.contents_envelope).encode())


def measure(count: int, slots: int) -> Size:
    """One network."""
    begun = time.process_time()
    world = World(SEED, slots=slots)
    nodes = prefilled(world, count)
    graph = mutual(nodes)
    size = Size(count, [len(lanes) for lanes in graph.values()], diameter(graph))
    heap = world.heap
    size.round_trip_s = statistics.fmean(
        2 * world.delay_s(node.place, world.nodes[peer].place) for node in nodes for peer in node.lanes
    )
    heap.run(heap.now_s + QUIET_S)
    _changes(size, world, nodes)
    _join(size, world, nodes)
    size.cpu_s = time.process_time() - begun
    size.memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return size


def _changes(size: Size, world: World, nodes: Sequence[Early]) -> None:
    """Some nodes, one after the other, sign new contents."""
    heap, sizes = world.heap, []
    before = total(nodes)
    heap.run(heap.now_s + CHANGES * CHANGE_S)
    quiet = total(nodes).minus(before)
    before = total(nodes)
    for node in heap.random.sample(nodes, CHANGES):
        spread = Spread(node)
        node.publish(node.author.bottle(node.standing, node.wall_s, load=250))
        node.settle()
        heap.run(heap.now_s + CHANGE_S)
        if len(spread.at_s) < size.nodes:
            raise SystemExit(f"a change has reached {len(spread.at_s)} of {size.nodes} nodes only")
        size.spreads.append(sorted(spread.at_s.values()))
        sizes.append(plain_size(node.signed) if node.signed is not None else 0)
    world.watch = None
    size.bottle = round(statistics.fmean(sizes))
    size.change = total(nodes).minus(before).minus(quiet).divided(CHANGES)


def _join(size: Size, world: World, nodes: Sequence[Early]) -> None:
    """One node more, that knows five from a list."""
    newcomer = world.add(Node)
    begun_s = world.heap.now_s
    newcomer.boot(tuple(node.signed for node in nodes[:5] if node.signed is not None))
    world.heap.run(begun_s + JOIN_S, lambda: newcomer.state is State.STANDING, every_s=0.25)
    if newcomer.state is not State.STANDING:
        raise SystemExit(f"a newcomer does not stand after {JOIN_S:.0f} s")
    size.joined_s = world.heap.now_s - begun_s
    size.join, size.join_sent = newcomer.traffic_in.copy(), newcomer.traffic_out.copy()
    size.rack = sum(len(bottle.encode()) for bottle in newcomer.rack)


def client(nodes: int, hours: float, scope: Scope) -> dict[str, float]:
    """A client's day in a network of that many nodes, of which only its sources are whole."""
    audience = Audience(World(SEED), nodes, CLIENT_SOURCES, wanted(nodes))
    audience.begin(scope)
    audience.hours(WARM_HOURS)
    before = audience.client.traffic_in.copy(), audience.client.traffic_out.copy()
    audience.hours(hours)
    came = audience.client.traffic_in.minus(before[0])
    went = audience.client.traffic_out.minus(before[1])
    day = DAY_HOURS / hours
    return {
        "nodes": nodes,
        "MB a day": (came.bytes + went.bytes) * day / MB,
        "of it data, MB": (sum(came.data.values()) + sum(went.data.values())) * day / MB,
        **{f"  {kind}, MB": size * day / MB for kind, size in sorted((came.data + went.data).items())},
    }


def grows(sizes: Sequence[Size], name: str) -> float:
    """The power of n by which a figure grows, by least squares of the logarithms."""
    points = [
        (math.log(size.nodes), math.log(size.figures[name])) for size in sizes if size.figures[name] > 0
    ]
    if len(points) < 2:
        return 0.0
    x, y = (statistics.fmean(column) for column in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def verdicts(
    sizes: Sequence[Size], clients: Sequence[dict[str, float]]
) -> list[tuple[str, float, float, bool]]:
    """What must hold: (what, measured, most, whether it does)."""
    found: list[tuple[str, float, float, bool]] = []
    for size in sizes:
        of, figures = f"{size.nodes} nodes: ", size.figures
        rounds = figures["all know, round trips"]
        most = ROUND_TRIPS * math.log2(size.nodes)
        found.append((of + "round trips until all know", rounds, most, rounds <= most))
        cost = figures["a change per lane, bottles"]
        found.append((of + "bottles' bytes per lane", cost, BOTTLES, cost <= BOTTLES))
        least = figures["lanes, least"]
        found.append((of + "lanes, least", least, wanted(size.nodes), least >= wanted(size.nodes)))
        if size.nodes in HOPS:
            hops = HOPS[size.nodes]
            found.append((of + "hops between the farthest", size.hops, hops, size.hops <= hops))
    for one in clients:
        if one["nodes"] == CLIENT_NODES:
            cost = one["MB a day"]
            found.append((f"client of {CLIENT_NODES} nodes, MB a day", cost, CLIENT_MB, cost < CLIENT_MB))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of nodes, with commas")
    parser.add_argument("--slots", type=int, default=8, help="prekey slots of each suite (8)")
    parser.add_argument("--client-hours", type=float, default=CLIENT_HOURS, help="of a client (3); 0 is none")
    parser.add_argument("--json", type=Path, help="write every figure there")
    options = parser.parse_args()
    sizes: list[Size] = []
    for count in map(int, filter(None, options.sizes.split(","))):
        sizes.append(measure(count, options.slots))
        print(f"{count} nodes: measured in {sizes[-1].cpu_s:.0f} s", file=sys.stderr, flush=True)
    clients: list[dict[str, float]] = []
    if options.client_hours:
        for count in (1000, CLIENT_NODES):
            clients.append(client(count, options.client_hours, Scope.NEAR))
    _print(sizes, clients)
    if options.json is not None:
        said: dict[str, Any] = {"sizes": [size.figures for size in sizes], "clients": clients}
        options.json.write_text(json.dumps(said, indent=2))
    return 0 if all(held for *_, held in verdicts(sizes, clients)) else 1


def _print(sizes: Sequence[Size], clients: Sequence[dict[str, float]]) -> None:
    if sizes:
        print(f"{'figure':32}" + "".join(f"{size.nodes:>10}" for size in sizes) + "   grows as")
        for name in list(sizes[0].figures)[1:]:
            row = "".join(f"{size.figures[name]:>10.4g}" for size in sizes)
            print(f"{name:32}{row}   n^{grows(sizes, name):.2f}")
        kinds = sorted({kind for size in sizes for kind in size.change.data})
        for kind in kinds:
            row = "".join(f"{size.change.data[kind] / size.nodes:>10.4g}" for size in sizes)
            print(f"{'  a change, bytes of ' + kind:32}{row}")
    for one in clients:
        print(f"\nclient of {one['nodes']} nodes, {CLIENT_SOURCES} sources, blocks of {BLOCK_SIZE}:")
        for name, value in list(one.items())[1:]:
            print(f"  {name:30}{value:>10.4g}")
    print()
    for what, measured, most, held in verdicts(sizes, clients):
        print(f"{what:44}{measured:>10.3g}, bound {most:>7.3g}: {'met' if held else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
