#!/usr/bin/env python3
"""Measures routes: what is worked out once per chart, and a draw per connection; beside the shortest path
under the same constraints by networkx and by rustworkx on the same graph.

    python benchmarks/navigator.py                     # some five minutes
    python benchmarks/navigator.py --large 0           # without the chart of 100,000 nodes: some minute

The others find the one quickest route; ours draws one of the near-best. Their graph has a layer per position,
since what a plain shortest path knows nothing of is that a route has three nodes; two nodes of one family
have no edge, and per entry those of its family are hidden. Edges carry the cost that ours has worked out, and
exits are admitted for all three by the same code: so the quickest route has to be the same, and that is
checked.

Times are of this thread's CPU: nothing here waits, and what else the machine does counts less. Rounds take
turns; a figure is the median of its rounds, a percentile that of all draws.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, Protocol

from port17.navigator.chart import Chart
from port17.navigator.compiled import Compiled
from port17.navigator.countries import COUNTRIES
from port17.navigator.geo import Place
from port17.navigator.policy import Request
from port17.navigator.route import Survey
from port17.navigator.simulated import simulated_chart
from port17.navigator.walks import Admits
from port17.plugins.loader import Registry
from port17.plugins.panel import Panel

NODES, ENDS = 10_000, 40
"""Nodes, and lanes of each: 200,000 in all."""
LARGE = 100_000
GUARDS = 3
CLIENTS = 5
"""Each has other guards."""
DRAWS = 150
"""Per client and round."""
ROUNDS = 5
OTHERS_DRAWS = 20
"""Of the others per round: they take longer."""
CHANGED = 20
"""Nodes that have changed when there is a new chart: seven seconds' of 10,000 that change hourly."""
P50_MS, P99_MS, COMPILE_MS, LARGER = 5.0, 25.0, 150.0, 10.0
"""The floors: a draw, what three policies say of all nodes, and how many times longer on the large chart."""
ENDINGS = ("com", "org", "net", "de", "fr", "jp", "br", "us")
TOLERANCE_US = 0.01
"""Sums in another order differ by less."""


@dataclass(frozen=True)
class Figure:
    """One row."""

    title: str
    value: float
    unit: str
    floor: float = math.inf

    def __str__(self) -> str:
        verdict = "" if self.floor == math.inf else f"  floor {self.floor:g}: "
        met = "" if not verdict else "met" if self.value <= self.floor else "MISSED"
        return f"{self.title:62}{self.value:>10.2f} {self.unit}{verdict}{met}"


class Pathfinder(Protocol):
    """Somebody else's shortest path."""

    def quickest(self, request: Request) -> float:
        """What the quickest route costs, microseconds; infinite if there is none."""


class Layers:
    """The graph of three layers that the others search, as edges; and what of it depends on a request."""

    def __init__(self, survey: Survey, chart: Chart) -> None:
        self.ground = survey._ground("normal", 3)
        self._panel = self.ground.compiled.policies
        self.number = {node: index for index, node in enumerate(chart)}
        self.size = len(chart)
        self.kin = [self.ground.compiled.standing(node, "normal").families for node in chart]

    def edges(self) -> Iterator[tuple[int, int, float]]:
        """From first to second nodes, and from second to third ones; numbered layer by layer."""
        for node, index in self.number.items():
            onward = self.ground.compiled.onward(node, "normal", self.ground.chart)
            for us, target, _ in onward.middles:
                yield index, self.size + self.number[target], us
            for us, target, _ in onward.exits:
                yield self.size + index, 2 * self.size + self.number[target], us

    def starts(self) -> list[tuple[int, float, set[int]]]:
        """Entries, what they cost, and what is hidden from their routes."""
        found = []
        for us, entry, families in self.ground.starts:
            kin = {index for index, theirs in enumerate(self.kin) if not families.isdisjoint(theirs)}
            hidden = {layer * self.size + index for layer in (1, 2) for index in kin}
            found.append((self.number[entry], us, hidden))
        return found

    def exits(self, request: Request, reached: Iterable[int]) -> dict[int, float]:
        """Of the third nodes that are reached those that may be the exit, and what the policies add."""
        nodes = list(self.number)
        admits = Admits(self.ground, request)
        candidates = self.ground.compiled.by_kind(
            (nodes[index - 2 * self.size] for index in reached if index >= 2 * self.size), "normal"
        )
        admitted = admits.admit_exits(candidates)
        return {2 * self.size + self.number[node]: us for node, us in admitted.items()}

    def cheapest(self, request: Request, lengths: list[tuple[float, Mapping[int, float]]]) -> float:
        """What the quickest route costs.

        :param lengths: per entry what it costs, and how far each node is from there.
        """
        exits = self.exits(request, dict.fromkeys(index for _, found in lengths for index in found))
        costs = (
            us + length + exits[index]
            for us, found in lengths
            for index, length in found.items()
            if index in exits
        )
        return min(costs, default=math.inf)


