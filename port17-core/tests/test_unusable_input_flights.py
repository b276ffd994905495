"""Unusable input in the handshake of links: one refusal for all of it, and nothing has changed after it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from port17.errors import HandshakeFailed
from port17.wire import handshake
from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import LINK_TAG_SIZE, SALT_SIZE, Initiator, NodeSigner, respond
from port17.wire.suite import KEY_SIZE, CipherSuite

from .wire_network import WALL_S, Clock, Host, network, verify
from .wire_suites import SUITES, TOY
from .wire_unusable import BAD_CIPHERTEXTS, BAD_PUBLICS, ciphertexts, key_that_is_none, liar, named, publics

REFUSED = "a link's handshake was refused"
FLIGHT = 2 * BLOCK_SIZE
every_suite = pytest.mark.parametrize("suite", SUITES, ids=named)


class Call:
    """A caller and a node, each with a suite that a test may have lie."""

    def __init__(self, caller: CipherSuite, node: CipherSuite | None = None) -> None:
        self.host = Host(1, caller, Clock())
        self.to = self.host.public
        self.own = dataclasses.replace(self.host.prekey, suite=node or caller)

    def dial(self) -> Initiator:
        return Initiator(network(), self.to, WALL_S)

    def answer(self, flight: bytes) -> bytes:
        host = self.host
        return respond(network(), host.signer, [self.own], host.link_replays, verify, flight, WALL_S)[0]

    def refuses(self, flight: bytes) -> None:
        """The node refuses a flight, as it refuses all, and takes a good one after it."""
        with pytest.raises(HandshakeFailed) as failed:
            self.answer(flight)
        assert failed.value.message == REFUSED
        good = Call(self.host.suite)
        good.host, good.to, good.own = self.host, self.host.public, self.host.prekey
        dial = good.dial()
        dial.finish(good.answer(dial.flight), verify)


# -- the node's prekey ------------------------------------------------------------------------------
@every_suite
def test_a_prekey_that_is_no_key(suite: CipherSuite) -> None:
    for what, public in publics(suite).items():
        call = Call(suite)
        call.to = dataclasses.replace(call.to, public=public)
        with pytest.raises(HandshakeFailed) as failed:
            call.dial()
        assert failed.value.message == "a node's prekey is unusable", what


# -- flight 1 ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("suite", "what"), BAD_CIPHERTEXTS, ids=named)
def test_a_first_ciphertext_that_gives_no_secret(suite: CipherSuite, what: str) -> None:
    call = Call(suite)
    lie = liar(suite, encapsulate=(b"s" * KEY_SIZE, ciphertexts(suite)[what]))
    call.to = dataclasses.replace(call.to, suite=lie)
    call.refuses(call.dial().flight)
    assert len(call.host.link_replays) == 1, "the good one's alone"


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_an_ephemeral_key_that_is_no_key(suite: CipherSuite, what: str) -> None:
    call = Call(suite)
    bad = key_that_is_none(suite, publics(suite)[what])
    call.to = dataclasses.replace(call.to, suite=liar(suite, generate=bad))
    call.refuses(call.dial().flight)


@every_suite
@pytest.mark.parametrize("size", [0, 1, -1])
def test_an_ephemeral_key_of_another_length(suite: CipherSuite, size: int) -> None:
    """0 is none at all, otherwise as much longer or shorter than it should be."""
    call = Call(suite)
    public = suite.generate().public
    bad = key_that_is_none(suite, (public + b"\0" * size)[: len(public) + size] if size else b"")
    call.to = dataclasses.replace(call.to, suite=liar(suite, generate=bad))
    call.refuses(call.dial().flight)


@every_suite
@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        SALT_SIZE,
        SALT_SIZE + LINK_TAG_SIZE,
        100,
        1160,
        BLOCK_SIZE,
        FLIGHT - 1,
        FLIGHT + 1,
        3 * BLOCK_SIZE,
    ],
)
def test_a_first_flight_of_another_length(suite: CipherSuite, size: int) -> None:
    call = Call(suite)
    flight = call.dial().flight
    call.refuses((flight + flight)[:size])


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64, 5000])
def test_a_signature_of_another_length(size: int) -> None:
    """Of whoever calls: and a flight that has no room for it is never made."""
    call = Call(TOY)
    caller = NodeSigner(b"c" * 32, lambda message: bytes(size))
    call.refuses(Initiator(network(), call.to, WALL_S, signer=caller).flight)


# -- flight 2 ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("suite", "what"), BAD_CIPHERTEXTS, ids=named)
def test_a_second_ciphertext_that_gives_no_secret(suite: CipherSuite, what: str) -> None:
    """The node itself made it, and signed it; the caller can still take the right one."""
    bad = ciphertexts(suite)[what]
    lying = Call(suite, liar(suite, encapsulate=(b"s" * KEY_SIZE, bad)))
    dial = lying.dial()
    with pytest.raises(HandshakeFailed) as failed:
        dial.finish(lying.answer(dial.flight), verify)
    assert failed.value.message == REFUSED
    honest = Call(suite)
    honest.host, honest.to, honest.own = lying.host, lying.host.public, lying.host.prekey
    honest.host.link_replays = type(honest.host.link_replays)(60)
    dial.finish(honest.answer(dial.flight), verify)


@every_suite
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1120, BLOCK_SIZE, FLIGHT - 1, FLIGHT + 1])
def test_a_second_flight_of_another_length(suite: CipherSuite, size: int) -> None:
    call = Call(suite)
    dial = call.dial()
    flight = call.answer(dial.flight)
    with pytest.raises(HandshakeFailed) as failed:
        dial.finish((flight + flight)[:size], verify)
    assert failed.value.message == REFUSED
    dial.finish(flight, verify)


@pytest.mark.parametrize("signature", [b"", b"\0", bytes(31), bytes(32), bytes(33), bytes(5000)])
def test_an_answer_signed_by_nobody(signature: bytes) -> None:
    call = Call(TOY)
    dial = call.dial()
    call.host.signer = NodeSigner(call.host.fingerprint, lambda message: signature)
    with pytest.raises(HandshakeFailed) as failed:
        dial.finish(call.answer(dial.flight), verify)
    assert failed.value.message == REFUSED


@pytest.mark.parametrize("size", [0, 1, 31, 33, 6000, 65_535])
def test_an_answer_whose_signature_lies_about_its_length(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(TOY)
    dial = call.dial()
    signer = call.host.signer

    class Sized(bytes):
        """A signature that says that it is of another length."""

        def __len__(self) -> int:
            return size

    monkeypatch.setattr(
        call.host, "signer", NodeSigner(signer.fingerprint, lambda message: Sized(signer.sign(message)))
    )
    flight = call.answer(dial.flight)
    with pytest.raises(HandshakeFailed) as failed:
        dial.finish(flight, verify)
    assert failed.value.message == REFUSED


# -- a stranger's suite that forgets to look --------------------------------------------------------
CARELESS: dict[str, Any] = {
    "a secret of zeros": bytes(KEY_SIZE),
    "no secret": b"",
    "a short secret": b"s" * (KEY_SIZE - 1),
    "a long secret": b"s" * (KEY_SIZE + 1),
}


@pytest.mark.parametrize("secret", CARELESS.values(), ids=CARELESS)
def test_a_suite_that_gives_a_secret_that_is_none(secret: bytes) -> None:
    """At either end and in either flight: a Diffie-Hellman of zeros is a secret that everybody knows."""
    _, ciphertext = TOY.encapsulate(TOY.generate().public)
    caller = Call(liar(TOY, encapsulate=(secret, ciphertext)))
    with pytest.raises(HandshakeFailed):
        caller.dial()
    node = Call(TOY, liar(TOY, decapsulate=secret))
    node.refuses(node.dial().flight)
    answering = Call(TOY, liar(TOY, encapsulate=(secret, ciphertext)))
    answering.refuses(answering.dial().flight)
    finishing = Call(TOY)
    finishing.to = dataclasses.replace(finishing.to, suite=liar(TOY, decapsulate=secret))
    dial = finishing.dial()
    with pytest.raises(HandshakeFailed) as failed:
        dial.finish(finishing.answer(dial.flight), verify)
    assert failed.value.message == REFUSED


@pytest.mark.parametrize("error", [TypeError, IndexError, RuntimeError, OverflowError, MemoryError])
def test_a_suite_that_raises_what_it_should_not(error: type[Exception]) -> None:
    """Any exception of a primitive is one uniform failure."""

    def fail(self: object, *given: object) -> Any:
        raise error("a primitive's own words")

    def broken(**methods: Any) -> CipherSuite:
        return type("Broken", (type(TOY),), methods)()  # type: ignore[no-any-return]

    with pytest.raises(HandshakeFailed) as failed:
        Call(broken(encapsulate=fail)).dial()
    assert "primitive" not in str(failed.value)
    for methods in ({"decapsulate": fail}, {"encapsulate": fail}):
        node = Call(TOY, broken(**methods))
        node.refuses(node.dial().flight)
    finishing = Call(TOY)
    finishing.to = dataclasses.replace(finishing.to, suite=broken(decapsulate=fail))
    dial = finishing.dial()
    with pytest.raises(HandshakeFailed):
        dial.finish(finishing.answer(dial.flight), verify)


def test_a_tag_of_no_prekey_costs_no_more_than_its_hash() -> None:
    call = Call(TOY, liar(TOY, decapsulate=b""))
    salt = bytes(SALT_SIZE)
    assert handshake._tag(TOY, call.own.record_hash, salt) != bytes(LINK_TAG_SIZE)
    call.refuses(bytes(FLIGHT))
