"""Conveyors: frames packed and parsed, opening, byte credits, and what a hostile end can make us keep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.errors import LocalViolation, PeerViolation
from port17.wire.block import PAYLOAD_SIZE
from port17.wire.conveyor import FIRST_WINDOW, WINDOW_CAP
from port17.wire.frame import (
    DATA_CAP,
    FRAME_HEAD,
    SESSION,
    Frame,
    decode_operation,
    encode,
    encode_operation,
    write_ratchet,
)
from port17.wire.mux import CONTROL_CAP, CONVEYORS_CAP
from port17.wire.reasons import Reason

from .wire_ends import Ends, take

MIB = 1 << 20
TURN_MOST = 256 * 1024
"""Bytes that one conveyor may send while another waits: 3 ms of a fast circuit."""


def pieces(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """A second parser, as plain as the format: identity, type, data."""
    while len(payload) >= FRAME_HEAD.size:
        ident, kind, length = FRAME_HEAD.unpack_from(payload)
        if kind == Frame.PAD:
            assert not any(payload)
            return
        data = payload[FRAME_HEAD.size : FRAME_HEAD.size + length]
        assert len(data) == length
        yield ident, kind, data
        payload = payload[FRAME_HEAD.size + length :]
    assert not any(payload)


# -- frames -------------------------------------------------------------------------------------------
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * PAYLOAD_SIZE)), min_size=1, max_size=12))
def test_what_is_packed_is_whole_frames_and_padding(sends: list[tuple[int, int]]) -> None:
    ends = Ends()
    conveyors = [ends.client.open("TEST", bytes([n]), 0.0) for n in range(4)]
    sent = [b""] * 4
    for number, (place, size) in enumerate(sends):
        data = bytes([number + 1]) * size
        conveyors[place].send(data)
        sent[place] += data
    got = [b""] * 4
    payloads = 0
    while ends.send(True):
        payloads += 1
        for ident, kind, data in pieces(ends.there.popleft()):
            if kind == Frame.DATA:
                got[ident - 1] += data
            else:
                assert (kind, data) == (Frame.OPEN, encode_operation("TEST", bytes([ident - 1])))
    assert got == sent
    # Full but for the last, and but for room too small to be worth a frame.
    assert payloads <= sum(map(len, sent)) // (PAYLOAD_SIZE - 4 * FRAME_HEAD.size - 128) + 1


@given(st.text("ABCXYZ_", max_size=40), st.binary(max_size=300))
def test_an_operation_is_read_as_it_was_written(name: str, arguments: bytes) -> None:
    assert decode_operation(encode_operation(name, arguments)) == (name, arguments)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_operation_or_a_violation(data: bytes) -> None:
    try:
        name, arguments = decode_operation(data)
    except PeerViolation:
        return
    assert encode_operation(name, arguments) == data


def test_a_frame_that_no_cell_holds_is_a_mistake_of_ours() -> None:
    assert len(encode(1, Frame.DATA, bytes(DATA_CAP))) == PAYLOAD_SIZE
    with pytest.raises(LocalViolation):
        encode(1, Frame.DATA, bytes(DATA_CAP + 1))
    ends = Ends()
    with pytest.raises(LocalViolation):
        ends.client.open("TEST", bytes(DATA_CAP), 0.0)
    near = ends.client.open("TEST", bytes(DATA_CAP - 5), 0.0)
    ends.accepts = False
    ends.settle()
    with pytest.raises(LocalViolation):
        ends.served[0].accept(bytes(DATA_CAP + 1))
    ends.served[0].accept(bytes(DATA_CAP))
    ends.settle()
    assert near.accepted_data == bytes(DATA_CAP)


def test_a_ratchet_frame_has_its_payload_for_itself() -> None:
    payload = bytearray(b"\xee" * PAYLOAD_SIZE)
    write_ratchet(memoryview(payload), b"the data")
    assert list(pieces(bytes(payload))) == [(SESSION, Frame.RATCHET, b"the data")]
    for mux in (Ends().client, Ends().server):
        assert bytes(mux.take(memoryview(payload), 0.0) or b"") == b"the data"
    payload[-1] = 1
    for mux in (Ends().client, Ends().server):
        with pytest.raises(PeerViolation):
            mux.take(memoryview(payload), 0.0)


frame_bytes = st.builds(
    lambda ident, kind, data, length: (
        FRAME_HEAD.pack(ident, kind, len(data) if length is None else length) + data
    ),
    st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)),
    st.one_of(st.integers(0, 9), st.integers(0, 255)),
    st.binary(max_size=40),
    st.one_of(st.none(), st.none(), st.none(), st.integers(0, 65_535)),
)


@settings(deadline=None, max_examples=300)
@given(
    payloads=st.lists(
        st.one_of(st.lists(frame_bytes, max_size=8).map(b"".join), st.binary(max_size=300)), max_size=6
    ),
    forward=st.booleans(),
)
def test_any_bytes_are_taken_or_a_violation_and_little_is_kept(payloads: list[bytes], forward: bool) -> None:
    ends = Ends(budget=4 * FIRST_WINDOW)
    near, far = ends.pair()
    mux = ends.server if forward else ends.client
    for payload in payloads:
        try:
            mux.take(memoryview(payload.ljust(PAYLOAD_SIZE, b"\0")), 0.0)
        except PeerViolation:
            break
        ends.send(not forward)
    end = far if forward else near
    assert end.received <= FIRST_WINDOW
    assert end.credit <= 2 * WINDOW_CAP
    assert len(mux._control) <= 50
    for conveyor in (near, far, *ends.served):
        conveyor.reset(Reason.DONE)
    for mux, budget in zip((ends.client, ends.server), ends.budgets, strict=True):
        mux.close(Reason.DONE)
        for conveyor in ends.served:
            conveyor.take()
        assert budget.used == 0


# -- opening --------------------------------------------------------------------------------------------
def test_an_open_conveyor_carries_its_operation_and_both_directions() -> None:
    ends = Ends()
    near, far = ends.pair(b"arguments")
    assert ends.opened == [("TEST", b"arguments")]
    assert near.accepted
    assert near.accepted_data == b"ready"
    near.send(b"up")
    far.send(b"down")
    ends.settle()
    assert (take(far), take(near)) == (b"up", b"down")


def test_data_may_come_before_the_answer() -> None:
    ends = Ends()
    ends.accepts = False
    near = ends.client.open("TEST", b"", 0.0)
    near.send(b"early")
    ends.settle()
    assert not near.accepted
    assert ends.served[0].take() == b"early"


@pytest.mark.parametrize("ident", [0, 1])
def test_an_id_is_used_once_and_never_the_sessions(ident: int) -> None:
    ends = Ends()
    near, _ = ends.pair()
    near.reset(Reason.DONE)
    ends.settle()
    with pytest.raises(PeerViolation):
        ends.write(True, encode(ident, Frame.OPEN, encode_operation("TEST", b"")))


def test_nobody_opens_conveyors_to_a_client() -> None:
    ends = Ends()
    ends.pair()
    with pytest.raises(PeerViolation):
        ends.write(False, encode(9, Frame.OPEN, encode_operation("TEST", b"")))


@pytest.mark.parametrize("kind", [Frame.ACCEPT, Frame.DATA, Frame.FIN, Frame.RESET, Frame.CREDIT, 7, 9, 255])
@pytest.mark.parametrize("forward", [True, False])
def test_a_conveyor_that_never_was_is_a_violation_and_a_dead_one_is_not(kind: Any, forward: bool) -> None:
    ends = Ends()
    near, _ = ends.pair()
    near.reset(Reason.DONE)
    ends.settle()
    frame = FRAME_HEAD.pack(1, kind, 2) + b"xx"
    ends.write(forward, frame)
    with pytest.raises(PeerViolation):
        ends.write(forward, FRAME_HEAD.pack(2, kind, 2) + b"xx")


def test_a_session_has_room_for_so_many() -> None:
    ends = Ends()
    for _ in range(CONVEYORS_CAP):
        assert not ends.client.full
        ends.client.open("TEST", b"", 0.0)
    assert ends.client.full
    with pytest.raises(LocalViolation):
        ends.client.open("TEST", b"", 0.0)
    ends.settle()
    assert len(ends.served) == CONVEYORS_CAP
    ends.write(True, encode(CONVEYORS_CAP + 1, Frame.OPEN, encode_operation("TEST", b"")))
    assert len(ends.served) == CONVEYORS_CAP
    assert ends.budgets[1].used == CONVEYORS_CAP * FIRST_WINDOW
    assert ends.send(False)
    refused = list(pieces(ends.back.pop()))
    assert refused == [(CONVEYORS_CAP + 1, Frame.RESET, Reason.RESOURCES.to_bytes(2, "big"))]
    ends.served[0].reset(Reason.DONE)
    ends.settle()
    ends.client.open("TEST", b"", 0.0)


def test_what_the_budget_does_not_hold_is_refused_with_the_reason() -> None:
    ends = Ends(server_budget=3 * FIRST_WINDOW + 1)
    near = [ends.client.open("TEST", b"", 0.0) for _ in range(5)]
    ends.settle()
    assert [conveyor.reset_reason for conveyor in near] == [None] * 3 + [Reason.RESOURCES] * 2
    assert len(ends.served) == 3
    assert ends.budgets[0].used == ends.budgets[1].used == 3 * FIRST_WINDOW


@pytest.mark.parametrize("answer", [True, False], ids=["answered", "refused"])
def test_opens_whose_answers_nobody_reads_end_the_circuit(answer: bool) -> None:
    ends = Ends(server_budget=1 << 30 if answer else 0)
    with pytest.raises(PeerViolation):
        for number in range(1, 10 * CONTROL_CAP):
            ends.write(True, encode(number, Frame.OPEN, encode_operation("T", b"")))
            if answer:
                ends.write(True, encode(number, Frame.RESET, b"\0\1"))
    assert len(ends.server._control) <= CONTROL_CAP
    assert len(ends.server.conveyors) <= 1


# -- credit -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("forward", [True, False])
def test_data_beyond_its_credit_is_a_violation(forward: bool) -> None:
    ends = Ends()
    near, far = ends.pair()
    end = far if forward else near
    left = FIRST_WINDOW
    while left:
        size = min(left, DATA_CAP)
        ends.write(forward, encode(1, Frame.DATA, bytes(size)))
        left -= size
    assert end.received == FIRST_WINDOW
    with pytest.raises(PeerViolation):
        ends.write(forward, encode(1, Frame.DATA, b"x"))
    assert end.received == FIRST_WINDOW


def test_a_sender_stops_at_its_credit_and_goes_on_with_more() -> None:
    ends = Ends()
    near, far = ends.pair()
    data = bytes(range(256)) * 1200
    near.send(data)
    ends.settle()
    assert far.received == FIRST_WINDOW
    assert near.waiting == len(data) - FIRST_WINDOW
    assert not near.sendable
    got = b""
    for _ in range(100):
        got += take(far)
        ends.settle()
    assert got == data


def test_windows_grow_while_the_reader_is_quick_to_a_most_and_within_half_the_budget() -> None:
    for budget, most in ((1 << 30, WINDOW_CAP), (4 * FIRST_WINDOW, FIRST_WINDOW * 2)):
        ends = Ends(server_budget=budget)
        near, far = ends.pair()
        for _ in range(24):
            while near.waiting < 2 * WINDOW_CAP:
                near.send(bytes(MIB))
            ends.settle()
            take(far)
        assert far._window == most
        assert ends.budgets[1].used == far._window
        assert far.allowance <= far._window
        # Nobody reads any more: what is kept is the window, and no more.
        ends.settle()
        assert far.received <= far._window
        near.reset(Reason.DONE)
        ends.settle()
        far.take()
        assert ends.budgets[1].used == 0


def test_a_slow_reader_keeps_the_first_window() -> None:
    ends = Ends()
    near, far = ends.pair()
    ends.server.round_trip_s = 3600.0
    for _ in range(100):
        near.send(bytes(FIRST_WINDOW))
        ends.settle()
        ends.now_s += 10.0
        take(far, ends.now_s)
    assert far._window == FIRST_WINDOW


@pytest.mark.parametrize("forward", [True, False])
def test_a_credit_adds_up_to_a_most(forward: bool) -> None:
    ends = Ends()
    near, far = ends.pair()
    for _ in range(5):
        ends.write(forward, encode(1, Frame.CREDIT, b"\xff" * 4))
    assert (far if forward else near).credit == 2 * WINDOW_CAP


@pytest.mark.parametrize("size", [0, 1, 3, 5, 100])
def test_a_credit_of_another_size_is_a_violation(size: int) -> None:
    ends = Ends()
    ends.pair()
    with pytest.raises(PeerViolation):
        ends.write(True, encode(1, Frame.CREDIT, bytes(size)))


@pytest.mark.parametrize("forward", [True, False])
def test_empty_data_is_a_violation(forward: bool) -> None:
    ends = Ends()
    ends.pair()
    with pytest.raises(PeerViolation):
        ends.write(forward, encode(1, Frame.DATA, b""))


@pytest.mark.parametrize("size", [1, 2, 50, 1000, 1023, 1024, 1025])
def test_small_pieces_cost_little_more_than_their_bytes(size: int) -> None:
    ends = Ends()
    _, far = ends.pair()
    frame = encode(1, Frame.DATA, b"x" * size)
    while far.allowance >= size:
        count = min(far.allowance // size, PAYLOAD_SIZE // len(frame))
        ends.write(True, *[frame] * count)
    kept = sum(map(sys.getsizeof, far._received)) + 8 * len(far._received)
    assert kept < 1.3 * FIRST_WINDOW


def test_alternating_pieces_cost_little_more_than_their_bytes() -> None:
    ends = Ends()
    _, far = ends.pair()
    while far.allowance >= 1100:
        ends.write(True, encode(1, Frame.DATA, bytes(1024)), encode(1, Frame.DATA, b"x"))
    kept = sum(map(sys.getsizeof, far._received)) + 8 * len(far._received)
    assert kept < 1.3 * FIRST_WINDOW


def test_a_conveyor_for_which_no_data_is_meant_takes_none() -> None:
    ends = Ends()
    near, _ = ends.pair()
    near.no_data()
    assert ends.budgets[0].used == 0
    with pytest.raises(PeerViolation):
        ends.write(False, encode(1, Frame.DATA, b"x"))
    near.reset(Reason.DONE)
    assert ends.budgets[0].used == 0
