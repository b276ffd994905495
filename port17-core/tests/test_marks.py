"""Marks: their encoding, whose signature counts, and which are held."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles import marks as held
from port17.bottles.marks import ABOUT_CAP, MARK_LIFE_S, Marks
from port17.errors import RecordError
from port17.records import cbor
from port17.records.bottle import Label
from port17.records.envelope import Envelope
from port17.records.framing import digest
from port17.records.mark import FAILURE_CAP, MARK_CAP, MARK_PAYLOAD_CAP, Mark, SignedMark, claim_of
from port17.records.scheme import SIGNATURE_CAP

from .bottle_maker import NETWORK, NOW, SCHEME, Maker

ALICE, BOB = Maker(), Maker()
CLAIM = bytes(32)
SCHEMES = {"ed25519": SCHEME}
HASHES = st.binary(min_size=32, max_size=32)
MARKS = st.builds(
    Mark,
    about=HASHES,
    claim=HASHES,
    by=HASHES,
    seq=st.integers(0, 1 << 40),
    failure=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=FAILURE_CAP),
)


def signed(
    about: bytes = BOB.fingerprint, by: Maker = ALICE, seq: int = NOW, failure: str = "lost"
) -> SignedMark:
    said = Mark(about=about, claim=CLAIM, by=by.fingerprint, seq=seq, failure=failure)
    return SignedMark.seal(NETWORK, SCHEME, by.key, said)


def unsigned(about: int, by: int, seq: int = NOW, failure: str = "lost", claim: bytes = CLAIM) -> SignedMark:
    said = Mark(
        about=about.to_bytes(32, "big"), claim=claim, by=by.to_bytes(32, "big"), seq=seq, failure=failure
    )
    return SignedMark(said, Envelope.made(scheme="ed25519", payload=said.to_cbor(), signature=b""))


@settings(max_examples=50)
@given(MARKS)
def test_a_mark_comes_back_as_it_was(mark: Mark) -> None:
    sealed = SignedMark.seal(NETWORK, SCHEME, ALICE.key, mark)
    encoded = sealed.encode()
    assert SignedMark.parse(encoded) == sealed
    assert SignedMark.parse(encoded).encode() == encoded
    assert len(mark.to_cbor()) <= MARK_PAYLOAD_CAP


@settings(max_examples=100)
@given(st.binary(max_size=600))
def test_any_bytes_are_a_mark_or_an_error(data: bytes) -> None:
    try:
        SignedMark.parse(data)
    except RecordError:
        return
    raise AssertionError("random bytes were a mark")


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_never_believed(at: int, change: int) -> None:
    data = bytearray(signed().encode())
    data[at % len(data)] ^= change
    with pytest.raises(RecordError):
        SignedMark.parse(data).verify(NETWORK, SCHEMES, ALICE.identity, NOW, skew_s=0)


def test_caps_and_fields() -> None:
    longest = Mark(
        about=bytes(32), claim=bytes(32), by=bytes([1]) * 32, seq=1 << 40, failure="x" * FAILURE_CAP
    )
    envelope = Envelope.made(scheme="s" * 64, payload=longest.to_cbor(), signature=bytes(SIGNATURE_CAP))
    assert len(SignedMark(longest, envelope).encode()) <= MARK_CAP
    for wrong in (
        {"failure": "x" * (FAILURE_CAP + 1)},
        {"failure": "a\nb"},
        {"failure": "\x1b[2J"},
        {"seq": -1},
    ):
        value = {**longest.to_value(), **wrong}
        with pytest.raises(RecordError):
            Mark.from_cbor(cbor.encode(value), cap=MARK_PAYLOAD_CAP)
    with pytest.raises(RecordError):
        SignedMark.parse(bytes(MARK_CAP + 1))


def test_only_the_author_s_own_signature_for_this_use_and_network_counts() -> None:
    mark = signed()
    mark.verify(NETWORK, SCHEMES, ALICE.identity, NOW, skew_s=0)
    with pytest.raises(RecordError, match="another's key"):
        mark.verify(NETWORK, SCHEMES, BOB.identity, NOW, skew_s=0)
    with pytest.raises(RecordError, match="not valid"):
        mark.verify(bytes(32), SCHEMES, ALICE.identity, NOW, skew_s=0)
    with pytest.raises(RecordError, match="not allowed"):
        mark.verify(NETWORK, {}, ALICE.identity, NOW, skew_s=0)
    with pytest.raises(RecordError, match="future"):
        mark.verify(NETWORK, SCHEMES, ALICE.identity, NOW - 10, skew_s=9)
    mark.verify(NETWORK, SCHEMES, ALICE.identity, NOW - 10, skew_s=10)
    with pytest.raises(RecordError, match="about itself"):
        signed(about=ALICE.fingerprint).verify(NETWORK, SCHEMES, ALICE.identity, NOW, skew_s=0)
    bottle = ALICE.bottle()
    stolen = SignedMark(mark.mark, bottle.contents_envelope)
    with pytest.raises(RecordError, match="not valid"):
        stolen.verify(NETWORK, SCHEMES, ALICE.identity, NOW, skew_s=0)


def test_a_claim_is_the_addresses_and_nothing_else() -> None:
    def claim(addresses: dict[str, list[str]], flavour: str = "public", **more: object) -> bytes:
        fields = {"name": "alice", "suites": ["p17-1-test"], "seq": 0, **more}
        return claim_of(Label.made(identity=ALICE.identity, addresses=addresses, flavour=flavour, **fields))

    one = claim({"tcp": ["192.0.2.1:1"], "ws": ["a.example:2"]})
    assert one == digest("claim", b"public", b"tcp", b"192.0.2.1:1", b"ws", b"a.example:2")
    assert one == claim({"ws": ["a.example:2"], "tcp": ["192.0.2.1:1"]}, seq=7, name="other")
    assert one != claim({"tcp": ["192.0.2.1:1"], "ws": ["a.example:3"]})
    assert one != claim({"tcp": ["192.0.2.1:1", "a.example:2"]})
    assert one != claim({"tcp": ["192.0.2.1:1"], "ws": ["a.example:2"]}, "local")


def test_the_newest_of_each_about_each_is_held_in_a_fixed_order() -> None:
    marks = Marks()
    given_marks = [unsigned(about, by) for about in (3, 1, 2) for by in (9, 8)]
    assert all(marks.take(one) for one in given_marks)
    assert not marks.take(given_marks[0]), "known already"
    assert not marks.take(unsigned(3, 9, NOW - 1, "older")), "older"
    assert marks.take(unsigned(3, 9, NOW + 1, ""))
    assert not marks.take(given_marks[0]), "it was taken back"
    assert [(one.mark.about[-1], one.mark.by[-1]) for one in marks] == [
        (1, 8), (1, 9), (2, 8), (2, 9), (3, 8), (3, 9)
    ]  # fmt: skip
    assert len(marks) == 6
    assert [one.mark.failure for one in marks.about((3).to_bytes(32, "big"))] == ["lost", ""]


def test_of_two_marks_of_one_second_the_same_one_holds_everywhere() -> None:
    one, other = unsigned(1, 2, NOW, "lost"), unsigned(1, 2, NOW, "")
    first, second = Marks(), Marks()
    for marks, order in ((first, (one, other)), (second, (other, one))):
        for mark in order:
            marks.take(mark)
    assert first.digest == second.digest
    assert [mark.mark for mark in first] == [mark.mark for mark in second]


def test_the_digest_says_whether_two_hold_the_same() -> None:
    first, second = Marks(), Marks()
    assert first.digest == second.digest
    some = [unsigned(about, by) for about in range(3) for by in range(10, 13)]
    for mark in some:
        first.take(mark)
    assert first.digest != second.digest
    for mark in reversed(some):
        second.take(mark)
    assert first.digest == second.digest
    second.expire(NOW + MARK_LIFE_S)
    assert second.digest == Marks().digest


def test_marks_about_other_addresses_and_of_nodes_that_are_gone_are_dropped() -> None:
    marks, other = Marks(), b"\1" * 32
    for by in range(10, 14):
        marks.take(unsigned(1, by, claim=other if by == 10 else CLAIM))
        marks.take(unsigned(2, by))
    marks.take(unsigned(10, 1))
    marks.reclaim((1).to_bytes(32, "big"), other)
    assert [one.mark.by[-1] for one in marks.about((1).to_bytes(32, "big"))] == [10]
    marks.forget((10).to_bytes(32, "big"))
    assert not marks.about((1).to_bytes(32, "big"))
    assert not marks.about((10).to_bytes(32, "big"))
    assert [one.mark.by[-1] for one in marks] == [11, 12, 13]
    assert len(marks) == 3


def test_expiry_names_those_of_whom_less_is_said() -> None:
    marks = Marks()
    marks.take(unsigned(1, 10))
    marks.take(unsigned(2, 10, NOW + 5))
    assert marks.expire(NOW + MARK_LIFE_S - 1) == frozenset()
    assert marks.expire(NOW + MARK_LIFE_S) == {(1).to_bytes(32, "big")}
    assert len(marks) == 1


def test_they_are_bounded_and_nobody_is_silenced_by_who_talks_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MARKS_CAP", 100)
    marks = Marks()
    for by in range(ABOUT_CAP + 5):
        marks.take(unsigned(1, 1000 + by))
    assert len(marks) == ABOUT_CAP
    for about in range(2, 200):
        marks.take(unsigned(about, 7, NOW + about))
    assert len(marks) == 100
    for about in range(300, 310):
        assert marks.take(unsigned(about, 8)), "a quiet one is heard"
    assert len(marks) == 100
    assert sum(one.mark.by == (7).to_bytes(32, "big") for one in marks) == 100 - ABOUT_CAP - 10
    assert not marks.take(unsigned(2, 7, NOW)), "the loud one has to take back before it says more"


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(5, 9), st.integers(NOW, NOW + 3)), max_size=40))
def test_any_order_of_arrival_leaves_the_same(arrivals: list[tuple[int, int, int]]) -> None:
    first, second = Marks(), Marks()
    for arrival in arrivals:
        first.take(unsigned(*arrival))
    for arrival in reversed(arrivals):
        second.take(unsigned(*arrival))
    assert first.digest == second.digest
    assert len(first) == len(list(first)) == len({arrival[:2] for arrival in arrivals})
