"""Bytes from hostile peers over real sockets: no answer, no harm to anybody else."""

from __future__ import annotations

import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from rig.destination import Destination, order, receive_exactly
from rig.patience import until
from rig.program import connect, download, echoes
from rig.recorder import Crossing
from rig.testnet import resident
from rig.watched import Watched, watched

from port17.config import ClientConfig, load
from port17.network import KnownNetwork
from port17.plugins.loader import Registry
from port17.wire.handshake import Initiator
from port17_cli.network import HOST

BLOCK = 4096
FLIGHT = 2 * BLOCK
"""Bytes of a handshake flight."""
NAMES = ("ash", "birch", "cedar", "dogwood")
HUSH_S = 0.5
"""How long a node that owes nothing is listened to, seconds: five hundred times what an answer takes."""
WAIT_S = 15.0
"""How long lanes may take to stand again, seconds."""
REDIAL_S = 40.0
"""How long it may take until a lane that was cut is dialled again, seconds: whichever end is to wait longer
waits up to 17."""
ROUTES = 30
"""Circuits built while something is amiss with one lane: of 24 routes four use it from a given end, so that
all 30 miss it once in 200 runs."""
HONEST_S = 3.0
"""How long an echo may take, seconds: less than until an impostor is found out by his silence."""
HALF_OPEN = 2500
"""Callers that never finish a handshake, at once: more than twice what a node keeps."""
HALF_OPEN_COST = 64 * 1024
"""Bytes of memory that such a caller may cost while it is kept."""
FRESH = 16
"""Callers who never finish that come between two looks."""
HALF_OPEN_KEPT = 1024
"""How many of them a node keeps."""
FULL_S = 10.0
"""How long a node may take until it has as many of them as it keeps, and no more, seconds: half of the time
after which it cuts off each of them anyway."""
NEWCOMERS = 3
"""Callers who mean it, one after the other."""
ANSWERED_S = 5.0
"""Within how many seconds each is answered: no longer than callers wait."""
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Four nodes and a client, everything recorded."""
    with watched(tmp_path_factory.mktemp("hostile"), NAMES) as made:
        made.house.start("client")
        yield made


@pytest.fixture(autouse=True)
def alive(network: Watched, destination: Destination) -> Iterator[None]:
    """After every attack nobody has died, all lanes stand and, soon, new connections work."""
    yield
    network.house.wait_for_lanes()
    assert all(process.poll() is None for process in network.house.processes.values())
    until(lambda: echoes(network.house.socks, destination.port, "new"), "new connections work", WAIT_S)
    with connect(network.house.socks, destination.port, isolation="new") as program:
        assert download(program, b"new", MIB).got == MIB


@pytest.fixture
def old(network: Watched, destination: Destination) -> Iterator[None]:
    """A connection that was there before the attack, and is there after it."""
    with connect(network.house.socks, destination.port, isolation="old") as program:
        program.sendall(order(b"E") + b"1")
        assert receive_exactly(program, 1) == b"1"
        yield
        program.sendall(b"2")
        assert receive_exactly(program, 1) == b"2"


def answer(port: int, data: bytes, *, end: bool = False, limit: float = HUSH_S) -> bytes:
    """What a node answers to bytes, up to a flight.

    :param end: the caller ends its direction after them.
    """
    got = b""
    with socket.create_connection((HOST, port), WAIT_S) as caller:
        try:
            caller.sendall(data)
            if end:
                caller.shutdown(socket.SHUT_WR)
            caller.settimeout(limit)
            while len(got) < FLIGHT and (piece := caller.recv(FLIGHT)):
                got += piece
        except (TimeoutError, ConnectionError):
            return got
    return got


def fresh_flight(network: Watched) -> tuple[bytes, int]:
    """A first flight of a node that its responder has not seen, and the responder's port."""
    before = network.crossings()
    network.set_gate(0)
    try:
        for one in network.take_lane():
            one.cut()

        def caught() -> dict[Crossing, str]:
            """The nodes' fresh calls that were held, and whom they were to; either end of the lane dials."""
            fresh = network.open() - before - network.called_by("client")
            return {
                one: name
                for name, recorder in network.recorders.items()
                for one in recorder.open
                if one in fresh and one.called.total >= FLIGHT
            }

        until(lambda: bool(caught()), "the lane is dialled again", REDIAL_S)
        one, name = next(iter(caught().items()))
        return bytes(one.called.kept[:FLIGHT]), network.house.ports[name]
    finally:
        network.set_gate(None)
        for one in network.open() - before:
            one.cut()


