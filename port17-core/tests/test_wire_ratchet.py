"""The ratchet: symmetric steps by count, asymmetric ones on request, with cells under way both ways."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import MAX_HOPS, PAYLOAD_SIZE, Command
from port17.wire.frame import SESSION, Frame, encode
from port17.wire.ratchet import (
    CELLS_PER_STEP,
    RATCHET_HEAD,
    REQUEST,
    RESPONSE,
    Chain,
    InitiatorRatchet,
    RatchetFrame,
    ResponderRatchet,
    Session,
)
from port17.wire.suite import KEY_SIZE, CipherSuite

from .wire_bench import Bench
from .wire_suites import REAL, SUITES, TOY, RecordingSuite


def steps_due(chain: Chain, rekeyed_at: list[int]) -> int:
    """Steps that a chain must have taken: one per full ``cells_per_step`` since it last changed."""
    bounds = [0, *rekeyed_at, chain.counter]
    return sum((end - start) // chain.cells_per_step for start, end in itertools.pairwise(bounds))


class Pair:
    """Two ends of a session, and cells under way between them: a model of a circuit of one hop."""

    def __init__(self, suite: CipherSuite, cells_per_step: int) -> None:
        key = suite.generate()
        self.suite = suite
        self.ours, self.theirs = (Session(suite, b"k" * 32, b"", cells_per_step) for _ in range(2))
        self.asks = InitiatorRatchet(self.ours, key)
        self.answers = ResponderRatchet(self.theirs, key.public)
        self.there: deque[tuple[bytes, bytes]] = deque()
        self.back: deque[tuple[bytes, bytes]] = deque()
        self.rekeyed: dict[str, list[int]] = {"forward": [], "backward": []}
        self.arrived = 0

    def send(self, forward: bool) -> None:
        """One cell, with whatever of the ratchet is due."""
        chain = self.ours.forward if forward else self.theirs.backward
        turn = None
        if not forward and self.answers.due:
            turn = self.answers.response(self.theirs.suite.generate())
        elif forward and self.asks.epoch == 0 and not self.asks.waiting:
            turn = self.asks.request()
        self._seal(chain, forward, turn)

    def ask(self) -> None:
        """A step beyond the first, whenever one may begin."""
        if not self.asks.waiting:
            self._seal(self.ours.forward, True, self.asks.request())

    def _seal(self, chain: Chain, forward: bool, turn: Any) -> None:
        frame = turn.data if turn else b""
        sealed = bytearray(16 + 16)
        chain.seal(chain.counter.to_bytes(16, "big"), sealed)
        if turn:
            turn.sealed()
            self.rekeyed["forward" if forward else "backward"].append(chain.counter)
        (self.there if forward else self.back).append((bytes(sealed), frame))

    def arrive(self, forward: bool) -> None:
        """The oldest cell arrives."""
        sealed, frame = (self.there if forward else self.back).popleft()
        chain = self.theirs.forward if forward else self.ours.backward
        plain = bytearray(16)
        due = chain.counter.to_bytes(16, "big")
        chain.open(sealed, plain)
        assert plain == due
        self.arrived += 1
        if frame and forward:
            self.answers.request(frame)
        elif frame:
            self.asks.response(frame)

    def settle(self) -> None:
        """Everything under way arrives; what is due is sent, even if the end is idle."""
        while self.there or self.back or self.answers.due:
            if self.there:
                self.arrive(True)
            if self.answers.due:
                self.send(False)
            if self.back:
                self.arrive(False)


moves = st.lists(st.sampled_from(["send", "reply", "reach", "return", "ask"]), max_size=120)


@settings(deadline=None, max_examples=100)
@given(cells_per_step=st.integers(1, CELLS_PER_STEP), schedule=moves)
def test_both_ends_stay_in_step_whatever_is_under_way(cells_per_step: int, schedule: list[str]) -> None:
    pair = Pair(TOY, cells_per_step)
    for move in schedule:
        if move in ("send", "reply"):
            pair.send(move == "send")
        elif move == "ask":
            pair.ask()
        elif move == "reach" and pair.there:
            pair.arrive(True)
        elif move == "return" and pair.back:
            pair.arrive(False)
    pair.settle()
    for way in ("forward", "backward"):
        ours, theirs = getattr(pair.ours, way), getattr(pair.theirs, way)
        assert (ours.counter, ours.steps, ours.rekeys) == (theirs.counter, theirs.steps, theirs.rekeys)
        assert ours.rekeys == len(pair.rekeyed[way])
        assert ours.steps == steps_due(ours, pair.rekeyed[way])
    # RSP 0 always came, and every step that was asked for was answered.
    assert pair.ours.backward.rekeys == pair.ours.forward.rekeys + 1 == pair.asks.epoch + 1
    assert not pair.asks.waiting
    assert pair.arrived == pair.ours.forward.counter + pair.ours.backward.counter


def held(thing: Any) -> list[bytes]:
    """Every byte string of a key's size that an object of slots keeps, or one that it keeps."""
    if isinstance(thing, bytes):
        return [thing] if len(thing) == KEY_SIZE else []
    slots = [getattr(thing, slot) for slot in getattr(type(thing), "__slots__", ())]
    return [found for slot in slots for found in held(slot)]


