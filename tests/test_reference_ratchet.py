"""The product's ratchet is the vectors', and turns together with the reference's over several epochs."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference import generate, ratchet
from reference.ratchet import REQUEST, RESPONSE, Direction
from reference.recorded import FROZEN
from reference.suites import SUITES
from scripted_suite import Scripted, product_suite

from port17.errors import PeerViolation
from port17.wire.ratchet import Chain, InitiatorRatchet, ResponderRatchet, Session

VECTORS = generate.read()["ratchet"]
FEW = settings(max_examples=4, deadline=None, phases=[Phase.generate])
"""Whatever differs differs in the smallest example, too: looking for that one says nothing."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def seal(chain: Chain, text: bytes) -> bytes:
    sealed = bytearray(len(text) + 16)
    chain.seal(text, sealed)
    return bytes(sealed)


def opened(chain: Chain, sealed: bytes) -> bytes:
    plain = bytearray(len(sealed) - 16)
    chain.open(sealed, plain)
    return bytes(plain)


class Both:
    """Both ends of a vector's session, in the product."""

    def __init__(self, name: str, case: dict[str, Any], cells_per_step: int) -> None:
        self.suite = Scripted(name)
        self.kem = case["kem"]
        key, binding = unhex(case["key"]), unhex(case["binding"])
        # In every direction the first of a pair seals and the second opens.
        near, far = (Session(self.suite, key, binding, cells_per_step) for _ in range(2))
        self.ways = {"forward": (near.forward, far.forward), "backward": (far.backward, near.backward)}
        first = self.suite.load_private(unhex(self.kem["RSP 0"]["seed"]))
        self.initiator = InitiatorRatchet(near, first)
        self.responder = ResponderRatchet(far, first.public)

    def cells(self, event: dict[str, Any]) -> None:
        """So many cells, of which the vector has the last."""
        seals, opens = self.ways[event["way"]]
        for _ in range(event["cells"] - 1):
            opened(opens, seal(seals, b"any"))
        assert seals.counter == opens.counter == event["counter"]
        for chain in (seals, opens):
            assert chain.heads(1, 68).hex() == event["keystream"]
            assert chain.filler().hex() == event["filler"]
        sealed = seal(seals, unhex(event["plaintext"]))
        assert sealed.hex() == event["sealed"]
        assert opened(opens, sealed).hex() == event["plaintext"]

    def turn(self, event: dict[str, Any]) -> None:
        """A RATCHET frame in a cell of its own."""
        seals, opens = self.ways[event["way"]]
        self.suite.will_encapsulate(self.kem[event["turn"]])
        key = self.suite.will_generate(event["new_seed"])
        asking = event["kind"] == REQUEST
        turn = self.initiator.request() if asking else self.responder.response(self.suite.generate())
        assert hashlib.sha256(turn.data).hexdigest() == event["frame_sha256"]
        assert turn.data[-len(key.public) :] == key.public
        assert seals.counter == event["counter"]
        sealed = seal(seals, turn.data)
        turn.sealed()
        assert hashlib.sha256(sealed).hexdigest() == event["sealed_sha256"]
        (self.responder.request if asking else self.initiator.response)(opened(opens, sealed))


@pytest.mark.parametrize("run", range(3))
@pytest.mark.parametrize("name", FROZEN)
def test_both_ends_are_the_vectors(name: str, run: int) -> None:
    case = VECTORS[name]["runs"][run]
    both = Both(name, VECTORS[name], case["cells_per_step"])
    for event in case["events"]:
        both.turn(event) if "turn" in event else both.cells(event)
    assert both.suite.used_up
    assert both.initiator.epoch == both.responder.epoch == 3
    for seals, opens in both.ways.values():
        assert seals.rekeys == opens.rekeys >= 3
        assert seals.steps == opens.steps > 0


