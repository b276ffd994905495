"""A relay that rewrites the SETUP it passes on: the next hop gets the client's own suite, or nothing.

The hop holds prekeys of both suites, and opens circuits of either for whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from port17.errors import HandshakeFailed, PeerViolation
from port17.plugins.loader import Registry
from port17.wire.block import BODY_SIZE, SETUP_SIZE, Command
from port17.wire.circuit import Circuit
from port17.wire.prekey import OwnPrekey, ResponderKey
from port17.wire.setup import SLOT, make
from port17.wire.suite import CipherSuite

from .wire_bench import Bench
from .wire_network import WALL_S, Host, network
from .wire_suites import GROUP

STRONG: CipherSuite = Registry().make(GROUP, "p17-1-xwing-aes256gcm-sha256")
WEAK: CipherSuite = Registry().make(GROUP, "p17-1-x25519-chacha20poly1305-blake2s")
HEAD = 1 + len(STRONG.name) + SLOT.size
"""Where the ciphertext of a strong SETUP begins."""


class Stretch:
    """A circuit of three hops whose first passes on the SETUP of the second, and is the man."""

    def __init__(self) -> None:
        self.bench = Bench([STRONG, STRONG, STRONG])
        self.hop: Host = self.bench.hosts[1]
        own = self.hop.prekey
        self.weak = OwnPrekey(WEAK, b"w" * 32, own.slot, WEAK.generate(), own.expiry_s)
        held = {(one.suite.name, one.slot): one for one in (own, self.weak)}
        self.hop.find = lambda name, slot: held.get((name, slot))  # type: ignore[method-assign]
        for _ in range(2):  # SETUP of the first hop, and HOP
            assert self.bench.carry(0, True)
        command, self.body = self.bench.take(1, True) or (0, b"")
        assert command == Command.SETUP

    @property
    def circuit(self) -> Circuit:
        """The client's end."""
        return self.bench.circuit

    def pass_on(self, content: bytes) -> None:
        """Give the second hop a SETUP.

        :raises HandshakeFailed: it refuses.
        """
        self.bench.give(1, True, Command.SETUP, content.ljust(BODY_SIZE, b"\0"))

    def addressed(self, suite: CipherSuite) -> ResponderKey:
        """The second hop by one of its prekeys."""
        own = self.weak if suite is WEAK else self.hop.prekey
        return ResponderKey(suite, self.hop.fingerprint, own.record_hash, own.slot, own.key.public)


def test_the_control() -> None:
    """What is passed on as it came opens the second hop; so would a weak one, if the client chose it."""
    stretch = Stretch()
    stretch.pass_on(stretch.body)
    stretch.bench.settle()
    assert [hop.confirmed for hop in stretch.circuit.hops] == [True, True, True]
    assert {relay._suite.name for relay in stretch.bench.relays} == {STRONG.name}
    again = Stretch()
    content, _ = make(network(), again.addressed(WEAK), WEAK.generate(), WALL_S)
    again.pass_on(content)
    assert again.hop.relays[0]._suite is WEAK


def renamed(body: bytes) -> bytes:
    """The weak suite's name in front of the rest."""
    name = WEAK.name.encode()
    return bytes([len(name)]) + name + body[1 + len(STRONG.name) :]


def renamed_and_cut(body: bytes) -> bytes:
    """And a ciphertext as short as the weak suite's."""
    name, slot = WEAK.name.encode(), body[HEAD - SLOT.size : HEAD]
    box = body[HEAD + STRONG.ciphertext_size :]
    return bytes([len(name)]) + name + slot + body[HEAD : HEAD + WEAK.ciphertext_size] + box


def another_slot(body: bytes) -> bytes:
    """Another prekey of the strong suite, which the hop has not got."""
    return body[: HEAD - SLOT.size] + SLOT.pack(8) + body[HEAD:]


def unknown(body: bytes) -> bytes:
    """A suite that nobody has."""
    return body[:1] + b"x" * len(STRONG.name) + body[1 + len(STRONG.name) :]


def no_name(body: bytes) -> bytes:
    """No suite at all."""
    return b"\0" + body[1:]


def other_ciphertext(body: bytes) -> bytes:
    """A strong key exchange with somebody else."""
    _, ciphertext = STRONG.encapsulate(STRONG.generate().public)
    return body[:HEAD] + ciphertext + body[HEAD + len(ciphertext) :]


REWRITES = (renamed, renamed_and_cut, another_slot, unknown, no_name, other_ciphertext)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewritten_setup_is_refused(rewrite: Callable[[bytes], bytes]) -> None:
    stretch = Stretch()
    with pytest.raises(HandshakeFailed) as failed:
        stretch.pass_on(rewrite(stretch.body[:SETUP_SIZE]))
    assert failed.value.message == "a SETUP was refused"
    assert not stretch.hop.relays
    # It was the man: what the client sent is good still.
    stretch.pass_on(stretch.body)


@pytest.mark.parametrize("suite", [WEAK, STRONG], ids=lambda suite: suite.name)
def test_a_setup_of_the_mans_own_is_his_circuit_and_not_the_clients(suite: CipherSuite) -> None:
    """The hop opens it for him; what it answers ends the client's circuit, which never was built."""
    stretch = Stretch()
    content, _ = make(network(), stretch.addressed(suite), suite.generate(), WALL_S)
    stretch.pass_on(content)
    assert stretch.hop.relays[0]._suite is suite
    with pytest.raises(PeerViolation):
        stretch.bench.settle()
    assert not stretch.circuit.hops[1].confirmed
    assert not stretch.circuit.hops[2].confirmed
    assert stretch.circuit.hops[1].session.suite is STRONG
    assert not stretch.hop.opened, "nothing that the client said was understood"


def test_the_man_cannot_pass_on_the_clients_word_after_a_setup_of_his_own() -> None:
    """What the client says to the second hop opens under no key of the man's session."""
    stretch = Stretch()
    content, _ = make(network(), stretch.addressed(WEAK), WEAK.generate(), WALL_S)
    stretch.pass_on(content)
    assert stretch.bench.carry(0, True)  # HOP for the second, through the first
    with pytest.raises(PeerViolation):
        stretch.bench.carry(1, True)
    assert not stretch.hop.opened