def advance(chain: Chain) -> None:
    chain.filler()
    chain.heads(1, 16)
    chain.seal(b"", bytearray(16))


@pytest.mark.parametrize("cells", [1, 2, 5, CELLS_PER_STEP])
def test_symmetric_steps_happen_and_their_keys_are_new_and_the_old_gone(cells: int) -> None:
    suite = RecordingSuite()
    chain = Chain(suite, b"r" * 32, cells)
    for turn in range(1, 3 * cells + 1):
        before = held(chain)
        advance(chain)
        assert chain.steps == turn // cells
        if turn % cells == 0:
            assert set(before) & set(held(chain)) == {chain._root}
            assert not {*suite.cell_keys[:-1], *suite.stream_keys} & set(held(chain))
    advance(chain)
    assert len(suite.cell_keys) == len(set(suite.cell_keys)) == 1 + chain.steps
    # A filler key and the cell key's own heads, anew for each; the two are never one.
    assert set(suite.cell_keys[:4]) < set(suite.stream_keys)
    assert len(set(suite.stream_keys)) == 8


def test_an_asymmetric_step_changes_every_key_and_starts_a_new_count() -> None:
    suite = RecordingSuite()
    chain = Chain(suite, b"r" * 32, 4)
    for _ in range(3):
        advance(chain)
    before = held(chain)
    chain.mix(b"s" * 32, b"frame")
    assert not set(before) & set(held(chain))
    assert (chain.counter, chain.steps, chain.left, chain.rekeys) == (3, 0, 4, 1)
    Chain(suite, b"r" * 32, 4).mix(b"s" * 32, b"another frame")
    assert len(set(suite.cell_keys)) == 3


def test_directions_and_bindings_have_keys_of_their_own() -> None:
    suite = RecordingSuite()
    for binding in (b"one", b"two"):
        session = Session(suite, b"k" * 32, binding)
        for chain in (session.forward, session.backward):
            advance(chain)
    assert len(suite.cell_keys) == len(set(suite.cell_keys)) == 4
    assert len(set(suite.stream_keys)) == 8


def test_a_private_key_is_forgotten_once_it_was_used() -> None:
    pair = Pair(TOY, 8)
    assert pair.asks._key is not None
    pair.settle()
    assert pair.asks._key is None
    assert pair.answers._key is not None
    pair.ask()
    pair.arrive(True)
    assert pair.answers._key is None


@settings(deadline=None, max_examples=60)
@given(
    epoch=st.integers(0, 2**32 - 1),
    kind=st.integers(0, 255),
    garbage=st.binary(min_size=64, max_size=64),
    steps=st.integers(0, 2),
)
def test_only_the_response_that_is_due_is_taken(epoch: int, kind: int, garbage: bytes, steps: int) -> None:
    pair = Pair(TOY, 8)
    for _ in range(steps):
        pair.settle()
        pair.ask()
    due = pair.asks.epoch
    data = RATCHET_HEAD.pack(kind, epoch) + garbage
    if (kind, epoch) == (RESPONSE, due):
        return
    before = repr(pair.ours.backward)
    with pytest.raises(PeerViolation):
        pair.asks.response(data)
    assert repr(pair.ours.backward) == before
    if (kind, epoch) == (REQUEST, pair.answers.epoch + 1) and not pair.answers.due:
        return
    before = repr(pair.theirs.forward)
    with pytest.raises(PeerViolation):
        pair.answers.request(data)
    assert repr(pair.theirs.forward) == before