class WithNetworkx:
    """Dijkstra's algorithm by networkx, per entry."""

    def __init__(self, layers: Layers) -> None:
        import networkx

        self._search = networkx.single_source_dijkstra_path_length
        self._layers = layers
        self._graph = networkx.DiGraph()
        self._graph.add_weighted_edges_from(layers.edges())
        self._starts = layers.starts()

    def quickest(self, request: Request) -> float:
        """See :class:`Pathfinder`."""
        lengths = []
        for entry, us, hidden in self._starts:
            if entry not in self._graph:
                continue

            def weight(
                _: int, target: int, data: dict[str, float], hidden: set[int] = hidden
            ) -> float | None:
                return None if target in hidden else data["weight"]

            lengths.append((us, self._search(self._graph, entry, weight=weight)))
        return self._layers.cheapest(request, lengths)


class WithRustworkx:
    """The same by rustworkx."""

    def __init__(self, layers: Layers) -> None:
        import rustworkx

        self._search = rustworkx.dijkstra_shortest_path_lengths
        self._layers = layers
        self._graph = rustworkx.PyDiGraph(multigraph=False)
        self._graph.add_nodes_from(range(3 * layers.size))
        self._graph.extend_from_weighted_edge_list(
            [(source, target, (us, target)) for source, target, us in layers.edges()]
        )
        self._starts = layers.starts()

    def quickest(self, request: Request) -> float:
        """See :class:`Pathfinder`."""
        lengths = []
        for entry, us, hidden in self._starts:

            def cost(edge: tuple[float, int], hidden: set[int] = hidden) -> float:
                return math.inf if edge[1] in hidden else edge[0]

            lengths.append((us, self._search(self._graph, entry, cost)))
        return self._layers.cheapest(request, lengths)


def requests(rng: Random, count: int) -> list[Request]:
    """Names of all endings, and addresses whose place is known; none twice."""
    countries = sorted(COUNTRIES)
    found = []
    for number in range(count):
        if number % 4:
            host = f"h{rng.getrandbits(40):x}.example.{rng.choice(ENDINGS)}"
            found.append(Request(host, 443))
            continue
        country = COUNTRIES[rng.choice(countries)]
        address = ip_address(rng.getrandbits(32))
        place = Place(address, latitude=country.latitude, longitude=country.longitude)
        found.append(Request(str(address), 443, place=place))
    return found


def timed(call: Callable[[], Any]) -> float:
    """Seconds of CPU."""
    started = time.thread_time()
    call()
    return time.thread_time() - started


def guards(chart: Chart, rng: Random) -> list[bytes]:
    """Entries of one client."""
    return [node.fingerprint for node in rng.sample([node for node in chart if node.addresses], GUARDS)]


def percentile(times: Sequence[float], percent: int) -> float:
    """Of all draws."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


def changed(chart: Chart, rng: Random, count: int) -> Chart:
    """The next chart: some nodes say that they are busier."""
    nodes = dict(chart.nodes)
    for fingerprint in rng.sample(sorted(nodes), count):
        nodes[fingerprint] = replace(nodes[fingerprint], load=rng.randrange(1000))
    return Chart.of_ordered(nodes, ())


@dataclass
class Times:
    """Seconds of one chart's draws."""

    cold: list[float]
    first: list[float]
    kept: list[float]
    fresh: list[float]
    after: list[float]


