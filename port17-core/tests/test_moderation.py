"""Moderators' lists: who must sign, what is in force, and what the user says against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.moderated import Appeal, Moderated
from port17.errors import RecordError
from port17.navigator.chart_maker import ChartTerms
from port17.records.envelope import PAYLOAD_CAP
from port17.records.level import Status
from port17.records.moderation import (
    ENTRIES_CAP,
    MODERATION_CAP,
    NAMED,
    REASON_CAP,
    TERM_CAP_S,
    Action,
    Entry,
    Moderation,
    SignedModeration,
)
from port17.records.revision import Revision

from .bottle_maker import NETWORK, NOW, SCHEME, TERMS, Maker

SCHEMES = TERMS.schemes
ANNE, BEN, CLEO, STRANGER = Maker(), Maker(), Maker(), Maker()
NODE, OTHER = Maker(), Maker()


def revision(*who: Maker, threshold: int = 2) -> Revision:
    return Revision.made(
        not_before=0,
        suites=["p17-1-test"],
        schemes=["ed25519"],
        moderators=[one.identity.to_value() for one in who],
        moderators_threshold=threshold,
    )


TRIO = revision(ANNE, BEN, CLEO)


def entry(action: Action = Action.BLOCK, node: Maker = NODE, **changed: Any) -> dict[str, Any]:
    fields = {
        "action": str(action),
        "fingerprint": node.fingerprint,
        "name": "alice" if action in NAMED else "",
        "reason": "spam",
        "expiry": NOW + 1000,
    }
    return {**fields, **changed}


def signed(
    *entries: dict[str, Any], by: Sequence[Maker] = (ANNE, BEN), seq: int = NOW, terms: Revision = TRIO
) -> SignedModeration:
    made = SignedModeration.of(Moderation.made(seq=seq, entries=list(entries)))
    return made.signed(NETWORK, terms, [(SCHEME, one.key) for one in by])


def verify(held: SignedModeration, terms: Revision = TRIO, **more: Any) -> None:
    SignedModeration.parse(held.encode()).verify(NETWORK, terms, SCHEMES, NOW, **more)


# -- the list -------------------------------------------------------------------------------------------
def test_enough_moderators_hold_and_too_few_do_not() -> None:
    verify(signed(entry()))
    verify(signed(entry(), by=(CLEO, ANNE)))
    with pytest.raises(RecordError, match="1 of 2"):
        verify(signed(entry(), by=(ANNE,)))
    with pytest.raises(RecordError, match="1 of 2"):
        verify(signed(entry(), by=(ANNE, ANNE)))
    with pytest.raises(RecordError, match="0 of 2"):
        verify(signed(entry(), by=()))
    with pytest.raises(RecordError, match="1 of 2"):
        verify(signed(entry()), ignored=[ANNE.fingerprint])
    verify(signed(entry(), by=(ANNE, BEN, CLEO)), ignored=[ANNE.fingerprint])
    with pytest.raises(RecordError, match="names no moderators"):
        verify(signed(entry()), revision(threshold=0))


def test_a_moderator_signs_what_another_has_made() -> None:
    one = signed(entry(), by=(BEN,))
    two = SignedModeration.parse(one.encode()).signed(NETWORK, TRIO, [(SCHEME, ANNE.key)])
    verify(two)
    assert two.payload == one.payload
    with pytest.raises(RecordError, match="not a moderator"):
        one.signed(NETWORK, TRIO, [(SCHEME, STRANGER.key)])


def test_who_is_no_moderator_any_more_counts_for_nothing_and_harms_nothing() -> None:
    held = signed(entry(), by=(ANNE, BEN, CLEO))
    verify(held, revision(BEN, CLEO, STRANGER))
    with pytest.raises(RecordError, match="1 of 2"):
        verify(held, revision(CLEO, STRANGER))


def test_what_a_broken_scheme_signs_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held = signed(entry(), by=(ANNE, BEN))
    verify(held)
    monkeypatch.setattr(type(SCHEME), "status", Status.BROKEN)
    with pytest.raises(RecordError, match="0 of 2"):
        verify(held)


def test_forged_foreign_and_future_lists() -> None:
    held = signed(entry())
    (anne, one), (ben, two) = held.signatures
    with pytest.raises(RecordError, match="is not valid"):
        verify(SignedModeration(held.moderation, held.payload, ((anne, two), (ben, one))))
    with pytest.raises(RecordError, match="is not valid"):
        SignedModeration.parse(held.encode()).verify(bytes(32), TRIO, SCHEMES, NOW)
    with pytest.raises(RecordError, match="future"):
        verify(signed(entry(), seq=NOW + TRIO.clock_skew_s + 1))
    verify(signed(entry(), seq=NOW + TRIO.clock_skew_s))
    with pytest.raises(RecordError, match="not installed"):
        held.verify(NETWORK, TRIO, {}, NOW)
    with pytest.raises(RecordError, match="not in order"):
        SignedModeration.parse(
            SignedModeration(held.moderation, held.payload, held.signatures[::-1]).encode()
        )
    with pytest.raises(RecordError, match="not in order"):
        SignedModeration.parse(
            SignedModeration(held.moderation, held.payload, (held.signatures[0],) * 2).encode()
        )


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255))
def test_no_changed_byte_holds(at: int, change: int) -> None:
    data = bytearray(LIST)
    data[at % len(data)] ^= change
    with pytest.raises(RecordError):
        SignedModeration.parse(bytes(data)).verify(NETWORK, TRIO, SCHEMES, NOW)


LIST = signed(
    entry(), entry(Action.OWNER_VERIFIED, OTHER), *(entry(Action.SAME_OWNER, one) for one in (NODE, OTHER))
).encode()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        SignedModeration.parse(data)


@pytest.mark.parametrize(
    "wrong",
    [
        [entry(), entry()],
        [entry(name="alice")],
        [entry(Action.OWNER_VERIFIED, name="")],
        [entry(Action.OWNER_VERIFIED), entry(Action.OWNER_VERIFIED, OTHER, name="ALICE")],
        [entry(Action.SAME_OWNER, name="")],
        [entry(Action.SAME_OWNER), entry(Action.SAME_OWNER, name="bob")],
        [entry(expiry=NOW + TERM_CAP_S + 1)],
        [entry(reason="x" * (REASON_CAP + 1))],
        [entry(reason="")],
        [entry(reason="\x1b[31m")],
        [entry(action="praise")],
        [entry(fingerprint=b"short")],
        [entry(fingerprint=at.to_bytes(32, "big")) for at in range(ENTRIES_CAP + 1)],
    ],
)
def test_lists_that_are_none(wrong: list[dict[str, Any]]) -> None:
    with pytest.raises(RecordError):
        Moderation.made(seq=NOW, entries=wrong)


def test_a_full_list_fits() -> None:
    full = [
        entry(
            Action.OWNER_VERIFIED,
            fingerprint=at.to_bytes(32, "big"),
            name=f"{at:064}",
            reason="x" * REASON_CAP,
        )
        for at in range(ENTRIES_CAP)
    ]
    held = signed(*full)
    assert len(held.payload) <= PAYLOAD_CAP
    verify(held)
    with pytest.raises(RecordError, match="at most"):
        SignedModeration.parse(bytes(MODERATION_CAP + 1))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            Entry.made,
            action=st.sampled_from([str(one) for one in Action if one not in NAMED]),
            fingerprint=st.binary(min_size=32, max_size=32),
            reason=st.text(
                st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=REASON_CAP
            ),
            expiry=st.integers(0, NOW + TERM_CAP_S),
        ),
        max_size=5,
        unique_by=lambda held: (held.action, held.fingerprint),
    )
)
def test_lists_read_back_as_they_were_written(entries: list[Entry]) -> None:
    held = signed(*(one.to_value() for one in entries))
    assert SignedModeration.parse(held.encode()) == held
    assert SignedModeration.parse(held.encode()).encode() == held.encode()


# -- what is in force -----------------------------------------------------------------------------------
def moderated(*lists: SignedModeration, appeal: Appeal | None = None) -> Moderated:
    held = Moderated(NETWORK, appeal)
    for one in lists:
        held.consider(one, TRIO, SCHEMES, NOW)
    return held


def test_the_newest_list_holds_whole_and_an_old_one_brings_nothing_back() -> None:
    old, new = signed(entry(), seq=NOW - 5), signed(entry(Action.DISTRUST, OTHER), seq=NOW)
    for order in ([old, new], [new, old], [new, new, old]):
        said = moderated(*order).said(NOW, [])
        assert not said.blocked
        assert said.distrusted == {OTHER.fingerprint: "distrusted by the moderators: spam"}
    assert not Moderated(NETWORK).said(NOW, []).blocked


def test_of_two_lists_of_one_second_everybody_takes_the_same() -> None:
    pair = [signed(entry()), signed(entry(reason="other"), by=(CLEO, BEN))]
    assert moderated(*pair).said(NOW, []) == moderated(*pair[::-1]).said(NOW, [])


def test_entries_expire_and_say_when() -> None:
    held = moderated(signed(entry(expiry=NOW + 5), entry(Action.TRUSTED_EXIT, OTHER, expiry=NOW + 9)))
    said = held.said(NOW, [])
    assert (set(said.blocked), said.trusted_exits, said.until) == (
        {NODE.fingerprint},
        {OTHER.fingerprint},
        NOW + 5,
    )
    said = held.said(NOW + 5, [])
    assert (said.blocked, said.until) == ({}, NOW + 9)
    assert held.said(NOW + 9, []).trusted_exits == frozenset()


def test_nodes_of_one_owner_are_named_alike() -> None:
    held = moderated(
        signed(
            entry(Action.SAME_OWNER, NODE, name="Acme.example", expiry=NOW + 5),
            entry(Action.SAME_OWNER, OTHER, name="acme.EXAMPLE"),
            entry(Action.OWNER_VERIFIED, OTHER, name="acme.example"),
        )
    )
    said = held.said(NOW, [])
    assert said.same_owner == {NODE.fingerprint: "acme.example", OTHER.fingerprint: "acme.example"}
    assert said.owners == {"acme.example": OTHER.fingerprint}, "a PortName is something else"
    assert held.said(NOW + 5, []).same_owner == {OTHER.fingerprint: "acme.example"}


def test_an_owner_goes_over_to_the_successor() -> None:
    old, new, other = (bytes([at]) * 32 for at in range(3))
    terms = ChartTerms(TRIO, heirs={old: new}, owners={old: "acme", other: "bob"})
    assert terms.owned == {old: "acme", new: "acme", other: "bob"}
    newer = ChartTerms(TRIO, heirs={old: new}, owners={old: "acme", new: "carol"})
    assert newer.owned[new] == "carol", "what is said of the successor itself counts"


def test_the_user_s_word_stands_above_the_moderators() -> None:
    held = signed(
        entry(),
        entry(Action.DISTRUST),
        entry(Action.TRUSTED_EXIT, OTHER),
        entry(Action.OWNER_VERIFIED, OTHER),
        entry(Action.SAME_OWNER),
    )
    nodes = [NODE.fingerprint, OTHER.fingerprint]
    said = moderated(held).said(NOW, nodes)
    assert set(said.blocked) == set(said.distrusted) == {NODE.fingerprint}
    assert said.owners == {"alice": OTHER.fingerprint}
    assert said.same_owner == {NODE.fingerprint: "alice"}
    for text in (NODE.fingerprint.hex(), NODE.identity.node_id):
        trusting = moderated(held, appeal=Appeal(trust=frozenset([text]))).said(NOW, nodes)
        assert not trusting.blocked
        assert not trusting.distrusted
        assert not trusting.same_owner
    wary = moderated(held, appeal=Appeal(distrust=frozenset([OTHER.identity.node_id]))).said(NOW, nodes)
    assert wary.distrusted[OTHER.fingerprint] == "you distrust it"
    assert wary.trusted_exits == frozenset()
    with pytest.raises(RecordError, match="1 of 2"):
        moderated(held, appeal=Appeal(ignore_moderator=frozenset([ANNE.identity.node_id])))


def test_moderators_who_are_voted_out_take_their_list_with_them() -> None:
    held = moderated(signed(entry()))
    held.reconsider(TRIO, SCHEMES, NOW)
    assert held.said(NOW, []).blocked
    held.reconsider(revision(CLEO, STRANGER), SCHEMES, NOW)
    assert not held.said(NOW, []).blocked
