"""What crosses between real processes: whole blocks that look random, alike from a client and from a node."""

from __future__ import annotations

import collections
import functools
import operator
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rig.destination import Destination
from rig.patience import until
from rig.program import connect, download, echoes, upload
from rig.recorder import Crossing, Direction
from rig.watched import Watched, watched

BLOCK = 4096
"""Bytes of a block on a lane."""
FLIGHT = 2 * BLOCK
"""Bytes of a handshake flight, as the charter says: the same for whoever calls."""
BEGINNING = FLIGHT + 4 * BLOCK
"""Bytes with which each direction begins: its flight, and then gossip; no program uses the link so soon."""
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
LANES = len(NAMES) * (len(NAMES) - 1) // 2
LOOKS_S = 60.0
"""How long nodes that have just met may look at each other's addresses, seconds."""


@pytest.fixture(scope="module")
def observed(
    tmp_path_factory: pytest.TempPathFactory, destination: Destination
) -> Iterator[tuple[Watched, set[Crossing], set[Crossing]]]:
    """The network after some traffic; its lanes' connections, and the client's.

    Beside them there have been some by which nodes looked at each other's addresses, or that two nodes made
    to each other at the same moment.
    """
    with watched(tmp_path_factory.mktemp("observed"), NAMES) as network:
        until(lambda: len(network.open()) == LANES, "one connection per lane", LOOKS_S)
        lanes = network.open()
        network.house.start("client")
        network.house.wait_for_lanes()
        for number in range(6):
            with connect(network.house.socks, destination.port, isolation=f"observed {number}") as program:
                if number % 2:
                    assert upload(program, b"up", CARRIED)
                else:
                    assert download(program, b"down", CARRIED).got == CARRIED
        yield network, lanes, network.called_by("client")


def directions(crossings: set[Crossing]) -> list[Direction]:
    return [direction for one in crossings for direction in (one.called, one.answered)]


def chi_square(data: bytes) -> float:
    """The statistic of the bytes' distribution against an even one; 255 degrees of freedom."""
    counts = collections.Counter(data)
    expected = len(data) / 256
    return sum((counts[value] - expected) ** 2 / expected for value in range(256))


def test_everything_is_whole_blocks(observed: tuple[Watched, set[Crossing], set[Crossing]]) -> None:
    network, lanes, client = observed
    assert not lanes & client
    assert len(client) >= 2, "a client hears of the network from two nodes at least"
    for crossings in (lanes, client):
        assert all(direction.total > FLIGHT for direction in directions(crossings))
    for crossings in (lanes, client, network.crossings()):
        # What is on its way in this very moment may be half a block; what is not whole by design stays so.
        until(
            lambda crossings=crossings: all(one.total % BLOCK == 0 for one in directions(crossings)),
            "all directions carry whole blocks",
            SETTLE_S,
        )


def test_everything_looks_random(observed: tuple[Watched, set[Crossing], set[Crossing]]) -> None:
    network, lanes, client = observed
    for crossings in (lanes, client):
        carried = [one for one in directions(crossings) if len(one.kept) >= SAMPLE]
        assert len(carried) >= 2, "too little traffic for a test"
    kept = [bytes(one.kept) for one in directions(network.crossings())]
    flights = b"".join(data[:FLIGHT] for data in kept)
    gossip = b"".join(data[FLIGHT:BEGINNING] for data in kept)
    assert len(gossip) >= SAMPLE
    for data in (*(data for data in kept if len(data) >= SAMPLE), flights, gossip):
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
    network.house.end("client")  # what is open now are nodes' connections
    until(lambda: len(network.open()) == LANES, "one connection per lane", LOOKS_S)
    with gated(network):
        before = network.crossings()
        next(iter(network.open())).cut()
        until(lambda: network.crossings() > before, "the lane is dialled again", SETTLE_S)
        assert_first_flight_is(FLIGHT, next(iter(network.crossings() - before)))
    network.house.wait_for_lanes()

    with gated(network):
        network.house.start("client")
        until(lambda: bool(network.called_by("client")), "the client calls an entry node", SETTLE_S)
        assert_first_flight_is(FLIGHT, next(iter(network.called_by("client"))))
    network.house.wait_for_lanes()
    echo(network, destination)


@contextmanager
def gated(network: Watched) -> Iterator[None]:
    """Meanwhile a byte is lacking of every new connection's first flight."""
    before = network.crossings()
    network.set_gate(FLIGHT - 1)
    try:
        yield
    finally:
        network.set_gate(None)
        for one in network.crossings() - before:
            one.open_gate(None)


def echo(network: Watched, destination: Destination) -> None:
    """A connection that works, once the client uses nodes again whose links were cut."""
    until(lambda: echoes(network.house.socks, destination.port), "a connection works", LOOKS_S)
