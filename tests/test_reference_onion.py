"""The product's onion is the vectors', at the client and at relays, and it talks with the reference."""

from __future__ import annotations

import hashlib
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from reference import generate
from reference import onion as reference
from reference.aead import Forged
from reference.ratchet import Direction
from reference.recorded import FROZEN
from reference.suites import SUITES
from scripted_suite import product_suite

from port17.errors import PeerViolation
from port17.wire import onion as product
from port17.wire.block import BODY_SIZE, HEAD, LAYER_OVERHEAD, LAYER_SIZE, PAYLOAD_SIZE
from port17.wire.onion import Onion
from port17.wire.ratchet import Chain, Session
from port17.wire.suite import CipherSuite

VECTORS = generate.read()["onion"]
FEW = settings(max_examples=4, deadline=None, phases=[Phase.generate])
"""Whatever differs differs in the smallest example, too: looking for that one says nothing."""


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


class Route:
    """A route in the product: the client's onion, and each relay's session."""

    def __init__(self, suite: CipherSuite, roots: list[tuple[bytes, bytes, int]]) -> None:
        self.onion = Onion()
        self.relays: list[Session] = []
        for forward, backward, step in roots:
            for keep in (self.onion.add, self.relays.append):
                session = Session(suite, bytes(32), b"", step)
                session.forward = Chain(suite, forward, step)
                session.backward = Chain(suite, backward, step)
                keep(session)

    def seal(self, hop: int, payload: bytes) -> bytes:
        """The client says something to a hop, 1 the first."""
        self.onion.payload[:] = payload
        body = bytearray(BODY_SIZE)
        self.onion.seal(hop - 1, body)
        return bytes(body)

    def open(self, body: bytes) -> tuple[int, bytes]:
        """The client opens what came back."""
        hop, payload = self.onion.open(body)
        return hop + 1, bytes(payload)

    def take(self, hop: int, body: bytes) -> tuple[bool, bytes]:
        """A relay takes a layer off, as :class:`~port17.wire.relay.Relay` does it."""
        chain = self.relays[hop - 1].forward
        filler = chain.filler()
        plain = bytearray(LAYER_SIZE)
        chain.open(body, plain)
        if plain[-1]:
            return True, bytes(plain[HEAD:-1])
        return False, filler + bytes(plain[:-1])

    def say(self, hop: int, payload: bytes) -> bytes:
        """A hop speaks."""
        return self._back(hop, bytes(HEAD) + payload + b"\1")

    def pass_on(self, hop: int, body: bytes) -> bytes:
        """A relay puts a layer on."""
        return self._back(hop, body[LAYER_OVERHEAD:] + b"\0")

    def _back(self, hop: int, plain: bytes) -> bytes:
        body = bytearray(BODY_SIZE)
        self.relays[hop - 1].backward.seal(plain, body)
        return bytes(body)


def same(body: bytes, written: dict[str, Any]) -> bool:
    if "hex" in written:
        assert body.hex() == written["hex"]
    return len(body) == written["size"] and hashlib.sha256(body).hexdigest() == written["sha256"]


