"""The onion's promises (docs/protocol.md), with 1 to 5 hops, both directions, any hop speaking."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import (
    BODY_SIZE,
    HEAD,
    LAYER_OVERHEAD,
    LAYER_SIZE,
    MAX_HOPS,
    PAYLOAD_SIZE,
    SETUP_SIZE,
    Command,
)
from port17.wire.frame import Frame, encode
from port17.wire.onion import Onion
from port17.wire.ratchet import Chain, Session
from port17.wire.suite import CipherSuite

from .wire_bench import Bench
from .wire_suites import REAL, SUITES, TOY, ToySuite

# Every byte's chi-square over 256 values: mean 255, deviation 22.6. Ten deviations is no accident.
CHI_SQUARE_MOST = 255 + 10 * 22.6

routes = st.lists(st.sampled_from(SUITES), min_size=1, max_size=MAX_HOPS)


def built(suites: list[CipherSuite], cells_per_step: int = 5) -> Bench:
    """A circuit whose every hop has answered."""
    bench = Bench(suites, cells_per_step=cells_per_step)
    bench.settle()
    assert all(hop.confirmed for hop in bench.circuit.hops)
    return bench


def data_for(bench: Bench, hop: int, data: bytes) -> bytes:
    """A payload with data for a conveyor that is open to a hop, from either end."""
    near, far = bench.converse(hop)
    assert near.ident == far.ident
    return encode(near.ident, Frame.DATA, data)


def chains(session: Session) -> tuple[tuple[int, int, int], ...]:
    return tuple((c.counter, c.steps, c.rekeys) for c in (session.forward, session.backward))


def state(bench: Bench) -> list[tuple[tuple[int, int, int], ...]]:
    """How far every chain is, at the client and at each hop."""
    ours = [chains(hop.session) for hop in bench.circuit.hops]
    theirs = [
        ((r._forward.counter, r._forward.steps, 0), (r._backward.counter, r._backward.steps, 0))
        for r in bench.relays
    ]
    return [*ours, *theirs]


def flipped(body: bytes, bit: int) -> bytes:
    altered = bytearray(body)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def forward_to(bench: Bench, edge: int, command: int, body: bytes) -> bytes:
    """Carry a forward cell as far as onto an edge, over honest hops; its body there."""
    for index in range(edge):
        bench.give(index, True, command, body)
        cell = bench.take(index + 1, True)
        assert cell is not None
        command, body = cell
    return body


def backward_to(bench: Bench, speaker: int, edge: int, body: bytes) -> bytes:
    """Carry a backward cell from the edge of the hop that spoke to an edge nearer to the client."""
    for index in range(speaker, edge, -1):
        bench.give(index, False, Command.RELAY, body)
        cell = bench.take(index - 1, False)
        assert cell is not None
        body = cell[1]
    return body


@settings(deadline=None, max_examples=25)
@given(suites=routes, cells_per_step=st.integers(1, 9), data=st.binary(min_size=1, max_size=12_000))
def test_every_hop_can_be_spoken_to_and_can_speak(
    suites: list[CipherSuite], cells_per_step: int, data: bytes
) -> None:
    bench = built(suites, cells_per_step)
    for hop in [*range(len(suites)), *reversed(range(len(suites)))]:
        near, far = bench.converse(hop)
        near.send(data)
        far.send(data[::-1])
        bench.settle()
        assert far.take() == data
        assert near.take() == data[::-1]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_forward_any_flipped_bit_dies_at_the_next_honest_hop(data: st.DataObject) -> None:
    suites = data.draw(routes)
    hop = data.draw(st.integers(0, len(suites) - 1), label="spoken to")
    edge = data.draw(st.integers(0, hop), label="altered on the way to")
    bit = data.draw(st.integers(0, 8 * BODY_SIZE - 1), label="bit")
    bench = built(suites)
    payload = data_for(bench, hop, b"for you")
    command, body = bench.say(hop, payload)
    body = forward_to(bench, edge, command, body)
    before = state(bench)
    with pytest.raises(PeerViolation):
        bench.give(edge, True, command, flipped(body, bit))
    # State never advances before authentication: the true cell is still the one that is due.
    assert state(bench) == before
    for index in range(edge, hop + 1):
        bench.give(index, True, command, body)
        if index < hop:
            cell = bench.take(index + 1, True)
            assert cell is not None
            body = cell[1]
    assert bench.hosts[hop].conveyors[-1].take() == b"for you"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_forward_replay_loss_and_reordering_die_at_the_next_honest_hop(data: st.DataObject) -> None:
    suites = data.draw(routes)
    hop = data.draw(st.integers(0, len(suites) - 1), label="spoken to")
    edge = data.draw(st.integers(0, hop), label="on the way to")
    crime = data.draw(st.sampled_from(["replay", "loss", "swap", "late replay"]))
    bench = built(suites, data.draw(st.sampled_from([1, 2, 128])))
    payload = data_for(bench, hop, b"once")
    bodies = [forward_to(bench, edge, *bench.say(hop, payload)) for _ in range(3)]
    order = {"replay": [0, 0], "loss": [1], "swap": [1, 0], "late replay": [0, 1, 0]}[crime]
    for index in order[:-1] if crime != "swap" else []:
        bench.give(edge, True, Command.RELAY, bodies[index])
    before = state(bench)
    with pytest.raises(PeerViolation):
        bench.give(edge, True, Command.RELAY, bodies[order[0 if crime == "swap" else -1]])
    assert state(bench) == before


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_backward_any_flipped_bit_that_the_client_uses_dies_at_the_client(data: st.DataObject) -> None:
    suites = data.draw(routes)
    hop = data.draw(st.integers(0, len(suites) - 1), label="speaks")
    edge = data.draw(st.integers(0, hop), label="altered on the way from")
    bit = data.draw(st.one_of(st.integers(0, 8 * HEAD + 16), st.integers(0, 8 * BODY_SIZE - 1)), label="bit")
    bench = built(suites)
    payload = data_for(bench, hop, b"from afar")
    body = backward_to(bench, hop, edge, bench.answer(hop, payload)[1])
    altered = backward_to(bench, edge, 0, flipped(body, bit))
    conveyor = bench.circuit.hops[hop].mux.conveyors
    if edge and bit < 8 * LAYER_OVERHEAD:
        # The hop before drops these bytes, and the client knows them without being told.
        bench.give(0, False, Command.RELAY, altered)
        assert [c.take() for c in conveyor.values()][-1] == b"from afar"
        return
    before = state(bench)
    with pytest.raises(PeerViolation):
        bench.give(0, False, Command.RELAY, altered)
    # Layers of the hops before the place are as these sealed them; no other chain has moved.
    assert state(bench)[edge:] == before[edge:]
    assert not any(c.received for c in conveyor.values())
    if not edge:
        bench.give(0, False, Command.RELAY, body)
        assert [c.take() for c in conveyor.values()][-1] == b"from afar"


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_backward_replay_and_loss_die_at_the_client(data: st.DataObject) -> None:
    suites = data.draw(routes)
    hop = data.draw(st.integers(0, len(suites) - 1), label="speaks")
    edge = data.draw(st.integers(0, hop), label="on the way from")
    crime = data.draw(st.sampled_from(["replay", "loss"]))
    bench = built(suites, data.draw(st.sampled_from([1, 2, 128])))
    payload = data_for(bench, hop, b"once")
    bodies = [backward_to(bench, hop, edge, bench.answer(hop, payload)[1]) for _ in range(2)]
    if crime == "replay":
        bench.give(0, False, Command.RELAY, backward_to(bench, edge, 0, bodies[0]))
    wrong = backward_to(bench, edge, 0, bodies[0 if crime == "replay" else 1])
    with pytest.raises(PeerViolation):
        bench.give(0, False, Command.RELAY, wrong)
    expected = b"once" if crime == "replay" else b""
    assert list(bench.circuit.hops[hop].mux.conveyors.values())[-1].take() == expected


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_cell_of_another_circuit_dies_at_once(suite: CipherSuite) -> None:
    one, other = built([suite] * 3), built([suite] * 3)
    payload = data_for(one, 2, b"x")
    command, body = one.say(2, payload)
    with pytest.raises(PeerViolation):
        other.give(0, True, command, body)
    with pytest.raises(PeerViolation):
        other.give(0, False, *one.answer(0, payload))


@pytest.mark.parametrize("count", range(1, MAX_HOPS + 1))
def test_cells_are_of_one_size_and_look_random_on_every_edge(count: int) -> None:
    bench = built([TOY] * count, cells_per_step=7)
    seen: list[list[bytes]] = [[] for _ in range(2 * count)]
    for turn in range(60):
        hop = turn % count
        body = bench.say(hop, b"")[1]
        seen[0].append(body)
        for edge in range(hop + 1):
            bench.give(edge, True, Command.RELAY, body)
            if edge < hop:
                cell = bench.take(edge + 1, True)
                assert cell is not None
                body = cell[1]
                seen[edge + 1].append(body)
        body = bench.answer(hop, b"")[1]
        for edge in range(hop, -1, -1):
            seen[count + edge].append(body)
            bench.give(edge, False, Command.RELAY, body)
            if edge:
                cell = bench.take(edge - 1, False)
                assert cell is not None
                body = cell[1]
    for bodies in seen:
        assert {len(body) for body in bodies} == {BODY_SIZE}
        # Nothing at any place of a body comes twice: a head, a filler, what was padding further in.
        for at in (0, LAYER_OVERHEAD, HEAD - LAYER_OVERHEAD, HEAD, BODY_SIZE // 2, BODY_SIZE - 16):
            assert len({body[at : at + 16] for body in bodies}) == len(bodies)
        joined = b"".join(bodies)
        expected = len(joined) / 256
        chi = sum((joined.count(value) - expected) ** 2 / expected for value in range(256))
        assert chi < CHI_SQUARE_MOST


def test_setup_looks_alike_on_every_edge() -> None:
    bench = built([TOY] * MAX_HOPS)
    setups = [edge.setup for edge in bench.edges]
    clear = 1 + len(TOY.name) + 8
    assert len({body[:clear] for body in setups if body}) == 1
    assert {body[SETUP_SIZE:] for body in setups if body} == {bytes(BODY_SIZE - SETUP_SIZE)}
    assert len({body[clear : clear + 16] for body in setups if body}) == MAX_HOPS


def test_fillers_change_with_the_cell_key() -> None:
    suite = TOY
    slow, quick = (Chain(suite, b"r" * 32, cells) for cells in (64, 4))
    same = []
    for _ in range(12):
        same.append(slow.filler() == quick.filler())
        for chain in (slow, quick):
            chain.seal(b"", bytearray(16))
    assert same == [True] * 4 + [False] * 8


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_fillers_and_heads_are_the_keystream_at_each_counter(suite: CipherSuite) -> None:
    chain = Chain(suite, os.urandom(32), 5)
    seen = set()
    for _ in range(80):
        count = chain.left
        fillers, heads = chain.fillers(count), chain.heads(count, HEAD)
        assert (len(fillers), len(heads)) == (count * LAYER_OVERHEAD, count * HEAD)
        assert chain.filler() == fillers[:LAYER_OVERHEAD]
        sealed = bytearray(HEAD + 16)
        chain.seal(bytes(HEAD), sealed)
        assert sealed[:HEAD] == heads[:HEAD]
        seen |= {fillers[:LAYER_OVERHEAD], heads[:LAYER_OVERHEAD]}
    assert len(seen) == 160


def test_the_unused_front_of_a_layer_is_fresh_random() -> None:
    session = Session(TOY, b"k" * 32, b"")
    onion, fronts = Onion(), set()
    onion.add(Session(TOY, b"k" * 32, b""))
    for _ in range(200):
        body, plain = bytearray(BODY_SIZE), bytearray(LAYER_SIZE)
        onion.seal(0, memoryview(body))
        session.forward.open(body, plain)
        assert plain[HEAD:-1] == bytes(PAYLOAD_SIZE)
        fronts |= {bytes(plain[at : at + 16]) for at in range(0, HEAD - 15, 16)}
    assert len(fronts) == 200 * (HEAD // 16)


def test_a_route_has_an_end_and_needs_a_stream_cipher() -> None:
    class SyntheticNonce(ToySuite):
        stream_cipher = False

    onion = Onion()
    with pytest.raises(LocalViolation):
        onion.add(Session(SyntheticNonce(), b"k" * 32, b""))
    for _ in range(MAX_HOPS):
        onion.add(Session(REAL, os.urandom(32), b""))
    with pytest.raises(LocalViolation):
        onion.add(Session(REAL, os.urandom(32), b""))


@settings(deadline=None, max_examples=40)
@given(flag=st.integers(2, 255), suites=routes, where=st.integers(0, MAX_HOPS - 1))
def test_a_layer_that_is_neither_for_you_nor_passed_on_fails(
    flag: int, suites: list[CipherSuite], where: int
) -> None:
    bench = built(suites)
    hop = where % len(suites)
    layer = bytearray(LAYER_SIZE)
    layer[-1] = flag
    body = bytearray(BODY_SIZE)
    bench.circuit.hops[0].session.forward.seal(layer, body)
    with pytest.raises(PeerViolation):
        bench.give(0, True, Command.RELAY, bytes(body))
    bench = built(suites)
    bench.relays[hop]._scratch.spoken[-1] = flag
    body = bytearray(backward_to(bench, hop, 0, bench.answer(hop, b"")[1]))
    with pytest.raises(PeerViolation):
        bench.give(0, False, Command.RELAY, bytes(body))
