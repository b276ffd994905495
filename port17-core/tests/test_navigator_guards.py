"""Guards: few, lasting, of different families, and only time and the user's own word makes them others."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.navigator.guards import (
    APART_S,
    DAY_S,
    ENOUGH,
    GONE_S,
    GUARDS,
    LIFETIME_S,
    LIST_CAP,
    SAMPLED,
    Entrances,
    Family,
    Guard,
    Guards,
)

NOW_S = 1_800_000_000.0


def fingerprint(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Field:
    """Nodes, numbered; each its own family unless it is said to be of another."""

    def __init__(self, nodes: int) -> None:
        self.chart = {fingerprint(number) for number in range(nodes)}
        self.excluded: set[bytes] = set()
        self.family: dict[bytes, str] = {}

    def families(self, node: bytes) -> frozenset[Family] | None:
        if node not in self.chart or node in self.excluded:
            return None
        return frozenset({node} | ({self.family[node]} if node in self.family else set()))

    @property
    def entrances(self) -> Entrances:
        return Entrances(self.families, lambda: sorted(self.chart), self.chart.__contains__)


def drawn(field: Field, seed: int = 1, now_s: float = NOW_S) -> Guards:
    guards = Guards(rng=Random(seed))
    assert guards.look(field.entrances, now_s)
    return guards


def names(guards: Guards) -> list[bytes]:
    return [guard.fingerprint for guard in guards.listed]


def test_of_the_first_three_one_may_be_down_and_then_the_next_ones_stand_in_until_they_are_back() -> None:
    field = Field(1000)
    guards = drawn(field)
    listed = names(guards)
    assert len(listed) == SAMPLED
    assert list(guards.active(field.entrances)) == listed[:GUARDS]
    assert list(guards.active(field.entrances, {listed[1]})) == [listed[0], listed[2]]
    assert list(guards.active(field.entrances, set(listed[:2]))) == listed[2:4]
    assert list(guards.active(field.entrances, set(listed[:4]))) == listed[4:6]
    assert list(guards.active(field.entrances, set(listed[1:]))) == listed[:1]
    assert guards.active(field.entrances, set(listed)) == ()
    assert list(guards.active(field.entrances)) == listed[:GUARDS], "nothing of that lasts"
    assert names(guards) == listed, "and nobody new is drawn for it"
    assert not guards.look(field.entrances, NOW_S + DAY_S)


def test_no_two_in_use_are_of_one_family() -> None:
    field = Field(100)
    guards = drawn(field)
    first, second, third, fourth = names(guards)[:4]
    field.family = {first: "group:acme", second: "group:acme", third: "as:64500", fourth: "as:64500"}
    assert list(guards.active(field.entrances)) == [first, third, names(guards)[4]]
    assert list(guards.active(field.entrances, {first})) == [third, names(guards)[4]]
    assert list(guards.active(field.entrances, {first, names(guards)[4]})) == [third, second]


def test_where_the_list_is_of_few_families_one_more_is_drawn_and_no_more() -> None:
    field = Field(40)
    others = [fingerprint(38), fingerprint(39)]
    field.family = {node: "group:all" for node in field.chart if node not in others}
    guards = drawn(field)
    assert len(guards.active(field.entrances)) == GUARDS
    assert set(others) < set(names(guards))
    assert len(guards.listed) <= SAMPLED + 2
    field.family = dict.fromkeys(field.chart, "group:all")
    lone = drawn(field)
    assert (len(lone.listed), len(lone.active(field.entrances))) == (SAMPLED, 1)


def test_a_small_network_has_as_few_as_there_are() -> None:
    field = Field(2)
    guards = drawn(field)
    assert len(guards.active(field.entrances)) == 2
    field.chart.add(fingerprint(2))
    assert guards.look(field.entrances, NOW_S + 1)
    assert len(guards.active(field.entrances)) == 3
    assert Guards(rng=Random(1)).active(Field(0).entrances) == ()


def test_each_is_kept_for_a_time_of_its_own() -> None:
    field = Field(500)
    lives = [guard.life_s for seed in range(60) for guard in drawn(field, seed).listed]
    assert LIFETIME_S[0] <= min(lives) < LIFETIME_S[0] + 3 * DAY_S
    assert LIFETIME_S[1] - 3 * DAY_S < max(lives) <= LIFETIME_S[1]
    assert abs(sum(lives) / len(lives) - sum(LIFETIME_S) / 2) < 3 * DAY_S


def test_who_has_served_his_time_gives_way_to_the_next_and_a_new_one_comes_last() -> None:
    field = Field(500)
    guards = drawn(field)
    before = names(guards)
    over = min(guards.listed, key=lambda guard: guard.until_s)
    assert [guard.used_s for guard in guards.listed] == [NOW_S] * GUARDS + [None] * (SAMPLED - GUARDS)
    assert not guards.look(field.entrances, over.until_s - 1)
    assert guards.look(field.entrances, over.until_s)
    after = names(guards)
    assert guards.listed[GUARDS - 1].used_s == over.until_s, "the next one begins to serve"
    assert after[:-1] == [one for one in before if one != over.fingerprint]
    assert after[-1] not in before


def test_a_clock_that_is_wrong_for_an_hour_costs_one_guard() -> None:
    field = Field(500)
    guards = drawn(field)
    before = names(guards)
    wrong_s = NOW_S + 1000 * DAY_S
    for minute in range(60):
        guards.look(field.entrances, wrong_s + 60 * minute)
    for minute in range(60):
        guards.look(field.entrances, NOW_S + 60 * minute)
    assert len(set(before) & set(names(guards))) == SAMPLED - 1
    guards = drawn(field)
    for day in range(GUARDS + 1):
        guards.look(field.entrances, wrong_s + day * (APART_S + 1))
    assert not set(before[:GUARDS]) & set(names(guards)), "one that stays so is believed"


def test_who_is_off_the_chart_is_dropped_after_a_week_and_not_while_the_chart_is_not_whole() -> None:
    field = Field(500)
    guards = drawn(field)
    gone, *rest = names(guards)
    field.chart.remove(gone)
    assert guards.look(field.entrances, NOW_S)
    assert list(guards.active(field.entrances)) == rest[:2], "his place is not another's at once"
    guards.look(field.entrances, NOW_S + GONE_S - 1)
    assert gone in guards
    field.chart.add(gone)
    guards.look(field.entrances, NOW_S + GONE_S)
    field.chart.remove(gone)
    guards.look(field.entrances, NOW_S + GONE_S + 1)
    guards.look(field.entrances, NOW_S + 2 * GONE_S)
    assert gone in guards, "it was there in between"
    guards.look(field.entrances, NOW_S + 3 * GONE_S, settled=False)
    assert gone in guards
    guards.look(field.entrances, NOW_S + 3 * GONE_S)
    assert gone not in guards
    assert names(guards)[: len(rest)] == rest


def test_after_a_holiday_nobody_is_dropped_or_drawn_before_all_is_known_again() -> None:
    field = Field(500)
    guards = drawn(field)
    before = names(guards)
    whole = set(field.chart)
    field.chart = {fingerprint(1), fingerprint(2)}
    for hour in range(100):
        guards.look(field.entrances, NOW_S + 20 * DAY_S + 3600 * hour, settled=False)
    field.chart = whole
    guards.look(field.entrances, NOW_S + 25 * DAY_S)
    assert names(guards) == before
    assert {guard.gone_s for guard in guards.listed} == {None}


def test_who_is_excluded_is_not_used_and_gives_way_only_where_there_is_no_room() -> None:
    field = Field(500)
    guards = drawn(field)
    before = names(guards)
    field.excluded = set(before)
    guards.look(field.entrances, NOW_S + 1)
    assert set(before) < set(names(guards)), "a policy that is tried for a moment costs nothing"
    assert len(guards.active(field.entrances)) == GUARDS
    assert set(before).isdisjoint(guards.active(field.entrances))
    field.excluded = set()
    assert list(guards.active(field.entrances)) == before[:GUARDS]
    for round_ in range(10):
        field.excluded |= set(guards.active(field.entrances))
        guards.look(field.entrances, NOW_S + 2 + round_)
        assert len(guards.active(field.entrances)) == GUARDS
        assert len(guards.listed) <= LIST_CAP


def test_a_guard_that_takes_another_identity_keeps_its_place() -> None:
    field = Field(500)
    guards = drawn(field)
    old, other = names(guards)[:2]
    heir = fingerprint(777)
    field.chart.remove(old)
    field.chart.add(heir)
    guards.look(field.entrances, NOW_S + 1, heirs={old: heir})
    assert names(guards)[0] == heir
    assert guards.listed[0].used_s == NOW_S
    guards.look(field.entrances, NOW_S + 2, heirs={heir: other})
    assert names(guards).count(other) == 1


def test_one_is_drawn_for_rules_that_forbid_all_others_as_long_as_there_is_room() -> None:
    field = Field(500)
    guards = drawn(field)
    wanted = [fingerprint(number) for number in range(300, 330)]
    chosen = []
    for _ in range(30):
        chosen += guards.add([one for one in wanted if one not in guards], NOW_S)
    assert len(guards.listed) == LIST_CAP
    assert len(chosen) == LIST_CAP - SAMPLED
    assert set(chosen) <= set(wanted)


def test_every_node_has_the_same_chance() -> None:
    field = Field(50)
    count = Counter(one for seed in range(1000) for one in drawn(field, seed).active(field.entrances))
    expected = 1000 * GUARDS / 50
    assert len(count) == 50
    # Chi-square of 49 degrees of freedom: above 86 once in a thousand.
    assert sum((seen - expected) ** 2 / expected for seen in count.values()) < 86


@pytest.mark.parametrize(("up", "most"), [(0.99, 16.0), (0.9, 25.0)])
def test_how_many_nodes_a_client_begins_routes_at_in_a_year(up: float, most: float) -> None:
    """Nodes are down for half a day to one and a half; the client looks every four hours."""
    used = []
    for seed in range(6):
        rng = Random(seed)
        field, seen = Field(300), set[bytes]()
        guards = drawn(field, seed)
        down: dict[bytes, float] = {}
        for hour in range(0, 365 * 24, 4):
            now_s = NOW_S + hour * 3600
            down = {one: until for one, until in down.items() if until > now_s}
            for one in names(guards):
                if one not in down and rng.random() < 4 * (1 - up) / up / 24:
                    down[one] = now_s + DAY_S * rng.uniform(0.5, 1.5)
            guards.look(field.entrances, now_s, down=down)
            seen |= set(guards.active(field.entrances, down))
        used.append(len(seen))
    print("guards used in a year:", used)
    # Three at a time, each for a quarter of a year, are fifteen; the others have stood in for some of them.
    assert 13 <= sum(used) / len(used) <= most


def test_who_blocks_all_others_has_the_list_at_most() -> None:
    """Whatever fails, nobody beyond the list is ever called."""
    field = Field(1000)
    guards = drawn(field)
    called: set[bytes] = set()
    for hour in range(24 * 30):
        guards.look(field.entrances, NOW_S + 3600 * hour)
        called |= set(guards.active(field.entrances, called))
    assert called == set(names(guards))
    assert len(called) == SAMPLED


@settings(max_examples=60, deadline=None)
@given(
    nodes=st.integers(0, 30),
    families=st.lists(st.integers(0, 6), min_size=30, max_size=30),
    down=st.sets(st.integers(0, 29)),
    excluded=st.sets(st.integers(0, 29)),
    seed=st.integers(0, 1000),
)
def test_the_ones_in_use_are_as_many_as_can_be_and_of_no_family_twice(
    nodes: int, families: list[int], down: set[int], excluded: set[int], seed: int
) -> None:
    field = Field(nodes)
    field.family = {fingerprint(number): f"f{families[number]}" for number in range(nodes)}
    guards = Guards(rng=Random(seed))
    guards.look(field.entrances, NOW_S)
    field.excluded = {fingerprint(number) for number in excluded}
    guards.look(field.entrances, NOW_S + 1)
    unreachable = {fingerprint(number) for number in down}
    active = guards.active(field.entrances, unreachable)
    assert len({field.family[one] for one in active}) == len(active) <= GUARDS
    assert not set(active) & (unreachable | field.excluded)
    left = [
        one
        for one in guards.fit(field.entrances, unreachable)
        if field.family[one] not in {field.family[each] for each in active}
    ]
    assert len(active) >= ENOUGH or not left
    there = {field.family[one] for one in field.chart if one not in field.excluded}
    assert len(guards.active(field.entrances)) == min(GUARDS, len(there))
    assert len(guards.listed) <= LIST_CAP


def test_what_is_held_is_taken_as_it_is() -> None:
    field = Field(20)
    held = [Guard(fingerprint(number), NOW_S, 70 * DAY_S, NOW_S) for number in (7, 3, 5)]
    guards = Guards(held, rng=Random(1), sampled=3)
    assert not guards.look(field.entrances, NOW_S)
    assert guards.active(field.entrances) == tuple(guard.fingerprint for guard in held)