def newcomers_flight(network: Watched, name: str) -> bytes:
    """A first flight to a node as a client makes it, of what everybody can know of the network."""
    house = network.house
    config, _ = load(ClientConfig, house.config("client"))
    own = config.model_copy(update={"state": house.directory / "newcomer"})
    known = KnownNetwork.load(own, Registry())
    try:
        to = known.responder_of(house.fingerprints[name])
        assert to is not None
        return Initiator(known.transcript(), to, time.time()).flight
    finally:
        known.close()


NOISE = random.Random(17)
HELLO = bytes.fromhex("16030100c8010000c40303") + NOISE.randbytes(200)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(NOISE.randbytes(FLIGHT), id="random flight"),
        pytest.param(NOISE.randbytes(5 * BLOCK + 77), id="random, longer"),
        pytest.param(NOISE.randbytes(3 * MIB), id="random, very long"),
        pytest.param(NOISE.randbytes(FLIGHT - 1), id="random, a byte short"),
        pytest.param(bytes(FLIGHT), id="zeros"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n", id="HTTP"),
        pytest.param(HELLO, id="TLS"),
    ],
)
@pytest.mark.parametrize("end", [False, True], ids=["held open", "ended"])
@pytest.mark.usefixtures("old")
def test_strangers_get_silence(network: Watched, data: bytes, end: bool) -> None:
    for port in network.house.ports.values():
        assert answer(port, data, end=end, limit=HUSH_S / len(NAMES)) == b""


