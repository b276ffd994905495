"""Readers that stop cost bounded memory in every process, and nobody else's connection stops for it."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from rig.destination import Check, Destination, order, receive_exactly
from rig.program import connect, download
from rig.testnet import Testnet, forget_peak, peak, resident

from port17.links.process import WARM_UP
from port17.links.stream import HIGH_WATER
from port17.links.tcp import RECEIVE_SIZE

MIB = 1024 * 1024
IDLE = 70 * MIB
"""Most resident memory of a process that carries nothing: the promise."""
STREAMS = 64
"""Connections whose readers stop."""
EACH = 256 * MIB
"""Bytes that each would carry: 16 GiB in all, so that what is not held back somewhere shows."""
READ_FIRST = 4 * MIB
"""Bytes that one stream in eight reads before it stops, so that windows have grown."""
STILL_S = 2.0
"""Seconds without movement after which everything has stopped."""
LIMIT_S = 60.0
"""How long it may take to stop, seconds."""

QUEUES = 48 * MIB
"""What a process may hold in cells of all links and in bytes of all windows: a fifth of what the usual
``limits.memory_mib`` allows, since windows of readers that have stopped do not grow into it."""
SENDING = STREAMS * (HIGH_WATER + RECEIVE_SIZE)
"""What the process that takes bytes from sockets may hold beside, per stream: what waits for cells, and the
chunk that crossed that mark."""
OVERHEAD = STREAMS * 128 * 1024 + 2 * WARM_UP
"""Tasks, sockets and the allocator's own, per stream; and what the heap keeps for reuse."""
CIRCUIT = 192 * 1024
"""Keys, chains and queues of one circuit, in one process."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """Fresh processes, whose memory no earlier traffic has stretched; every route uses all three."""
    with Testnet(tmp_path_factory.mktemp("slow") / "net", 3, ["--lanes", "2"]) as made:
        made.settle()
        yield made


@contextmanager
def bounded(network: Testnet, bound: Callable[[str, set[str]], int]) -> Iterator[None]:
    """Meanwhile no process may grow beyond its bound, not even for a moment.

    :param bound: bytes for a process, given its name and those of the exits in use.
    """
    before = {name: resident(pid) for name, pid in network.pids.items()}
    for pid in network.pids.values():
        forget_peak(pid)
    yield
    exits = {route[-1] for route in network.circuits().values()}
    for name, pid in network.pids.items():
        growth = peak(pid) - before[name]
        print(f"{name} grew by {growth / MIB:.1f} of {bound(name, exits) / MIB:.0f} MiB")
        assert growth < bound(name, exits), f"{name} grew by {growth / MIB:.1f} MiB"


def test_an_idle_node_is_small(network: Testnet) -> None:
    for name, pid in network.pids.items():
        assert resident(pid) < IDLE, f"{name}: {resident(pid) / MIB:.1f} MiB"


def assert_others_go_on(network: Testnet, destination: Destination) -> None:
    """On the circuit that connections without credentials share."""
    with connect(network.socks, destination.port) as program:
        assert download(program, b"other", 4 * MIB).got == 4 * MIB


@pytest.mark.parametrize("circuits", [1, STREAMS])
def test_downloads_that_nobody_reads(network: Testnet, destination: Destination, circuits: int) -> None:
    def bound(name: str, exits: set[str]) -> int:
        return QUEUES + OVERHEAD + circuits * CIRCUIT + (SENDING if name in exits else 0)

    with ExitStack() as stack, bounded(network, bound):
        programs: list[tuple[socket.socket, Check]] = []
        for number in range(STREAMS):
            isolation = f"slow {number}" if circuits > 1 else None
            program = stack.enter_context(connect(network.socks, destination.port, isolation=isolation))
            program.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            program.sendall(order(b"D", b"slow%d" % number, EACH))
            check = Check(b"slow%d" % number)
            if number % 8 == 0:
                check.take(receive_exactly(program, READ_FIRST))
            programs.append((program, check))
        wait_until_still(network)
        assert_others_go_on(network, destination)
        for program, check in programs[:: STREAMS // 4]:
            check.take(receive_exactly(program, 8 * MIB))
            assert check.right
            assert check.got >= 8 * MIB


def test_uploads_that_nobody_reads(network: Testnet, destination: Destination) -> None:
    def bound(name: str, exits: set[str]) -> int:
        return QUEUES + OVERHEAD + (SENDING if name == "client" else 0)

    with ExitStack() as stack, bounded(network, bound), selectors.DefaultSelector() as selector:
        sent = dict.fromkeys(range(STREAMS), 0)
        for number in range(STREAMS):
            program = stack.enter_context(connect(network.socks, destination.port))
            program.sendall(order(b"S"))
            program.setblocking(False)
            selector.register(program, selectors.EVENT_WRITE, number)
        piece = bytes(64 * 1024)
        while writable := selector.select(STILL_S):
            for key, _ in writable:
                assert isinstance(key.fileobj, socket.socket)
                sent[key.data] += key.fileobj.send(piece)
                assert sent[key.data] < EACH, "nothing holds this stream back"
        assert_others_go_on(network, destination)


def wait_until_still(network: Testnet) -> None:
    """Until the circuits carry nothing more."""
    deadline = time.monotonic() + LIMIT_S
    carried, since = -1, time.monotonic()
    while time.monotonic() - since < STILL_S:
        now = sum(one["bytes_down"] for one in network.ask("circuits")["circuits"])
        if now != carried:
            carried, since = now, time.monotonic()
        assert time.monotonic() < deadline, f"{carried / MIB:.0f} MiB have gone to readers that stopped"
        time.sleep(STILL_S / 10)
