"""Unusable input in END_EARLY and RATCHET of links: the peer's violation, with every key as it was."""

from __future__ import annotations

import pytest

from port17.errors import PeerViolation
from port17.wire.block import LINK_CIRCUIT, Command
from port17.wire.handshake import Established, Initiator, respond
from port17.wire.link import Link
from port17.wire.message import RATCHET_HEAD, TOKEN, LinkMessage
from port17.wire.pace import USUAL
from port17.wire.ratchet import REQUEST, RESPONSE, InitiatorRatchet, ResponderRatchet
from port17.wire.suite import KEY_SIZE, CipherSuite

from .wire_forger import Forger
from .wire_network import WALL_S, Clock, Host, network, nothing, verify
from .wire_suites import SUITES, TOY
from .wire_unusable import BAD_PUBLICS, frames, liar, named, publics

every_suite = pytest.mark.parametrize("suite", SUITES, ids=named)
PATIENT_S = 600.0
"""Seconds after which a node surely answers another step."""


class Ends:
    """The keys of a link at both ends, of which a test takes one and the core's link the other."""

    def __init__(self, suite: CipherSuite) -> None:
        self.suite = suite
        self.clock = Clock()
        self.host = Host(1, suite, self.clock)
        dial = Initiator(network(), self.host.public, WALL_S)
        host = self.host
        flight, self.there = respond(
            network(), host.signer, [host.prekey], host.link_replays, verify, dial.flight, WALL_S
        )
        self.here: Established = dial.finish(flight, verify)

    def called(self) -> Forger:
        """A forger that called the core's link, before it has said END_EARLY."""
        link = Link(
            initiator=False,
            send=self.there.session.backward,
            receive=self.there.early,
            grants=self.host.grants,
            wake=nothing,
            on_setup=self.host.setup,
        )
        link.expect_final(self.there.session)
        return Forger(link, self.here.early, self.here.session.backward, self.clock)

    def calling(self) -> Forger:
        """A forger that the core's link called, and which has END_EARLY still to read."""
        link = Link(
            initiator=True,
            send=self.here.early,
            receive=None,
            grants=self.host.grants,
            wake=nothing,
            on_setup=None,
        )
        link.confirm(self.here.session, self.clock.now_s, USUAL)
        return Forger(link, self.there.session.backward, self.there.early, self.clock)


def said(peer: Forger) -> bytes:
    """The RATCHET data that the link says next."""
    (cell,) = peer.read()
    kind, size = RATCHET_HEAD.unpack_from(cell.body)
    assert (cell.command, kind) == (Command.LINK, LinkMessage.RATCHET)
    return cell.body[RATCHET_HEAD.size : RATCHET_HEAD.size + size]


def say(peer: Forger, data: bytes, *, size: int | None = None) -> None:
    """A RATCHET message.

    :raises PeerViolation: what the link made of it.
    """
    head = RATCHET_HEAD.pack(LinkMessage.RATCHET, len(data) if size is None else size)
    peer.write(LINK_CIRCUIT, Command.LINK, head + data)


def end_early(peer: Forger, key: bytes) -> None:
    """END_EARLY with a ratchet key.

    :raises PeerViolation: what the link made of it.
    """
    peer.write(LINK_CIRCUIT, Command.LINK, TOKEN.pack(LinkMessage.END_EARLY, 0) + key)


# -- END_EARLY --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_an_end_of_early_keys_whose_key_is_none(suite: CipherSuite, what: str) -> None:
    ends = Ends(suite)
    peer = ends.called()
    keys = peer.link.keys
    with pytest.raises(PeerViolation):
        end_early(peer, publics(suite)[what])
    assert keys.receive is ends.there.early
    assert keys.session is None
    assert not keys.due
    end_early(peer, suite.generate().public)
    assert keys.session is ends.there.session
    assert said(peer)


def test_an_end_of_early_keys_whose_secret_is_none() -> None:
    """By a stranger's suite that forgets to look."""
    ends = Ends(TOY)
    peer = ends.called()
    _, ciphertext = TOY.encapsulate(TOY.generate().public)
    ends.there.session.suite = liar(TOY, encapsulate=(bytes(KEY_SIZE), ciphertext))
    with pytest.raises(PeerViolation):
        end_early(peer, TOY.generate().public)
    assert peer.link.keys.session is None


def test_no_message_before_its_time() -> None:
    """RATCHET under early keys, a second END_EARLY, and either to whom it is not for."""
    ends = Ends(TOY)
    peer = ends.called()
    with pytest.raises(PeerViolation):
        say(peer, b"")
    assert peer.link.keys.receive is ends.there.early
    calling = Ends(TOY).calling()
    with pytest.raises(PeerViolation):
        end_early(calling, TOY.generate().public)
    assert calling.link.keys.session is None


