"""No secret shows: in no repr of anything alive, in no log record, in no error, whatever goes wrong."""

from __future__ import annotations

import functools
import gc
import logging
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from port17.errors import ConfigError, HandshakeFailed, LocalViolation, PassphraseError, PeerViolation
from port17.links.spare_keys import SpareKeys
from port17.node.identity_file import IDENTITY_FILE, IdentityFile, Locker
from port17.node.key_lock import Work
from port17.node.keyring import Keyring
from port17.node.passphrase import source
from port17.records import cbor
from port17.records.scheme import SigningKey
from port17.wire.handshake import Established, Initiator, respond
from port17.wire.prekey import OwnPrekey
from port17.wire.ratchet import Chain, InitiatorRatchet, RatchetFrame, ResponderRatchet, Session, Turn
from port17.wire.setup import Opened, make, open_setup
from port17.wire.suite import KemKey
from port17_crypto.schemes import Ed25519, Ed25519MlDsa65
from port17_crypto.suites import XWingAes256GcmSha256

from . import links_network
from .links_network import on_virtual_clock, world
from .telling import TellingSuite, Witness
from .wire_network import Net, verify

NETWORK = bytes(range(32))
PASSPHRASE = b"seventeen gulls over the harbour"
CHEAP = Work(15, 8, 1)
FORMATS: tuple[Callable[[object], str], ...] = (repr, str, "{}".format, "{!r:>1}".format, "%s".__mod__)


def shown(thing: object) -> str:
    """Everything that printing a thing can say."""
    if isinstance(thing, tuple):
        thing = list(thing)  # % would take it apart
    return "\n".join(form(thing) for form in FORMATS)


def left_behind() -> list[object]:
    """What is alive before a test begins: other tests' things, of which there may be tens of thousands. Not
    what modules of ours hold, which could come to know a secret."""
    modules = [module for name, module in sys.modules.items() if name.startswith(("port17.", "port17_"))]
    held = {id(thing) for module in modules for thing in vars(module).values()}
    return [thing for thing in alive() if id(thing) not in held]


def alive(but: Iterable[object] = ()) -> Iterator[object]:
    """Every object of ours, and every partial of a function of ours.

    :param but: without these; held by the caller, so that no other object gets the number of one of them.
    """
    known = set(map(id, but))
    gc.collect()
    for thing in gc.get_objects():
        if id(thing) in known:
            continue
        home = thing.func if isinstance(thing, functools.partial) else type(thing)
        if str(getattr(home, "__module__", "")).startswith(("port17.", "port17_")):
            yield thing


