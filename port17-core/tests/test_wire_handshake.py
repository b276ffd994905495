"""The link's handshake: both ends agree, everything else fails in one way, and nothing of it shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from port17.errors import HandshakeFailed, PeerViolation
from port17.wire import handshake
from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import LINK_TAG_SIZE, SALT_SIZE, Established, Initiator, NodeSigner, respond
from port17.wire.prekey import Network, OwnPrekey
from port17.wire.ratchet import Chain
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite

from .wire_network import WALL_S, Clock, Host, network, signer, verify
from .wire_suites import SUITES, TOY, CountingSuite, Lies

FLIGHT = 2 * BLOCK_SIZE
REFUSED = "a link's handshake was refused"
ids = {"ids": lambda suite: suite.name}


class Attempt:
    """One handshake, with whatever a test puts in another's place."""

    def __init__(self, suite: CipherSuite = TOY, *, node: bool = False) -> None:
        self.host = Host(1, suite, Clock())
        self.caller = signer(b"c" * 32) if node else None
        self.network = network()
        self.public = self.host.public
        self.prekeys = [self.host.prekey]
        self.replays = ReplaySet(60)
        self.now_s = WALL_S

    def dial(self) -> Initiator:
        return Initiator(self.network, self.public, self.now_s, signer=self.caller)

    def answer(
        self, flight: bytes, *, at: Network | None = None, own: NodeSigner | None = None
    ) -> tuple[bytes, Established]:
        return respond(
            at or network(), own or self.host.signer, self.prekeys, self.replays, verify, flight, WALL_S
        )


def opens(one: Chain, other: Chain) -> bool:
    sealed, plain = bytearray(20), bytearray(4)
    one.seal(b"test", sealed)
    try:
        other.open(sealed, plain)
    except other.forged:
        return False
    return plain == b"test"


@pytest.mark.parametrize("node", [False, True], ids=["client", "node"])
@pytest.mark.parametrize("suite", SUITES, **ids)
def test_both_ends_agree(suite: CipherSuite, node: bool) -> None:
    attempt = Attempt(suite, node=node)
    dial = attempt.dial()
    flight, there = attempt.answer(dial.flight)
    here = dial.finish(flight, verify)
    assert here.transcript == there.transcript
    assert there.initiator == (b"c" * 32 if node else None)
    assert opens(here.early, there.early)
    assert opens(here.session.forward, there.session.forward)
    assert opens(there.session.backward, here.session.backward)
    assert not opens(here.early, there.session.forward)
    assert not opens(here.session.forward, there.session.backward)


@pytest.mark.parametrize("suite", SUITES, **ids)
def test_flights_have_one_length_whoever_calls(suite: CipherSuite) -> None:
    for node in (False, True):
        attempt = Attempt(suite, node=node)
        dial = attempt.dial()
        assert len(dial.flight) == FLIGHT
        assert len(attempt.answer(dial.flight)[0]) == FLIGHT


def test_no_two_handshakes_share_anything() -> None:
    attempt = Attempt()
    made = []
    for _ in range(3):
        dial = attempt.dial()
        flight, there = attempt.answer(dial.flight)
        made.append((dial, flight, there))
    assert len({there.transcript for _, _, there in made}) == 3
    with pytest.raises(HandshakeFailed):
        made[0][0].finish(made[1][1], verify)
    assert not opens(made[0][2].session.forward, made[1][2].session.forward)