@pytest.mark.parametrize("body", [b"", b"\0", b"\x05", b"\xff" * 40], ids=["empty", "0", "5", "255"])
def test_a_message_of_no_kind(body: bytes) -> None:
    peer = Ends(TOY).called()
    with pytest.raises(PeerViolation):
        peer.write(LINK_CIRCUIT, Command.LINK, body)


# -- REQ to a responder -----------------------------------------------------------------------------
def stepping(suite: CipherSuite) -> tuple[Ends, Forger, InitiatorRatchet]:
    """A forger that called, and has the link's first answer: (ends, forger, the forger's ratchet)."""
    ends = Ends(suite)
    peer = ends.called()
    key = suite.generate()
    end_early(peer, key.public)
    ratchet = InitiatorRatchet(ends.here.session, key)
    ratchet.response(said(peer))
    peer._send = ends.here.session.forward
    return ends, peer, ratchet


@every_suite
def test_a_request_that_is_none(suite: CipherSuite) -> None:
    ends, peer, ratchet = stepping(suite)
    turn = ratchet.request()
    chain = ends.there.session.forward
    for what, bad in frames(suite, turn.data, REQUEST).items():
        ends.clock.pass_s(PATIENT_S)
        with pytest.raises(PeerViolation, match=r"REQ|RATCHET|ciphertext"):
            say(peer, bad)
        assert chain.rekeys == 0, what
        assert not peer.link.keys.due, what
    for size in (len(turn.data) - 1, len(turn.data) + 1, 4070, 65_535):
        ends.clock.pass_s(PATIENT_S)
        with pytest.raises(PeerViolation, match=r"RATCHET"):
            say(peer, turn.data, size=size)
    ends.clock.pass_s(PATIENT_S)
    say(peer, turn.data)
    turn.sealed()
    assert chain.rekeys == 1
    ratchet.response(said(peer))


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_a_new_key_in_a_request_that_is_no_key(suite: CipherSuite, what: str) -> None:
    ends, peer, ratchet = stepping(suite)
    turn = ratchet.request()
    with pytest.raises(PeerViolation):
        say(peer, turn.data[: -suite.public_size] + publics(suite)[what])
    assert ends.there.session.backward.rekeys == 1
    assert not peer.link.keys.due


# -- RSP to an initiator ----------------------------------------------------------------------------
def answering(suite: CipherSuite) -> tuple[Ends, Forger, ResponderRatchet]:
    """A forger that was called, and is to give its first answer: (ends, forger, the forger's ratchet)."""
    ends = Ends(suite)
    peer = ends.calling()
    (cell,) = [cell for cell in peer.read() if cell.body[0] == LinkMessage.END_EARLY]
    key = cell.body[TOKEN.size : TOKEN.size + suite.public_size]
    peer._receive = ends.there.session.forward
    return ends, peer, ResponderRatchet(ends.there.session, key)


@every_suite
def test_a_response_that_is_none(suite: CipherSuite) -> None:
    ends, peer, ratchet = answering(suite)
    answer = ratchet.response(suite.generate())
    chain = ends.here.session.backward
    for what, bad in frames(suite, answer.data, RESPONSE).items():
        with pytest.raises(PeerViolation, match=r"RSP|RATCHET|ciphertext"):
            say(peer, bad)
        assert chain.rekeys == 0, what
    say(peer, answer.data)
    answer.sealed()
    assert chain.rekeys == 1
    ratchet.request(said(peer))


@pytest.mark.parametrize(("suite", "what"), BAD_PUBLICS, ids=named)
def test_a_new_key_in_a_response_that_is_no_key(suite: CipherSuite, what: str) -> None:
    """REQ 1 is due at once, and cannot be made."""
    ends, peer, ratchet = answering(suite)
    answer = ratchet.response(suite.generate())
    with pytest.raises(PeerViolation):
        say(peer, answer.data[: -suite.public_size] + publics(suite)[what])
    assert ends.here.session.forward.rekeys == 0
    assert not peer.link.keys.due


def test_a_later_key_that_is_no_key_ends_the_link_by_its_own_clock() -> None:
    """No message of the peer's can be blamed when the step is due: the link says that it cannot go on."""
    ends, peer, ratchet = answering(TOY)
    answer = ratchet.response(TOY.generate())
    say(peer, answer.data)
    answer.sealed()
    ratchet.request(said(peer))
    answer = ratchet.response(TOY.generate())
    bad = answer.data[:-32] + bytes(32)
    say(peer, bad)
    ends.there.session.backward.mix(answer._secret, bad)
    assert peer.link.failure == ""
    peer.write(LINK_CIRCUIT, Command.PADDING)  # the link is in use
    ends.clock.pass_s(PATIENT_S)
    peer.link.keys.tend(ends.clock.now_s)
    assert peer.link.keys.failure == "the peer's ratchet key is unusable"
    assert ends.here.session.forward.rekeys == 1
