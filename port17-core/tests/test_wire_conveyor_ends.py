"""How conveyors end: half by half, by reset in any state, and with their circuit; and whose turn it is."""

from __future__ import annotations

import pytest

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import PAYLOAD_SIZE
from port17.wire.conveyor import FIRST_WINDOW, WINDOW_CAP, Conveyor
from port17.wire.frame import (
    FRAME_HEAD,
    Frame,
    encode,
    encode_operation,
)
from port17.wire.reasons import Reason

from .wire_ends import Ends, take

MIB = 1 << 20
TURN_MOST = 256 * 1024
"""Bytes that one conveyor may send while another waits: 3 ms of a fast circuit."""


@pytest.mark.parametrize("first", [0, 1])
def test_each_direction_ends_by_itself_in_either_order(first: int) -> None:
    ends = Ends()
    pair = ends.pair()
    one, other = pair[first], pair[1 - first]
    one.send(b"a" * 10_000)
    one.finish()
    ends.settle()
    assert other.finished
    assert not other.ended
    assert not one.finished
    assert take(other) == b"a" * 10_000
    other.send(b"b" * 10_000)
    ends.settle()
    assert take(one) == b"b" * 10_000
    other.finish()
    ends.settle()
    assert one.ended
    assert other.ended
    assert one.reset_reason is None
    assert other.reset_reason is None
    assert ends.client.conveyors == ends.server.conveyors == {}
    assert [budget.used for budget in ends.budgets] == [0, 0]


def test_both_may_finish_at_once() -> None:
    ends = Ends()
    near, far = ends.pair()
    for end in (near, far):
        end.send(b"x" * 100_000)
        end.finish()
    for _ in range(50):
        ends.settle()
        take(near)
        take(far)
    assert near.ended
    assert far.ended
    assert near.reset_reason is far.reset_reason is None
    assert [budget.used for budget in ends.budgets] == [0, 0]


def test_the_end_comes_after_all_data() -> None:
    ends = Ends()
    near, far = ends.pair()
    near.send(b"x" * (3 * FIRST_WINDOW))
    near.finish()
    ends.settle()
    assert not far.finished
    total = 0
    while not far.finished or far.received:
        total += len(take(far))
        ends.settle()
    assert total == 3 * FIRST_WINDOW
    with pytest.raises(LocalViolation):
        near.send(b"more")


@pytest.mark.parametrize("frame", [encode(1, Frame.DATA, b"x"), encode(1, Frame.FIN)])
def test_after_its_end_a_direction_carries_nothing(frame: bytes) -> None:
    ends = Ends()
    ends.pair()
    ends.write(True, encode(1, Frame.FIN))
    with pytest.raises(PeerViolation):
        ends.write(True, frame)


@pytest.mark.parametrize(
    ("forward", "frame"),
    [
        (True, encode(1, Frame.ACCEPT, b"")),
        (False, encode(1, Frame.ACCEPT, b"")),
        (False, encode(1, Frame.OPEN, b"")),
        (True, encode(1, Frame.OPEN, encode_operation("TEST", b""))),
        (True, encode(1, Frame.FIN, b"x")),
        (True, encode(1, Frame.RESET, b"x")),
        (False, encode(1, Frame.RESET, b"xxx")),
        (True, encode(1, Frame.RATCHET, b"x")),
        (True, FRAME_HEAD.pack(1, 200, 0)),
        (True, FRAME_HEAD.pack(1, Frame.PAD, 0)),
        (True, FRAME_HEAD.pack(0, Frame.PAD, 1)),
        (True, FRAME_HEAD.pack(1, Frame.DATA, PAYLOAD_SIZE)),
        (True, FRAME_HEAD.pack(1, Frame.FIN, 65_535)),
    ],
)
def test_what_is_malformed_or_not_allowed_is_a_violation(forward: bool, frame: bytes) -> None:
    ends = Ends()
    near, _ = ends.pair()
    assert near.accepted
    with pytest.raises(PeerViolation):
        ends.write(forward, frame)


def test_datagrams_are_not_there_yet() -> None:
    ends = Ends()
    ends.pair()
    with pytest.raises(PeerViolation):
        ends.write(True, encode(1, Frame.DATAGRAM, b"x"))


@pytest.mark.parametrize(
    "state", ["opening", "open", "sending", "half closed here", "half closed there", "stalled"]
)
@pytest.mark.parametrize("who", [0, 1])
def test_a_reset_in_any_state_ends_both_ends_and_leaves_nothing(state: str, who: int) -> None:
    ends = Ends()
    if state == "opening":
        ends.accepts = False
    near, far = ends.pair()
    ends_pair = (near, far)
    if state in ("sending", "stalled"):
        for end in ends_pair:
            end.send(bytes(MIB))
        if state == "stalled":
            ends.settle()
        else:
            ends.send(True)
            ends.send(False)
    if state.startswith("half"):
        ends_pair[who if state.endswith("here") else 1 - who].finish()
        ends.settle()
    ends_pair[who].reset(Reason.TIMEOUT)
    ends_pair[who].reset(Reason.DONE)
    if not state.startswith("half"):
        ends_pair[who].send(b"late")
    ends.settle()
    assert [end.reset_reason for end in ends_pair] == [Reason.TIMEOUT] * 2
    assert [end.waiting for end in ends_pair] == [0, 0]
    for end in ends_pair:
        end.take()
    assert ends.client.conveyors == ends.server.conveyors == {}
    assert [budget.used for budget in ends.budgets] == [0, 0]
    # The session goes on.
    near, far = ends.pair()
    assert near.ident == 2


