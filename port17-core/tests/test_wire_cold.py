"""The cold handshake: an answer reaches who asked, from who was asked, and nothing else comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from port17.errors import HandshakeFailed, PeerViolation
from port17.records.framing import digest
from port17.wire import cold
from port17.wire.block import BLOCK_SIZE
from port17.wire.cold import ANSWERS_BURST, ColdCaller, ColdResponder, Want, answer_room
from port17.wire.flight import LINK_TAG_SIZE, SALT_SIZE, NodeSigner
from port17.wire.handshake import Initiator, respond
from port17.wire.prekey import Network
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite

from .wire_network import WALL_S, Clock, Host, network, signer, verify
from .wire_suites import SUITES, TOY, CountingSuite, Lies

FLIGHT = 2 * BLOCK_SIZE
REFUSED = "a link's handshake was refused"
NODE = b"n" * 32
SIGNATURE = 32
ids = {"ids": lambda suite: suite.name}


class Attempt:
    """One cold call, with whatever a test puts in another's place."""

    def __init__(self, suite: CipherSuite = TOY, *, say: bytes = b"fresh") -> None:
        self.suite = suite
        self.network = network()
        self.node = NODE
        self.now_s = WALL_S
        self.said: list[tuple[str, Want, int]] = []
        self.say = say
        self.replays = ReplaySet(60)
        self.responder = self.desk(signer(NODE))

    def desk(self, own: NodeSigner) -> ColdResponder:
        return ColdResponder(own, SIGNATURE, self.replays, self._say)

    def _say(self, suite: CipherSuite, want: Want, room: int) -> bytes:
        self.said.append((suite.name, want, room))
        return self.say

    def call(self, want: Want = Want.PREKEYS) -> ColdCaller:
        return ColdCaller(self.network, self.suite, self.node, self.now_s, want)

    def answer(self, flight: bytes, *, at: Network | None = None, elapsed_s: float = 0.0) -> bytes | None:
        suites = {self.suite.name: self.suite}
        return self.responder.answer(at or network(), suites, flight, WALL_S, elapsed_s)


def by_node(answer: bytes, message: bytes, signature: bytes) -> bool:
    return verify(NODE, message, signature)


@pytest.mark.parametrize("want", Want)
@pytest.mark.parametrize("suite", SUITES, **ids)
def test_the_answer_arrives(suite: CipherSuite, want: Want) -> None:
    attempt = Attempt(suite)
    call = attempt.call(want)
    flight = attempt.answer(call.flight)
    assert flight is not None
    assert len(flight) == len(call.flight) == FLIGHT
    assert call.finish(flight, by_node) == b"fresh"
    assert attempt.said == [(suite.name, want, answer_room(network(), suite, SIGNATURE))]


@pytest.mark.parametrize("suite", SUITES, **ids)
def test_an_answer_fills_the_flight_and_no_byte_more(suite: CipherSuite) -> None:
    room = answer_room(network(), suite, SIGNATURE)
    attempt = Attempt(suite, say=bytes(room))
    call = attempt.call()
    flight = attempt.answer(call.flight)
    assert flight is not None
    assert call.finish(flight, by_node) == bytes(room)
    attempt = Attempt(suite, say=bytes(room + 1))
    with pytest.raises(HandshakeFailed):
        attempt.answer(attempt.call().flight)


def test_the_suite_is_told_by_the_tag() -> None:
    both = {suite.name: suite for suite in SUITES}
    for suite in SUITES:
        attempt = Attempt(suite)
        call = attempt.call()
        flight = attempt.responder.answer(network(), both, call.flight, WALL_S, 0.0)
        assert flight is not None
        assert call.finish(flight, by_node) == b"fresh"
        assert attempt.said[0][0] == suite.name


def test_cold_and_warm_are_told_apart_by_the_tag() -> None:
    host = Host(1, TOY, Clock())
    warm = Initiator(network(), host.public, WALL_S).flight
    attempt = Attempt()
    attempt.node = host.fingerprint
    attempt.responder = attempt.desk(host.signer)
    assert attempt.answer(warm) is None
    with pytest.raises(HandshakeFailed):
        respond(network(), host.signer, [host.prekey], attempt.replays, verify, attempt.call().flight, WALL_S)
    # Neither has left anything behind.
    assert len(attempt.replays) == 0
    assert attempt.answer(attempt.call().flight) is not None


