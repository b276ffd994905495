"""What holds of every key and nonce: none comes twice, none is kept, and no refused frame moves any."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import PeerViolation
from port17.wire.block import HEAD, LAYER_OVERHEAD
from port17.wire.frame import SESSION, Frame, encode
from port17.wire.pace import StepTerms
from port17.wire.ratchet import REQUEST, RESPONSE, Chain, RatchetFrame
from port17.wire.suite import KEY_SIZE

from .ratchet_suites import LedgerSuite, MortalSuite
from .ratchet_talk import BACKWARD, CLIENT, FORWARD, NODE, Talk
from .ratchet_thief import derived, reachable
from .ratchet_watch import Watched
from .wire_bench import Bench
from .wire_suites import TOY


def wander(bench: Watched, moves: int, seed: int) -> None:
    """Cells hither and thither, talk, and steps by time, as a seed says; then rest."""
    rng, count = random.Random(seed), len(bench.hosts)
    for _ in range(moves):
        move = rng.random()
        if move < 0.1:
            bench.chatter()
        elif move < 0.2:
            bench.clock.pass_s(1.5)
            bench.circuit.tend(bench.clock.now_s)
        else:
            bench.carry(rng.randrange(count), rng.random() < 0.5)
    bench.settle()
    assert bench.circuit.closed is None


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 4),
    cells_per_step=st.sampled_from([1, 2, 3, 128]),
    seed=st.integers(0, 2**32),
)
def test_no_nonce_comes_twice_under_a_key_and_counters_are_never_reset(
    count: int, cells_per_step: int, seed: int
) -> None:
    suites = [LedgerSuite() for _ in range(count)]
    bench = Watched(suites, StepTerms(cells_per_step, step_s=1.0))
    wander(bench, 60 * count, seed)
    for _ in range(2):
        bench.step()
    for hop, suite in enumerate(suites):
        chains = [bench.circuit.hops[hop].session.forward, bench.relays[hop].session.backward]
        box, cells = suite.sealed[0], suite.sealed[1:]
        assert box[0] not in {key for key, _ in cells}
        assert len(set(cells)) == len(cells)
        # Over all its keys, a direction has each counter once, from zero on.
        counters = Counter(int.from_bytes(nonce, "big") for _, nonce in cells)
        assert counters == sum((Counter(range(chain.counter)) for chain in chains), Counter())
        keys = Counter(key for key, _ in cells)
        assert max(keys.values()) <= cells_per_step
        assert all(chain.rekeys >= 3 for chain in chains)
        # No key but those of the cells opened any: and what was sealed is what was opened, in order.
        assert Counter(suite.opened) == Counter(suite.sealed)
        # A filler's key never seals, and every cell key's chain has one of its own.
        fillers = suite.streamed - set(keys)
        if hop + 1 < count:
            assert fillers
        assert not fillers & {key for key, _ in suite.opened}


@settings(deadline=None, max_examples=15)
@given(
    count=st.integers(2, 4),
    cells_per_step=st.sampled_from([1, 2, 3, 128]),
    seed=st.integers(0, 2**32),
)
def test_no_body_on_any_edge_begins_or_ends_like_another(count: int, cells_per_step: int, seed: int) -> None:
    """What a relay puts before what it passes on is made of the filler key: a lagging one repeats itself."""
    bench = Watched([TOY] * count, StepTerms(cells_per_step, step_s=1.0))
    wander(bench, 60 * count, seed)
    for _ in range(2):
        bench.step()
    bodies = [body for wire in bench.wire.values() for body in wire]
    for cut in (slice(LAYER_OVERHEAD), slice(LAYER_OVERHEAD, HEAD), slice(-LAYER_OVERHEAD, None)):
        assert len({body[cut] for body in bodies}) == len(bodies)


@pytest.mark.parametrize("cells_per_step", [1, 3, 128])
def test_cell_and_filler_keys_are_always_two(cells_per_step: int) -> None:
    talk = Talk(TOY, cells_per_step)
    seen: set[bytes] = set()
    for _ in range(3):
        talk.step(3)
        for end, way in itertools.product((CLIENT, NODE), (FORWARD, BACKWARD)):
            chain = talk.chain(end, way)
            assert len({chain._cell_key, chain._filler_key, chain._chain_key, chain._root}) == 4
            seen |= {chain._cell_key, chain._filler_key}
        assert len({talk.chain(CLIENT, way)._cell_key for way in (FORWARD, BACKWARD)}) == 2
    assert len(seen) >= 3 * 4


# -- nothing old is kept, nor can it be had from what is ------------------------------------------------
def strings(chain: Chain) -> set[bytes]:
    """Every byte string of a key's size that a chain refers to."""
    return {bytes(t) for t in reachable(chain) if isinstance(t, bytes | bytearray) and len(t) == KEY_SIZE}


def had_from(known: set[bytes]) -> set[bytes]:
    """Everything that the chains' derivations make of some strings, three of them deep."""
    found = new = set(known)
    for _ in range(3):
        new = {made for key in new for made in derived(TOY, key)} - found
        found = found | new
    return found


@pytest.mark.parametrize("cells_per_step", [1, 2])
def test_no_old_key_can_be_had_from_a_chains_new_state(cells_per_step: int) -> None:
    chain = Chain(TOY, b"r" * KEY_SIZE, cells_per_step)
    old: set[bytes] = {b"r" * KEY_SIZE}
    for turn in range(6):
        chain.heads(1, HEAD)
        chain.filler()
        used = strings(chain)
        steps = chain.steps
        while chain.steps == steps:
            chain.seal(b"", bytearray(16))
        kept = strings(chain) & used
        assert kept == {chain._root}
        old |= used - kept
        if turn == 3:
            old.add(chain._root)
            chain.mix(b"s" * KEY_SIZE, b"frame")
            old.add(b"s" * KEY_SIZE)
        assert not had_from(strings(chain)) & old


