"""The product's handshake and SETUP are the vectors', byte for byte, and it talks with the reference."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference import framing, generate, handshake, setup
from reference.ratchet import Direction
from reference.recorded import FROZEN, same
from reference.suites import SUITES
from scripted_suite import Scripted, product_suite

from port17.errors import HandshakeFailed
from port17.wire import handshake as product
from port17.wire.handshake import Established, Initiator, NodeSigner, respond
from port17.wire.prekey import Network, OwnPrekey, ResponderKey
from port17.wire.ratchet import Chain
from port17.wire.replay import ReplaySet
from port17.wire.setup import make, open_setup
from port17.wire.suite import CipherSuite, KemKey

VECTORS = generate.read()
SKEW_S = 60.0
MINUTE_S = 60
FEW = settings(max_examples=5, deadline=None, phases=[Phase.generate])
"""Whatever differs differs in the smallest example, too: looking for that one says nothing."""
ids32 = st.binary(min_size=32, max_size=32)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def agree(chain: Chain, direction: Direction, *, product_seals: bool) -> None:
    """A few cells from one to the other."""
    for text in (b"one", b"and another"):
        if product_seals:
            sealed = bytearray(len(text) + 16)
            chain.seal(text, sealed)
            assert direction.open(bytes(sealed)) == text
        else:
            plain = bytearray(len(text))
            chain.open(direction.seal(text), plain)
            assert plain == text


class Case:
    """A vector of the handshake, and the product's view of both ends."""

    def __init__(self, name: str, caller: str, patch: pytest.MonkeyPatch) -> None:
        self.case = case = VECTORS["handshake"][name][caller]
        self.suite = Scripted(name)
        self.prekey = self.suite.load_private(unhex(case["kem"]["to the prekey"]["seed"]))
        self.ephemeral = case["kem"]["to the ephemeral key"]
        self.network = Network(unhex(case["network_id"]), (case["revision"],), case["flight_blocks"], SKEW_S)
        self.now_s = case["stamp"] * MINUTE_S + 17
        self.responder, self.record_hash = unhex(case["responder"]), unhex(case["record_hash"])
        self.initiator = unhex(case["initiator"])
        self.signatures = {
            unhex(case["initiator_signs"]): (self.initiator, unhex(case["signature_1"])),
            unhex(case["responder_signs"]): (self.responder, unhex(case["signature_2"])),
        }
        patch.setattr(product, "os", SimpleNamespace(urandom=self._urandom))

    def _urandom(self, size: int) -> bytes:
        assert size == len(self.case["salt"]) // 2
        return unhex(self.case["salt"])

    def _sign(self, message: bytes) -> bytes:
        return self.signatures[message][1]

    def verify(self, fingerprint: bytes, message: bytes, signature: bytes) -> bool:
        return self.signatures[message] == (fingerprint, signature)

    def dial(self) -> Initiator:
        self.suite.will_encapsulate(self.case["kem"]["to the prekey"])
        self.suite.will_generate(self.ephemeral["seed"])
        to = ResponderKey(self.suite, self.responder, self.record_hash, 7, self.prekey.public)
        signer = NodeSigner(self.initiator, self._sign) if self.initiator else None
        return Initiator(self.network, to, self.now_s, signer=signer)

    def answer(self, flight: bytes) -> tuple[bytes, Established]:
        self.suite.will_encapsulate(self.ephemeral)
        own = OwnPrekey(self.suite, self.record_hash, 7, self.prekey, self.now_s + 1)
        signer = NodeSigner(self.responder, self._sign)
        replays = ReplaySet(SKEW_S)
        return respond(self.network, signer, [own], replays, self.verify, flight, self.now_s)

    def check(self, established: Established) -> None:
        """All of a link's keys."""
        assert established.transcript.hex() == self.case["transcript"]
        assert established.initiator == (self.initiator or None)
        suite = SUITES[self.suite.name]
        for chain, root in (
            (established.early, self.case["early_root"]),
            (established.session.forward, self.case["root_forward"]),
            (established.session.backward, self.case["root_backward"]),
        ):
            agree(chain, Direction(suite, unhex(root)), product_seals=True)