@pytest.mark.parametrize("suite", SUITES, **ids)
@settings(deadline=None, max_examples=40)
@given(place=st.integers(0, 8 * FLIGHT - 1), late=st.booleans())
@example(place=8 * (SALT_SIZE + LINK_TAG_SIZE), late=False)
@example(place=8 * FLIGHT - 1, late=False)
@example(place=0, late=True)
def test_any_flipped_bit_fails(suite: CipherSuite, place: int, late: bool) -> None:
    attempt = Attempt(suite)
    call = attempt.call()
    flight = call.flight
    if late:
        flight = attempt.answer(call.flight) or b""
    altered = bytearray(flight)
    altered[place // 8] ^= 1 << place % 8
    if late:
        with pytest.raises(HandshakeFailed) as failed:
            call.finish(bytes(altered), by_node)
        assert failed.value.message == REFUSED
        return
    try:
        assert attempt.answer(bytes(altered)) is None  # salt or tag: it is nobody's
        assert place < 8 * (SALT_SIZE + LINK_TAG_SIZE)
    except HandshakeFailed as error:
        assert error.message == REFUSED  # noqa: PT017
    assert not attempt.said
    # What was altered on its way costs the true one nothing.
    assert attempt.answer(call.flight) is not None


def _other_network(attempt: Attempt) -> None:
    attempt.network = dataclasses.replace(attempt.network, network_id=b"o" * 32)


def _other_node(attempt: Attempt) -> None:
    attempt.node = b"o" * 32


def _other_suite(attempt: Attempt) -> None:
    attempt.suite = SUITES[0]


@pytest.mark.parametrize("spoil", [_other_network, _other_node, _other_suite])
def test_a_call_of_anybody_else_is_nobodys(spoil: Callable[[Attempt], None]) -> None:
    attempt = Attempt()
    spoil(attempt)
    flight = attempt.call().flight
    assert attempt.responder.answer(network(), {TOY.name: TOY}, flight, WALL_S, 0.0) is None
    assert not attempt.said


def _other_revision(attempt: Attempt) -> None:
    attempt.network = network(4)


def _long_ago(attempt: Attempt) -> None:
    attempt.now_s -= 1000


def _yet_to_come(attempt: Attempt) -> None:
    attempt.now_s += 1000


@pytest.mark.parametrize("spoil", [_other_revision, _long_ago, _yet_to_come])
def test_a_call_out_of_its_time_is_refused(spoil: Callable[[Attempt], None]) -> None:
    attempt = Attempt()
    spoil(attempt)
    for _ in range(int(ANSWERS_BURST) + 1):
        with pytest.raises((HandshakeFailed, PeerViolation)):
            attempt.answer(attempt.call().flight)
    assert not attempt.said
    assert len(attempt.replays) == 0
    # And took nothing from those who call in time.
    attempt.network, attempt.now_s = network(), WALL_S
    assert attempt.answer(attempt.call().flight) is not None


def test_another_length_is_refused() -> None:
    attempt = Attempt()
    call = attempt.call()
    for wrong in (b"", call.flight[:-1], call.flight + b"\0", call.flight[:BLOCK_SIZE]):
        with pytest.raises(HandshakeFailed):
            attempt.answer(wrong)
        with pytest.raises(HandshakeFailed):
            call.finish(wrong, by_node)
    attempt.network = dataclasses.replace(network(), flight_blocks=3)
    with pytest.raises(HandshakeFailed):
        attempt.answer(attempt.call().flight)


def test_both_revisions_of_an_overlap_are_taken() -> None:
    attempt = Attempt()
    call = attempt.call()
    flight = attempt.answer(call.flight, at=network(4, 3))
    assert flight is not None
    assert call.finish(flight, by_node) == b"fresh"


def test_who_has_the_fingerprint_forges_no_answer() -> None:
    """Everybody has it: it opens calls, and is worth nothing against the signature."""
    attempt = Attempt()
    call = attempt.call()
    for own in (
        NodeSigner(NODE, lambda message: bytes(SIGNATURE)),
        NodeSigner(NODE, signer(b"m" * 32).sign),
        NodeSigner(NODE, lambda message: signer(NODE).sign(message + b"!")),
    ):
        forged = ColdResponder(own, SIGNATURE, ReplaySet(60), attempt._say).answer(
            network(), {TOY.name: TOY}, call.flight, WALL_S, 0.0
        )
        assert forged is not None
        with pytest.raises(HandshakeFailed) as failed:
            call.finish(forged, by_node)
        assert failed.value.message == REFUSED


def test_who_has_the_fingerprint_reads_no_answer_and_passes_none_on() -> None:
    """In the middle with a key of its own: the node signs for that one, not for the caller's."""
    attempt = Attempt()
    true, between = attempt.call(), attempt.call()
    answer = attempt.answer(between.flight)
    assert answer is not None
    with pytest.raises(HandshakeFailed):
        true.finish(answer, by_node)
    # What it got itself, put into an answer to the true call under keys that it can make.
    stolen: list[bytes] = []

    def steal(answer: bytes, message: bytes, signature: bytes) -> bool:
        stolen.append(signature)
        return True

    between.finish(answer, steal)
    relayed = ColdResponder(
        NodeSigner(NODE, lambda message: stolen[0]), SIGNATURE, ReplaySet(60), attempt._say
    )
    forged = relayed.answer(network(), {TOY.name: TOY}, true.flight, WALL_S, 0.0)
    assert forged is not None
    with pytest.raises(HandshakeFailed):
        true.finish(forged, by_node)


def test_the_signature_is_over_the_answer() -> None:
    attempt = Attempt()
    call = attempt.call()
    true = signer(NODE)

    def other_words(message: bytes) -> bytes:
        assert b"fresh" in message
        return true.sign(message.replace(b"fresh", b"stale"))

    attempt.responder = attempt.desk(NodeSigner(NODE, other_words))
    flight = attempt.answer(call.flight)
    assert flight is not None
    with pytest.raises(HandshakeFailed):
        call.finish(flight, by_node)


def test_signatures_of_cold_and_warm_differ() -> None:
    signed: list[bytes] = []

    def remember(message: bytes) -> bytes:
        signed.append(message)
        return bytes(SIGNATURE)

    attempt = Attempt()
    attempt.responder = attempt.desk(NodeSigner(NODE, remember))
    attempt.answer(attempt.call().flight)
    attempt.answer(attempt.call().flight)
    assert len(set(signed)) == len(signed) == 2
    assert all(b"link cold" in message for message in signed)
    assert not any(b"link resp" in message or b"link init" in message for message in signed)


def test_a_call_is_answered_once() -> None:
    suite = CountingSuite()
    attempt = Attempt(suite)
    call = attempt.call()
    assert attempt.answer(call.flight) is not None
    before = suite.encapsulations
    for _ in range(int(2 * ANSWERS_BURST)):
        with pytest.raises((HandshakeFailed, PeerViolation)):
            attempt.answer(call.flight)
    assert suite.encapsulations == before
    # What was heard once and is repeated takes no answer from anybody.
    assert attempt.answer(attempt.call().flight) is not None


def test_one_key_is_answered_once_whatever_it_is_wrapped_in() -> None:
    attempt = Attempt()
    call = attempt.call()
    assert attempt.answer(call.flight) is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountingSuite, "generate", lambda self: call._ephemeral)
        again = ColdCaller(network(), CountingSuite(), NODE, WALL_S)
    assert again.flight != call.flight
    with pytest.raises(PeerViolation):
        attempt.answer(again.flight)