def test_a_second_step_cannot_begin_before_the_first_is_answered() -> None:
    pair = Pair(TOY, 8)
    with pytest.raises(LocalViolation):
        pair.asks.request()
    pair.settle()
    pair.ask()
    with pytest.raises(LocalViolation):
        pair.asks.request()
    request = pair.there[0][1]
    pair.arrive(True)
    with pytest.raises(PeerViolation):
        pair.answers.request(request)
    pair.settle()
    with pytest.raises(PeerViolation):
        pair.answers.request(request)
    with pytest.raises(LocalViolation):
        pair.answers.response(TOY.generate())
    with pytest.raises(LocalViolation):
        Chain(TOY, b"r" * 32, 0)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_ratchet_frame_or_a_violation(data: bytes) -> None:
    try:
        frame = RatchetFrame.decode(data, TOY)
    except PeerViolation:
        return
    assert frame.encode() == data


@pytest.mark.parametrize("where", ["public", "ciphertext"])
def test_an_unusable_key_in_a_frame_is_a_violation(where: str) -> None:
    pair = Pair(TOY, 8)
    good = TOY.generate().public
    parts = {"public": good, "ciphertext": good, where: bytes(32)}
    data = RatchetFrame(RESPONSE, 0, **parts).encode()
    with pytest.raises(PeerViolation):
        pair.asks.response(data)
        pair.asks.request()


# -- in a circuit -------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_circuits_ratchet_with_every_hop_while_everybody_talks(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, MAX_HOPS), label="hops")
    cells_per_step = data.draw(st.integers(1, 9), label="cells per step")
    suite = data.draw(st.sampled_from(SUITES)) if count < 3 else TOY
    bench = Bench([suite] * count, cells_per_step=cells_per_step)
    muxes = [hop.mux for hop in bench.circuit.hops]
    near = [mux.open("TEST", bytes([hop]), 0.0) for hop, mux in enumerate(muxes)]
    far: dict[int, Any] = {}
    for hop, host in enumerate(bench.hosts):
        host.on_operation = lambda conveyor, name, args, hop=hop: far.__setitem__(hop, conveyor)
    sent: dict[tuple[int, bool], bytes] = {(hop, way): b"" for hop in range(count) for way in (True, False)}
    rng = data.draw(st.randoms(use_true_random=False))
    got = dict(sent)

    def take() -> bool:
        before = dict(got)
        for place in got:
            hop, way = place
            end = far.get(hop) if way else near[hop]
            if end is not None:
                piece = end.take()
                end.consumed(len(piece), bench.clock.now_s)
                got[place] += piece
        return got != before

    for turn in range(data.draw(st.integers(0, 150), label="turns")):
        hop, way = rng.randrange(count), rng.random() < 0.5
        if rng.random() < 0.3:
            end = near[hop] if way else far.get(hop)
            if end is not None:
                piece = bytes([turn]) * rng.randrange(1, 9000)
                end.send(piece)
                sent[hop, way] += piece
        bench.carry(rng.randrange(count), rng.random() < 0.5)
    bench.settle()
    while take():
        bench.settle()
    assert got == sent
    for hop in range(count):
        ours, relay = bench.circuit.hops[hop], bench.relays[hop]
        assert ours.confirmed
        assert ours.ratchet.epoch == relay._ratchet.epoch == 1
        assert not ours.ratchet.waiting
        for mine, theirs in (
            (ours.session.forward, relay._forward),
            (ours.session.backward, relay._backward),
        ):
            assert (mine.counter, mine.steps, held(mine)) == (theirs.counter, theirs.steps, held(theirs))
            assert mine.steps >= mine.counter // cells_per_step - 2
        # REQ 1 forward; RSP 0 and RSP 1 backward.
        assert (ours.session.forward.rekeys, ours.session.backward.rekeys) == (1, 2)


@pytest.mark.parametrize("count", range(1, MAX_HOPS + 1))
def test_an_idle_circuit_steps_at_once_with_every_hop(count: int) -> None:
    bench = Bench([TOY] * count)
    while bench.carry(0, True):
        pass
    assert bench.hosts[0].relays[0]._ratchet.due
    bench.settle()
    for hop in bench.circuit.hops:
        assert (hop.session.forward.rekeys, hop.session.backward.rekeys) == (1, 2)


