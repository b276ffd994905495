"""Cold calls that are repeated, made up or too many: each costs its caller more than us, and none shows."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import HandshakeFailed, PeerViolation
from port17.records.framing import digest
from port17.wire import cold
from port17.wire.cold import ANSWERS_BURST, ColdCaller
from port17.wire.flight import LINK_TAG_SIZE, SALT_SIZE
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite

from .cold_attempt import FLIGHT, NODE, REFUSED, SIGNATURE, Attempt, by_node, ids
from .wire_network import WALL_S, network, signer
from .wire_suites import SUITES, CountingSuite, Lies


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