def test_after_an_unclean_start_older_calls_are_refused() -> None:
    attempt = Attempt()
    attempt.replays = ReplaySet(60, refuse_until_s=WALL_S + 60)
    attempt.responder = attempt.desk(signer(NODE))
    with pytest.raises(PeerViolation):
        attempt.answer(attempt.call().flight)
    assert not attempt.said


def test_all_callers_together_get_so_many_answers() -> None:
    suite = CountingSuite()
    attempt = Attempt(suite)
    given_at: list[float] = []
    for n in range(int(ANSWERS_BURST) + 200):
        elapsed_s = max(0.0, n - ANSWERS_BURST) / 100
        try:
            assert attempt.answer(attempt.call().flight, elapsed_s=elapsed_s) is not None
            given_at.append(elapsed_s)
        except HandshakeFailed:
            assert n >= ANSWERS_BURST
    # Two seconds' worth beyond the burst.
    assert ANSWERS_BURST + 38 <= len(given_at) <= ANSWERS_BURST + 42
    assert suite.encapsulations == len(given_at) == len(attempt.replays)


def test_a_flood_of_anything_costs_hashes_alone() -> None:
    suite = CountingSuite()
    attempt = Attempt(suite)
    for n in range(200):
        assert attempt.answer(n.to_bytes(4, "big") * (FLIGHT // 4)) is None
    assert suite.decapsulations == suite.encapsulations == len(attempt.replays) == 0


@settings(deadline=None, max_examples=80)
@given(
    field=st.integers(0, 3),
    value=st.sampled_from([0, 1, 2, 31, 33, 255, 8_000, 65_535, 2**32 - 1, 2**64 - 1]),
)
def test_every_field_at_its_limits_is_refused_or_right(field: int, value: int) -> None:
    attempt = Attempt()
    true = (int(WALL_S) // 60, 3, 0, 32)
    most = (2**32 - 1, 2**64 - 1, 2**8 - 1, 2**16 - 1)
    lies = tuple(min(value, most[at]) if at == field else kept for at, kept in enumerate(true))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold, "CALL_HEAD", Lies(cold.CALL_HEAD, *lies))  # type: ignore[arg-type]
        call = attempt.call()
    if lies == true or lies[2] == 1:
        assert attempt.answer(call.flight) is not None
        return
    with pytest.raises((HandshakeFailed, PeerViolation)):
        attempt.answer(call.flight)


@settings(deadline=None, max_examples=40)
@given(sizes=st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)))
def test_an_answers_lengths_may_lie(sizes: tuple[int, int]) -> None:
    attempt = Attempt()
    call = attempt.call()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold, "ANSWER_HEAD", Lies(cold.ANSWER_HEAD, *sizes))  # type: ignore[arg-type]
        flight = attempt.answer(call.flight)
    assert flight is not None
    if sizes == (SIGNATURE, 5):
        return
    with pytest.raises(HandshakeFailed):
        call.finish(flight, by_node)