def said(error: BaseException) -> str:
    """All that a traceback, a log and a curious caller can take from an error."""
    texts = traceback.format_exception(error)
    link: BaseException | None = error
    while link is not None:
        texts += [repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.mark.parametrize(
    "write",
    [
        bytes.hex,
        lambda secret: secret.hex().upper(),
        repr,
        lambda secret: repr(bytearray(secret)),
        lambda secret: secret.decode("latin-1"),
        lambda secret: str(list(secret)),
        lambda secret: __import__("base64").b64encode(secret).decode(),
    ],
)
def test_the_witness_sees(witness: Witness, write: Callable[[bytes], str]) -> None:
    secret = witness.keep("it", bytes(range(120, 152)))
    assert witness.shown_in(f"something {write(secret)} more") == ["it"]
    assert witness.shown_in("<port17.wire.ratchet.Chain object at 0x7f0123456789>") == []


def test_nothing_alive_shows_a_secret(witness: Witness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    others = left_behind()
    suite = TellingSuite(witness)
    net = Net([suite] * 3)
    wire = net.chain()
    net.pump()
    circuit = net.circuit(wire, cells_per_step=1)
    near, far = net.converse(circuit, data=b"something to carry")
    for _ in range(4):
        near.send(b"more")
        far.send(b"back")
        net.pump()
    assert sum(hop.session.forward.rekeys for hop in circuit.hops)
    spare = SpareKeys([suite])
    keys = [spare.take(suite)]
    host = net.hosts[0]
    dial = Initiator(host.network, host.public, net.clock.wall_s)
    flight, there = respond(
        host.network, host.signer, [host.prekey], host.link_replays, verify, dial.flight, net.clock.wall_s
    )
    here = dial.finish(flight, verify)
    content, session = make(host.network, host.public, keys[0], net.clock.wall_s)
    opened = open_setup(host.network, host.fingerprint, host.find, host.replays, content, net.clock.wall_s)
    asks, answers = InitiatorRatchet(session, keys[0]), ResponderRatchet(opened.session, keys[0].public)
    turn = answers.response(suite.generate())
    turn.sealed()
    asks.response(turn.data)
    request = asks.request()
    frame = RatchetFrame.decode(request.data, suite)

    things = list(alive(others))
    kinds = {type(thing) for thing in things}
    for kind in (
        Chain, Session, KemKey, OwnPrekey, Established, Initiator, Opened, InitiatorRatchet, ResponderRatchet,
        Turn, RatchetFrame, SpareKeys, type(circuit), type(circuit.hops[0]), type(wire.near),
        type(wire.near.keys),
    ):  # fmt: skip
        assert kind in kinds, kind
    assert len(witness.secrets) > 100
    text = "\n".join(shown(thing) for thing in things)
    assert witness.shown_in(text + caplog.text) == []
    assert here.transcript == there.transcript
    assert frame


def test_what_holds_secrets_is_not_pickled_by_accident(witness: Witness) -> None:
    """A logger that ships records to another process, a cache, a crash reporter."""
    suite = TellingSuite(witness)
    session = Session(suite, witness.keep("a key", os.urandom(32)), b"binding")
    scheme = Ed25519()
    things = [session, session.forward, InitiatorRatchet(session, suite.generate()), suite.generate()]
    for thing in (*things, scheme.generate(), OwnPrekey(suite, bytes(32), 1, suite.generate(), 0.0)):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)) as raised:
            pickle.dumps(thing)
        assert witness.shown_in(said(raised.value)) == []


def _failures(witness: Witness) -> Iterator[tuple[type[Exception], Callable[[], object]]]:
    suite = TellingSuite(witness)
    net = Net([suite] * 2)
    host, other = net.hosts
    wall = net.clock.wall_s
    dial = Initiator(host.network, host.public, wall)
    flight, _ = respond(
        host.network, host.signer, [host.prekey], host.link_replays, verify, dial.flight, wall
    )
    content, session = make(host.network, host.public, suite.generate(), wall)
    chain = Chain(suite, witness.keep("a root", os.urandom(32)))
    ratchet = InitiatorRatchet(session, suite.generate())
    response = ResponderRatchet(session, suite.generate().public).response(suite.generate()).data
    broken = suite.generate().public[:-1]

    def flipped(data: bytes, at: int = -1) -> bytes:
        changed = bytearray(data)
        changed[at] ^= 1
        return bytes(changed)

    def answer(data: bytes) -> object:
        return respond(host.network, host.signer, [host.prekey], host.link_replays, verify, data, wall)

    def setup(data: bytes) -> object:
        return open_setup(host.network, host.fingerprint, host.find, host.replays, data, wall)

    yield HandshakeFailed, lambda: answer(flipped(dial.flight))
    yield HandshakeFailed, lambda: answer(dial.flight)  # again
    yield HandshakeFailed, lambda: dial.finish(flipped(flight), verify)
    yield HandshakeFailed, lambda: setup(flipped(content, 200))
    yield HandshakeFailed, lambda: setup(other.fingerprint * 96)
    yield suite.forged, lambda: chain.open(os.urandom(100), bytearray(84))
    yield LocalViolation, lambda: Chain(suite, witness.keep("a root", os.urandom(32)), 0)
    yield LocalViolation, ratchet.request
    yield PeerViolation, lambda: ratchet.response(broken)
    yield PeerViolation, lambda: ratchet.response(flipped(response, 0))


def test_no_failure_of_the_wire_shows_a_secret(witness: Witness) -> None:
    count = 0
    for kind, action in _failures(witness):
        with pytest.raises(kind) as raised:
            action()
        assert witness.shown_in(said(raised.value)) == [], kind
        count += 1
    assert count == 10


