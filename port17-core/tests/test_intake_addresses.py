"""Where a bottle says its node is: who looks, whose word counts for how much, and what that may cost."""

from __future__ import annotations

import pytest

from port17.bottles import intake as intakes
from port17.bottles.address_checks import ADVICE_CAP, PENDING_CAP, QUORUM, AddressChecks, Check, is_checker
from port17.bottles.intake import (
    OURSELVES,
    Forward,
    Intake,
)
from port17.bottles.outcome import Distrusted, Part, Stored

from .bottle_maker import NOW, TERMS, Maker
from .intake_maker import ALICE, AT, BOB, CAROL, LANE, intake, take


def checked_intake() -> tuple[Intake, Check]:
    into = intake(checker=CAROL.fingerprint)
    (check, *_) = into.take(ALICE.bottle(addresses=AT), LANE, TERMS).next
    assert isinstance(check, Check)
    return into, check


def test_new_addresses_are_checked_and_known_ones_are_not() -> None:
    into, check = checked_intake()
    assert check.addresses == (("tcp", "192.0.2.1:4000"),)
    again = into.take(ALICE.bottle(addresses=AT, seq=NOW + 1), LANE, TERMS)
    assert not any(isinstance(action, Check) for action in again.next)
    both = {"tcp": [*AT["tcp"], "192.0.2.2:4000"]}
    (more, *_) = into.take(ALICE.bottle(addresses=both, label_seq=1, seq=NOW + 2), LANE, TERMS).next
    assert isinstance(more, Check)
    assert more.addresses == (("tcp", "192.0.2.2:4000"),)
    assert into.checked(ALICE.fingerprint, check.label, "too late", TERMS) is None, "of an older label"
    client = intake(checker=None)
    assert not any(
        isinstance(action, Check) for action in client.take(ALICE.bottle(addresses=AT), LANE, TERMS).next
    ), "clients never dial"


def test_a_failed_check_distrusts_under_our_mark_and_a_later_success_lifts_it() -> None:
    into, check = checked_intake()
    bottle = ALICE.bottle(addresses=AT)
    failed = into.checked(ALICE.fingerprint, check.label, "nobody answers", TERMS)
    assert failed is not None
    assert failed.outcome == Distrusted(bottle, Part.LABEL, "basic: nobody answers")
    assert failed.next[0] == Forward(bottle, OURSELVES, "basic: nobody answers")
    assert list(into.rack.trusted()) == []
    fresh = into.take(ALICE.bottle(addresses=AT, seq=NOW + 1), LANE, TERMS)
    assert isinstance(fresh.outcome, Distrusted), "fresh contents do not wash it off"
    assert into.checked(ALICE.fingerprint, check.label, "", TERMS) is None, "nobody has asked"
    assert into.checks.begin(check)
    lifted = into.checked(ALICE.fingerprint, check.label, "", TERMS)
    assert lifted is not None
    assert isinstance(lifted.outcome, Stored)
    assert isinstance(lifted.next[0], Forward)
    assert lifted.next[0].mark == ""
    assert len(list(into.rack.trusted())) == 1


def test_others_marks_are_advice_until_enough_checkers_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    into = intake(lane=False, checker=CAROL.fingerprint)
    bottle = ALICE.bottle(addresses=AT)
    take(into, bottle, sender=OURSELVES)
    label = bottle.label_envelope.hash("label")
    advisers = [Maker() for _ in range(QUORUM)]
    assert into.advise(ALICE.fingerprint, label, BOB.fingerprint, "liar", TERMS) is None, "a stranger"
    for number, adviser in enumerate(advisers):
        take(into, adviser.bottle(name=f"n{number}"), sender=OURSELVES)
    with monkeypatch.context() as patched:
        patched.setattr(intakes, "is_checker", lambda *_: False)
        for one in advisers:
            assert into.advise(ALICE.fingerprint, label, one.fingerprint, "no", TERMS) is None, "no checker"
    said = [into.advise(ALICE.fingerprint, label, one.fingerprint, "no", TERMS) for one in advisers]
    assert said[:-1] == [None] * (QUORUM - 1)
    assert said[-1] is not None
    assert isinstance(said[-1].outcome, Distrusted)
    for one in advisers[:1]:
        back = into.advise(ALICE.fingerprint, label, one.fingerprint, "", TERMS)
    assert back is not None
    assert isinstance(back.outcome, Stored), "one takes it back, and too few are left"


def test_whoever_has_dialled_believes_himself_whatever_a_crowd_says() -> None:
    into, check = checked_intake()
    assert into.checked(ALICE.fingerprint, check.label, "", TERMS) is None, "nothing has changed"
    for number in range(2 * QUORUM):
        liar = Maker()
        take(into, liar.bottle(name=f"n{number}"), sender=OURSELVES)
        assert into.advise(ALICE.fingerprint, check.label, liar.fingerprint, "not there", TERMS) is None
    assert len(list(into.rack.trusted())) == 1 + 2 * QUORUM


def test_some_nodes_check_a_label_and_nobody_chooses_which() -> None:
    fingerprints = [at.to_bytes(32, "big") for at in range(300)]
    label = bytes(32)
    chosen = sum(is_checker(one, label, len(fingerprints)) for one in fingerprints)
    assert 0 < chosen < 25, "about 7 of 300"
    assert all(is_checker(one, label, 7) for one in fingerprints), "in a small network all do"
    others = [is_checker(one, bytes([1]) * 32, len(fingerprints)) for one in fingerprints]
    assert others != [is_checker(one, label, len(fingerprints)) for one in fingerprints]


def test_checks_and_advice_are_bounded() -> None:
    checks = AddressChecks()
    begun = [checks.begin(Check(bytes([at >> 8, at & 255]) * 16, b"", ())) for at in range(PENDING_CAP + 5)]
    assert sum(begun) == PENDING_CAP
    for at in range(ADVICE_CAP + 5):
        checks.advise(at.to_bytes(32, "big"), b"x" * 32, "no")
    assert len(checks._said) == ADVICE_CAP
    checks.forget([])
    assert not checks._said
    assert not checks._pending