# -- with the reference at the other end ------------------------------------------------------------
class Peer:
    """The reference's end: two directions, its own newest key and the peer's."""

    def __init__(self, name: str, key: bytes, binding: bytes, step: int) -> None:
        self.suite = SUITES[name]
        self.forward, self.backward = ratchet.session(self.suite, key, binding, step)
        self.seed = b""
        self.peer = b""
        self.epoch = 0

    def new_key(self) -> bytes:
        """The public half."""
        self.seed = os.urandom(self.suite.kem.seed_size)
        return self.suite.kem.public(self.seed)

    def say(self, kind: int, way: Direction) -> bytes:
        """A frame, sealed; the way turns behind it."""
        secret, ciphertext = self.suite.kem.encapsulate(self.peer)
        frame = ratchet.encode_frame(kind, self.epoch, ciphertext, self.new_key())
        sealed = way.seal(frame)
        way.turn(secret, frame)
        return sealed

    def hear(self, kind: int, way: Direction, sealed: bytes) -> None:
        """A frame came, sealed."""
        frame = way.open(sealed)
        said, epoch, ciphertext, self.peer = ratchet.decode_frame(self.suite, frame)
        assert (said, epoch) == (kind, self.epoch)
        way.turn(self.suite.kem.decapsulate(self.seed, ciphertext), frame)


def exchange(chain: Chain, direction: Direction, product_seals: bool, cells: int) -> None:
    for index in range(cells):
        text = b"cell %d" % index
        assert chain.filler() == direction.filler()
        assert chain.heads(1, 68) == direction.keystream(68)
        if product_seals:
            assert direction.open(seal(chain, text)) == text
        else:
            assert opened(chain, direction.seal(text)) == text


cells = st.lists(st.tuples(*[st.integers(0, 5)] * 4), min_size=3, max_size=4)
steps = st.sampled_from([1, 2, 3, 128])
keys = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(step=steps, key=keys, binding=keys, epochs=cells)
def test_the_product_asks_the_reference(
    name: str, step: int, key: bytes, binding: bytes, epochs: list[tuple[int, ...]]
) -> None:
    suite = product_suite(name)
    near, far = Session(suite, key, binding, step), Peer(name, key, binding, step)
    first = suite.generate()
    initiator, far.peer = InitiatorRatchet(near, first), first.public
    exchange(near.forward, far.forward, True, 3)
    initiator.response(opened(near.backward, far.say(RESPONSE, far.backward)))
    for a, b, c, d in epochs:
        exchange(near.forward, far.forward, True, a)
        exchange(near.backward, far.backward, False, b)
        turn = initiator.request()
        sealed = seal(near.forward, turn.data)
        turn.sealed()
        far.epoch += 1
        far.hear(REQUEST, far.forward, sealed)
        exchange(near.backward, far.backward, False, c)
        exchange(near.forward, far.forward, True, d)
        initiator.response(opened(near.backward, far.say(RESPONSE, far.backward)))
    exchange(near.forward, far.forward, True, 2)
    exchange(near.backward, far.backward, False, 2)


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(step=steps, key=keys, binding=keys, epochs=cells)
def test_the_reference_asks_the_product(
    name: str, step: int, key: bytes, binding: bytes, epochs: list[tuple[int, ...]]
) -> None:
    suite = product_suite(name)
    far, near = Session(suite, key, binding, step), Peer(name, key, binding, step)
    responder = ResponderRatchet(far, near.new_key())

    def answer() -> None:
        turn = responder.response(suite.generate())
        sealed = seal(far.backward, turn.data)
        turn.sealed()
        near.hear(RESPONSE, near.backward, sealed)

    exchange(far.forward, near.forward, False, 3)
    answer()
    for a, b, c, d in epochs:
        exchange(far.forward, near.forward, False, a)
        exchange(far.backward, near.backward, True, b)
        near.epoch += 1
        responder.request(opened(far.forward, near.say(REQUEST, near.forward)))
        exchange(far.backward, near.backward, True, c)
        exchange(far.forward, near.forward, False, d)
        answer()
    exchange(far.forward, near.forward, False, 2)
    exchange(far.backward, near.backward, True, 2)


def test_a_request_out_of_turn_is_refused_whoever_sends_it() -> None:
    name = "p17-1-x25519-chacha20poly1305-blake2s"
    suite = product_suite(name)
    far, near = Session(suite, bytes(32), b"", 3), Peer(name, bytes(32), b"", 3)
    responder = ResponderRatchet(far, near.new_key())
    turn = responder.response(suite.generate())
    sealed = seal(far.backward, turn.data)
    turn.sealed()
    near.hear(RESPONSE, near.backward, sealed)
    near.epoch = 2
    with pytest.raises(PeerViolation):
        responder.request(opened(far.forward, near.say(REQUEST, near.forward)))
