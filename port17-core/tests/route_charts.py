"""Charts and policies for tests of routes, by hand and by chance; and a plain search over everything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import combinations, pairwise, permutations

from hypothesis import strategies as st

from port17.navigator import cost
from port17.navigator.chart import Chart, ChartNode, Fingerprint, Lane
from port17.navigator.geo import Place
from port17.navigator.policy import (
    AGREED,
    Demand,
    Judgement,
    Kin,
    NoPolicies,
    Objection,
    Policies,
    Position,
    Request,
    Route,
    SecurityLevel,
    Spread,
)
from port17.records.exit_rules import ExitRules

HTTPS = Request("example.com", 443)
OPEN = ExitRules.parse(["accept *:*"])
WEB = ExitRules.parse(["accept *:443"])
ELSEWHERE = ExitRules.parse(["accept *:22"])


def fingerprint(index: int) -> bytes:
    return bytes([index]) * 32


def node(index: int, **changes: object) -> ChartNode:
    """A node that may be anywhere in a route."""
    made = ChartNode(
        fingerprint=fingerprint(index),
        node_id=f"id{index}",
        name=f"n{index}",
        addresses={"tcp": (f"192.0.2.{index}:1",)},
        suites=("s",),
        exit=OPEN,
        plain_text=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def chart(
    nodes: Sequence[ChartNode],
    pairs: Collection[tuple[int, int]] | None = None,
    lanes: Mapping[tuple[int, int], Lane] | None = None,
) -> Chart:
    """Joined by the pairs of indices, or each with each; what is said of no lane is 10 ms and 10 MB/s."""
    indices = [one.fingerprint[0] for one in nodes]
    if pairs is None:
        pairs = list(combinations(indices, 2))
    claims: dict[bytes, list[tuple[bytes, int, int]]] = {one.fingerprint: [] for one in nodes}
    for a, b in {(min(pair), max(pair)) for pair in pairs}:
        lane = (lanes or {}).get((a, b), Lane(10_000, 10_000_000))
        claims[fingerprint(a)].append((fingerprint(b), lane.latency_us, lane.capacity))
        claims[fingerprint(b)].append((fingerprint(a), lane.latency_us, lane.capacity))
    return Chart.build(nodes, claims)


def names(nodes: Sequence[ChartNode]) -> tuple[str, ...]:
    return tuple(one.name for one in nodes)


@dataclass
class Opinion(NoPolicies):
    """Policies as tables, by names of nodes; what stands in no table is agreed to.

    :param requested: of ``nodes`` and ``lanes``, what is only said with the request at hand.
    :param asked: per question, how often.
    """

    level: SecurityLevel | None = None
    hops: int = 0
    spread: Spread = field(default_factory=lambda: Spread(1 / 3, 2.0))
    nodes: Mapping[tuple[str, Position], Judgement] = field(default_factory=dict)
    lanes: Mapping[tuple[str, str], Judgement] = field(default_factory=dict)
    requested_nodes: Mapping[tuple[str, Position], Judgement] = field(default_factory=dict)
    requested_lanes: Mapping[tuple[str, str], Judgement] = field(default_factory=dict)
    kin: Mapping[str, Kin] = field(default_factory=dict)
    exits: Mapping[tuple[str, int], Judgement] = field(default_factory=dict)
    vetoed: Collection[tuple[str, ...]] = ()
    refused: tuple[Objection, ...] = ()
    asked: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hooks = {
            "exclude_node": self.requested_nodes,
            "exclude_lane": self.requested_lanes,
            "exclude_exit": self.exits,
            "veto_route": self.vetoed,
        }
        self.by_request = frozenset(hook for hook, said in hooks.items() if said)

    def judge_request(self, request: Request) -> Demand:
        request = replace(request, level=self.level or request.level)
        return Demand(request, self.hops, self.spread, self.refused)

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        self._count(node.name)
        return self.nodes.get((node.name, position), AGREED)

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        return self.requested_nodes.get((node.name, position), AGREED)

    def families(self, node: ChartNode, level: SecurityLevel) -> Kin:
        return self.kin.get(node.name, Kin())

    def judge_lane(self, source: ChartNode, target: ChartNode, lane: Lane) -> Judgement:
        self._count(f"{source.name} {target.name}")
        return self.lanes.get((source.name, target.name), AGREED)

    def judge_lane_for(self, source: ChartNode, target: ChartNode, lane: Lane, request: Request) -> Judgement:
        return self.requested_lanes.get((source.name, target.name), AGREED)

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        return self.exits.get((node.name, request.port), AGREED)

    def judge_route(self, route: Route, request: Request) -> Judgement:
        return no("veto") if names(route.nodes) in self.vetoed else AGREED

    def _count(self, what: str) -> None:
        self.asked[what] = self.asked.get(what, 0) + 1


def no(by: str, reason: str = "no") -> Judgement:
    return Judgement((Objection(by, reason),))


def dear(us: float, by: str = "dear") -> Judgement:
    return Judgement((), us, ((by, us),))


# -- what a search over everything finds, node by node and lane by lane --------------------------------
def brute(
    one: Chart,
    policies: Policies,
    request: Request,
    *,
    hops: int = 3,
    entries: Collection[Fingerprint] | None = None,
    avoid: Collection[Fingerprint] = (),
    avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]] = (),
    entry_us: Mapping[Fingerprint, float] | None = None,
) -> dict[tuple[str, ...], float]:
    """Every route that may be used, with its cost."""
    demand = policies.judge_request(request)
    if demand.objections:
        return {}
    found = {}
    for nodes in permutations(one, max(hops, demand.hops)):
        if entries is not None and nodes[0].fingerprint not in entries:
            continue
        measured = (entry_us or {}).get(nodes[0].fingerprint)
        us = _cost_us(nodes, policies, demand.request, avoid, avoid_lanes)
        if us is not None:
            found[names(nodes)] = us + cost.entry_us(measured)
    return found


def _cost_us(
    nodes: tuple[ChartNode, ...],
    policies: Policies,
    request: Request,
    avoid: Collection[Fingerprint],
    avoid_lanes: Collection[tuple[Fingerprint, Fingerprint]],
) -> float | None:
    exit_ = nodes[-1]
    if not nodes[0].addresses or not exit_.addresses or exit_.exit is None:
        return None
    if not exit_.exit.allows(request.host, request.port) or (request.plain_text and not exit_.plain_text):
        return None
    if any(one.fingerprint in avoid for one in nodes):
        return None
    kin = [policies.families(one, request.level) for one in nodes]
    if any(of.objections for of in kin) or any(a.families & b.families for a, b in combinations(kin, 2)):
        return None
    total = 0.0
    for judgements, us in (*_of_nodes(nodes, policies, request), *_of_lanes(nodes, policies, request)):
        if us is None or any(judgement.objections for judgement in judgements):
            return None
        total += us + sum(min(judgement.cost_us, cost.POLICY_CAP_US) for judgement in judgements)
    closed = {frozenset(pair) for pair in avoid_lanes}
    if any(frozenset((a.fingerprint, b.fingerprint)) in closed for a, b in pairwise(nodes)):
        return None
    return None if policies.judge_route(Route(nodes), request).objections else total


def _of_nodes(
    nodes: tuple[ChartNode, ...], policies: Policies, request: Request
) -> Iterator[tuple[list[Judgement], float | None]]:
    for index, one in enumerate(nodes):
        position: Position = "entry" if index == 0 else "exit" if index == len(nodes) - 1 else "middle"
        judgements = [
            policies.judge_node(one, position, request.level),
            policies.judge_node_for(one, position, request),
        ]
        if position == "exit":
            judgements.append(policies.judge_exit(one, request))
        yield judgements, cost.waiting_us(one)


def _of_lanes(
    nodes: tuple[ChartNode, ...], policies: Policies, request: Request
) -> Iterator[tuple[list[Judgement], float | None]]:
    for a, b in pairwise(nodes):
        lane = a.lanes.get(b.fingerprint)
        if lane is None:
            yield [], None
            continue
        judgements = [policies.judge_lane(a, b, lane), policies.judge_lane_for(a, b, lane, request)]
        yield judgements, cost.latency_us(lane, cost.distance_km(a.places, b.places)) + cost.piece_us(lane)


# -- by chance -----------------------------------------------------------------------------------------
COUNTRIES = {"DE": (51.0, 10.0), "FR": (46.0, 2.0), "US": (38.0, -97.0), "JP": (36.0, 138.0)}


def place(index: int, country: str, asn: int = 0) -> Place:
    latitude, longitude = COUNTRIES[country]
    return Place(ip_address(f"192.0.2.{index}"), asn, country, "", latitude, longitude)


@st.composite
def nodes_by_chance(draw: st.DrawFn, index: int) -> ChartNode:
    hidden = draw(st.integers(0, 5)) == 0
    country = draw(st.sampled_from(["", *COUNTRIES]))
    asn = draw(st.integers(0, 3))
    return node(
        index,
        group=draw(st.sampled_from(["", "", "a", "b"])),
        addresses={} if hidden else {"tcp": (f"192.0.{index}.1:1",)},
        exit=draw(st.sampled_from([OPEN, OPEN, WEB, ELSEWHERE, None])),
        plain_text=draw(st.booleans()),
        load=draw(st.sampled_from([0, 0, 500, 1000])),
        places=(place(index, country, asn),) if country else (),
    )


LANES = st.builds(
    Lane, st.sampled_from([0, 1, 8_000, 80_000, 50_000_000]), st.sampled_from([0, 1, 2_000_000, 1 << 40])
)


@st.composite
def charts(draw: st.DrawFn, most: int = 7) -> Chart:
    size = draw(st.integers(1, most))
    nodes = [draw(nodes_by_chance(index)) for index in range(1, size + 1)]
    pairs = list(combinations(range(1, size + 1), 2))
    missing = draw(st.sets(st.sampled_from(pairs), max_size=len(pairs) // 2)) if pairs else set()
    lanes = {pair: draw(LANES) for pair in pairs if pair not in missing}
    return chart(nodes, list(lanes), lanes)


JUDGEMENTS = st.one_of(st.just(no("by chance")), st.sampled_from([1e3, 4e4, 1e9]).map(dear))
NAMES = st.integers(1, 7).map(lambda index: f"n{index}")
POSITIONS: st.SearchStrategy[Position] = st.sampled_from(["entry", "middle", "exit"])
OPINIONS = st.builds(
    Opinion,
    level=st.sampled_from([None, "fast", "high"]),
    hops=st.sampled_from([0, 0, 3, 4]),
    spread=st.builds(Spread, st.sampled_from([0.05, 1 / 3, 1.0]), st.sampled_from([1.0, 2.0, 30.0])),
    nodes=st.dictionaries(st.tuples(NAMES, POSITIONS), JUDGEMENTS, max_size=4),
    lanes=st.dictionaries(st.tuples(NAMES, NAMES), JUDGEMENTS, max_size=4),
    requested_nodes=st.dictionaries(st.tuples(NAMES, POSITIONS), JUDGEMENTS, max_size=2),
    requested_lanes=st.dictionaries(st.tuples(NAMES, NAMES), JUDGEMENTS, max_size=2),
    kin=st.dictionaries(
        NAMES,
        st.frozensets(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=2).map(Kin),
        max_size=4,
    ),
    exits=st.dictionaries(st.tuples(NAMES, st.just(443)), JUDGEMENTS, max_size=3),
    vetoed=st.sets(st.lists(NAMES, min_size=3, max_size=3, unique=True).map(tuple), max_size=12),
)