@pytest.mark.parametrize("caller", ["client", "node"])
@pytest.mark.parametrize("name", FROZEN)
def test_both_ends_are_the_vectors(name: str, caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(name, caller, monkeypatch)
    dial = case.dial()
    assert same(dial.flight, case.case["flight_1"])
    flight, established = case.answer(dial.flight)
    assert same(flight, case.case["flight_2"])
    case.check(established)
    case.check(dial.finish(flight, case.verify))
    assert case.suite.used_up


@pytest.mark.parametrize("name", FROZEN)
def test_setup_is_the_vectors(name: str) -> None:
    case = VECTORS["setup"][name]
    (kem,) = case["kem"].values()
    suite = Scripted(name)
    network = Network(unhex(case["network_id"]), (case["revision"],), 2, SKEW_S)
    prekey = suite.load_private(unhex(kem["seed"]))
    ratchet_key = suite.load_private(unhex(case["ratchet_seed"]))
    fingerprint, record_hash, slot = unhex(case["fingerprint"]), unhex(case["record_hash"]), case["slot"]
    now_s = case["stamp"] * MINUTE_S + 17
    suite.will_encapsulate(kem)
    to = ResponderKey(suite, fingerprint, record_hash, slot, prekey.public)
    content, near = make(network, to, ratchet_key, now_s, case["cells_per_step"])
    assert same(content, case["content"])
    own = OwnPrekey(suite, record_hash, slot, prekey, now_s + 1)
    opened = open_setup(
        network,
        fingerprint,
        lambda *asked: own if asked == (name, slot) else None,
        ReplaySet(SKEW_S),
        content,
        now_s,
    )
    assert opened.ratchet_key == ratchet_key.public
    for session in (near, opened.session):
        for chain, root in ((session.forward, "root_forward"), (session.backward, "root_backward")):
            assert chain.cells_per_step == case["cells_per_step"]
            agree(chain, Direction(SUITES[name], unhex(case[root])), product_seals=True)


# -- with the reference at the other end ------------------------------------------------------------
class Ends:
    """A responder that both sides know."""

    def __init__(self, name: str, network_id: bytes, fingerprint: bytes, record_hash: bytes) -> None:
        self.suite: CipherSuite = product_suite(name)
        self.key: KemKey = self.suite.generate()
        self.seed = self.suite.private_bytes(self.key.private)
        self.network = Network(network_id, (9, 8), 2, SKEW_S)
        self.known = ResponderKey(self.suite, fingerprint, record_hash, 2**40, self.key.public)
        self.own = OwnPrekey(self.suite, record_hash, 2**40, self.key, 2**60)
        self.reference = handshake.Responder(network_id, 2, SUITES[name], fingerprint, record_hash)

    def hop(self, revision: int) -> setup.Hop:
        return setup.Hop(
            self.network.network_id,
            revision,
            SUITES[self.suite.name],
            self.known.fingerprint,
            self.known.record_hash,
            self.known.slot,
        )

    @property
    def kem(self) -> Any:
        return SUITES[self.suite.name].kem


def sign(fingerprint: bytes, message: bytes) -> bytes:
    return hashlib.sha512(fingerprint + message).digest()


def verify(fingerprint: bytes, message: bytes, signature: bytes) -> bool:
    return signature == sign(fingerprint, message)


def signer(fingerprint: bytes) -> NodeSigner:
    return NodeSigner(fingerprint, lambda message: sign(fingerprint, message))


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(network=ids32, node=ids32, record=ids32, caller=st.just(b"") | ids32, minute=st.integers(1, 2**32 - 9))
def test_the_product_calls_the_reference(
    name: str, network: bytes, node: bytes, record: bytes, caller: bytes, minute: int
) -> None:
    ends = Ends(name, network, node, record)
    to, suite = ends.reference, SUITES[name]
    dial = Initiator(ends.network, ends.known, minute * MINUTE_S, signer=signer(caller) if caller else None)
    secret = ends.kem.decapsulate(ends.seed, handshake.unmask(to, dial.flight))
    hello = handshake.open_flight_one(to, dial.flight, secret)
    assert (hello.stamp, hello.revision, hello.initiator) == (minute, 9, caller)
    ciphertext = handshake.unmask(to, dial.flight)
    first = handshake.first(to, hello.revision, ciphertext, hello.ephemeral, hello.initiator)
    assert hello.signature == (sign(caller, handshake.initiator_signs(suite, first)) if caller else b"")
    early = handshake.early_key(suite, first, handshake.key_one(to, ciphertext, secret))
    second_secret, second = suite.kem.encapsulate(hello.ephemeral)
    transcript = handshake.transcript(to.suite, first, second)
    signature = sign(node, handshake.responder_signs(suite, transcript))
    flight = handshake.make_flight_two(suite, 2, early, second, signature)
    established = dial.finish(flight, verify)
    assert established.transcript == transcript
    forward, backward = handshake.final_chains(suite, transcript, early, second_secret)
    agree(established.early, handshake.early_chain(suite, early), product_seals=True)
    agree(established.session.forward, forward, product_seals=True)
    agree(established.session.backward, backward, product_seals=False)


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(network=ids32, node=ids32, record=ids32, caller=st.just(b"") | ids32, revision=st.sampled_from([9, 8]))
def test_the_reference_calls_the_product(
    name: str, network: bytes, node: bytes, record: bytes, caller: bytes, revision: int
) -> None:
    ends = Ends(name, network, node, record)
    to, suite, minute = ends.reference, SUITES[name], 30_000_000
    secret, ciphertext = suite.kem.encapsulate(ends.key.public)
    seed = os.urandom(suite.kem.seed_size)
    ephemeral = suite.kem.public(seed)
    first = handshake.first(to, revision, ciphertext, ephemeral, caller)
    signature = sign(caller, handshake.initiator_signs(to.suite, first)) if caller else b""
    hello = handshake.Hello(minute, revision, ephemeral, caller, signature)
    flight = handshake.make_flight_one(to, os.urandom(16), ciphertext, secret, hello)
    replays = ReplaySet(SKEW_S)
    answer, established = respond(
        ends.network, signer(node), [ends.own], replays, verify, flight, minute * MINUTE_S
    )
    early = handshake.early_key(suite, first, handshake.key_one(to, ciphertext, secret))
    second, signature = handshake.open_flight_two(suite, early, answer)
    transcript = handshake.transcript(to.suite, first, second)
    assert signature == sign(node, handshake.responder_signs(to.suite, transcript))
    assert (established.transcript, established.initiator) == (transcript, caller or None)
    forward, backward = handshake.final_chains(suite, transcript, early, suite.kem.decapsulate(seed, second))
    agree(established.early, handshake.early_chain(suite, early), product_seals=False)
    agree(established.session.forward, forward, product_seals=False)
    agree(established.session.backward, backward, product_seals=True)


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(
    network=ids32,
    node=ids32,
    record=ids32,
    step=st.sampled_from([1, 3, 128, 1 << 20]),
    revision=st.sampled_from([9, 8]),
)
def test_setup_between_both(
    name: str, network: bytes, node: bytes, record: bytes, step: int, revision: int
) -> None:
    ends, minute = Ends(name, network, node, record), 30_000_000
    suite = SUITES[name]
    # The product's content, opened by the reference.
    ratchet_key = ends.suite.generate()
    content, near = make(ends.network, ends.known, ratchet_key, minute * MINUTE_S, step)
    hop = ends.hop(9)
    ciphertext = setup.ciphertext_of(hop, content)
    secret = suite.kem.decapsulate(ends.seed, ciphertext)
    assert setup.open_box(hop, content, secret) == (minute, ratchet_key.public, step)
    forward, backward = setup.directions(hop, ciphertext, secret, content, step)
    agree(near.forward, forward, product_seals=True)
    agree(near.backward, backward, product_seals=False)
    # The reference's, opened by the product, whichever of the accepted revisions it is under.
    hop = ends.hop(revision)
    secret, ciphertext = suite.kem.encapsulate(ends.key.public)
    content = setup.make(hop, ciphertext, secret, minute, ratchet_key.public, step)
    replays = ReplaySet(SKEW_S)
    opened = open_setup(ends.network, node, lambda *_: ends.own, replays, content, minute * MINUTE_S)
    assert opened.ratchet_key == ratchet_key.public
    forward, backward = setup.directions(hop, ciphertext, secret, content, step)
    agree(opened.session.forward, forward, product_seals=False)
    agree(opened.session.backward, backward, product_seals=True)
    wrong = framing.xor(content[-1:], b"\1")
    with pytest.raises(HandshakeFailed):
        open_setup(ends.network, node, lambda *_: ends.own, replays, content[:-1] + wrong, minute * MINUTE_S)
