"""A man between a caller and a node, who rewrites their flights: both have the strong suite, or nothing.

He knows every prekey record, as everybody does, and so can make tags and flights of his own. The node holds
prekeys of both suites, and answers whoever comes with either: only the caller's choice counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rig.stage import COMPOSITE, SINGLE, STRONG, WEAK, Person, Stage

from port17.errors import HandshakeFailed, PeerViolation
from port17.wire import cold as wire_cold
from port17.wire import handshake
from port17.wire.cold import ColdCaller, ColdResponder
from port17.wire.handshake import (
    LINK_TAG_SIZE,
    SALT_SIZE,
    Established,
    Initiator,
    NodeSigner,
    respond,
)
from port17.wire.onion import xor
from port17.wire.prekey import Network, ResponderKey
from port17.wire.replay import ReplaySet
from port17.wire.suite import CipherSuite
from port17_crypto import ed25519

HALF = ed25519.SIGNATURE_SIZE
BODY = SALT_SIZE + LINK_TAG_SIZE
"""Where the masked ciphertext begins."""


class Scene:
    """A node with prekeys of both suites, a caller who prefers the strong one, and what each knows."""

    def __init__(self, stage: Stage, *, caller: Person | None = None) -> None:
        self.stage = stage
        self.oak = stage.person("oak")
        self.caller = caller
        self.known = {who.identity.fingerprint: who for who in (self.oak, caller) if who is not None}
        self.network = Network(stage.charter.network_id, (0,), 2, 120.0)
        self.replays = ReplaySet(120)

    def verify(self, fingerprint: bytes, message: bytes, signature: bytes) -> bool:
        """Whether a known node signed."""
        who = self.known.get(fingerprint)
        return who is not None and COMPOSITE.verify(who.identity.public, message, signature)

    def to(self, suite: CipherSuite) -> ResponderKey:
        """The node by one of its prekeys."""
        own = self.oak.own(suite)
        return ResponderKey(suite, self.oak.identity.fingerprint, own.record_hash, own.slot, own.key.public)

    def dial(self, suite: CipherSuite = STRONG) -> Initiator:
        """The honest caller's side."""
        return Initiator(
            self.network, self.to(suite), self.stage.now, signer=signer(self.caller) if self.caller else None
        )

    def answer(self, flight: bytes, sign: NodeSigner | None = None) -> tuple[bytes, Established]:
        """What the node makes of a first flight.

        :raises HandshakeFailed: nothing.
        """
        prekeys = [own for _, own in self.oak.prekeys]
        return respond(
            self.network,
            sign or signer(self.oak),
            prekeys,
            self.replays,
            self.verify,
            flight,
            self.stage.now,
        )

    def refuses(self, flight: bytes) -> None:
        """The node takes a flight for nobody's."""
        before = len(self.replays)
        with pytest.raises((HandshakeFailed, PeerViolation)):
            self.answer(flight)
        assert len(self.replays) == before


def signer(who: Person) -> NodeSigner:
    """How a node signs."""
    return NodeSigner(who.identity.fingerprint, lambda message: COMPOSITE.sign(who.key, message))