@pytest.mark.usefixtures("old")
def test_what_was_recorded_gets_silence(network: Watched) -> None:
    """First flights that were answered once: to the same node, to others, with what followed, and cut."""
    for name, recorder in network.recorders.items():
        for crossing in recorder.crossings[:2]:
            said = bytes(crossing.called.kept)
            assert crossing.answered.total >= FLIGHT, "it was answered once"
            for port in (network.house.ports[name], *network.house.ports.values()):
                assert answer(port, said[:FLIGHT], limit=HUSH_S / 10) == b""
            assert answer(network.house.ports[name], said) == b""
            assert answer(network.house.ports[name], said[: FLIGHT // 2], end=True) == b""


def test_a_flight_works_once_and_only_unchanged(network: Watched) -> None:
    flight, port = fresh_flight(network)
    for place in (0, 15, 16, 31, 32, 1000, 2000, FLIGHT - 1):  # salt, tag, ciphertext, box
        changed = bytearray(flight)
        changed[place] ^= 1
        assert answer(port, bytes(changed), limit=HUSH_S / 2) == b"", f"byte {place}"
    elsewhere = next(other for other in network.house.ports.values() if other != port)
    assert answer(elsewhere, flight, limit=HUSH_S / 2) == b""
    assert len(answer(port, flight, limit=WAIT_S)) == FLIGHT, (
        "unchanged it is answered: the silence meant something"
    )
    assert answer(port, flight) == b"", "a second time"


def test_a_flight_that_was_held_back_takes_nobodys_place(network: Watched, destination: Destination) -> None:
    """Whoever delivers it late has not proved to be its author: the lane that stands is used on."""
    flight, port = fresh_flight(network)
    network.house.wait_for_lanes()
    with socket.create_connection((HOST, port), WAIT_S) as impostor:
        impostor.sendall(flight)
        impostor.settimeout(WAIT_S)
        assert receive_exactly(impostor, FLIGHT)
        for number in range(ROUTES):
            proxy = network.house.socks
            with connect(proxy, destination.port, isolation=f"late {number}", timeout=HONEST_S) as program:
                program.sendall(order(b"E") + b"?")
                assert receive_exactly(program, 1) == b"?"


def test_a_forged_block_costs_one_lane(network: Watched, destination: Destination) -> None:
    with ExitStack() as stack:
        programs = []
        for number in range(12):
            program = stack.enter_context(
                connect(network.house.socks, destination.port, isolation=f"many {number}")
            )
            program.sendall(order(b"E") + b"1")
            assert receive_exactly(program, 1) == b"1"
            programs.append(program)
        lane = network.take_lane()
        for one in lane:
            one.inject(NOISE.randbytes(BLOCK))
        until(lambda: all(one.over.is_set() for one in lane), "the lane is given up", WAIT_S)
        survivors = 0
        for program in programs:
            try:
                program.sendall(b"2")
                survivors += receive_exactly(program, 1) == b"2"
            except ConnectionError:
                continue
        # Of a route's two lanes one is this one in a third of the cases.
        assert survivors >= 3, "circuits elsewhere do not notice"
        routes = network.house.ask("client", "circuits")["circuits"]
        assert routes


def test_callers_that_never_finish(network: Watched) -> None:
    """More than a node keeps: they cost it little, and whoever means it is answered while they come."""
    name = NAMES[0]
    port, pid = network.house.ports[name], network.house.processes[name].pid
    before = resident(pid)
    part = NOISE.randbytes(FLIGHT - 1)
    silent: list[socket.socket] = []

    def call(count: int) -> None:
        """That many more, who say no more than the others."""
        for _ in range(count):
            caller = socket.create_connection((HOST, port), WAIT_S)
            with suppress(ConnectionError):  # refused: that is the bound
                caller.sendall(part)
            caller.setblocking(False)
            silent.append(caller)

    def kept() -> int:
        """How many the node has not cut off. Nobody else makes room by himself."""
        over = {one for one in silent if is_over(one)}
        silent[:] = [one for one in silent if one not in over]
        for one in over:
            one.close()
        return len(silent)

    def is_full() -> bool:
        return HALF_OPEN_KEPT - FRESH <= kept() <= HALF_OPEN_KEPT

    with ExitStack() as stack:
        stack.enter_context(open_files(2 * HALF_OPEN + 512))
        stack.callback(lambda: [caller.close() for caller in silent])
        call(HALF_OPEN)
        grown = resident(pid) - before
        assert grown < HALF_OPEN_KEPT * HALF_OPEN_COST, f"{grown / MIB:.0f} MiB"
        until(is_full, "the node keeps as many as it may", FULL_S)
        for _ in range(NEWCOMERS):
            newcomer = stack.enter_context(socket.create_connection((HOST, port), WAIT_S))
            newcomer.sendall(newcomers_flight(network, name))
            newcomer.setblocking(False)
            answered = bytearray()

            def is_answered(newcomer: socket.socket = newcomer, answered: bytearray = answered) -> bool:
                call(FRESH)
                with suppress(BlockingIOError):
                    answered += newcomer.recv(FLIGHT)
                return len(answered) == FLIGHT

            until(is_answered, "whoever means it is answered", ANSWERED_S)
        until(is_full, "no place has become free by itself", FULL_S)


@contextmanager
def open_files(wanted: int) -> Iterator[None]:
    """Meanwhile this process may have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"this test needs {wanted} open files; raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_over(connection: socket.socket) -> bool:
    """Whether the other end has cut it off."""
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("clean", [True, False], ids=["in order", "killed"])
def test_a_restart_forgets_no_flight(network: Watched, clean: bool) -> None:
    """What was answered before a node ended is not answered again after it.

    Killed, a node cannot know what it had answered, and so refuses what could be a replay, for minutes: here
    it is the one that dials all its lanes itself, so that they stand again nevertheless.
    """
    name = network.most_called() if clean else min(NAMES, key=network.house.fingerprints.__getitem__)
    answered = [one for one in network.recorders[name].crossings if one.answered.total >= FLIGHT]
    assert answered or not clean
    if clean:
        assert network.house.end(name) == 0
    else:
        network.house.kill(name)
    network.house.start(name)
    for crossing in answered[-4:]:
        said = bytes(crossing.called.kept[: 4 * BLOCK])
        assert answer(network.house.ports[name], said) == b""
