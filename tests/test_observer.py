"""What crosses between real processes: whole blocks that look random, alike from a client and from a node."""

from __future__ import annotations

import collections
import functools
import operator
import threading
import time
import zlib
from collections.abc import Iterator

import pytest
from rig.destination import Destination
from rig.patience import until
from rig.program import connect, download, upload
from rig.recorder import Crossing, Direction
from rig.watched import Watched, watched

BLOCK = 4096
"""Bytes of a block on a lane."""
FLIGHT = 2 * BLOCK
"""Bytes of a handshake flight, as the charter says: the same for whoever calls."""
NAMES = ("ash", "birch", "cedar", "dogwood")
MIB = 1024 * 1024
CARRIED = 6 * MIB
"""Bytes of each transfer, so that every link of its route carries enough for statistics."""
SAMPLE = 128 * 1024
"""Fewest bytes of a direction whose distribution is tested: 512 of each value are expected."""
CHI_SQUARE_MOST = 255 + 6 * (2 * 255) ** 0.5
"""Six standard deviations above the mean of 255 degrees of freedom: a sound cipher fails one time in 10^7."""
FLIGHTS = 34
"""Flights whose bits are compared: that one of 2 x 65,536 bits is the same in all by chance happens once in
65,000 runs."""
SETTLE_S = 10.0
"""How long links may take until what they send is whole, or a lane stands again, seconds."""
HUSH_S = 0.7
"""How long a node that lacks a byte of a flight is listened to, seconds."""


@pytest.fixture(scope="module")
def observed(
    tmp_path_factory: pytest.TempPathFactory, destination: Destination
) -> Iterator[tuple[Watched, set[Crossing], set[Crossing]]]:
    """The network after some traffic; its lanes' connections, and the client's."""
    with watched(tmp_path_factory.mktemp("observed"), NAMES) as network:
        lanes = network.crossings()
        network.house.start("client")
        for number in range(6):
            with connect(network.house.socks, destination.port, isolation=f"observed {number}") as program:
                if number % 2:
                    assert upload(program, b"up", CARRIED)
                else:
                    assert download(program, b"down", CARRIED).got == CARRIED
        yield network, lanes, network.crossings() - lanes


def directions(crossings: set[Crossing]) -> list[Direction]:
    return [direction for one in crossings for direction in (one.called, one.answered)]


def chi_square(data: bytes) -> float:
    """The statistic of the bytes' distribution against an even one; 255 degrees of freedom."""
    counts = collections.Counter(data)
    expected = len(data) / 256
    return sum((counts[value] - expected) ** 2 / expected for value in range(256))


def test_everything_is_whole_blocks(observed: tuple[Watched, set[Crossing], set[Crossing]]) -> None:
    _, lanes, client = observed
    assert len(lanes) == len(NAMES) * (len(NAMES) - 1) // 2, "one connection per lane"
    assert client
    for crossings in (lanes, client):
        assert all(direction.total > FLIGHT for direction in directions(crossings))
        # What is on its way in this very moment may be half a block; what is not whole by design stays so.
        until(
            lambda crossings=crossings: all(one.total % BLOCK == 0 for one in directions(crossings)),
            "all directions carry whole blocks",
            SETTLE_S,
        )


def test_everything_looks_random(observed: tuple[Watched, set[Crossing], set[Crossing]]) -> None:
    _, lanes, client = observed
    for crossings in (lanes, client):
        kept = [bytes(one.kept) for one in directions(crossings)]
        large = [data for data in kept if len(data) >= SAMPLE]
        assert len(large) >= 2, "too little traffic for a test"
        flights = b"".join(data[:FLIGHT] for data in kept)
        for data in (*large, flights):
            assert chi_square(data) < CHI_SQUARE_MOST
            assert len(zlib.compress(data, 9)) >= len(data)
        blocks = [data[at : at + BLOCK] for data in kept for at in range(0, len(data) - BLOCK + 1, BLOCK)]
        assert len(set(blocks)) == len(blocks), "a block came twice"


def test_no_bit_of_a_flight_is_constant(
    observed: tuple[Watched, set[Crossing], set[Crossing]], destination: Destination
) -> None:
    """A version, a length or a key's unused bit at its place would give the protocol away."""
    network, _, _ = observed
    while len(flights := _flights(network)) < FLIGHTS:
        for one in network.crossings():
            one.cut()
        network.house.wait_for_lanes()
        echo(network, destination)
    for way in zip(*flights, strict=True):
        ones = functools.reduce(operator.or_, (int.from_bytes(flight, "big") for flight in way))
        zeros = functools.reduce(operator.and_, (int.from_bytes(flight, "big") for flight in way))
        never, always = ones != (1 << 8 * FLIGHT) - 1, zeros != 0
        assert not never, "a bit is never set"
        assert not always, "a bit is always set"


def _flights(network: Watched) -> list[tuple[bytes, bytes]]:
    """First and second flight of every connection that had both."""
    whole = [one for one in network.crossings() if one.called.total >= FLIGHT <= one.answered.total]
    return [(bytes(one.called.kept[:FLIGHT]), bytes(one.answered.kept[:FLIGHT])) for one in whole]


def test_statistics_find_what_they_look_for() -> None:
    noise = bytes(range(256)) * 600
    assert chi_square(noise) == 0
    assert chi_square(noise + bytes(8000)) > CHI_SQUARE_MOST
    assert len(zlib.compress(noise, 9)) < len(noise)


def assert_first_flight_is(size: int, crossing: Crossing) -> None:
    """With a gate one byte short of it that it stays unanswered, and is answered with that byte."""
    until(lambda: crossing.called.total >= size, "the caller has sent a flight", SETTLE_S)
    time.sleep(HUSH_S)
    assert crossing.answered.total == 0, "answered before the flight was whole"
    crossing.open_gate(size)
    until(lambda: crossing.answered.total >= FLIGHT, "the flight is answered", SETTLE_S)


def test_first_flights_of_client_and_node_are_of_one_size(
    observed: tuple[Watched, set[Crossing], set[Crossing]], destination: Destination
) -> None:
    network, _, _ = observed
    network.house.end("client")  # what is open now are lanes
    network.set_gate(FLIGHT - 1)
    before = network.crossings()
    next(one for recorder in network.recorders.values() for one in recorder.open).cut()
    until(lambda: len(network.crossings()) == len(before) + 1, "the lane is dialled again", SETTLE_S)
    (lane,) = network.crossings() - before
    assert_first_flight_is(FLIGHT, lane)
    lane.open_gate(None)
    network.house.wait_for_lanes()

    before = network.crossings()
    network.house.start("client")
    program = threading.Thread(target=echo, args=(network, destination))
    program.start()
    try:
        until(lambda: len(network.crossings()) == len(before) + 1, "the client calls an entry node", SETTLE_S)
        (call,) = network.crossings() - before
        assert_first_flight_is(FLIGHT, call)
    finally:
        network.set_gate(None)
        for one in network.crossings() - before:
            one.open_gate(None)
        program.join()


def echo(network: Watched, destination: Destination) -> None:
    """A connection that works."""
    with connect(network.house.socks, destination.port) as program:
        assert download(program, b"echo", 10_000).got == 10_000
