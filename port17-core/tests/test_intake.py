"""The intake: what becomes of every bottle, honest or hostile, and what is to be done next."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import intake as intakes
from port17.bottles.address_checks import Check
from port17.bottles.intake import (
    STRANGERS_BURST,
    STRANGERS_RATE,
    Forward,
    ForwardLocally,
    ForwardProof,
    Intake,
    Sender,
    Taken,
)
from port17.bottles.name_order import ESTABLISHED_S
from port17.bottles.outcome import Aborted, Distrusted, Part, Stored, Unchanged, Why, key
from port17.bottles.rack import MemoryRack
from port17.bottles.sqlite_rack import SqliteRack
from port17.errors import RecordError
from port17.plugins.loader import Registry
from port17.records.bottle import BOTTLE_CAP, Bottle
from port17.records.proof import Proof

from .bottle_maker import NETWORK, NOW, TERMS
from .conftest import Shelf
from .intake_maker import ALICE, BOB, CAROL, LANE, NEIGHBOUR, OTHER_LANE, PANEL, intake, take, why


# -- the pipeline of a public bottle --------------------------------------------------------------------
def test_a_new_bottle_is_stored_and_goes_to_all_but_its_sender() -> None:
    into, bottle = intake(), ALICE.bottle()
    taken = into.take(bottle.encode(), LANE, TERMS)
    assert taken.outcome == Stored(bottle, Part.NODE)
    assert taken.next == (Forward(bottle, LANE), ForwardLocally(bottle))
    assert into.rack.get(ALICE.fingerprint) == bottle
    again = into.take(bottle.encode(), OTHER_LANE, TERMS)
    assert again == Taken(Unchanged()), "what is known goes no further"
    assert into.tally.counts == {"stored.node": 1, "unchanged": 1}


def test_what_is_held_is_not_verified_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    into, bottle = intake(), ALICE.bottle()
    take(into, bottle)
    monkeypatch.setattr(into, "refusal", lambda *_: pytest.fail("it was verified again"))
    assert take(into, bottle) == Unchanged()


def test_news_of_label_contents_and_prekeys() -> None:
    into = intake()
    keys = [ALICE.prekey(5), ALICE.prekey(6)]
    take(into, ALICE.bottle(prekeys=keys))
    more = ALICE.bottle(prekeys=keys, bundle=keys[:1])
    taken = into.take(more, LANE, TERMS)
    assert isinstance(taken.outcome, Stored)
    assert taken.outcome.part is Part.PREKEYS
    assert taken.next == (Forward(more, LANE), ForwardLocally(more)), "nodes hold all prekeys"
    take(into, ALICE.bottle(prekeys=keys, bundle=keys[1:]))
    held = into.rack.get(ALICE.fingerprint)
    assert held is not None
    assert {one.slot for one in held.bundle} == {5, 6}
    assert take(into, more) == Unchanged()
    contents = into.take(ALICE.bottle(prekeys=keys, seq=NOW + 1), LANE, TERMS)
    assert key(contents.outcome) == "stored.contents"
    assert len(contents.next) == 2
    assert key(take(into, ALICE.bottle(prekeys=keys, seq=NOW + 2, label_seq=1))) == "stored.label"
    assert why(into.take(ALICE.bottle(prekeys=keys, seq=NOW + 1), LANE, TERMS)) is Why.OBSOLETE


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (bytes(BOTTLE_CAP + 1), Why.OVERSIZED),
        (b"", Why.MALFORMED),
        (b"\x83\x00\x00\x80", Why.MALFORMED),
        (ALICE.bottle(network=bytes(32)), Why.FORGED),
        (ALICE.bottle(seq=NOW + 121), Why.FUTURE),
        (ALICE.bottle(since=NOW + 1), Why.FUTURE),
        (replace(ALICE.bottle(), contents_envelope=BOB.bottle().contents_envelope), Why.FORGED),
        (ALICE.bottle(bundle=[ALICE.prekey()]), Why.FORGED),
    ],
    ids=["huge", "empty", "noise", "foreign", "future", "name-of-tomorrow", "mixed", "uncommitted-prekey"],
)
def test_what_is_wrong_is_dropped_and_counted(offered: bytes | Bottle, expected: Why) -> None:
    into = intake()
    data = offered if isinstance(offered, bytes) else offered.encode()
    taken = into.take(data, LANE, TERMS)
    assert why(taken) is expected
    assert len(into.rack) == 0
    assert into.tally.counts == {f"aborted.{expected}": 1}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 255))
def test_no_changed_byte_gets_in(at: int, change: int) -> None:
    """Wherever it is, and whatever was held before stays."""
    into = intake()
    take(into, ALICE.bottle())
    data = bytearray(ALICE.bottle(seq=NOW + 5, load=9).encode())
    data[at % len(data)] ^= change
    assert isinstance(into.take(bytes(data), LANE, TERMS).outcome, Aborted)
    held = into.rack.get(ALICE.fingerprint)
    assert held is not None
    assert held.contents.seq == NOW


def test_without_a_plugin_that_checks_signatures_nothing_is_believed() -> None:
    into = Intake(MemoryRack(), Registry(blocked=["basic"]).panel, NETWORK)
    taken = into.take(ALICE.bottle(), LANE, TERMS)
    assert why(taken) is Why.FORGED
    assert isinstance(taken.outcome, Aborted)
    assert "no plugin has checked" in taken.outcome.text


@pytest.mark.parametrize("answer", ["reject('no')", "distrust('hm')", "None", "True", "1 / 0"])
def test_whatever_a_plugin_says_but_accept_vouches_for_nothing(shelf: Shelf, answer: str) -> None:
    source = "from port17 import hookimpl, distrust, reject\n@hookimpl\ndef verify_bottle(bottle):\n"
    shelf.install("odd", {"port17": {"odd": "odd"}}, odd=f"{source}    return {answer}\n")
    alone = Intake(MemoryRack(), Registry(blocked=["basic"]).panel, NETWORK)
    assert why(alone.take(ALICE.bottle(), LANE, TERMS)) is Why.FORGED
    beside = Intake(MemoryRack(), Registry().panel, NETWORK)
    outcome = beside.take(ALICE.bottle(), LANE, TERMS).outcome
    assert isinstance(outcome, Stored if answer == "None" else Aborted)


def test_what_validators_say_is_obeyed() -> None:
    into = intake()
    odd = ALICE.bottle(exit_rules=["reject *:*"])
    taken = into.take(odd, LANE, TERMS)
    assert isinstance(taken.outcome, Distrusted)
    assert isinstance(taken.next[0], Forward)
    assert "accepts no destination" in taken.next[0].mark, "under our mark, the author said no such thing"
    assert into.rack.get(ALICE.fingerprint) == odd
    assert list(into.rack.trusted()) == []


def test_a_full_rack_refuses_strangers() -> None:
    into = intake(capacity=1)
    take(into, ALICE.bottle())
    assert why(into.take(BOB.bottle(name="bob"), LANE, TERMS)) is Why.FULL
    assert len(into.names) == 1
    assert key(take(into, ALICE.bottle(seq=NOW + 1))) == "stored.contents"


# -- local bottles --------------------------------------------------------------------------------------
def test_a_local_bottle_never_leaves_its_network() -> None:
    into = intake(checker=BOB.fingerprint)
    bottle = ALICE.bottle(flavour="local")
    assert why(into.take(bottle, LANE, TERMS)) is Why.STRAY
    taken = into.take(bottle, NEIGHBOUR, TERMS)
    assert taken.next == (ForwardLocally(bottle),), "and one without an address is never dialled"
    into.take(BOB.bottle(name="bob", flavour="local", addresses={"tcp": ["10.0.0.2:1"]}), NEIGHBOUR, TERMS)
    here = {"tcp": ["10.0.0.1:1"]}
    moved = ALICE.bottle(flavour="local", seq=NOW + 1, label_seq=1, addresses=here)
    (check, locally) = into.take(moved, NEIGHBOUR, TERMS).next
    assert isinstance(check, Check)
    assert locally == ForwardLocally(moved)
    failed = into.checked(check, "nobody answers", TERMS)
    assert failed is not None
    assert not any(isinstance(action, Forward) for action in failed.next)


def test_a_local_name_gives_way_to_a_public_one_and_takes_none() -> None:
    into = intake()
    fresh = NOW - 1
    take(into, ALICE.bottle(flavour="local", since=fresh), sender=NEIGHBOUR)
    assert key(take(into, BOB.bottle(since=NOW))) == "stored.node", "whatever a local node claims"
    assert why(into.take(CAROL.bottle(flavour="local", since=fresh - 9), NEIGHBOUR, TERMS)) is Why.NAME


def test_a_node_that_becomes_local_gives_its_public_name_back() -> None:
    into = intake()
    take(into, ALICE.bottle(since=NOW - 10))
    take(into, ALICE.bottle(since=NOW - 10, flavour="local", label_seq=1, seq=NOW + 1), sender=NEIGHBOUR)
    assert into.names.holder("alice", NOW) is None
    assert key(take(into, BOB.bottle(since=NOW))) == "stored.node"


# -- names ----------------------------------------------------------------------------------------------
def test_a_name_that_is_taken_is_refused_while_the_claim_is_fresh() -> None:
    into = intake()
    take(into, ALICE.bottle(since=NOW - 10))
    taken = into.take(BOB.bottle(name="Alice", since=NOW - 9), LANE, TERMS)
    assert why(taken) is Why.NAME
    assert isinstance(taken.outcome, Aborted)
    assert ALICE.identity.node_id in taken.outcome.text
    take(into, BOB.bottle(name="bob", since=NOW - 9))
    renamed = BOB.bottle(name="alice", label_seq=1, since=NOW, seq=NOW + 1)
    assert why(into.take(renamed, LANE, TERMS)) is Why.NAME
    held = into.rack.get(BOB.fingerprint)
    assert held is not None
    assert held.label.name == "bob"


def test_a_squatter_who_dates_back_gets_a_name_and_pushes_nobody_out() -> None:
    """Whichever of the two comes first, here or to somebody who joins later."""
    honest = ALICE.bottle(since=NOW - ESTABLISHED_S)
    squatter = BOB.bottle(since=0)
    for order in ([honest, squatter], [squatter, honest]):
        into = intake()
        take(into, *order)
        assert {one.fingerprint for one in into.rack} == {ALICE.fingerprint, BOB.fingerprint}
        assert into.names.unnamed(NOW) == {ALICE.fingerprint}
        into.settled = {"alice": ALICE.fingerprint}
        assert into.names.unnamed(NOW, into.settled) == {BOB.fingerprint}


def test_a_successor_takes_the_name_over() -> None:
    into = intake()
    take(into, ALICE.bottle(since=NOW - 10))
    assert key(take(into, BOB.bottle(since=NOW - 5, before=ALICE))) == "stored.node"
    assert into.names.holder("alice", NOW) == BOB.fingerprint
    assert why(into.take(CAROL.bottle(since=NOW - 4), LANE, TERMS)) is Why.NAME


# -- equivocation ---------------------------------------------------------------------------------------
def test_who_equivocates_is_banned_and_everybody_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    into = intake()
    take(into, ALICE.bottle())
    taken = into.take(ALICE.bottle(load=7), LANE, TERMS)
    assert why(taken) is Why.EQUIVOCATED
    (action,) = taken.next
    assert isinstance(action, ForwardProof)
    assert len(into.rack) == 0
    assert into.names.holder("alice", NOW) is None
    with monkeypatch.context() as patched:
        patched.setattr(into, "refusal", lambda *_: pytest.fail("the banned cost a signature check"))
        assert why(into.take(ALICE.bottle(seq=NOW + 9), LANE, TERMS)) is Why.BANNED
    assert why(into.admit(ALICE.bottle(seq=NOW + 9), LANE, TERMS)) is Why.BANNED
    elsewhere = intake()
    take(elsewhere, ALICE.bottle(), BOB.bottle(name="bob"))
    received = Proof.parse(action.proof.to_cbor())
    assert elsewhere.convict(received, TERMS) == (ForwardProof(received),)
    assert elsewhere.convict(received, TERMS) == (), "it travels once"
    assert {one.fingerprint for one in elsewhere.rack} == {BOB.fingerprint}
    assert why(elsewhere.take(ALICE.bottle(), LANE, TERMS)) is Why.BANNED


def test_nobody_is_banned_on_another_s_word() -> None:
    into = intake()
    take(into, ALICE.bottle())
    proof = Proof.between(BOB.bottle(), BOB.bottle(load=1))
    assert proof is not None
    forged = proof.model_copy(update={"identity": ALICE.identity})
    with pytest.raises(RecordError, match="another's"):
        into.convict(forged, TERMS)
    assert len(into.bans) == 0
    assert take(into, ALICE.bottle()) == Unchanged()


def test_moderators_block() -> None:
    into = intake()
    into.blocked = {ALICE.fingerprint: "blocked by the moderators: spam"}
    assert why(into.take(ALICE.bottle(), LANE, TERMS)) is Why.BLOCKED
    into.blocked = {}
    assert key(take(into, ALICE.bottle())) == "stored.node"


# -- floods ---------------------------------------------------------------------------------------------
def test_ten_thousand_sybils_from_one_sender_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and signature checks are bounded; others' senders go on being heard."""
    into = intake(capacity=20_000)
    verified = 0
    honest = into.refusal

    def counted(bottle: Bottle, terms: object) -> Aborted | None:
        nonlocal verified
        verified += 1
        return honest(bottle, TERMS)

    monkeypatch.setattr(into, "refusal", counted)
    template = ALICE.bottle()
    flood = (
        replace(template, label=template.label.model_copy(update={"identity": stranger(number)}))
        for number in range(10_000)
    )
    begun = time.process_time()
    for bottle in flood:
        into.take(bottle, LANE, TERMS)
    assert verified == STRANGERS_BURST
    assert into.tally.counts["aborted.busy"] == 10_000 - STRANGERS_BURST
    assert len(into.rack) == 0
    assert key(into.take(BOB.bottle(name="bob"), OTHER_LANE, TERMS).outcome) == "stored.node"
    later = replace(TERMS, now_s=NOW + 1 / STRANGERS_RATE)
    assert key(into.take(CAROL.bottle(name="carol"), LANE, later).outcome) == "stored.node"
    assert time.process_time() - begun < 20