def test_the_next_cell_to_a_hop_that_answered_is_its_request() -> None:
    suite = RecordingSuite()
    bench = Bench([suite])
    conveyor = bench.circuit.last.mux.open("TEST", b"", 0.0)
    conveyor.send(bytes(60_000))
    for _ in range(3):
        bench.carry(0, True)
    relay, ours = bench.relays[0], bench.circuit.hops[0].session
    bench.carry(0, False)
    known = list(suite.cell_keys)
    assert bench.carry(0, True)
    assert ours.forward.rekeys == relay._forward.rekeys == 1
    # What comes after it opens under no key that either end had before.
    nonce = ours.forward.counter.to_bytes(12, "big")
    cell = bench.take(0, True)
    assert cell is not None
    for key in known:
        with pytest.raises(suite.forged):
            suite.aead(key).decrypt_into(nonce, cell[1], None, bytearray(len(cell[1]) - 16))
    bench.give(0, True, *cell)


def _ratchet(kind: int, epoch: int) -> bytes:
    return encode(
        SESSION,
        Frame.RATCHET,
        RatchetFrame(kind, epoch, TOY.generate().public, TOY.generate().public).encode(),
    )


GOOD_REQUEST = _ratchet(REQUEST, 2)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(GOOD_REQUEST + encode(1, Frame.DATA, b"x"), id="shares its cell, first"),
        pytest.param(encode(1, Frame.CREDIT, b"\0\0\0\1") + GOOD_REQUEST, id="shares its cell, second"),
        pytest.param(GOOD_REQUEST + GOOD_REQUEST, id="twice"),
        pytest.param(_ratchet(REQUEST, 1), id="epoch again"),
        pytest.param(_ratchet(REQUEST, 3), id="epoch ahead"),
        pytest.param(_ratchet(RESPONSE, 2), id="a response to the responder"),
        pytest.param(encode(SESSION, Frame.RATCHET, b""), id="empty"),
        pytest.param(encode(SESSION, Frame.DATA, b"x"), id="no ratchet frame"),
    ],
)
def test_a_hop_refuses_what_is_no_request_of_its_own(payload: bytes) -> None:
    bench = Bench([TOY])
    bench.converse(0)
    with pytest.raises(PeerViolation):
        bench.give(0, True, *bench.say(0, payload))
    assert bench.relays[0]._forward.rekeys == 1


def test_a_hop_takes_the_next_request_and_not_one_after_another() -> None:
    bench = Bench([TOY])
    bench.converse(0)
    bench.give(0, True, *bench.say(0, GOOD_REQUEST))
    assert bench.relays[0]._forward.rekeys == 2
    assert bench.relays[0]._ratchet.due


def test_requests_that_come_too_often_end_the_circuit() -> None:
    bench = Bench([TOY])
    bench.settle()
    ratchet = bench.circuit.hops[0].ratchet
    with pytest.raises(PeerViolation):
        for _ in range(1000):
            turn = ratchet.request()
            cell = bench.say(0, encode(SESSION, Frame.RATCHET, turn.data))
            turn.sealed()
            bench.give(0, True, *cell)
            bench.carry(0, False)
    assert bench.relays[0]._forward.rekeys < 100


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(_ratchet(RESPONSE, 1), id="unasked"),
        pytest.param(_ratchet(REQUEST, 2), id="a request to the initiator"),
        pytest.param(encode(SESSION, Frame.RATCHET, bytes(9)), id="short"),
        pytest.param(encode(SESSION, Frame.OPEN, b"x"), id="no ratchet frame"),
    ],
)
@pytest.mark.parametrize("hop", [0, 2])
def test_the_client_refuses_what_is_no_response_that_is_due(hop: int, payload: bytes) -> None:
    bench = Bench([TOY] * 3)
    bench.converse(2)
    _, body = bench.answer(hop, payload)
    for edge in range(hop, 0, -1):
        bench.give(edge, False, Command.RELAY, body)
        cell = bench.take(edge - 1, False)
        assert cell is not None
        body = cell[1]
    with pytest.raises(PeerViolation):
        bench.give(0, False, Command.RELAY, body)
    assert bench.circuit.hops[hop].session.backward.rekeys == 2


def test_a_request_fits_into_a_cell_of_every_suite() -> None:
    for suite in (REAL, TOY):
        assert RATCHET_HEAD.size + suite.ciphertext_size + suite.public_size + 7 <= PAYLOAD_SIZE