@pytest.mark.parametrize("suite", SUITES, **ids)
@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 8 * FLIGHT - 1), late=st.booleans())
def test_any_flipped_bit_fails_in_one_way(suite: CipherSuite, place: int, late: bool) -> None:
    attempt = Attempt(suite)
    dial = attempt.dial()
    flight = dial.flight
    if late:
        flight = attempt.answer(dial.flight)[0]
    altered = bytearray(flight)
    altered[place // 8] ^= 1 << place % 8
    with pytest.raises(HandshakeFailed) as failed:
        if late:
            dial.finish(bytes(altered), verify)
        else:
            attempt.answer(bytes(altered))
    assert failed.value.message == REFUSED
    assert len(attempt.replays) == late
    # What was altered on its way costs the true one nothing.
    if not late:
        attempt.answer(dial.flight)


def _other_record(attempt: Attempt) -> None:
    attempt.public = dataclasses.replace(attempt.public, record_hash=b"o" * 32)


def _other_key(attempt: Attempt) -> None:
    attempt.public = dataclasses.replace(attempt.public, public=TOY.generate().public)


def _other_node(attempt: Attempt) -> None:
    attempt.public = dataclasses.replace(attempt.public, fingerprint=b"o" * 32)


def _other_network(attempt: Attempt) -> None:
    attempt.network = dataclasses.replace(attempt.network, network_id=b"o" * 32)


def _other_revision(attempt: Attempt) -> None:
    attempt.network = network(4)


def _no_prekey(attempt: Attempt) -> None:
    attempt.prekeys = []


def _unsigned(attempt: Attempt) -> None:
    attempt.caller = NodeSigner(b"c" * 32, lambda message: b"")


def _signed_by_another(attempt: Attempt) -> None:
    attempt.caller = NodeSigner(b"c" * 32, signer(b"d" * 32).sign)


def _signs_something_else(attempt: Attempt) -> None:
    attempt.caller = NodeSigner(b"c" * 32, lambda message: signer(b"c" * 32).sign(message + b"!"))


def _long_ago(attempt: Attempt) -> None:
    attempt.now_s -= 1000


def _yet_to_come(attempt: Attempt) -> None:
    attempt.now_s += 1000


@pytest.mark.parametrize(
    "spoil",
    [
        _other_record,
        _other_key,
        _other_node,
        _other_network,
        _other_revision,
        _no_prekey,
        _unsigned,
        _signed_by_another,
        _signs_something_else,
        _long_ago,
        _yet_to_come,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_a_first_flight_of_anything_else_is_refused(spoil: Callable[[Attempt], None]) -> None:
    attempt = Attempt()
    spoil(attempt)
    with pytest.raises((HandshakeFailed, PeerViolation)):
        attempt.answer(attempt.dial().flight)


def test_an_initiator_takes_an_answer_of_its_responder_alone() -> None:
    for own in (
        signer(b"o" * 32),
        NodeSigner(Host(1, TOY, Clock()).fingerprint, lambda message: b""),
        NodeSigner(Host(1, TOY, Clock()).fingerprint, signer(b"o" * 32).sign),
    ):
        attempt = Attempt()
        dial = attempt.dial()
        with pytest.raises(HandshakeFailed):
            dial.finish(attempt.answer(dial.flight, own=own)[0], verify)


def test_signatures_name_what_they_sign_for_each_end() -> None:
    signed: list[bytes] = []

    def remember(message: bytes) -> bytes:
        signed.append(message)
        return b"s"

    attempt = Attempt()
    attempt.caller = NodeSigner(b"c" * 32, remember)
    for _ in range(2):
        dial = attempt.dial()
        respond(
            network(),
            NodeSigner(attempt.host.fingerprint, remember),
            attempt.prekeys,
            attempt.replays,
            lambda *args: True,
            dial.flight,
            WALL_S,
        )
    assert len(set(signed)) == 4
    assert all(b"link init" in one and b"link resp" in other for one, other in (signed[:2], signed[2:]))


def test_a_flight_opens_once() -> None:
    suite = CountingSuite()
    attempt = Attempt(suite)
    dial = attempt.dial()
    attempt.answer(dial.flight)
    before = suite.decapsulations
    with pytest.raises((HandshakeFailed, PeerViolation)):
        attempt.answer(dial.flight)
    # Looked up before the costly part.
    assert suite.decapsulations == before


def test_a_flood_of_flights_costs_no_decapsulation() -> None:
    suite = CountingSuite()
    attempt = Attempt(suite)
    attempt.prekeys = [
        dataclasses.replace(attempt.host.prekey, slot=n, record_hash=bytes([n]) * 32) for n in (1, 2)
    ]
    for n in range(200):
        with pytest.raises(HandshakeFailed):
            attempt.answer(n.to_bytes(4, "big") * (FLIGHT // 4))
    assert suite.decapsulations == suite.encapsulations == 0
    assert len(attempt.replays) == 0


def test_every_prekey_in_force_is_found() -> None:
    attempt = Attempt()
    others = [OwnPrekey(TOY, bytes([n]) * 32, n, TOY.generate(), WALL_S + 1) for n in (1, 2)]
    attempt.prekeys = [*others, attempt.host.prekey]
    attempt.answer(attempt.dial().flight)


def test_both_revisions_of_an_overlap_are_taken() -> None:
    attempt = Attempt()
    for revisions, takes in (((3,), True), ((4, 3), True), ((5, 4), False)):
        dial = attempt.dial()
        if takes:
            flight, there = attempt.answer(dial.flight, at=network(*revisions))
            assert dial.finish(flight, verify).transcript == there.transcript
        else:
            with pytest.raises(HandshakeFailed):
                attempt.answer(dial.flight, at=network(*revisions))


def test_an_unusable_prekey_is_a_failure_before_anything_is_sent() -> None:
    attempt = Attempt()
    attempt.public = dataclasses.replace(attempt.public, public=bytes(32))
    with pytest.raises(HandshakeFailed):
        attempt.dial()


def test_an_unusable_ephemeral_key_is_one_more_refusal() -> None:
    class Careless(CountingSuite):
        def generate(self) -> Any:
            return dataclasses.replace(super().generate(), public=bytes(32))

    attempt = Attempt()
    attempt.public = dataclasses.replace(attempt.public, suite=Careless())
    with pytest.raises(HandshakeFailed) as failed:
        attempt.answer(attempt.dial().flight)
    assert failed.value.message == REFUSED


def test_a_signature_that_does_not_fit_is_refused_by_whoever_makes_it() -> None:
    attempt = Attempt()
    attempt.caller = NodeSigner(b"c" * 32, lambda message: bytes(FLIGHT))
    with pytest.raises(HandshakeFailed) as failed:
        attempt.dial()
    assert failed.value.cure


@pytest.mark.parametrize("suite", SUITES, **ids)
@settings(deadline=None, max_examples=40)
@given(flight=st.binary(max_size=300), fill=st.integers(0, 255))
def test_any_bytes_are_refused_in_one_way(suite: CipherSuite, flight: bytes, fill: int) -> None:
    attempt = Attempt(suite)
    dial = attempt.dial()
    padded = flight.ljust(FLIGHT, bytes([fill]))
    for wrong in (padded, dial.flight[: SALT_SIZE + LINK_TAG_SIZE] + padded[SALT_SIZE + LINK_TAG_SIZE :]):
        with pytest.raises(HandshakeFailed) as failed:
            attempt.answer(wrong)
        assert failed.value.message == REFUSED
    with pytest.raises(HandshakeFailed):
        dial.finish(padded, verify)


@settings(deadline=None, max_examples=120)
@given(
    field=st.integers(0, 4),
    value=st.one_of(st.integers(0, 70), st.sampled_from([255, 8_000, 65_535, 2**32 - 1, 2**64 - 1])),
)
@example(field=3, value=0)
@example(field=3, value=2)
@example(field=2, value=0)
@example(field=2, value=65_535)
@example(field=4, value=65_535)
def test_every_field_at_its_limits_is_refused_or_right(field: int, value: int) -> None:
    """A first flight whose maker knows the prekey, and lies in one field of its box."""
    attempt = Attempt(node=True)
    true = (int(WALL_S) // 60, 3, 32, 1, 32)
    most = (2**32 - 1, 2**64 - 1, 2**16 - 1, 2**8 - 1, 2**16 - 1)
    lies = tuple(min(value, most[at]) if at == field else kept for at, kept in enumerate(true))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "BOX_HEAD", Lies(handshake.BOX_HEAD, *lies))
        dial = attempt.dial()
    if lies == true:
        return
    if lies[3] == 0:
        # It is taken for a client, and binds itself to nothing: the two ends have no keys in common.
        flight, there = attempt.answer(dial.flight)
        assert there.initiator is None
        with pytest.raises(HandshakeFailed):
            dial.finish(flight, verify)
        return
    with pytest.raises((HandshakeFailed, PeerViolation)):
        attempt.answer(dial.flight)


@pytest.mark.parametrize("kind", range(2, 256, 23))
def test_a_caller_is_a_client_or_a_node_and_nothing_else(kind: int) -> None:
    """Signed over by whoever made it, so that nothing else is wrong with it."""
    attempt = Attempt(node=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshake, "BOX_HEAD", Lies(handshake.BOX_HEAD, int(WALL_S) // 60, 3, 32, kind, 32))
        dial = attempt.dial()
    with pytest.raises(HandshakeFailed):
        attempt.answer(dial.flight)


def test_flights_look_random() -> None:
    joined = bytearray()
    starts = set()
    for node in (False, True):
        attempt = Attempt(node=node)
        for _ in range(40):
            dial = attempt.dial()
            flight = attempt.answer(dial.flight)[0]
            joined += dial.flight + flight
            starts |= {
                bytes(f[at : at + 16]) for f in (dial.flight, flight) for at in (0, 16, 32, 48, FLIGHT - 16)
            }
    assert len(starts) == 2 * 40 * 10
    expected = len(joined) / 256
    chi = sum((joined.count(value) - expected) ** 2 / expected for value in range(256))
    # 255 degrees of freedom: mean 255, deviation 22.6.
    assert chi < 255 + 6 * 22.6
    bits = sum(byte.bit_count() for byte in joined) / (8 * len(joined))
    assert abs(bits - 0.5) < 0.001