def test_an_unusable_key_is_one_more_refusal() -> None:
    class Careless(CountingSuite):
        def generate(self):  # type: ignore[no-untyped-def]
            return dataclasses.replace(super().generate(), public=bytes(32))

    attempt = Attempt(Careless())
    with pytest.raises(HandshakeFailed) as failed:
        attempt.answer(attempt.call().flight)
    assert failed.value.message == REFUSED


@pytest.mark.parametrize("suite", SUITES, **ids)
@settings(deadline=None, max_examples=25)
@given(flight=st.binary(max_size=300), fill=st.integers(0, 255))
def test_any_bytes_are_nobodys_or_refused(suite: CipherSuite, flight: bytes, fill: int) -> None:
    attempt = Attempt(suite)
    call = attempt.call()
    padded = flight.ljust(FLIGHT, bytes([fill]))
    assert attempt.answer(padded) is None
    head = SALT_SIZE + LINK_TAG_SIZE
    with pytest.raises(HandshakeFailed):
        attempt.answer(call.flight[:head] + padded[head:])
    with pytest.raises(HandshakeFailed):
        call.finish(padded, by_node)


def test_nothing_of_the_caller_shows_twice() -> None:
    attempt = Attempt()
    calls = [attempt.call() for _ in range(3)]
    assert len({call._ephemeral.public for call in calls}) == 3
    assert len({digest("x", call.flight[at : at + 16]) for call in calls for at in range(0, FLIGHT, 16)}) == (
        3 * FLIGHT // 16
    )


@pytest.mark.parametrize("suite", SUITES, **ids)
def test_flights_look_random(suite: CipherSuite) -> None:
    """Also where a KEM's keys and ciphertexts do not: every byte's every bit, over many flights."""
    firsts, seconds = [], []
    rounds = 120
    for _ in range(rounds):
        attempt = Attempt(suite)
        call = attempt.call()
        firsts.append(call.flight)
        seconds.append(attempt.answer(call.flight) or b"")
    for flights in (firsts, seconds):
        joined = b"".join(flights)
        expected = len(joined) / 256
        chi = sum((joined.count(value) - expected) ** 2 / expected for value in range(256))
        assert chi < 255 + 6 * 22.6  # 255 degrees of freedom: mean 255, deviation 22.6
        # A bit that is the same in every flight, such as the top one of an X25519 key.
        for at in range(suite.ciphertext_size + 64):
            column = bytes(flight[at] for flight in flights)
            for bit in range(8):
                ones = sum(byte >> bit & 1 for byte in column)
                assert 20 < ones < rounds - 20, (at, bit)
