"""SETUP: one size for all, opened once, cheap to refuse."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import HandshakeFailed, PeerViolation
from port17.wire import setup
from port17.wire.block import SETUP_SIZE
from port17.wire.replay import REPLAY_KEY_SIZE, STAMP_UNIT_S, ReplaySet, stamp
from port17.wire.setup import CELLS_PER_STEP_CAP, Opened, make, open_setup
from port17.wire.suite import CipherSuite

from .wire_network import WALL_S, Clock, Host, network
from .wire_suites import SUITES, TOY, CountingSuite, Lies, ToySuite

ids = {"ids": lambda suite: suite.name}


def opened(host: Host, content: bytes, *, now_s: float = WALL_S, revisions: tuple[int, ...] = (3,)) -> Opened:
    return open_setup(network(*revisions), host.fingerprint, host.find, host.replays, content, now_s)


@pytest.mark.parametrize("cells", [1, 128, CELLS_PER_STEP_CAP])
@pytest.mark.parametrize("suite", SUITES, **ids)
def test_both_ends_have_one_session(suite: CipherSuite, cells: int) -> None:
    host, key = Host(1, suite, Clock()), suite.generate()
    content, ours = make(network(), host.public, key, WALL_S, cells)
    assert len(content) == SETUP_SIZE
    there = opened(host, content)
    assert there.ratchet_key == key.public
    assert there.session.forward.cells_per_step == there.session.backward.cells_per_step == cells
    for seals, opens in (
        (ours.forward, there.session.forward),
        (there.session.backward, ours.backward),
    ):
        sealed, plain = bytearray(20), bytearray(4)
        seals.seal(b"test", sealed)
        opens.open(sealed, plain)
        assert plain == b"test"


@pytest.mark.parametrize("suite", SUITES, **ids)
@settings(deadline=None, max_examples=80)
@given(place=st.integers(0, 8 * SETUP_SIZE - 1))
def test_any_flipped_bit_is_refused_and_remembers_nothing(suite: CipherSuite, place: int) -> None:
    host = Host(1, suite, Clock())
    content, _ = make(network(), host.public, suite.generate(), WALL_S)
    altered = bytearray(content)
    altered[place // 8] ^= 1 << place % 8
    with pytest.raises(HandshakeFailed) as failed:
        opened(host, bytes(altered))
    assert failed.value.message == "a SETUP was refused"
    assert len(host.replays) == 0
    opened(host, content)


def test_a_setup_opens_once_and_its_replay_costs_no_decapsulation() -> None:
    suite = CountingSuite()
    host = Host(1, suite, Clock())
    content, _ = make(network(), host.public, suite.generate(), WALL_S)
    opened(host, content)
    assert suite.decapsulations == 1
    for _ in range(5):
        with pytest.raises((HandshakeFailed, PeerViolation)):
            opened(host, content)
    assert suite.decapsulations == 1


@pytest.mark.parametrize("delay_s", [-200, -121, 121, 200, 86_400])
def test_a_stamp_outside_the_window_is_refused(delay_s: int) -> None:
    host = Host(1, TOY, Clock())
    content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    with pytest.raises(PeerViolation):
        opened(host, content, now_s=WALL_S + delay_s)


@pytest.mark.parametrize("delay_s", [-60, -1, 0, 60, 119])
def test_a_stamp_inside_the_window_is_taken(delay_s: int) -> None:
    host = Host(1, TOY, Clock())
    content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    opened(host, content, now_s=WALL_S + delay_s)


def test_it_is_for_one_node_one_network_one_record_and_an_accepted_revision() -> None:
    host = Host(1, TOY, Clock())
    public = host.public
    for wrong in (
        make(network(), dataclasses.replace(public, fingerprint=b"o" * 32), TOY.generate(), WALL_S),
        make(network(), dataclasses.replace(public, record_hash=b"o" * 32), TOY.generate(), WALL_S),
        make(network(), dataclasses.replace(public, slot=8), TOY.generate(), WALL_S),
        make(network(), dataclasses.replace(public, public=TOY.generate().public), TOY.generate(), WALL_S),
        make(dataclasses.replace(network(), network_id=b"o" * 32), public, TOY.generate(), WALL_S),
        make(network(4), public, TOY.generate(), WALL_S),
    ):
        with pytest.raises(HandshakeFailed):
            opened(host, wrong[0])
    opened(host, make(network(3), public, TOY.generate(), WALL_S)[0], revisions=(4, 3))
    opened(host, make(network(4, 3), public, TOY.generate(), WALL_S)[0], revisions=(4, 3))
    with pytest.raises(HandshakeFailed):
        opened(host, make(network(3), public, TOY.generate(), WALL_S)[0], revisions=(5, 4))


def test_an_unusable_prekey_is_a_failure_at_the_client() -> None:
    host = Host(1, TOY, Clock())
    with pytest.raises(HandshakeFailed):
        make(network(), dataclasses.replace(host.public, public=bytes(32)), TOY.generate(), WALL_S)


def test_a_suite_whose_cipher_is_no_stream_is_refused_for_circuits() -> None:
    class SyntheticNonce(ToySuite):
        stream_cipher = False

    host = Host(1, SyntheticNonce(), Clock())
    content, _ = make(network(), host.public, TOY.generate(), WALL_S)
    with pytest.raises(HandshakeFailed):
        opened(host, content)


@settings(deadline=None, max_examples=200)
@given(content=st.binary(max_size=120), whole=st.booleans(), own=st.booleans())
def test_any_bytes_are_refused(content: bytes, whole: bool, own: bool) -> None:
    host = Host(1, TOY, Clock())
    if own:
        content = bytes([len(TOY.name)]) + TOY.name.encode() + (7).to_bytes(8, "big") + content
    if whole:
        content = content.ljust(SETUP_SIZE, b"\xa5")
    with pytest.raises(HandshakeFailed):
        opened(host, content)
    assert len(host.replays) == 0


@settings(deadline=None, max_examples=80)
@given(
    size=st.one_of(st.integers(0, 64), st.integers(0, 65_535)),
    length=st.integers(0, 65_535),
    cells=st.one_of(st.sampled_from([0, CELLS_PER_STEP_CAP + 1]), st.integers(0, 2**32 - 1)),
    minutes=st.integers(0, 2**32 - 1),
)
def test_every_field_of_the_box_at_its_limits_is_refused_or_right(
    size: int, length: int, cells: int, minutes: int
) -> None:
    host, now = Host(1, TOY, Clock()), stamp(WALL_S)
    for head, parameters in (
        ((now, size), (4, 128)),
        ((now, 32), (length, 128)),
        ((now, 32), (4, cells)),
        ((minutes, 32), (4, 128)),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(setup, "BOX_HEAD", Lies(setup.BOX_HEAD, *head))
            patch.setattr(setup, "PARAMETERS_HEAD", Lies(setup.PARAMETERS_HEAD, *parameters))
            content, _ = make(network(), host.public, TOY.generate(), WALL_S)
        good = head[1] == 32 and parameters[0] == 4 and 1 <= parameters[1] <= CELLS_PER_STEP_CAP
        if good and abs(head[0] - now) <= 1:
            opened(host, content)
        else:
            with pytest.raises((HandshakeFailed, PeerViolation)):
                opened(host, content)


# -- the replay set -----------------------------------------------------------------------------------
def key(number: int) -> bytes:
    return number.to_bytes(REPLAY_KEY_SIZE, "big")


@settings(deadline=None, max_examples=200)
@given(
    skew_s=st.sampled_from([1.0, 60.0, 300.0]),
    steps=st.lists(
        st.tuples(st.floats(0, 400), st.integers(0, 5), st.integers(-8, 8)), min_size=1, max_size=40
    ),
)
def test_what_was_taken_is_never_taken_again(skew_s: float, steps: list[tuple[float, int, int]]) -> None:
    """One key is always shown with one stamp, as the box binds it."""
    replays = ReplaySet(skew_s)
    now_s = WALL_S
    stamps: dict[int, int] = {}
    taken: set[int] = set()
    for wait_s, number, off in steps:
        now_s += wait_s
        stamps.setdefault(number, stamp(now_s) + off)
        begins_s = stamps[number] * STAMP_UNIT_S
        inside = begins_s - skew_s <= now_s <= begins_s + STAMP_UNIT_S + skew_s
        try:
            replays.admit(key(number), stamps[number], now_s)
        except PeerViolation:
            assert not inside or number in taken
        else:
            assert inside
            assert number not in taken
            taken.add(number)
    assert len(replays) <= len(taken)


@pytest.mark.parametrize("skew_s", [60, 300])
@pytest.mark.parametrize("phase_s", range(0, 700, 11))
def test_a_key_is_known_for_as_long_as_its_stamp_is_taken(skew_s: int, phase_s: int) -> None:
    """Taken as early as a stamp can be, at every moment between two rotations."""
    replays = ReplaySet(skew_s)
    replays.admit(key(0), stamp(WALL_S), WALL_S)
    now_s = WALL_S + phase_s
    number = stamp(now_s + skew_s)
    replays.admit(key(1), number, now_s)
    for later in range(1, 2 * skew_s + STAMP_UNIT_S + 20, 7):
        replays.admit(key(1 + later), stamp(now_s + later), now_s + later)
        with pytest.raises(PeerViolation):
            replays.admit(key(1), number, now_s + later)


def test_entries_are_forgotten_once_their_stamps_are_refused_anyhow() -> None:
    replays = ReplaySet(60)
    for minute in range(100):
        now_s = WALL_S + 60 * minute
        for number in range(10):
            replays.admit(key(100 * minute + number), stamp(now_s), now_s)
    assert len(replays) <= 10 * 2 * 4


def test_a_full_set_refuses_and_evicts_nothing() -> None:
    replays = ReplaySet(60, cap=5)
    for number in range(5):
        replays.admit(key(number), stamp(WALL_S), WALL_S)
    with pytest.raises(PeerViolation):
        replays.admit(key(9), stamp(WALL_S), WALL_S)
    assert [replays.seen(key(number)) for number in (0, 1, 2, 3, 4, 9)] == [True] * 5 + [False]
    later_s = WALL_S + 1000
    replays.admit(key(9), stamp(later_s), later_s)


def test_after_an_unclean_start_nothing_is_taken_that_may_have_been_taken_before() -> None:
    start_s, skew_s = WALL_S, 60.0
    replays = ReplaySet(skew_s, refuse_until_s=start_s + skew_s)
    for before_s in range(0, 400, 7):
        # Whatever a node could have taken at this moment, before it crashed.
        for off in range(-3, 4):
            number = stamp(start_s - before_s) + off
            try:
                ReplaySet(skew_s).admit(key(1), number, start_s - before_s)
            except PeerViolation:
                continue
            for after_s in range(0, 400, 13):
                with pytest.raises(PeerViolation):
                    replays.admit(key(1), number, start_s + after_s)
    replays.admit(key(2), stamp(start_s + 130), start_s + 130)


def test_what_a_clean_stop_stored_is_known_after_it() -> None:
    first = ReplaySet(60)
    first.admit(key(1), stamp(WALL_S), WALL_S)
    second = ReplaySet(60)
    second.restore(first.entries())
    for after_s in (0, 30, 100, 119):
        with pytest.raises(PeerViolation):
            second.admit(key(1), stamp(WALL_S), WALL_S + after_s)