class Noise:
    """What the onion takes for the system's random source."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.next = b""
        patch.setattr(product, "os", SimpleNamespace(urandom=self._urandom))

    def _urandom(self, size: int) -> bytes:
        # The onion works fronts out for cells that are never sent, too: theirs may be anything.
        return (self.next + bytes(size))[:size]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("name", FROZEN)
def test_client_and_relays_are_the_vectors(name: str, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = VECTORS[name][index]
    hops = [
        (unhex(hop["root_forward"]), unhex(hop["root_backward"]), hop["cells_per_step"])
        for hop in case["hops"]
    ]
    route = Route(product_suite(name), hops)
    noise = Noise(monkeypatch)
    for cell in case["cells"]:
        hop, bodies = cell["hop"], cell["bodies"]
        payload = unhex(cell["payload"]).ljust(PAYLOAD_SIZE, b"\0")
        way = [getattr(session, cell["way"]) for session in route.onion.sessions]
        assert [chain.counter for chain in way] == cell["counters"]
        if cell["way"] == "forward":
            noise.next = unhex(cell["noise"])
            route.onion.turned()  # else the fronts, and the noise in them, are from before
            body = route.seal(hop, payload)
            for at in range(1, hop):
                assert same(body, bodies[at - 1])
                for_it, body = route.take(at, body)
                assert not for_it
            assert same(body, bodies[hop - 1])
            assert route.take(hop, body) == (True, payload)
        else:
            body = route.say(hop, payload)
            assert same(body, bodies[hop - 1])
            for at in range(hop - 1, 0, -1):
                body = route.pass_on(at, body)
                assert same(body, bodies[at - 1])
            assert route.open(body) == (hop, payload)


# -- with the reference at the other end ------------------------------------------------------------
cells = st.lists(st.tuples(st.booleans(), st.integers(1, 5)), min_size=1, max_size=4)
steps = st.tuples(*[st.sampled_from([1, 2, 3, 128])] * 5)


def directions(name: str, roots: list[tuple[bytes, bytes, int]]) -> tuple[list[Direction], list[Direction]]:
    """(forward, backward) of every hop, in the reference."""
    suite = SUITES[name]
    return (
        [Direction(suite, forward, step) for forward, _, step in roots],
        [Direction(suite, backward, step) for _, backward, step in roots],
    )


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(hops=st.sampled_from([1, 2, 3, 5]), step=steps, said=cells)
def test_the_products_client_and_the_references_relays(
    name: str, hops: int, step: tuple[int, ...], said: list[tuple[bool, int]]
) -> None:
    roots = [(os.urandom(32), os.urandom(32), step[hop]) for hop in range(hops)]
    client = Route(product_suite(name), roots)
    forward, backward = directions(name, roots)
    for outward, hop in said:
        hop, payload = min(hop, hops), os.urandom(PAYLOAD_SIZE)
        if outward:
            body = client.seal(hop, payload)
            for at in range(hop):
                for_it, body = reference.forward_open(forward[at], body)
                assert for_it == (at + 1 == hop)
            assert body == payload
        else:
            body = reference.backward_say(backward[hop - 1], payload)
            for at in range(hop - 2, -1, -1):
                body = reference.backward_relay(backward[at], body)
            assert client.open(body) == (hop, payload)


@pytest.mark.parametrize("name", SUITES)
@FEW
@given(hops=st.sampled_from([1, 2, 3, 5]), step=steps, said=cells)
def test_the_references_client_and_the_products_relays(
    name: str, hops: int, step: tuple[int, ...], said: list[tuple[bool, int]]
) -> None:
    roots = [(os.urandom(32), os.urandom(32), step[hop]) for hop in range(hops)]
    relays = Route(product_suite(name), roots)
    forward, backward = directions(name, roots)
    for outward, hop in said:
        hop, payload = min(hop, hops), os.urandom(PAYLOAD_SIZE)
        if outward:
            body = reference.forward_seal(forward[:hop], payload, os.urandom(reference.noise_size(hop)))
            for at in range(1, hop + 1):
                for_it, body = relays.take(at, body)
                assert for_it == (at == hop)
            assert body == payload
        else:
            body = relays.say(hop, payload)
            for at in range(hop - 1, 0, -1):
                body = relays.pass_on(at, body)
            assert reference.backward_open(backward, body) == (hop, payload)


def test_a_change_dies_at_both() -> None:
    name = "p17-1-x25519-chacha20poly1305-blake2s"
    roots = [(os.urandom(32), os.urandom(32), 2) for _ in range(3)]
    route = Route(product_suite(name), roots)
    forward, backward = directions(name, roots)
    body = bytearray(route.seal(3, bytes(PAYLOAD_SIZE)))
    body[100] ^= 1
    with pytest.raises(Forged):
        reference.forward_open(forward[0], bytes(body))
    body = bytearray(route.say(3, bytes(PAYLOAD_SIZE)))
    body[-20] ^= 1
    for hop in (2, 1):  # relays don't see it
        body = bytearray(route.pass_on(hop, bytes(body)))
    with pytest.raises(PeerViolation):
        route.open(bytes(body))
    with pytest.raises(Forged):
        reference.backward_open(backward, bytes(body))
