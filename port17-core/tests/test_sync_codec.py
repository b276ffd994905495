"""SYNC's messages: each comes out as it went in, and whatever else comes in costs the peer its SYNC."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.bottles.buckets import BUCKET_CAP, Commitment
from port17.bottles.sync import (
    BUCKETS,
    CHUNK_CAP,
    DIGEST_SIZE,
    FOLLOWER_MESSAGE_CAP,
    IDS_CAP,
    LENGTH_SIZE,
    MESSAGE_CAP,
    NO_DIGEST,
    ORDER_SIZE,
    STAMPS_CAP,
    VERSION,
    WANTS_CAP,
    Answer,
    Ask,
    Compare,
    Compared,
    Differ,
    Fetch,
    Follow,
    FromFollower,
    FromSource,
    Given,
    Have,
    Held,
    Known,
    Message,
    Notice,
    Offer,
    Refused,
    Said,
    Scope,
    Taken,
    Update,
    Want,
    Whole,
)
from port17.bottles.sync_codec import Inbox, encode, from_follower, from_source
from port17.errors import PeerViolation
from port17.records import cbor
from port17.records.bottle import BOTTLE_CAP

HASH = st.binary(min_size=32, max_size=32)
U63 = st.integers(0, 2**63 - 1)
SECOND = st.integers(0, 2**40)
HELD = st.builds(Held, HASH, U63, SECOND, st.booleans())
DATA = st.binary(max_size=200)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
ASK = st.builds(Ask, st.booleans(), TEXT, U63, st.integers(0, 64), st.integers(0, 2**64 - 1))
RECORDS = st.tuples(DATA, DATA)
ROWS = st.tuples(st.builds(Commitment, HASH, SECOND, HASH))


def stamps(most: int) -> st.SearchStrategy[tuple[Held, ...]]:
    return st.lists(HELD, max_size=most).map(tuple)


def ids(kind: Notice) -> st.SearchStrategy[tuple[bytes, ...]]:
    size = 32 if kind is Notice.PROOF else 72
    return st.lists(st.binary(min_size=size, max_size=size), max_size=5).map(tuple)


def named(kind: type[Fetch] | type[Known]) -> st.SearchStrategy[Fetch | Known]:
    return st.sampled_from(Notice).flatmap(lambda notice: st.builds(kind, st.just(notice), ids(notice)))


FOLLOWER = st.one_of(
    st.builds(
        Follow,
        U63,
        st.sampled_from(Scope),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.one_of(st.none(), HASH),
    ),
    st.builds(
        Compare,
        st.lists(
            st.binary(min_size=DIGEST_SIZE, max_size=DIGEST_SIZE), min_size=BUCKETS, max_size=BUCKETS
        ).map(tuple),
        st.sampled_from([b"", bytes(DIGEST_SIZE)]),
        st.sampled_from([b"", bytes(DIGEST_SIZE)]),
        st.sampled_from([b"", bytes(ORDER_SIZE)]),
    ),
    st.builds(Want, stamps(9)),
    named(Fetch),
    st.builds(Offer, DATA),
    ASK,
)
SOURCE = st.one_of(
    st.builds(Differ, st.integers(0, BUCKETS - 1), stamps(9)),
    st.just(Compared()),
    st.just(Given()),
    st.builds(Have, stamps(9)),
    st.builds(Whole, DATA),
    st.builds(Update, HASH, DATA),
    named(Known),
    st.builds(Said, st.sampled_from(["proof", "mark", "moderation"]), DATA),
    st.builds(Taken, TEXT),
    ASK.flatmap(
        lambda ask: st.builds(Answer, st.just(ask), st.one_of(st.none(), RECORDS if ask.records else ROWS))
    ),
    st.builds(Refused, TEXT),
)


def body(message: Message) -> bytes:
    data = encode(message)
    assert int.from_bytes(data[:LENGTH_SIZE], "big") == len(data) - LENGTH_SIZE
    return data[LENGTH_SIZE:]


@settings(max_examples=60, deadline=None)
@given(FOLLOWER)
def test_what_a_follower_says_is_what_is_read(message: FromFollower) -> None:
    assert from_follower(body(message)) == message
    with pytest.raises(PeerViolation):
        from_source(body(message))


@settings(max_examples=60, deadline=None)
@given(SOURCE)
def test_what_a_source_says_is_what_is_read(message: FromSource) -> None:
    assert from_source(body(message)) == message
    with pytest.raises(PeerViolation):
        from_follower(body(message))


@settings(max_examples=60, deadline=None)
@given(st.one_of(FOLLOWER, SOURCE), st.lists(st.integers(1, 900), max_size=8))
def test_a_stream_is_cut_anywhere(message: Message, cuts: list[int]) -> None:
    decode = from_follower if isinstance(message, FromFollower) else from_source
    inbox: Inbox[Message] = Inbox(decode, MESSAGE_CAP)  # type: ignore[arg-type]
    stream = encode(message) * 3
    found = []
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        inbox.feed(piece)
        while inbox.waits:
            found.append(inbox.next())
    assert found == [message] * 3
    assert len(inbox) == 0
    assert inbox.next() is None


@settings(max_examples=100, deadline=None)
@given(st.one_of(FOLLOWER, SOURCE).map(body), st.integers(0, 5000), st.integers(0, 255))
def test_a_changed_message_is_another_or_a_violation(data: bytes, at: int, byte: int) -> None:
    changed = bytearray(data)
    changed[at % len(changed)] = byte
    for read in (from_follower, from_source):
        try:
            message = read(bytes(changed))
        except PeerViolation:
            continue
        assert body(message) == changed, "one message has one encoding"


STAMP = bytes(48) + b"\0"
WRONG = [
    [],
    ["nothing"],
    ["follow", VERSION, "far", True, False, True, None],
    ["follow", True, "all", True, False, True, None],
    ["follow", VERSION, "all", 1, False, True, None],
    ["follow", VERSION, "all", True, False, True, bytes(31)],
    ["follow", VERSION, "all", True, False, True],
    ["compare", bytes(BUCKETS * DIGEST_SIZE - DIGEST_SIZE), b"", b"", b""],
    ["compare", bytes(BUCKETS * DIGEST_SIZE), bytes(15), b"", b""],
    ["compare", bytes(BUCKETS * DIGEST_SIZE), b"", b"", bytes(39)],
    ["want", STAMP * (WANTS_CAP + 1)],
    ["want", STAMP[:-1]],
    ["want", bytes(48) + b"\2"],
    ["want", bytes(32) + b"\x80" + bytes(16)],
    ["want", bytes(40) + b"\x01" * 8 + b"\0"],
    ["fetch", "moderation", bytes(32)],
    ["fetch", "proof", bytes(33)],
    ["fetch", "proof", bytes(32 * (IDS_CAP + 1))],
    ["offer", bytes(BOTTLE_CAP + 1)],
    ["offer", "text"],
    ["prekeys", "p17", 1, 65, 0],
    ["prekeys", "p17", -1, 6, 0],
    ["prekeys", "p\n17", 1, 6, 0],
    ["differ", BUCKETS, STAMP],
    ["differ", 0, STAMP * (STAMPS_CAP + 1)],
    ["compared", 1],
    ["have", STAMP * (STAMPS_CAP + 1)],
    ["contents", bytes(31), b""],
    ["mark", bytes(100_000)],
    ["taken", "x" * 81],
    ["refused", "\x1b[2J"],
    ["prekeys", "p17", 1, 6, 0, [b""] * (BUCKET_CAP + 1)],
    ["prekeys", "p17", 1, 6, 0, b""],
    ["commitments", "p17", 1, 6, 0, bytes(71)],
    ["commitments", "p17", 1, 6, 0, []],
]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused(value: list[object]) -> None:
    for read in (from_follower, from_source):
        with pytest.raises(PeerViolation):
            read(cbor.encode(value))


@pytest.mark.parametrize("data", [b"", b"\x80\x80", b"\x9f\xff", b"\xa0", cbor.encode(1)])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    for read in (from_follower, from_source):
        with pytest.raises(PeerViolation):
            read(data)


def test_a_length_over_the_cap_is_refused_before_anything_of_it_has_come() -> None:
    inbox = Inbox(from_follower, FOLLOWER_MESSAGE_CAP)
    inbox.feed(FOLLOWER_MESSAGE_CAP.to_bytes(4, "big"))
    with pytest.raises(PeerViolation):
        Inbox(from_follower, FOLLOWER_MESSAGE_CAP).feed((FOLLOWER_MESSAGE_CAP + 1).to_bytes(4, "big"))


def test_no_more_than_a_message_and_a_read_may_wait() -> None:
    inbox = Inbox(from_source, MESSAGE_CAP)
    inbox.feed(MESSAGE_CAP.to_bytes(4, "big"))
    inbox.feed(bytes(MESSAGE_CAP + CHUNK_CAP))
    with pytest.raises(PeerViolation):
        inbox.feed(b"\0")


def test_the_longest_of_each_fits() -> None:
    held = Held(bytes(32), 2**63 - 1, 2**40, True)
    assert len(body(Offer(bytes(BOTTLE_CAP)))) <= FOLLOWER_MESSAGE_CAP
    for message in (
        Whole(bytes(BOTTLE_CAP)),
        Differ(0, (held,) * STAMPS_CAP),
        Answer(Ask(True, "x" * 64, 2**63 - 1, 64, 2**64 - 1), (bytes(1800),) * BUCKET_CAP),
    ):
        assert len(body(message)) <= MESSAGE_CAP
        assert from_source(body(message)) == message
    assert bytes(DIGEST_SIZE) == NO_DIGEST
