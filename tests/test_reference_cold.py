"""The product's cold handshake is the vectors', byte for byte, and it talks with the reference."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference import cold, generate
from reference.recorded import FROZEN, same
from reference.suites import SUITES
from scripted_suite import Scripted, product_suite

from port17.wire import cold as product
from port17.wire.cold import ColdCaller, ColdResponder, Want
from port17.wire.handshake import NodeSigner
from port17.wire.prekey import Network
from port17.wire.replay import ReplaySet

VECTORS = generate.read()
SKEW_S = 60.0
MINUTE_S = 60
FEW = settings(max_examples=5, deadline=None, phases=[Phase.generate])
"""Whatever differs differs in the smallest example, too: looking for that one says nothing."""
ids32 = st.binary(min_size=32, max_size=32)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize("wanted", ["prekeys", "label"])
@pytest.mark.parametrize("name", FROZEN)
def test_both_ends_are_the_vectors(name: str, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = VECTORS["cold"][name][wanted]
    suite = Scripted(name)
    network = Network(unhex(case["network_id"]), (case["revision"],), case["flight_blocks"], SKEW_S)
    responder, now_s = unhex(case["responder"]), case["stamp"] * MINUTE_S + 17
    entry = case["kem"]["to the ephemeral key"]
    signed, answer = unhex(case["responder_signs"]), unhex(case["answer"])
    signature = unhex(case["signature"])

    def urandom(size: int) -> bytes:
        assert size == len(case["salt"]) // 2
        return unhex(case["salt"])

    def sign(message: bytes) -> bytes:
        assert message == signed
        return signature

    def say(suite: Any, want: Want, room: int) -> bytes:
        assert want == case["want"]
        return answer

    monkeypatch.setattr(product, "os", SimpleNamespace(urandom=urandom))
    suite.will_generate(entry["seed"])
    call = ColdCaller(network, suite, responder, now_s, Want(case["want"]))
    assert same(call.flight, case["flight_1"])
    suite.will_encapsulate(entry)
    desk = ColdResponder(NodeSigner(responder, sign), len(signature), ReplaySet(SKEW_S), say)
    flight = desk.answer(network, {name: suite}, call.flight, now_s, 0.0)
    assert flight is not None
    assert same(flight, case["flight_2"])
    assert call.finish(flight, lambda *parts: parts == (answer, signed, signature)) == answer
    assert suite.used_up


def sign(fingerprint: bytes, message: bytes) -> bytes:
    return hashlib.sha512(fingerprint + message).digest()


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(
    network=ids32, node=ids32, want=st.sampled_from(Want), minute=st.integers(1, 2**32 - 9), data=st.data()
)
def test_the_product_calls_the_reference(
    name: str, network: bytes, node: bytes, want: Want, minute: int, data: st.DataObject
) -> None:
    to, suite = cold.Responder(network, 2, SUITES[name], node), SUITES[name]
    said = data.draw(st.binary(max_size=2000))
    call = ColdCaller(Network(network, (9, 8), 2, SKEW_S), product_suite(name), node, minute * MINUTE_S, want)
    hello = cold.open_flight_one(to, call.flight)
    assert (hello.stamp, hello.revision, hello.want) == (minute, 9, want)
    secret, ciphertext = suite.kem.encapsulate(hello.ephemeral)
    transcript = cold.transcript(to, cold.first(to, 9, hello.ephemeral), call.flight, ciphertext)
    message = cold.responder_signs(to, transcript, said)
    key = cold.box_key_two(to, transcript, secret)
    flight = cold.make_flight_two(to, call.flight[:16], ciphertext, key, sign(node, message), said)
    assert call.finish(flight, lambda *parts: parts == (said, message, sign(node, message))) == said


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(
    network=ids32, node=ids32, want=st.sampled_from(Want), revision=st.sampled_from([9, 8]), data=st.data()
)
def test_the_reference_calls_the_product(
    name: str, network: bytes, node: bytes, want: Want, revision: int, data: st.DataObject
) -> None:
    to, suite, minute = cold.Responder(network, 2, SUITES[name], node), SUITES[name], 30_000_000
    said = data.draw(st.binary(max_size=2000))
    seed, salt = os.urandom(suite.kem.seed_size), os.urandom(16)
    ephemeral = suite.kem.public(seed)
    flight = cold.make_flight_one(to, salt, cold.Hello(minute, revision, want, ephemeral))
    asked: list[Want] = []

    def say(suite: Any, wanted: Want, room: int) -> bytes:
        asked.append(wanted)
        return said

    desk = ColdResponder(NodeSigner(node, lambda message: sign(node, message)), 64, ReplaySet(SKEW_S), say)
    terms = Network(network, (9, 8), 2, SKEW_S)
    answer = desk.answer(terms, {name: product_suite(name)}, flight, minute * MINUTE_S, 0.0)
    assert answer is not None
    assert asked == [want]
    ciphertext = cold.masked(to, salt, answer[: suite.kem.ciphertext_size])
    transcript = cold.transcript(to, cold.first(to, revision, ephemeral), flight, ciphertext)
    key = cold.box_key_two(to, transcript, suite.kem.decapsulate(seed, ciphertext))
    signature = sign(node, cold.responder_signs(to, transcript, said))
    assert cold.open_flight_two(to, key, answer) == (signature, said)
