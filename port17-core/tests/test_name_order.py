"""Who holds a PortName: the same node everywhere, whatever came first and through any partition."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.name_order import OFFLINE_S, NameOrder
from port17.records.bottle import Bottle

from .bottle_maker import NETWORK, NOW, Maker

DAY_S = 24 * 3600
MAKERS = [Maker() for _ in range(5)]

bottles = st.builds(
    lambda who, name, label_seq, since, seen: MAKERS[who].bottle(
        name=name, label_seq=label_seq, since=since, seq=seen
    ),
    st.integers(0, 4),
    st.sampled_from(["alice", "Alice", "bob"]),
    st.integers(0, 3),
    st.sampled_from([0, NOW - 9 * DAY_S, NOW - DAY_S]),
    st.sampled_from([NOW, NOW - 1, NOW - OFFLINE_S - 1]),
)
cases = st.lists(bottles, max_size=12)


def order(known: Sequence[Bottle]) -> NameOrder:
    names = NameOrder(NETWORK)
    for bottle in known:
        names.put(bottle)
    return names


def holders(names: NameOrder) -> tuple[bytes | None, ...]:
    return tuple(names.holder(name, NOW) for name in ("alice", "bob"))


@settings(max_examples=60, deadline=None)
@given(cases, st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_the_same_holder(known: list[Bottle], chance: object) -> None:
    shuffled = [*known, *known[: len(known) // 2]]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order(shuffled) == order(known)
    assert holders(order(shuffled)) == holders(order(known))
    assert order(shuffled).unnamed(NOW) == order(known).unnamed(NOW)


@settings(max_examples=60, deadline=None)
@given(cases, st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_any_partition_and_merge_gives_the_same_holder(known: list[Bottle], sides: list[int]) -> None:
    """Three sides that heard different things; they meet in either order."""
    parts = [[one for one, side in zip(known, sides, strict=False) if side == at] for at in range(3)]

    def met(*at: int) -> NameOrder:
        names = order([])
        for side in at:
            names.merge(order(parts[side]))
        return names

    pair = order(parts[0])
    pair.merge(order(parts[1]))
    rest = order(parts[2])
    rest.merge(pair)
    whole = order([one for part in parts for one in part])
    for merged in (met(0, 1, 2), met(2, 1, 0), met(1, 1, 0, 2, 0), rest):
        assert merged == whole
        assert holders(merged) == holders(whole)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_the_preview_is_what_comes_true(known: list[Bottle]) -> None:
    for at, bottle in enumerate(known):
        names = order(known[:at])
        foretold = names.holder_with(bottle, NOW)
        if order(known[: at + 1]).holder(bottle.label.name, NOW) is not None:
            names.put(bottle)
            newest = names.holder(bottle.label.name, NOW)
            # A label that is older than one that is known claims nothing, and foretells nothing.
            if bottle.label.seq >= max(
                (one.label.seq for one in known[:at] if one.fingerprint == bottle.fingerprint), default=0
            ):
                assert foretold == newest


def test_who_came_first_keeps_the_name_for_as_long_as_he_lives() -> None:
    old, new = MAKERS[0], MAKERS[1]
    first, second = old.bottle(since=NOW - 9), new.bottle(since=NOW - 8)
    names = order([second, first])
    assert names.holder("alice", NOW) == old.fingerprint
    assert names.unnamed(NOW) == {new.fingerprint}
    late = NOW + OFFLINE_S
    assert names.holder("ALICE", late) == old.fingerprint
    assert names.holder("alice", late + 1) is None
    names.put(new.bottle(since=NOW - 8, seq=late))
    assert names.holder("alice", late + 1) == new.fingerprint
    names.put(old.bottle(since=NOW - 9, seq=late + 2))
    assert names.holder("alice", late + 3) == old.fingerprint, "a rule without memory"


def test_a_draw_decides_between_claims_of_one_second_and_another_one_for_each_name() -> None:
    pair = MAKERS[0], MAKERS[1]
    winners = set()
    for number in range(40):
        claims = [maker.bottle(name=f"n{number}", since=NOW - 5) for maker in pair]
        winner = order(claims).holder(f"n{number}", NOW)
        assert winner == order(claims[::-1]).holder(f"n{number}", NOW)
        winners.add(winner)
    assert winners == {maker.fingerprint for maker in pair}, "forty draws, and one wins them all?"


def test_moderators_stand_above_any_date_while_the_owner_claims_and_lives() -> None:
    owner, squatter, third = MAKERS[:3]
    names = order([owner.bottle(since=NOW - 9), squatter.bottle(since=0)])
    assert names.holder("alice", NOW) == squatter.fingerprint
    settled = {"alice": owner.fingerprint}
    assert names.holder("Alice", NOW, settled) == owner.fingerprint
    assert names.unnamed(NOW, settled) == {squatter.fingerprint}
    assert names.holder("alice", NOW, {"alice": third.fingerprint}) == squatter.fingerprint
    names.put(owner.bottle(name="carol", label_seq=9))
    assert names.holder("alice", NOW, settled) == squatter.fingerprint


def test_a_node_that_changes_its_name_or_is_forgotten_leaves_nothing_behind() -> None:
    one, other = MAKERS[:2]
    names = order([one.bottle(), other.bottle(since=NOW - 1)])
    names.put(one.bottle(name="carol", label_seq=1))
    assert (names.holder("alice", NOW), names.holder("carol", NOW)) == (other.fingerprint, one.fingerprint)
    names.drop(one.fingerprint)
    names.drop(one.fingerprint)
    assert (names.holder("carol", NOW), len(names)) == (None, 1)