@pytest.fixture(params=["a client", "a node"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    stage = Stage(tmp_path)
    return Scene(stage, caller=stage.person("fir") if request.param == "a node" else None)


def test_the_control(scene: Scene) -> None:
    """Undisturbed, both ends have the keys of the suite that the caller chose, either of them."""
    for suite in (STRONG, WEAK):
        dial = scene.dial(suite)
        flight, there = scene.answer(dial.flight)
        here = dial.finish(flight, scene.verify)
        assert here.session.suite.name == there.session.suite.name == suite.name
        assert here.transcript == there.transcript
        assert there.initiator == (scene.caller.identity.fingerprint if scene.caller else None)


# -- flight 1 ---------------------------------------------------------------------------------------
def weak_tag(scene: Scene, flight: bytes) -> bytes:
    """The tag of the weak prekey in front of a strong flight."""
    salt = flight[:SALT_SIZE]
    return salt + handshake._tag(WEAK, scene.oak.own(WEAK).record_hash, salt) + flight[BODY:]


def weak_tag_and_mask(scene: Scene, flight: bytes) -> bytes:
    """The same, with what is under the strong mask put under the weak one."""
    salt, strong, weak = flight[:SALT_SIZE], scene.oak.own(STRONG), scene.oak.own(WEAK)
    size = STRONG.ciphertext_size
    ciphertext = xor(flight[BODY : BODY + size], handshake._mask(STRONG, strong.record_hash, salt))
    masked = xor(ciphertext[: WEAK.ciphertext_size], handshake._mask(WEAK, weak.record_hash, salt))
    return (
        salt + handshake._tag(WEAK, weak.record_hash, salt) + masked + flight[BODY + WEAK.ciphertext_size :]
    )


def weak_encapsulation(scene: Scene, flight: bytes) -> bytes:
    """A weak key exchange of the man's own before the caller's box."""
    salt, weak = flight[:SALT_SIZE], scene.oak.own(WEAK)
    _, ciphertext = WEAK.encapsulate(weak.key.public)
    masked = xor(ciphertext, handshake._mask(WEAK, weak.record_hash, salt))
    return salt + handshake._tag(WEAK, weak.record_hash, salt) + masked + flight[BODY + len(masked) :]


def another_encapsulation(scene: Scene, flight: bytes) -> bytes:
    """Even a strong one of the man's own is not the caller's."""
    salt, strong = flight[:SALT_SIZE], scene.oak.own(STRONG)
    _, ciphertext = STRONG.encapsulate(strong.key.public)
    masked = xor(ciphertext, handshake._mask(STRONG, strong.record_hash, salt))
    return flight[:BODY] + masked + flight[BODY + len(masked) :]


def ciphertext_of_another_flight(scene: Scene, flight: bytes) -> bytes:
    """The masked ciphertexts of two flights change places."""
    other = scene.dial().flight
    end = BODY + STRONG.ciphertext_size
    return flight[:BODY] + other[BODY:end] + flight[end:]


def box_of_another_flight(scene: Scene, flight: bytes) -> bytes:
    """The boxes do."""
    end = BODY + STRONG.ciphertext_size
    return flight[:end] + scene.dial().flight[end:]


def no_tag(scene: Scene, flight: bytes) -> bytes:
    """A tag of no prekey at all, in the hope of another flight."""
    return flight[:SALT_SIZE] + bytes(LINK_TAG_SIZE) + flight[BODY:]


REWRITES = (
    weak_tag,
    weak_tag_and_mask,
    weak_encapsulation,
    another_encapsulation,
    ciphertext_of_another_flight,
    box_of_another_flight,
    no_tag,
)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewritten_first_flight_is_nobodys(scene: Scene, rewrite: Callable[[Scene, bytes], bytes]) -> None:
    dial = scene.dial()
    scene.refuses(rewrite(scene, dial.flight))
    # It was the man: the flight itself is good still.
    flight, _ = scene.answer(dial.flight)
    assert dial.finish(flight, scene.verify).session.suite.name == STRONG.name


def test_a_weak_flight_of_the_mans_own_gives_him_a_link_and_the_caller_none(scene: Scene) -> None:
    """The node answers him, as it answers every client; that answer is worth nothing to the caller."""
    dial = scene.dial()
    his = Initiator(scene.network, scene.to(WEAK), scene.stage.now)
    flight, there = scene.answer(his.flight)
    assert there.initiator is None
    with pytest.raises(HandshakeFailed):
        dial.finish(flight, scene.verify)


def test_the_man_cannot_say_that_he_is_the_calling_node(tmp_path: Path) -> None:
    """His weak flight names the caller, with whatever signature he can get."""
    stage = Stage(tmp_path)
    scene = Scene(stage, caller=stage.person("fir"))
    assert scene.caller is not None
    caller, name = scene.caller, scene.caller.identity.fingerprint
    seen: list[bytes] = []

    def kept(message: bytes) -> bytes:
        seen.append(COMPOSITE.sign(caller.key, message))
        return seen[-1]

    honest = Initiator(scene.network, scene.to(STRONG), stage.now, signer=NodeSigner(name, kept))
    stranger = COMPOSITE.generate()
    for sign in (
        lambda message: seen[0],  # as if he had it: it is over another suite and another key exchange
        lambda message: b"",
        lambda message: COMPOSITE.sign(stranger, message),
        lambda message: COMPOSITE.sign(caller.key, message)[:HALF],  # Ed25519 is broken
    ):
        his = Initiator(scene.network, scene.to(WEAK), stage.now, signer=NodeSigner(name, sign))
        with pytest.raises(HandshakeFailed):
            scene.answer(his.flight)
    scene.answer(honest.flight)


# -- flight 2 ---------------------------------------------------------------------------------------
def test_an_answer_to_another_flight_is_none(scene: Scene) -> None:
    """Of the weak suite or the strong one, to this caller or to somebody else, as long or shortened."""
    dial = scene.dial()
    for other in (scene.dial(WEAK), scene.dial(STRONG)):
        flight, _ = scene.answer(other.flight)
        assert other.finish(flight, scene.verify)
        for wrong in (flight, flight[: len(flight) // 2], bytes(len(flight))):
            with pytest.raises(HandshakeFailed):
                dial.finish(wrong, scene.verify)
    flight, _ = scene.answer(dial.flight)
    assert dial.finish(flight, scene.verify).session.suite.name == STRONG.name


def test_who_has_stolen_prekeys_and_broken_ed25519_still_is_not_the_node(scene: Scene) -> None:
    """He can open the box and answer it; half of a composite signature is what he cannot make."""
    stranger = COMPOSITE.generate()
    public = (scene.oak.identity.public[0], stranger.public[1])
    for sign in (
        lambda message: COMPOSITE.sign(scene.oak.key, message)[:HALF],
        lambda message: COMPOSITE.sign(scene.oak.key, message)[:HALF].ljust(COMPOSITE.signature_size, b"\0"),
        lambda message: (
            COMPOSITE.sign(scene.oak.key, message)[:HALF] + COMPOSITE.sign(stranger, message)[HALF:]
        ),
        lambda message: COMPOSITE.sign(replace(stranger, public=public), message),
        lambda message: SINGLE.sign(SINGLE.generate(), message),
    ):
        dial = scene.dial()
        flight, _ = scene.answer(dial.flight, NodeSigner(scene.oak.identity.fingerprint, sign))
        with pytest.raises(HandshakeFailed):
            dial.finish(flight, scene.verify)
    dial = scene.dial()
    flight, _ = scene.answer(dial.flight)
    assert dial.finish(flight, scene.verify)


def test_a_suite_that_lies_about_its_name_has_no_keys_in_common(scene: Scene) -> None:
    """The name is in every transcript: who takes the same primitives for another suite gets nothing."""

    class Renamed(type(STRONG)):  # type: ignore[misc]
        name = "p17-1-xwing-aes256gcm-sha3"

    dial = Initiator(scene.network, replace(scene.to(STRONG), suite=Renamed()), scene.stage.now)
    scene.refuses(dial.flight)


# -- cold calls -------------------------------------------------------------------------------------
SAID = b"what the node says of itself"
SERVED = {suite.name: suite for suite in (STRONG, WEAK)}


def cold(oak: Person, sign: NodeSigner | None = None) -> ColdResponder:
    """A node that answers cold calls under either suite."""
    replays = ReplaySet(120)
    return ColdResponder(
        sign or signer(oak), COMPOSITE.signature_size, replays, lambda suite, want, room: SAID
    )


def test_a_cold_call_is_answered_under_its_own_suite_or_not_at_all(tmp_path: Path) -> None:
    """The man can read first flights of cold calls, as everybody can who knows the node, and make his own."""
    scene = Scene(Stage(tmp_path))
    network, now, name = scene.network, scene.stage.now, scene.oak.identity.fingerprint

    def check(answer: bytes, message: bytes, signature: bytes) -> bool:
        return scene.verify(name, message, signature)

    node = cold(scene.oak)
    call = ColdCaller(network, STRONG, name, now)
    for suite in (WEAK, STRONG):
        his = ColdCaller(network, suite, name, now)
        flight = node.answer(network, SERVED, his.flight, now, 0.0)
        assert flight is not None
        with pytest.raises(HandshakeFailed):
            call.finish(flight, check)
        assert his.finish(flight, check) == SAID
    key = wire_cold._cold_key(network, WEAK, name)
    salt = call.flight[:SALT_SIZE]
    with pytest.raises(HandshakeFailed):
        node.answer(network, SERVED, salt + wire_cold._tag(WEAK, key, salt) + call.flight[BODY:], now, 0.0)
    # Nor does he answer in the node's place, with what he has of its keys once Ed25519 is broken.
    half = NodeSigner(name, lambda message: COMPOSITE.sign(scene.oak.key, message)[:HALF])
    flight = cold(scene.oak, half).answer(network, SERVED, call.flight, now, 0.0)
    assert flight is not None
    with pytest.raises(HandshakeFailed):
        call.finish(flight, check)
    # The control: the call itself is good still.
    flight = node.answer(network, SERVED, call.flight, now, 0.0)
    assert flight is not None
    assert call.finish(flight, check) == SAID