@pytest.mark.parametrize("count", [1, 3])
def test_private_keys_die_with_their_use_and_no_other_is_kept(count: int) -> None:
    suite = MortalSuite()
    bench = Watched([suite] * count, StepTerms(step_s=1.0), spare=0)
    for _ in range(3):
        # The nodes' prekeys, and what the client made for each hop.
        assert suite.alive >= 2 * count
        bench.settle()
        # The prekeys, and the key of each node's last RSP: the client waits for nothing.
        assert suite.alive == 2 * count
        bench.chatter()
        bench.settle()
        bench.clock.pass_s(2.0)
        bench.circuit.tend(bench.clock.now_s)
        while bench.carry(0, True):
            pass
        # The first node has taken its REQ, and so has no key; the client waits for every hop's answer.
        assert suite.alive == 3 * count - 1
    assert all(hop.ratchet.epoch == 4 for hop in bench.circuit.hops)


# -- what is refused moves nothing ------------------------------------------------------------------------
def whole(thing: Any) -> Any:
    """Everything that an end's ratchet holds, for comparing."""
    slots = [slot for slot in type(thing).__slots__ if slot not in ("decrypt_into", "encrypt_into", "forged")]
    parts = {slot: getattr(thing, slot) for slot in slots}
    deep = {"_session": lambda s: (whole(s.forward), whole(s.backward)), "_suite": id}
    return {slot: deep.get(slot, lambda part: part)(part) for slot, part in parts.items()}


class Overheard(Talk):
    """A talk that remembers its frames."""

    def __init__(self, cells_per_step: int) -> None:
        self.frames: list[bytes] = []
        super().__init__(TOY, cells_per_step)

    def _seal(self, way: bool, frame: bytes = b"") -> None:
        if frame:
            self.frames.append(frame)
        super()._seal(way, frame)


@settings(deadline=None, max_examples=60)
@given(
    moves=st.lists(
        st.sampled_from(["say", "reply", "reach", "return", "ask", "answer", "turn"]), max_size=25
    ),
    epoch=st.integers(-2, 3),
    cut=st.integers(-3, 3),
)
def test_a_frame_that_is_not_due_is_refused_and_moves_nothing(moves: list[str], epoch: int, cut: int) -> None:
    talk = Overheard(3)
    acts = {
        "say": lambda: talk.say(FORWARD),
        "reply": lambda: talk.say(BACKWARD),
        "reach": lambda: talk.arrive(FORWARD),
        "return": lambda: talk.arrive(BACKWARD),
        "ask": talk.ask,
        "answer": talk.answer,
        "turn": talk.step,
    }
    for move in moves:
        acts[move]()
    public, ciphertext = TOY.generate().public, TOY.generate().public
    current = max(0, talk.asks.epoch + epoch)
    made = [RatchetFrame(kind, current, ciphertext, public).encode() for kind in (REQUEST, RESPONSE)]
    good = made[0] + bytes(max(cut, 0))
    tried = [
        *talk.frames,
        *made,
        good[: len(good) + min(cut, 0)],
        b"",
        RatchetFrame(2, 0, ciphertext, public).encode(),
    ]
    due = {
        NODE: (REQUEST, talk.answers.epoch + 1) if not talk.answers.due else None,
        CLIENT: (RESPONSE, talk.asks.epoch) if talk.asks.waiting else None,
    }
    refused = 0
    for data in tried:
        for end, take, ratchet in (
            (NODE, talk.answers.request, talk.answers),
            (CLIENT, talk.asks.response, talk.asks),
        ):
            whole_frame = len(data) == len(made[0])
            if whole_frame and (data[0], int.from_bytes(data[1:5], "big")) == due[end]:
                continue
            before = whole(ratchet)
            with pytest.raises(PeerViolation):
                take(data)
            assert whole(ratchet) == before
            refused += 1
    assert refused >= 4
    # And the talk goes on as if nothing had been said.
    talk.step()
    talk.step()
    talk.check()


@pytest.mark.parametrize("where", ["public", "ciphertext"])
def test_an_unusable_request_moves_nothing(where: str) -> None:
    talk = Talk(TOY, 8)
    talk.step()
    parts = {"public": TOY.generate().public, "ciphertext": TOY.generate().public, where: bytes(32)}
    data = RatchetFrame(REQUEST, talk.answers.epoch + 1, **parts).encode()
    before = whole(talk.answers._session.backward)
    if where == "ciphertext":
        everything = whole(talk.answers)
        with pytest.raises(PeerViolation):
            talk.answers.request(data)
        assert whole(talk.answers) == everything
    else:
        # Only the answer shows it: forward has turned, backward has not.
        talk.answers.request(data)
        with pytest.raises(PeerViolation):
            talk.answers.response(TOY.generate())
        assert whole(talk.answers._session.backward) == before


def test_a_request_that_comes_while_one_is_being_answered_ends_the_circuit() -> None:
    bench = Bench([TOY])
    bench.settle()
    turn = bench.circuit.hops[0].ratchet.request()
    payload = encode(SESSION, Frame.RATCHET, turn.data)
    bench.give(0, True, *bench.say(0, payload))
    turn.sealed()
    relay = bench.relays[0]
    assert relay._ratchet.due
    before = relay.session.forward.rekeys
    again = RatchetFrame(REQUEST, 3, TOY.generate().public, TOY.generate().public).encode()
    with pytest.raises(PeerViolation):
        bench.give(0, True, *bench.say(0, encode(SESSION, Frame.RATCHET, again)))
    assert relay.session.forward.rekeys == before