def test_no_log_of_a_living_and_dying_network_shows_a_secret(
    witness: Witness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(links_network, "TOY", TellingSuite(witness))
    texts: list[str] = []
    others = left_behind()

    async def run() -> None:
        async with world(3) as made:
            crane, ship = await made.call(made.nodes[0])
            stream = made.open(made.circuit(crane))
            await stream.send(b"something to carry")
            assert await stream.receive() == b"something to carry"
            stranger = await made.ship_to(made.nodes[1])
            await stranger.send(os.urandom(50_000))
            lost = made.open(made.circuit(crane), "NO-SUCH-OPERATION")
            with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is, it is read below
                await lost.receive()
            texts.append(said(raised.value))
            await made.nodes[2].cranes[0][1].aclose()  # a lane breaks under a circuit
            with pytest.raises(Exception) as raised:  # noqa: PT011
                await stream.receive()
            texts.append(said(raised.value))
            await anyio.sleep(60)
            texts.extend(shown(thing) for thing in alive(others))
            await ship.aclose()

    on_virtual_clock(run)
    records = [record.getMessage() + str(record.exc_text) + repr(record.args) for record in caplog.records]
    assert len(witness.secrets) > 50
    assert witness.shown_in("\n".join([*texts, *records, caplog.text])) == []


@pytest.mark.parametrize("scheme", [Ed25519(), Ed25519MlDsa65()], ids=lambda scheme: scheme.name)
def test_keys_at_rest_show_nothing(
    scheme: Any, tmp_path: Path, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    others = left_behind()
    suite = XWingAes256GcmSha256()
    suites = {suite.name: suite}
    witness.keep("the passphrase", PASSPHRASE)
    locker = Locker(PASSPHRASE, suite, CHEAP)
    plain = Keyring.create(tmp_path / "plain", scheme, [suite], NETWORK, 5, 2, 100)
    locked = Keyring.create(tmp_path / "locked", scheme, [suite], NETWORK, 5, 2, 100, locker=locker)
    secret_file = tmp_path / "secret"
    secret_file.write_bytes(PASSPHRASE)
    secret_file.chmod(0o600)
    ask = source(None, secret_file, "who")
    read = Keyring.load(tmp_path / "locked", {scheme.name: scheme}, suites, NETWORK, passphrase=ask)
    for keyring in (plain, locked):
        private = scheme.private_bytes(keyring.signing_key)
        for at in range(0, len(private) - 31, 32):
            witness.keep("a signing key", private[at : at + 32])
        for _, key in keyring.prekeys.values():
            witness.keep("a prekey", suite.private_bytes(key.private))
    held = IdentityFile.read(tmp_path / "plain" / IDENTITY_FILE)
    assert scheme.private_bytes(plain.signing_key) == held.private
    things = [plain, locked, read, held, locker, ask, plain.signing_key, plain.prekeys, plain.records()]
    made = list(alive(others))
    text = "\n".join(shown(thing) for thing in (*things, *made))
    assert any(isinstance(thing, SigningKey) for thing in made)
    assert witness.shown_in(text) == []

    for name in (IDENTITY_FILE, f"{suite.name}.5.prekey"):
        file = tmp_path / "plain" / name
        good = file.read_bytes()
        value = cbor.decode(good, cap=1 << 16)
        assert isinstance(value, dict)
        for data in (
            good[:-9],
            good + b"\x00",
            value["private"],
            cbor.encode({**value, "private": value["private"][:-1]}),
            cbor.encode({**value, "private": value["private"].hex()}),
            cbor.encode({**value, "private": [*value["private"]]}),
        ):
            file.write_bytes(data)
            with pytest.raises(ConfigError) as raised:
                Keyring.load(tmp_path / "plain", {scheme.name: scheme}, suites, NETWORK)
            assert witness.shown_in(said(raised.value)) == []
        file.write_bytes(good)
    with pytest.raises(PassphraseError) as wrong:
        Keyring.load(
            tmp_path / "locked", {scheme.name: scheme}, suites, NETWORK, passphrase=lambda: PASSPHRASE[:-1]
        )
    assert witness.shown_in(said(wrong.value)) == []
    assert witness.shown_in(caplog.text) == []