def stranger(number: int) -> object:
    identity = ALICE.identity
    ((algorithm, _),) = identity.public
    return identity.model_copy(update={"public": ((algorithm, number.to_bytes(32, "big")),)})


def test_senders_are_remembered_up_to_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "SENDERS_CAP", 3)
    into = intake()
    for number in range(9):
        into.take(ALICE.bottle(network=bytes(32)), Sender(str(number)), TERMS)
    assert len(into._strangers) == 3


# -- any order ------------------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(st.permutations(range(7)), st.lists(st.integers(0, 6), max_size=4))
def test_honest_bottles_in_any_order_give_the_same_rack(order: list[int], repeated: list[int]) -> None:
    into = intake()
    for at in (*order, *repeated):
        into.take(HONEST[at], LANE, TERMS)
    assert {one.fingerprint: one.sequence for one in into.rack} == {
        ALICE.fingerprint: (2, NOW),
        BOB.fingerprint: (0, NOW - 1),
        CAROL.fingerprint: (1, NOW - 2),
    }
    assert into.names.unnamed(NOW) == {BOB.fingerprint}


HONEST = [
    ALICE.bottle(label_seq=0, seq=NOW - 9),
    ALICE.bottle(label_seq=1, seq=NOW - 5),
    ALICE.bottle(label_seq=2, seq=NOW),
    BOB.bottle(since=5, seq=NOW - 4),
    BOB.bottle(since=5, seq=NOW - 1),
    CAROL.bottle(name="carol", label_seq=0, seq=NOW - 7),
    CAROL.bottle(name="carol", label_seq=1, seq=NOW - 2),
]


def test_a_rack_that_was_filled_before_says_who_is_named_how(tmp_path: Path) -> None:
    first, public, local = SqliteRack(), ALICE.bottle(name="Oak"), BOB.bottle(name="elm", flavour="local")
    first.open(NETWORK, tmp_path)
    into = Intake(first, PANEL, NETWORK)
    take(into, public, local, sender=NEIGHBOUR)
    first.close()
    second = SqliteRack()
    second.open(NETWORK, tmp_path)
    with closing(second):
        again = Intake(second, PANEL, NETWORK)
        assert again.names == into.names
        assert again.names.holder("oak", NOW) == ALICE.fingerprint
        assert again.names.holder("elm", NOW) is None
        assert why(again.take(CAROL.bottle(name="oak", since=NOW).encode(), LANE, TERMS)) is Why.NAME
        assert isinstance(take(again, CAROL.bottle(name="Elm")), Stored), "public before local"
