"""Where a bottle says its node is: who looks, whose word counts for how much, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from port17.bottles.address_checks import (
    ADDRESSES_CHECKED,
    FLITTING,
    LOST,
    MARKS_BURST,
    MARKS_RATE,
    MOVES_BURST,
    QUORUM_LEAST,
    Check,
)
from port17.bottles.checkers import SEASON_S
from port17.bottles.intake import OURSELVES, Attested, Forward, Intake, Taken
from port17.bottles.marks import MARK_LIFE_S
from port17.bottles.outcome import Aborted, Distrusted, Stored
from port17.errors import RecordError
from port17.records.bottle import Bottle
from port17.records.mark import Mark, SignedMark, claim_of

from .bottle_maker import NETWORK, NOW, SCHEME, TERMS, Maker
from .intake_maker import ALICE, AT, BOB, CAROL, LANE, intake, why

PUBLIC = {"tcp": ["9.9.9.9:4000"]}
"""Where nobody of these tests ever is."""


def checked_intake() -> tuple[Intake, Check]:
    into = intake(checker=CAROL.fingerprint)
    into.take(CAROL.bottle(name="carol", addresses={"tcp": ["10.0.0.3:4000"]}), OURSELVES, TEST)
    return into, check_of(into.take(ALICE.bottle(addresses=AT), LANE, TEST))


TEST = replace(TERMS, allow_private=True)
"""Terms of a test network, where any address will do, and each node is a place of its own."""


def checks_of(taken: Taken) -> list[Check]:
    return [action for action in taken.next if isinstance(action, Check)]


def check_of(taken: Taken) -> Check:
    (check,) = checks_of(taken)
    return check


def mark(
    by: Maker, about: Bottle, failure: str = LOST, seq: int = NOW, network: bytes = NETWORK
) -> SignedMark:
    said = Mark(
        about=about.fingerprint, claim=claim_of(about.label), by=by.fingerprint, seq=seq, failure=failure
    )
    return SignedMark.seal(network, SCHEME, by.key, said)


def crowd(into: Intake, size: int) -> list[Maker]:
    """Nodes of a test network that are known."""
    makers = [Maker() for _ in range(size)]
    for at, maker in enumerate(makers):
        here = {"tcp": [f"10.1.{at}.1:4000"]}
        outcome = into.take(maker.bottle(name=f"n{at}", addresses=here), OURSELVES, TEST).outcome
        assert isinstance(outcome, Stored)
    return makers


def is_trusted(into: Intake, bottle: Bottle) -> bool:
    return bottle.fingerprint in {one.fingerprint for one in into.rack.trusted()}


def test_addresses_are_checked_until_there_is_a_result_and_clients_never_dial() -> None:
    into, check = checked_intake()
    assert check.addresses == (("tcp", "192.0.2.1:4000"),)
    assert check.flavour == "public"
    again = into.take(ALICE.bottle(addresses=AT, seq=NOW + 1), LANE, TEST)
    assert checks_of(again) == [check], "nobody has looked yet"
    assert into.checked(check, "", TEST) is None, "it is believed as before"
    assert not checks_of(into.take(ALICE.bottle(addresses=AT, seq=NOW + 2), LANE, TEST))
    both = {"tcp": [*AT["tcp"], "192.0.2.2:4000"]}
    more = check_of(into.take(ALICE.bottle(addresses=both, label_seq=1, seq=NOW + 3), LANE, TEST))
    assert more.addresses == (("tcp", "192.0.2.1:4000"), ("tcp", "192.0.2.2:4000"))
    assert into.checked(check, "too late", TEST) is None, "of other addresses"
    client = intake(checker=None)
    client.take(CAROL.bottle(name="carol", addresses={"tcp": ["10.0.0.3:4000"]}), OURSELVES, TEST)
    assert not checks_of(client.take(ALICE.bottle(addresses=AT), LANE, TEST))


def test_a_node_never_checks_itself_nor_who_has_no_address() -> None:
    into = intake(checker=ALICE.fingerprint)
    assert not checks_of(into.take(ALICE.bottle(addresses=AT), OURSELVES, TEST))
    assert not checks_of(into.take(BOB.bottle(name="bob"), OURSELVES, TEST))


def test_a_failed_check_distrusts_and_a_later_success_lifts_it() -> None:
    into, check = checked_intake()
    failed = into.checked(check, "nobody answers", TEST)
    assert failed is not None
    assert isinstance(failed.outcome, Distrusted)
    assert failed.outcome.reason == "basic: nobody answers"
    bottle = ALICE.bottle(addresses=AT)
    assert not is_trusted(into, bottle)
    fresh = into.take(ALICE.bottle(addresses=AT, seq=NOW + 1), LANE, TEST)
    assert isinstance(fresh.outcome, Distrusted), "fresh contents do not wash it off"
    relabelled = into.take(ALICE.bottle(addresses=AT, label_seq=1, seq=NOW + 2), LANE, TEST)
    assert isinstance(relabelled.outcome, Distrusted), "nor does a label with the same addresses"
    lifted = into.checked(check, "", TEST)
    assert lifted is not None
    assert isinstance(lifted.outcome, Stored)
    assert isinstance(lifted.next[0], Forward)
    assert is_trusted(into, bottle)


def test_others_marks_are_advice_until_more_than_half_of_those_agree_who_are_to_look() -> None:
    into = intake()
    advisers = crowd(into, 5)
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    said = [into.attest(mark(one, bottle), TEST) for one in advisers]
    assert [one.news for one in said] == [True] * 5, "all are passed on"
    changed = [one.taken is not None for one in said]
    assert changed == [False, False, True, False, False], "three of five"
    assert not is_trusted(into, bottle)
    back = [into.attest(mark(one, bottle, "", NOW + 1), TEST) for one in advisers[:3]]
    assert [one.taken is not None for one in back] == [False, False, True], "two of five are too few"
    assert is_trusted(into, bottle)


def test_one_node_alone_is_never_believed() -> None:
    into = intake()
    (adviser,) = crowd(into, 1)
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    assert into.attest(mark(adviser, bottle), TEST) == Attested(True, None)
    assert QUORUM_LEAST == 2


def test_marks_of_strangers_forgers_and_those_who_are_not_to_look_are_nothing() -> None:
    into = intake()
    advisers = crowd(into, 4)
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    stranger = Maker()
    assert into.attest(mark(stranger, bottle), TEST) == Attested(), "nobody knows it"
    homeless = Maker()
    into.take(homeless.bottle(name="homeless"), OURSELVES, TEST)
    assert into.attest(mark(homeless, bottle), TEST) == Attested(), "it has no place"
    assert into.attest(mark(ALICE, bottle), TEST) == Attested(), "about itself"
    moved = ALICE.bottle(addresses={"tcp": ["192.0.2.77:4000"]})
    assert into.attest(mark(advisers[0], moved), TEST) == Attested(), "of other addresses"
    forged = SignedMark(mark(advisers[0], bottle).mark, mark(stranger, bottle).envelope)
    with pytest.raises(RecordError):
        into.attest(forged, TEST)
    with pytest.raises(RecordError, match="future"):
        into.attest(mark(advisers[0], bottle, seq=NOW + 10_000), TEST)
    with pytest.raises(RecordError):
        into.attest(mark(advisers[0], bottle, network=bytes(32)), TEST)
    assert len(into.checks.marks) == 0
    assert is_trusted(into, bottle)


def test_whoever_has_dialled_believes_himself_whatever_a_crowd_says() -> None:
    into, check = checked_intake()
    assert into.checked(check, "", TEST) is None
    bottle = ALICE.bottle(addresses=AT)
    for liar in crowd(into, 9):
        assert into.attest(mark(liar, bottle), TEST).taken is None
    assert is_trusted(into, bottle)
    into.checked(check, LOST, TEST)
    assert not is_trusted(into, bottle)
    for liar in crowd(into, 0):
        into.attest(mark(liar, bottle, ""), TEST)
    assert not is_trusted(into, bottle)


def test_marks_end_and_what_they_said_with_them() -> None:
    into = intake()
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    for one in crowd(into, 3):
        into.attest(mark(one, bottle), TEST)
    assert not is_trusted(into, bottle)
    assert into.outdate(replace(TEST, now_s=NOW + MARK_LIFE_S - 1)) == ()
    (taken,) = into.outdate(replace(TEST, now_s=NOW + MARK_LIFE_S))
    assert isinstance(taken.outcome, Stored)
    assert is_trusted(into, bottle)
    assert len(into.checks.marks) == 0


def test_an_author_that_says_one_thing_and_another_is_heard_seldom() -> None:
    into = intake()
    author, other = crowd(into, 2)
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    heard = 0
    for second in range(1200):
        now = replace(TEST, now_s=NOW + second)
        flip = mark(author, bottle, LOST if second % 2 else "", NOW + second)
        heard += into.attest(flip, now).news
    assert MARKS_BURST <= heard <= MARKS_BURST + 1200 * MARKS_RATE + 1
    assert into.attest(mark(other, bottle), TEST).news, "the others are none the worse"


def test_a_node_that_moves_takes_no_marks_along_and_one_that_flits_is_not_trusted() -> None:
    into = intake()
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    for one in crowd(into, 3):
        into.attest(mark(one, bottle), TEST)
    outcomes = []
    for at in range(1, MOVES_BURST + 3):
        here = {"tcp": [f"192.0.2.{at + 1}:4000"]}
        moved = ALICE.bottle(addresses=here, label_seq=at, seq=NOW + at)
        outcomes.append(into.take(moved, LANE, replace(TEST, now_s=NOW + at)).outcome)
    assert [type(one) for one in outcomes] == [Stored] * MOVES_BURST + [Distrusted] * 2
    assert isinstance(outcomes[-1], Distrusted)
    assert outcomes[-1].reason == f"basic: {FLITTING}"
    assert len(into.checks.marks) == 0
    later = ALICE.bottle(addresses=here, label_seq=at, seq=NOW + 3 * 3600)
    still = into.take(later, LANE, replace(TEST, now_s=NOW + 3 * 3600)).outcome
    assert isinstance(still, Distrusted), "nobody has looked"
    settled = ALICE.bottle(addresses=AT, label_seq=50, seq=NOW + 3 * 3600 + 1)
    assert isinstance(into.take(settled, LANE, replace(TEST, now_s=NOW + 3 * 3600 + 1)).outcome, Stored)


def test_what_the_flavour_forbids_is_distrusted_and_never_dialled() -> None:
    def outcome(addresses: Sequence[str], flavour: str = "public") -> object:
        into = intake(checker=CAROL.fingerprint)
        bottle = ALICE.bottle(addresses={"tcp": addresses}, flavour=flavour)
        return into.take(bottle, OURSELVES, TERMS).outcome

    for fine in ("9.9.9.9:1", "[2620:fe::9]:1", "one.example:1", "[2620:fe::9]:65535", "wss://9.9.9.9:1/x"):
        assert isinstance(outcome([fine]), Stored), fine
    for bad in (
        "10.0.0.1:1",
        "127.0.0.1:1",
        "169.254.169.254:80",
        "100.64.0.1:1",
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "[::1]:1",
        "[fe80::1]:1",
        "[fd00::1]:1",
        "[::ffff:10.0.0.1]:1",
        "[::10.0.0.1]:1",
        "[64:ff9b::10.0.0.1]:1",
        "[2002:7f00:1::]:1",
        "[ff02::1]:1",
        "127.1:1",
        "0x7f000001:1",
        "wss://10.0.0.1:1/x",
        "bad_-:1",
    ):
        assert isinstance(outcome([bad]), Distrusted), bad
        assert isinstance(outcome(["9.9.9.9:1", bad]), Distrusted), bad
    for near in ("10.0.0.1:1", "192.168.3.4:1", "169.254.1.1:1", "[fe80::1]:1", "[fd00::1]:1"):
        assert isinstance(outcome([near], "local"), Stored), near
    for far in ("9.9.9.9:1", "127.0.0.1:1", "[::1]:1", "one.example:1"):
        assert isinstance(outcome([far], "local"), Distrusted), far


def test_more_addresses_than_anybody_looks_at_are_distrusted_and_not_dialled() -> None:
    into = intake(checker=CAROL.fingerprint)
    into.take(CAROL.bottle(name="carol", addresses={"tcp": ["10.0.0.3:4000"]}), OURSELVES, TEST)
    many = {
        name: [f"192.0.2.{at}:{port}" for at in range(8)] for name, port in (("a", 1), ("b", 2), ("c", 3))
    }
    taken = into.take(ALICE.bottle(addresses=many), OURSELVES, TEST)
    assert isinstance(taken.outcome, Distrusted)
    assert not checks_of(taken)
    del many["c"]
    fewer = into.take(ALICE.bottle(addresses=many, label_seq=1, seq=NOW + 1), OURSELVES, TEST)
    assert len(check_of(fewer).addresses) == ADDRESSES_CHECKED


def public_nodes(into: Intake, areas: Iterable[int]) -> dict[int, Maker]:
    makers = {}
    for area in areas:
        makers[area] = Maker()
        here = {"tcp": [f"{1 + area // 200}.{area % 200}.1.1:4000"]}
        into.take(makers[area].bottle(name=f"p{area}", addresses=here), OURSELVES, TERMS)
    return makers


def test_in_earnest_only_those_have_a_say_who_have_been_known_for_long() -> None:
    into = intake()
    advisers = public_nodes(into, range(5))
    bottle = ALICE.bottle(addresses=PUBLIC)
    into.take(bottle, OURSELVES, TERMS)
    for one in advisers.values():
        assert into.attest(mark(one, bottle), TERMS) == Attested()
    later = replace(TERMS, now_s=NOW + SEASON_S)
    for one in advisers.values():
        assert into.attest(mark(one, bottle, seq=NOW + SEASON_S), later).news
    assert not is_trusted(into, bottle)


def test_ten_thousand_identities_at_one_machine_have_one_voice() -> None:
    into = intake(capacity=700)
    public_nodes(into, range(20))
    victim = ALICE.bottle(addresses=PUBLIC)
    into.take(victim, OURSELVES, TERMS)
    later = replace(TERMS, now_s=NOW + SEASON_S)
    sybils = [Maker() for _ in range(500)]  # the ten thousand are as many keys more
    for at, sybil in enumerate(sybils):
        here = {"tcp": [f"40.0.1.1:{at + 1}"]}
        into.take(sybil.bottle(name=f"s{at}", addresses=here), OURSELVES, TERMS)
    heard = [into.attest(mark(one, victim, seq=NOW + SEASON_S), later).news for one in sybils]
    assert sum(heard) <= 1, "of one area one node looks at a site"
    assert is_trusted(into, victim)


def test_who_was_there_when_the_process_began_has_been_known_for_long() -> None:
    before = intake()
    advisers = public_nodes(before, range(5))
    into = Intake(before.rack, before._validators, NETWORK)
    bottle = ALICE.bottle(addresses=PUBLIC)
    into.take(bottle, OURSELVES, TERMS)
    for one in advisers.values():
        assert into.attest(mark(one, bottle), TERMS).news
    assert not is_trusted(into, bottle)


def test_who_is_distrusted_or_gone_has_no_say() -> None:
    into = intake()
    one, other, third, fourth = crowd(into, 4)
    bottle = ALICE.bottle(addresses=AT)
    into.take(bottle, OURSELVES, TEST)
    into.forget(one.fingerprint)
    into.rack.remove(one.fingerprint)
    assert into.attest(mark(one, bottle), TEST) == Attested()
    away = other.bottle(name="n1", addresses={"tcp": ["10.1.1.1:4000"]})
    for adviser in (third, fourth):
        into.attest(mark(adviser, away), TEST)
    assert not is_trusted(into, away)
    assert into.attest(mark(other, bottle), TEST) == Attested()


def test_a_bottle_that_is_refused_leaves_no_check() -> None:
    into = intake(checker=CAROL.fingerprint)
    into.blocked = {ALICE.fingerprint: "a moderator said so"}
    taken = into.take(ALICE.bottle(addresses=AT), LANE, TEST)
    assert isinstance(taken.outcome, Aborted)
    assert why(taken)
    assert not checks_of(taken)
