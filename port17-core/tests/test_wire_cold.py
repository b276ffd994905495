"""The cold handshake: an answer reaches who asked, from who was asked, and nothing else comes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from port17.errors import HandshakeFailed, PeerViolation
from port17.wire.block import BLOCK_SIZE
from port17.wire.cold import ANSWERS_BURST, ColdResponder, Want, answer_room
from port17.wire.flight import LINK_TAG_SIZE, SALT_SIZE, NodeSigner
from port17.wire.handshake import Initiator, respond
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite

from .cold_attempt import FLIGHT, NODE, REFUSED, SIGNATURE, Attempt, by_node, ids
from .wire_network import WALL_S, Clock, Host, network, signer, verify
from .wire_suites import SUITES, TOY


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
