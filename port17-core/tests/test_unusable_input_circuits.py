"""Unusable input in SETUP, HOP and the ratchet of circuits: a typed error each, and nothing has changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from port17.errors import HandshakeFailed, PeerViolation
from port17.wire import setup
from port17.wire.block import BODY_SIZE, SETUP_SIZE, Command
from port17.wire.circuit import Circuit
from port17.wire.frame import SESSION, Frame, encode, encode_operation
from port17.wire.handshake import FINGERPRINT_SIZE
from port17.wire.quota import Budget
from port17.wire.ratchet import REQUEST, RESPONSE, Turn
from port17.wire.reasons import Reason
from port17.wire.setup import SLOT, make, open_setup
from port17.wire.suite import KEY_SIZE, CipherSuite

from .wire_bench import Bench
from .wire_network import WALL_S, Clock, Host, network
from .wire_suites import SUITES, TOY, Lies
from .wire_unusable import (
    BAD_CIPHERTEXTS,
    BAD_PUBLICS,
    ciphertexts,
    frames,
    key_that_is_none,
    liar,
    named,
    publics,
)

REFUSED = "a SETUP was refused"
PATIENT_S = 60.0
"""Seconds after which a node surely answers another step."""
every_suite = pytest.mark.parametrize("suite", SUITES, ids=named)


def refuses(host: Host, content: bytes, find: Any = None) -> None:
    """A node refuses SETUP content, as it refuses all, and opens a good one after it."""
    before = len(host.replays)
    with pytest.raises(HandshakeFailed) as failed:
        open_setup(network(), host.fingerprint, find or host.find, host.replays, content, WALL_S)
    assert failed.value.message == REFUSED
    assert len(host.replays) == before
    good, _ = make(network(), host.public, host.suite.generate(), WALL_S)
    open_setup(network(), host.fingerprint, host.find, host.replays, good, WALL_S)


# -- SETUP ------------------------------------------------------------------------------------------
@every_suite
@pytest.mark.parametrize("hop", [0, 2])
def test_a_prekey_that_is_no_key(suite: CipherSuite, hop: int) -> None:
    """Of any hop: the client fails before anything is sent."""
    for what, public in publics(suite).items():
        route = [Host(index, suite, Clock()).public for index in range(3)]
        route[hop] = dataclasses.replace(route[hop], public=public)
        with pytest.raises(HandshakeFailed) as failed:
            Circuit(network(), route, [suite.generate() for _ in route], Budget(1 << 20), WALL_S)
        assert failed.value.message == "a node's prekey is unusable", what


@pytest.mark.parametrize(("suite", "what"), BAD_CIPHERTEXTS, ids=named)
def test_a_ciphertext_that_gives_no_secret(suite: CipherSuite, what: str) -> None:
    host = Host(1, suite, Clock())
    lie = liar(suite, encapsulate=(b"s" * KEY_SIZE, ciphertexts(suite)[what]))
    to = dataclasses.replace(host.public, suite=lie)
    refuses(host, make(network(), to, suite.generate(), WALL_S)[0])


@every_suite
@pytest.mark.parametrize("size", [0, 1, 2, 30, 60, 100, 1200, SETUP_SIZE - 1, SETUP_SIZE + 1])
def test_content_of_another_length(suite: CipherSuite, size: int) -> None:
    host = Host(1, suite, Clock())
    content, _ = make(network(), host.public, suite.generate(), WALL_S)
    refuses(host, (content + content)[:size])


@pytest.mark.parametrize("length", [0, 1, 65, 128, 255])
def test_a_name_of_a_length_that_is_none(length: int) -> None:
    host = Host(1, TOY, Clock())
    content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    refuses(host, bytes([length]) + content[1:])


@pytest.mark.parametrize(
    "name", [b"\xff" * 20, b"\0" * 20, "bl\u00fcte".encode(), b"../../etc/passwd", b"p17-1-x\n"]
)
def test_a_name_that_is_no_suites(name: bytes) -> None:
    host = Host(1, TOY, Clock())
    refuses(host, (bytes([len(name)]) + name + SLOT.pack(7)).ljust(SETUP_SIZE, b"\0"))


@every_suite
@pytest.mark.parametrize("size", [0, 1, -1, 40_000])
def test_a_ratchet_key_of_another_length(
    suite: CipherSuite, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 is none; 40,000 is more than there is room for; otherwise as much longer or shorter than right."""
    host = Host(1, suite, Clock())
    length = size if size in (0, 40_000) else suite.public_size + size
    lies = Lies(setup.BOX_HEAD, int(WALL_S) // 60, length)
    with monkeypatch.context() as patch:
        patch.setattr(setup, "BOX_HEAD", lies)
        content, _ = make(network(), host.public, suite.generate(), WALL_S)
    refuses(host, content)


@pytest.mark.parametrize(
    ("length", "cells"), [(0, 128), (3, 128), (5, 128), (65_535, 128), (4, 0), (4, 2**32 - 1)]
)
def test_parameters_that_are_none(length: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node does not know may change what is meant: so it is refused."""
    host = Host(1, TOY, Clock())
    with monkeypatch.context() as patch:
        patch.setattr(setup, "PARAMETERS_HEAD", Lies(setup.PARAMETERS_HEAD, length, cells))
        content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    refuses(host, content)


@pytest.mark.parametrize("secret", [bytes(KEY_SIZE), b"", b"short"])
def test_a_suite_that_gives_a_secret_that_is_none(secret: bytes) -> None:
    host = Host(1, TOY, Clock())
    _, ciphertext = TOY.encapsulate(host.prekey.key.public)
    to = dataclasses.replace(host.public, suite=liar(TOY, encapsulate=(secret, ciphertext)))
    with pytest.raises(HandshakeFailed):
        make(network(), to, TOY.generate(), WALL_S)
    content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    own = dataclasses.replace(host.prekey, suite=liar(TOY, decapsulate=secret))
    refuses(host, content, lambda name, slot: own)


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_a_ratchet_key_that_is_no_key(suite: CipherSuite, what: str) -> None:
    """The node opens SETUP, and ends the circuit when it cannot answer it."""
    bad = key_that_is_none(suite, publics(suite)[what])
    bench = Bench([suite], ratchet_keys=[bad])
    assert bench.carry(0, True)
    with pytest.raises(PeerViolation):
        bench.carry(0, False)
    relay = bench.relays[0]
    assert relay._backward.rekeys == 0
    assert relay._backward.counter == 0
    assert relay._ratchet.due


# -- HOP --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "size",
    [0, 1, FINGERPRINT_SIZE - 1, FINGERPRINT_SIZE, FINGERPRINT_SIZE + 1, FINGERPRINT_SIZE + SETUP_SIZE - 1],
)
def test_a_hop_of_another_length(size: int) -> None:
    bench = Bench([TOY])
    bench.settle()
    payload = encode(1, Frame.OPEN, encode_operation("HOP", bytes(size)))
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.EARLY, bench.say(0, payload)[1])
    assert bench.relays[0].next is None


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x03HO", b"\xffHOP", b"\x03H\xffP"])
def test_an_operation_whose_name_is_none(data: bytes) -> None:
    bench = Bench([TOY])
    bench.settle()
    try:
        bench.give(0, True, Command.EARLY, bench.say(0, encode(1, Frame.OPEN, data))[1])
    except PeerViolation:
        pass
    else:
        assert data == b"\x00", "only the empty name can be read; nobody has such an operation"
    assert bench.relays[0].next is None


def test_a_hop_whose_setup_is_rubbish_is_the_next_nodes_to_refuse() -> None:
    """The node between does not look into it; the client learns it as the loss of its next hop."""
    bench = Bench([TOY, TOY])
    for _ in range(2):
        assert bench.carry(0, True)
    cell = bench.take(1, True)
    assert cell is not None
    with pytest.raises(HandshakeFailed):
        bench.give(1, True, Command.SETUP, bytes(BODY_SIZE))
    relay = bench.relays[0]
    assert relay.next is not None
    relay.destroyed(relay.next, Reason.GENERIC)
    bench.settle()
    assert bench.circuit.closed is not None
    assert bench.circuit.lost_edge == 0


# -- REQ and RSP ------------------------------------------------------------------------------------
def ratchet(data: bytes) -> bytes:
    """A payload with a RATCHET frame."""
    return encode(SESSION, Frame.RATCHET, data)


def asked(bench: Bench) -> Turn:
    """The client's next REQ, not yet sent."""
    return bench.circuit.hops[0].ratchet.request()


@every_suite
def test_a_request_that_is_none(suite: CipherSuite) -> None:
    bench = Bench([suite])
    bench.settle()
    relay = bench.relays[0]
    turn = asked(bench)
    before = relay._forward.rekeys
    for what, bad in frames(suite, turn.data, REQUEST).items():
        bench.clock.pass_s(PATIENT_S)
        with pytest.raises(PeerViolation, match=r"REQ|RATCHET|ciphertext"):
            bench.give(0, True, *bench.say(0, ratchet(bad)))
        assert relay._forward.rekeys == before, what
        assert not relay._ratchet.due, what
        assert relay._ratchet._key is not None, what
    cell = bench.say(0, ratchet(turn.data))
    turn.sealed()
    bench.give(0, True, *cell)
    assert relay._forward.rekeys == before + 1


@every_suite
def test_a_response_that_is_none(suite: CipherSuite) -> None:
    bench = Bench([suite])
    bench.settle()
    relay, hop = bench.relays[0], bench.circuit.hops[0]
    turn = asked(bench)
    cell = bench.say(0, ratchet(turn.data))
    turn.sealed()
    bench.give(0, True, *cell)
    answer = relay._ratchet.response(suite.generate())
    before = hop.session.backward.rekeys
    for what, bad in frames(suite, answer.data, RESPONSE).items():
        with pytest.raises(PeerViolation, match=r"RSP|RATCHET|ciphertext"):
            bench.give(0, False, *bench.answer(0, ratchet(bad)))
        assert hop.session.backward.rekeys == before, what
        assert hop.ratchet.waiting, what
    cell = bench.answer(0, ratchet(answer.data))
    answer.sealed()
    bench.give(0, False, *cell)
    assert hop.session.backward.rekeys == before + 1
    assert not hop.ratchet.waiting


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_a_new_key_in_a_request_that_is_no_key(suite: CipherSuite, what: str) -> None:
    """It is taken with its frame; that no answer can be made to it ends the circuit."""
    bench = Bench([suite])
    bench.settle()
    relay = bench.relays[0]
    good = asked(bench)
    bad = good.data[: -suite.public_size] + publics(suite)[what]
    before = relay._backward.rekeys
    bench.give(0, True, *bench.say(0, ratchet(bad)))
    with pytest.raises(PeerViolation):
        bench.carry(0, False)
    assert relay._backward.rekeys == before
    assert relay._ratchet.due


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_a_new_key_in_a_response_that_is_no_key(suite: CipherSuite, what: str) -> None:
    """RSP 0 is taken; the client's next step cannot be made, and leaves every key as it was."""
    bench = Bench([suite])
    assert bench.carry(0, True)
    relay, hop = bench.relays[0], bench.circuit.hops[0]
    answer = relay._ratchet.response(suite.generate())
    bad = answer.data[: -suite.public_size] + publics(suite)[what]
    bench.give(0, False, *bench.answer(0, ratchet(bad)))
    assert hop.confirmed
    with pytest.raises(PeerViolation):
        bench.carry(0, True)
    assert hop.session.forward.rekeys == 0
    assert hop.ratchet.epoch == 0
    assert not hop.ratchet.waiting


@pytest.mark.parametrize("secret", [bytes(KEY_SIZE), b""])
def test_a_step_whose_secret_is_none(secret: bytes) -> None:
    """By a stranger's suite that forgets to look: at the node and at the client."""
    bench = Bench([TOY])
    bench.settle()
    relay = bench.relays[0]
    careless = liar(TOY, decapsulate=secret)
    turn = asked(bench)
    relay._ratchet._session.suite = careless
    with pytest.raises(PeerViolation):
        bench.give(0, True, *bench.say(0, ratchet(turn.data)))
    assert relay._forward.rekeys == 1
    other = Bench([TOY])
    assert other.carry(0, True)
    other.circuit.hops[0].session.suite = careless
    with pytest.raises(PeerViolation):
        other.carry(0, False)
    assert other.circuit.hops[0].session.backward.rekeys == 0
