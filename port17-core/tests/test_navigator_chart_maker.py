"""A chart that is kept current is the one that would be drawn from scratch, after any history."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from port17.bottles.rack import MemoryRack
from port17.navigator.atlas import Atlas
from port17.navigator.chart import Chart, ChartNode, LeftOut
from port17.navigator.chart_maker import LOOK_S, ChartKeeper, ChartMaker, ChartTerms
from port17.navigator.geo import GeoSource, Place
from port17.records.bottle import OFFLINE, Contents
from port17.records.envelope import Envelope
from port17.records.host import host_of
from port17.records.ip_space import Address

from .test_navigator_chart import DAY, NOW, bottle, fingerprint, revision, slot

NODES = 8
INDEX = st.integers(1, NODES)
SLOTS = st.dictionaries(
    st.sampled_from(["s1", "s2"]), st.lists(st.integers(98, 102), max_size=3, unique=True), max_size=2
)
FAST_S = 2.0
"""Seconds for a chart of ten thousand nodes from parsed bottles."""
CHANGED_S = 0.1
"""Seconds for the next one, after five have changed; milliseconds, if the machine has nothing else to do."""


GERMAN = "192.0.2.1:1"
FRENCH = "192.0.2.2:1"
BROKEN = "192.0.2.3:1"


class Names(GeoSource):
    """Knows where a few addresses are; fails at one."""

    name = "names"

    def locate(self, ip: Address) -> Place | None:
        if str(ip) == "192.0.2.3":
            raise ValueError("broken there")
        country = {"192.0.2.1": "DE", "192.0.2.2": "FR"}.get(str(ip), "")
        if int(ip) >> 24 == 10 or ip.version == 6:
            country = "US"
        return Place(ip, country=country) if country else None


def seen(chart: Chart) -> tuple[list[ChartNode], list[dict[str, Any]], tuple[LeftOut, ...]]:
    """All there is to a chart, to be compared."""
    said = [{name: getattr(node, name) for name in ChartNode.__dataclass_fields__} for node in chart]
    return list(chart.nodes), [dict(each) for each in said], chart.left_out  # type: ignore[return-value]


class Histories(RuleBasedStateMachine):
    """Bottles come, go and are marked; terms and time change."""

    def __init__(self) -> None:
        super().__init__()
        self.rack = MemoryRack()
        self.keeper = ChartKeeper(self.rack, Atlas(Names()))
        self.seq = NOW
        self.now = float(NOW)
        self.terms: dict[str, Any] = {"revision": revision()}
        self.told = ChartKeeper(self.rack, Atlas(Names()))
        self.touched: set[bytes] = set()
        self.drawn: list[tuple[Chart, Any]] = []

    @rule(
        index=INDEX,
        lanes=st.dictionaries(INDEX, st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=NODES),
        slots=SLOTS,
        offline=st.integers(0, 9),
        load=st.sampled_from([0, 500]),
        label=st.fixed_dictionaries(
            {
                "addresses": st.sampled_from(
                    [
                        {},
                        {"tcp": [GERMAN]},
                        {"tcp": [GERMAN, "198.51.100.1:1"]},
                        {"tcp": [FRENCH]},
                        {"tcp": [BROKEN]},
                    ]
                ),
                "suites": st.sampled_from([["s1"], ["s2"], ["s1", "s2"]]),
                "exit": st.none() | st.just(["accept *:1"]),
            }
        ),
    )
    def comes(
        self,
        index: int,
        lanes: dict[int, tuple[int, int]],
        slots: dict[str, list[int]],
        offline: int,
        load: int,
        label: dict[str, Any],
    ) -> None:
        self.seq += 1
        found = {suite: [slot(one) for one in numbers] for suite, numbers in slots.items()}
        flags = [OFFLINE] if offline == 0 else []
        made = bottle(index, lanes, found, seq=self.seq, flags=flags, load=load, **label)
        self.rack.remove(made.fingerprint)
        self.rack.put(made)
        self.touched.add(made.fingerprint)

    @rule(index=INDEX)
    def goes(self, index: int) -> None:
        self.rack.remove(fingerprint(index))
        self.touched.add(fingerprint(index))

    @rule(index=INDEX, reason=st.sampled_from(["", "not there", "too loud"]))
    def is_marked(self, index: int, reason: str) -> None:
        self.rack.mark(fingerprint(index), reason)
        self.touched.add(fingerprint(index))

    @rule(who=st.dictionaries(INDEX, st.sampled_from(["banned", "blocked"]), max_size=3))
    def are_barred(self, who: dict[int, str]) -> None:
        self.terms["barred"] = MappingProxyType({fingerprint(one): reason for one, reason in who.items()})

    @rule(who=st.sets(INDEX, max_size=3), what=st.sampled_from(["unnamed", "exits", "verified"]))
    def are_said_to_be(self, who: set[int], what: str) -> None:
        self.terms[what] = frozenset(fingerprint(one) for one in who)

    @rule(who=st.dictionaries(INDEX, st.sampled_from(["acme", "emca"]), max_size=3))
    def are_owned(self, who: dict[int, str]) -> None:
        self.terms["owners"] = {fingerprint(one): owner for one, owner in who.items()}

    @rule(who=st.dictionaries(INDEX, INDEX, max_size=2))
    def are_followed(self, who: dict[int, int]) -> None:
        self.terms["heirs"] = {fingerprint(old): fingerprint(new) for old, new in who.items()}

    @rule(suites=st.sampled_from([["s1"], ["s2", "s1"], ["s1", "s2"]]), trusted=INDEX)
    def holds(self, suites: list[str], trusted: int) -> None:
        self.terms["revision"] = revision(suites=suites, plain_text_exits=[fingerprint(trusted)])

    @rule(own=st.none() | st.sets(st.sampled_from(["s1", "s2"])))
    def can_use(self, own: set[str] | None) -> None:
        self.terms["own"] = own

    @rule(days=st.sampled_from([-1.0, 0.4, 1.0]))
    def passes(self, days: float) -> None:
        self.now += days * DAY

    @rule()
    def is_drawn(self) -> None:
        chart = self.keeper.draw(ChartTerms(**self.terms), self.now)
        self.drawn.append((chart, seen(chart)))

    @invariant()
    def is_what_scratch_would_be(self) -> None:
        kept = self.keeper.draw(ChartTerms(**self.terms), self.now)
        maker = ChartMaker(Atlas(Names()))
        for each in self.rack:
            maker.take(each)
        maker.distrust(self.rack.distrusted())
        scratch = seen(maker.draw(ChartTerms(**self.terms), self.now))
        assert seen(kept) == scratch
        assert seen(self.told.draw(ChartTerms(**self.terms), self.now, self.touched)) == scratch
        self.touched.clear()

    def teardown(self) -> None:
        for chart, before in self.drawn:
            assert seen(chart) == before, "a chart never changes once it is drawn"


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_nothing_is_drawn_again_while_nothing_changes() -> None:
    rack, terms = MemoryRack(), ChartTerms(revision())
    keeper = ChartKeeper(rack)
    rack.put(bottle(1, {2: (1, 1)}))
    rack.put(bottle(2, {1: (1, 1)}))
    rack.put(bottle(3))
    first = keeper.draw(terms, NOW)
    assert keeper.draw(ChartTerms(revision()), NOW + 1) is first
    rack.put(bottle(2, seq=NOW + 1))
    second = keeper.draw(terms, NOW + 2)
    assert second is not first
    assert not second.nodes[fingerprint(1)].lanes
    assert first.nodes[fingerprint(1)].lanes
    assert second.nodes[fingerprint(3)] is first.nodes[fingerprint(3)], "who is not concerned stays as it was"


def test_who_has_a_neighbour_that_says_something_else_of_itself_stays_as_it_was() -> None:
    rack, terms = MemoryRack(), ChartTerms(revision())
    keeper = ChartKeeper(rack)
    rack.put(bottle(1, {2: (1, 1)}))
    rack.put(bottle(2, {1: (1, 1)}))
    first = keeper.draw(terms, NOW)
    assert (
        first.nodes[fingerprint(1)].lanes[fingerprint(2)] is first.nodes[fingerprint(2)].lanes[fingerprint(1)]
    )
    rack.put(bottle(2, {1: (1, 1)}, seq=NOW + 1, load=900))
    second = keeper.draw(terms, NOW + 2)
    assert second.nodes[fingerprint(2)].load == 900
    assert second.nodes[fingerprint(1)] is first.nodes[fingerprint(1)], "what is known of it still holds"


def test_a_node_leaves_the_chart_when_its_last_prekey_expires() -> None:
    rack, terms = MemoryRack(), ChartTerms(revision(suites=["s1"]))
    keeper = ChartKeeper(rack)
    rack.put(bottle(1, slots={"s1": [slot(100), slot(101)]}))
    assert len(keeper.draw(terms, 102 * DAY - 1)) == 1
    assert len(keeper.draw(terms, 102 * DAY)) == 0
    assert len(keeper.draw(terms, 102 * DAY - 1)) == 1, "a clock that is set back brings it back"


@pytest.mark.parametrize(
    ("change", "shows"),
    [
        ({"barred": {fingerprint(1): "banned"}}, lambda chart: fingerprint(1) not in chart.nodes),
        ({"unnamed": {fingerprint(1)}}, lambda chart: chart.nodes[fingerprint(1)].name != "n1"),
        ({"exits": {fingerprint(1)}}, lambda chart: chart.nodes[fingerprint(1)].plain_text),
        ({"heirs": {fingerprint(9): fingerprint(2)}}, lambda chart: chart.nodes[fingerprint(1)].lanes),
        ({"exits": {fingerprint(1)}}, lambda chart: "trusted_exit" in chart.nodes[fingerprint(1)].marks),
        ({"verified": {fingerprint(1)}}, lambda chart: "owner_verified" in chart.nodes[fingerprint(1)].marks),
        (
            {"verified": {fingerprint(9)}, "heirs": {fingerprint(9): fingerprint(1)}},
            lambda chart: chart.nodes[fingerprint(1)].marks,
        ),
        ({"owners": {fingerprint(1): "acme"}}, lambda chart: chart.nodes[fingerprint(1)].owner == "acme"),
        ({"own": {"s1"}}, lambda chart: chart.nodes[fingerprint(1)].suite == "s1"),
    ],
)
def test_what_is_said_of_a_node_holds_at_once_and_no_longer(
    change: dict[str, Any], shows: Callable[[Chart], bool]
) -> None:
    rack = MemoryRack()
    keeper = ChartKeeper(rack)
    rack.put(bottle(1, {9: (1, 1)}))
    rack.put(bottle(2, {1: (1, 1)}))
    for _ in range(2):
        assert not shows(keeper.draw(ChartTerms(revision()), NOW))
        assert shows(keeper.draw(ChartTerms(revision(), **change), NOW))


def test_a_node_is_where_the_users_source_says_and_as_busy_as_it_says_itself() -> None:
    rack, terms = MemoryRack(), ChartTerms(revision())
    keeper = ChartKeeper(rack, Atlas(Names()))
    rack.put(bottle(1, addresses={"tcp": [GERMAN, "example.org:1"], "tls": [GERMAN, FRENCH]}, load=321))
    rack.put(bottle(2, addresses={"tcp": ["198.51.100.1:1"]}))
    first = keeper.draw(terms, NOW)
    found = first.nodes[fingerprint(1)]
    assert [(str(place.ip), place.country) for place in found.places] == [
        ("192.0.2.1", "DE"),
        ("192.0.2.2", "FR"),
    ]
    assert found.load == 321
    assert first.nodes[fingerprint(2)].places == ()
    rack.remove(fingerprint(1))
    rack.put(bottle(1, addresses={"tcp": [FRENCH]}, seq=NOW + 1))
    assert [place.country for place in keeper.draw(terms, NOW + 1).nodes[fingerprint(1)].places] == ["FR"]


def test_a_node_that_a_broken_source_cannot_place_is_left_out_and_nobody_else() -> None:
    # Taken for a node of no country it would pass every policy that excludes countries.
    rack = MemoryRack()
    rack.put(bottle(1, addresses={"tcp": [BROKEN]}))
    rack.put(bottle(2, addresses={"tcp": [GERMAN]}))
    chart = ChartKeeper(rack, Atlas(Names())).draw(ChartTerms(revision()), NOW)
    assert list(chart.nodes) == [fingerprint(2)]
    (left_out,) = chart.left_out
    assert "the geo source 'names' failed" in left_out.reason


def test_what_nobody_tells_is_found_all_the_same() -> None:
    rack, terms = MemoryRack(), ChartTerms(revision())
    keeper = ChartKeeper(rack)
    assert not keeper.draw(terms, NOW, ())
    rack.put(bottle(1))
    assert not keeper.draw(terms, NOW + LOOK_S - 1, ())
    assert len(keeper.draw(terms, NOW + LOOK_S, ())) == 1
    rack.put(bottle(2))
    assert len(keeper.draw(terms, NOW + LOOK_S, {fingerprint(2)})) == 2


def large(nodes: int, lanes: int) -> list[Any]:
    """Bottles of a mesh, of which nothing but what the chart reads is true."""
    rng = Random(1)
    template = bottle(1)
    prints = [rng.randbytes(32) for _ in range(nodes)]
    peers: list[set[int]] = [set() for _ in range(nodes)]
    for one in range(nodes):
        for _ in range(lanes // 2):
            other = rng.randrange(nodes)
            if other != one:
                peers[one].add(other)
                peers[other].add(one)
    made = []
    for one in range(nodes):
        label = template.label.model_copy(
            update={
                "identity": template.label.identity.model_copy(),
                "name": f"node-{one}",
                "addresses": {"tcp": (f"10.{one >> 8}.{one & 255}.1:1", f"[fd00::{one:x}]:1")},
            }
        )
        contents = Contents.made(
            fingerprint=prints[one],
            seq=NOW,
            lanes=[(prints[other], 10, 10) for other in peers[one]],
            slots={"s2": [tuple(slot())]},
        )
        made.append(Sketch(prints[one], label, contents, template.label_envelope))
    return made


class Sketch:
    """As much of a bottle as the chart reads."""

    def __init__(self, of: bytes, label: Any, contents: Contents, envelope: Envelope) -> None:
        self.fingerprint, self.label, self.contents, self.envelope = of, label, contents, envelope

    @property
    def sequence(self) -> tuple[int, int]:
        return self.label.seq, self.contents.seq


def test_ten_thousand_nodes_are_drawn_in_time_and_a_few_changes_at_once(
    request: pytest.FixtureRequest,
) -> None:
    bottles: list[Any] = large(10_000, 20)
    gc.collect()
    gc.freeze()  # a rack on disk doesn't keep a million objects for the collector to look through
    request.addfinalizer(gc.unfreeze)
    terms = ChartTerms(revision())
    took = FAST_S
    for _ in range(3):  # the machine may have other things to do
        maker = ChartMaker(Atlas(Names()))
        host_of.cache_clear()  # as if nobody had seen the addresses before
        began = time.process_time()
        for each in bottles:
            maker.take(each)
        chart = maker.draw(terms, NOW)
        took = min(took, time.process_time() - began)
        if took < FAST_S:
            break
    lanes = sum(len(node.lanes) for node in chart)
    assert (len(chart), lanes > 190_000) == (10_000, True)
    assert all(len(node.places) == 2 for node in chart)
    assert took < FAST_S
    for each in bottles[:5]:
        fields = each.contents.model_dump() | {"seq": NOW + 1, "lanes": each.contents.lanes[1:]}
        maker.take(Sketch(each.fingerprint, each.label, Contents.made(**fields), each.envelope))  # type: ignore[arg-type]
    began = time.process_time()
    again = maker.draw(terms, NOW + 1)
    changed = time.process_time() - began
    assert sum(len(node.lanes) for node in again) < lanes
    assert changed < CHANGED_S
    print(f"{took:.2f} s for {lanes} ends of lanes, then {changed * 1e3:.1f} ms")