def drawing(chart: Chart, panel: Panel, rng: Random, draws: int) -> Times:
    """One round: draws of some clients."""
    times = Times([], [], [], [], [])
    compiled = Compiled(panel)
    compiled.compile(chart)
    for _ in range(CLIENTS):
        entries = guards(chart, rng)

        def survey(on: Chart, entries: Sequence[bytes] = entries) -> Survey:
            return Survey(on, panel, entries=entries, compiled=compiled)

        asked = requests(rng, draws)
        new = Survey(chart, panel, entries=entries)
        times.cold.append(timed(lambda new=new, asked=asked: new.draw(asked[0], rng)))
        gc.collect()  # what was thrown away so far is not this client's
        kept = survey(chart)
        times.first.append(timed(lambda kept=kept, asked=asked: kept.draw(asked.pop(), rng)))
        times.kept += [timed(lambda one=one, kept=kept: kept.draw(one, rng)) for one in asked]
        for one in asked[: draws // 3]:
            times.fresh.append(timed(lambda one=one, survey=survey: survey(chart).draw(one, rng)))
        later = changed(chart, rng, CHANGED)
        times.after.append(
            timed(lambda one=asked[0], survey=survey, later=later: survey(later).draw(one, rng))
        )
    return times


def compiling(chart: Chart, panel: Panel) -> float:
    """Seconds that the policies take for all nodes."""
    compiled = Compiled(panel)
    return timed(lambda: compiled.compile(chart))


def of_chart(chart: Chart, panel: Panel, rng: Random, rounds: int, what: str) -> Iterator[Figure]:
    """The figures of ours alone."""
    took = [compiling(chart, panel) for _ in range(rounds)]
    yield Figure(
        f"{what}: three policies compiled", statistics.median(took) * 1e3, "ms", _floor(chart, COMPILE_MS)
    )
    all_times = [drawing(chart, panel, rng, DRAWS) for _ in range(rounds)]
    kept = [second for times in all_times for second in times.kept]
    yield Figure(f"{what}: a draw, p50", percentile(kept, 50) * 1e3, "ms", _floor(chart, P50_MS))
    yield Figure(f"{what}: a draw, p99", percentile(kept, 99) * 1e3, "ms", _floor(chart, P99_MS))
    fresh = [second for times in all_times for second in times.fresh]
    yield Figure(f"{what}: the first after a node has failed, p50", percentile(fresh, 50) * 1e3, "ms")
    yield Figure(f"{what}: the same, p99", percentile(fresh, 99) * 1e3, "ms", _floor(chart, P99_MS))
    after = [second for times in all_times for second in times.after]
    yield Figure(
        f"{what}: the first after {CHANGED} nodes have changed, p50", percentile(after, 50) * 1e3, "ms"
    )
    first = [second for times in all_times for second in times.first]
    yield Figure(f"{what}: the first of a client with new guards, p50", percentile(first, 50) * 1e3, "ms")
    cold = [second for times in all_times for second in times.cold]
    yield Figure(f"{what}: the same, and nothing compiled, p50", percentile(cold, 50) * 1e3, "ms")


def _floor(chart: Chart, floor: float) -> float:
    """Of the large chart it is how many times longer it may take."""
    return floor if len(chart) <= NODES else math.inf


def compared(chart: Chart, panel: Panel, rng: Random, rounds: int) -> Iterator[Figure]:
    """Ours beside the others, taking turns; and whether they agree."""
    compiled = Compiled(panel)
    compiled.compile(chart)
    survey = Survey(chart, panel, entries=guards(chart, rng), compiled=compiled)
    survey.draw(requests(rng, 1)[0], rng)
    layers = Layers(survey, chart)
    others: dict[str, Pathfinder] = {"networkx": WithNetworkx(layers), "rustworkx": WithRustworkx(layers)}
    gc.collect()
    times: dict[str, list[float]] = {"port17": [], **{name: [] for name in others}}
    for _ in range(rounds):
        asked = requests(rng, OTHERS_DRAWS)
        times["port17"].append(
            statistics.median(timed(lambda one=one: survey.draw(one, rng)) for one in asked)
        )
        for name, other in others.items():
            costs: list[float] = []
            times[name].append(
                statistics.median(
                    timed(lambda one=one, other=other, costs=costs: costs.append(other.quickest(one)))
                    for one in asked
                )
            )
            for one, us in zip(asked, costs, strict=True):
                walks, _ = survey.near_best(one)
                if not math.isclose(walks[0][0], us, rel_tol=0, abs_tol=TOLERANCE_US):
                    sys.exit(f"{name} has found another quickest route: {us} instead of {walks[0][0]} us")
    ours = statistics.median(times["port17"])
    yield Figure("beside others: port17, one of the near-best, p50", ours * 1e3, "ms")
    for name in others:
        theirs = statistics.median(times[name])
        yield Figure(f"beside others: {name}, the quickest, p50", theirs * 1e3, "ms")
        ratios = (a / b for a, b in zip(times["port17"], times[name], strict=True))
        yield Figure(
            f"beside others: port17 takes so many times what {name} does", statistics.median(ratios), "x"
        )


def measured(nodes: int, large: int, rounds: int) -> Iterator[Figure]:
    rng = Random(17)
    panel = Registry().policies([])
    chart = simulated_chart(nodes, ends=ENDS if nodes >= NODES else None)
    lanes = sum(len(node.lanes) for node in chart) // 2
    what = f"{len(chart)} nodes, {lanes} lanes"
    small = list(of_chart(chart, panel, rng, rounds, what))
    yield from small
    yield from compared(chart, panel, rng, rounds)
    if large:
        del chart
        chart = simulated_chart(large, ends=ENDS)
        what = f"{len(chart)} nodes, {sum(len(node.lanes) for node in chart) // 2} lanes"
        gc.collect()
        for before, now in zip(small, of_chart(chart, panel, rng, max(1, rounds // 2), what), strict=True):
            yield now
            # What is said of all nodes grows with them; nobody waits for it, since who draws asks as he goes.
            floor = math.inf if "compiled" in now.title and "nothing" not in now.title else LARGER
            yield Figure("    times that of the smaller chart", now.value / before.value, "x", floor)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--large", type=int, default=LARGE, help="nodes of the second chart; 0 for none")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    args = parser.parse_args()
    rows = []
    for row in measured(args.nodes, args.large, args.rounds):
        rows.append(row)
        print(row, flush=True)
    if args.json:
        args.json.write_text(json.dumps([vars(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