@pytest.mark.parametrize("mine", ["finish", "reset"])
@pytest.mark.parametrize("theirs", ["finish", "reset"])
def test_ends_that_cross_on_their_way_are_no_violation(mine: str, theirs: str) -> None:
    ends = Ends()
    near, far = ends.pair()
    for end in (near, far):
        end.send(bytes(5000))
    for end, how in ((near, mine), (far, theirs)):
        end.finish() if how == "finish" else end.reset(Reason.RESET)
    while ends.send(True) or ends.send(False):
        pass
    ends.settle()
    assert near.ended
    assert far.ended
    for end in (near, far):
        end.take()
    assert [budget.used for budget in ends.budgets] == [0, 0]


@pytest.mark.parametrize("value", [*Reason, 16, 999, 65_535])
def test_a_reason_arrives_and_an_unknown_one_is_read_as_none_given(value: int) -> None:
    ends = Ends()
    near, _ = ends.pair()
    ends.write(False, encode(1, Frame.RESET, value.to_bytes(2, "big")))
    known = value in list(Reason) and value != Reason.LINK_LOST
    assert near.reset_reason == (value if known else Reason.GENERIC)


def test_windows_are_held_until_what_came_is_taken() -> None:
    """Else a reader that hangs would let its peer fill one window after another."""
    ends = Ends()
    near, far = ends.pair()
    near.send(bytes(FIRST_WINDOW))
    near.finish()
    far.finish()
    ends.settle()
    assert far.ended
    assert far.received == FIRST_WINDOW
    assert ends.budgets[1].used == FIRST_WINDOW
    assert len(far.take()) == FIRST_WINDOW
    assert ends.budgets[1].used == 0


def test_when_the_circuit_ends_so_does_everything() -> None:
    ends = Ends()
    pairs = [ends.pair() for _ in range(20)]
    for near, far in pairs:
        near.send(bytes(MIB))
        far.send(bytes(MIB))
    ends.settle()
    ends.client.close(Reason.LINK_LOST)
    ends.server.close(Reason.GENERIC)
    assert {near.reset_reason for near, _ in pairs} == {Reason.LINK_LOST}
    assert {far.reset_reason for _, far in pairs} == {Reason.GENERIC}
    assert not ends.send(True)
    assert not ends.send(False)
    for near, far in pairs:
        assert near.waiting == far.waiting == 0
        near.take()
        far.take()
    assert [budget.used for budget in ends.budgets] == [0, 0]


def widened(ends: Ends, count: int) -> list[tuple[Conveyor, Conveyor]]:
    """Conveyors that have all the credit that they may have."""
    pairs = [ends.pair() for _ in range(count)]
    for near, far in pairs:
        far.allowance = near.credit = 2 * WINDOW_CAP
    return pairs


@pytest.mark.parametrize("count", [2, 5])
def test_busy_conveyors_share_a_session_alike(count: int) -> None:
    ends = Ends()
    pairs = widened(ends, count)
    for near, _ in pairs:
        near.send(bytes(4 * MIB))
    for _ in range(count * 200):
        ends.send(True)
        ends.arrive(True)
        received = [far.received for _, far in pairs]
        assert max(received) - min(received) <= TURN_MOST
    assert min(received) > MIB // 2


@pytest.mark.parametrize(("size", "every"), [(11, 5), (11, 1), (1500, 2), (3900, 1)])
def test_a_small_writer_goes_first_and_starves_nobody(size: int, every: int) -> None:
    ends = Ends()
    (small, its_end), *bulk = widened(ends, 4)
    for near, _ in bulk:
        near.send(bytes(6 * MIB))
    for turn in range(1000):
        if turn % every == 0:
            small.send(bytes(size))
        ends.send(True)
        ends.arrive(True)
        if size < 100 and turn % every == 0:
            assert len(its_end.take()) == size
    received = [far.received for _, far in bulk]
    assert max(received) - min(received) <= TURN_MOST
    assert sum(received) > MIB


@pytest.mark.parametrize("first", [1, 100, 3900, 4100])
def test_a_conveyor_that_is_sent_more_while_it_is_in_line_goes_on(first: int) -> None:
    ends = Ends()
    pairs = widened(ends, 3)
    for near, _ in pairs:
        near.send(bytes(first))
        near.send(bytes(100_000))
    ends.settle()
    assert [far.received for _, far in pairs] == [first + 100_000] * 3


def test_a_watcher_is_told_of_everything() -> None:
    ends = Ends()
    near, far = ends.pair()
    told: list[str] = []
    far.watch = lambda: told.append("far")
    near.watch = lambda: told.append("near")
    near.low_water = 0
    near.send(b"x")
    ends.settle()
    assert set(told) == {"near", "far"}
    told.clear()
    near.finish()
    ends.settle()
    assert "far" in told
    told.clear()
    far.reset(Reason.DONE)
    ends.settle()
    assert {"near", "far"} <= set(told)
