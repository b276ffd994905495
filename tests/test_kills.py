"""Processes killed or stopped in mid-transfer: errors in time, nothing false delivered, new connections."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from python_socks import ProxyConnectionError, ProxyError
from rig.destination import ENDLESS, Check, Destination, content, order, receive_exactly
from rig.patience import until
from rig.program import End, connect, echoes, read_to_end, upload
from rig.testnet import PROGRAM, Testnet, read_line
from rig.watched import watched

NODES = 7
"""Three are killed, and one is stopped: three are left, a route."""
ERROR_S = 10.0
"""Within how many seconds a program has to learn that its connection is dead: the promise."""
UNDER_WAY = 4 * 1024 * 1024
"""Bytes that each transfer has carried before anything is killed."""
END_S = 5.0
"""Within how many seconds a network ends: the promise."""
CUT_S = 0.1
"""Seconds between two connections that are cut."""
ORDERS = 150
"""Connections made while that goes on."""
ORDER_SIZE = 300_000
"""Bytes that each sends: long enough to be cut in, now and then."""
WAIT_S = 30.0
"""How long transfers may take to get under way, and new connections to work again, seconds."""
RESET = "ConnectionResetError"
"""How a connection must end: not as if the other side had finished."""


class Transfer(ABC):
    """One program's endless transfer and what it saw, on a thread of its own.

    :param tag: its content, and how the destination knows it.
    :param isolation: whose circuit it uses.
    """

    def __init__(self, network: Testnet, destination: Destination, tag: str, isolation: str) -> None:
        self.tag = tag.encode()
        self.check = Check(self.tag)
        self.sent = 0
        self._destination = destination
        self._end: End | None = None
        self._connection = connect(network.socks, destination.port, isolation=isolation)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # it has ended, as it should
            self._connection.shutdown(2)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        try:
            self._end = self.carry()
        except OSError as error:
            self._end = End(type(error).__name__, time.monotonic())

    @abstractmethod
    def carry(self) -> End:
        """Carry until it ends; an error may also be raised."""

    @abstractmethod
    def under_way(self) -> bool:
        """Enough has arrived at the other end."""

    def ended(self, deadline: float) -> End:
        """How it ended, by a deadline on the monotonic clock."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        assert self._end is not None, f"{self.tag!r} has not ended in time"
        return self._end

    @property
    def going_on(self) -> bool:
        """It has not ended."""
        return self._end is None


class Download(Transfer):
    """Reads content without end."""

    def carry(self) -> End:
        self._connection.sendall(order(b"D", self.tag, ENDLESS))
        return read_to_end(self._connection, self.check)

    def under_way(self) -> bool:
        return self.check.got >= UNDER_WAY


class Upload(Transfer):
    """Writes content without end."""

    def carry(self) -> End:
        self._connection.sendall(order(b"U", self.tag, ENDLESS))
        for piece in content(self.tag, ENDLESS):
            self._connection.sendall(piece)
            self.sent += len(piece)
        raise AssertionError("endless content has ended")

    def under_way(self) -> bool:
        return self._destination.became_of(self.tag).get("got", 0) >= UNDER_WAY


class Idle(Transfer):
    """Says a byte, gets it back, and waits for another that never comes."""

    def carry(self) -> End:
        self._connection.settimeout(None)
        self._connection.sendall(order(b"E", self.tag) + b"x")
        self.sent = len(receive_exactly(self._connection, 1))
        return read_to_end(self._connection, self.check)

    def under_way(self) -> bool:
        return self.sent == 1


@contextmanager
def transfers(
    network: Testnet, destination: Destination, name: str
) -> Iterator[tuple[list[Transfer], list[str]]]:
    """A download, an upload and an idle connection of one circuit, all under way; and the circuit's nodes."""
    before = network.circuits()
    with ExitStack() as stack:
        kinds = (Download, Upload, Idle)
        running: list[Transfer] = [
            stack.enter_context(kind(network, destination, f"{name}{kind.__name__[0]}", name))
            for kind in kinds
        ]
        for one in running:
            until(one.under_way, f"{one.tag!r} is under way", WAIT_S)
        fresh = {ident: route for ident, route in network.circuits().items() if ident not in before}
        assert len(fresh) == 1, "three connections of one key have one circuit"
        yield running, next(iter(fresh.values()))


@contextmanager
def bystander(network: Testnet, destination: Destination, victim: str) -> Iterator[Transfer]:
    """A download over a circuit that does not use a node."""
    for attempt in range(40):
        name = f"by{attempt}"
        before = network.circuits()
        with Download(network, destination, name, f"{name}{victim}") as download:
            until(download.under_way, "the bystander is under way", WAIT_S)
            route = next(route for ident, route in network.circuits().items() if ident not in before)
            if victim not in route:
                yield download
                return
    pytest.fail("every one of 40 routes used one node of seven")


def assert_ended_with_errors(running: list[Transfer], begun: float, destination: Destination) -> None:
    """All ended in time and not in order, and what had been delivered until then is right, at both ends."""
    for one in running:
        end = one.ended(begun + ERROR_S)
        assert end.how in (RESET, "BrokenPipeError"), one.tag
        if not isinstance(one, Upload):
            assert end.how == RESET, one.tag
        assert one.check.right
    for one in running:
        until(
            lambda one=one: "ended" in destination.became_of(one.tag), "the destination heard of it", ERROR_S
        )
        became = destination.became_of(one.tag)
        assert became["ended"] != "in order", f"{one.tag!r} looks finished to the destination"
        assert became.get("right", True)
        assert became.get("got", 0) <= one.sent + len(next(content(b"", ENDLESS)))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testnet]:
    """A network that loses nodes in the course of these tests."""
    with Testnet(tmp_path_factory.mktemp("kills") / "net", NODES, ["--lanes", "6"]) as made:
        made.settle()
        yield made


@pytest.mark.parametrize("place", ["entry", "middle", "exit"])
def test_a_node_is_killed(network: Testnet, destination: Destination, place: str) -> None:
    with transfers(network, destination, place) as (running, route):
        victim = route[("entry", "middle", "exit").index(place)]
        with bystander(network, destination, victim) as other:
            os.kill(network.pids[victim], signal.SIGKILL)
            begun = time.monotonic()
            assert_ended_with_errors(running, begun, destination)
            before = other.check.got
            until(
                lambda: echoes(network.socks, destination.port, f"after {place}", ERROR_S),
                "a new connection works",
                WAIT_S,
            )
            until(lambda: other.check.got > before + UNDER_WAY, "a circuit elsewhere goes on", WAIT_S)
            assert other.check.right
            assert other.going_on


def test_a_node_hangs(network: Testnet, destination: Destination) -> None:
    """Nothing is closed and nothing answers: only silence tells."""
    with transfers(network, destination, "stop") as (running, route):
        pid = network.pids[route[1]]
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            assert_ended_with_errors(running, begun, destination)
            until(
                lambda: echoes(network.socks, destination.port, "after stop", ERROR_S),
                "a new connection works",
                WAIT_S,
            )
        finally:
            os.kill(pid, signal.SIGCONT)
    name = route[1]
    until(
        lambda: network.ask("status", of=name)["lanes"]["standing"] >= NODES - 1 - 3,
        "its lanes stand again",
        WAIT_S,
    )


def test_a_network_ends_in_time_whatever_its_processes_do(tmp_path: Path) -> None:
    with Testnet(tmp_path / "net", 3, ["--lanes", "2"]) as made:
        pids = dict(made.pids)
        os.kill(pids["n1"], signal.SIGKILL)
        os.kill(pids["n2"], signal.SIGSTOP)
        os.kill(pids["client"], signal.SIGSTOP)
        assert made.end() < END_S
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_nothing_is_delivered_twice(tmp_path: Path, destination: Destination) -> None:
    """While lanes and links are cut at random, and data goes ahead of every answer: a connection may fail,
    and is perhaps tried again on another route, but no destination gets its order a second time."""
    chance = random.Random(1117)
    with watched(tmp_path, ("ash", "birch", "cedar", "dogwood")) as network:
        network.house.start("client", settings=["early=always"])
        over = threading.Event()

        def cut() -> None:
            while not over.wait(CUT_S):
                running = [one for recorder in network.recorders.values() for one in recorder.open]
                if running:
                    chance.choice(running).cut()

        cutter = threading.Thread(target=cut)
        cutter.start()
        worked = 0
        try:
            for number in range(ORDERS):
                tag = b"once%d" % number
                try:
                    with connect(
                        network.house.socks, destination.port, isolation=f"{number % 4}", timeout=2 * ERROR_S
                    ) as program:
                        worked += upload(program, tag, ORDER_SIZE)
                except (ProxyError, ProxyConnectionError, OSError):
                    continue
        finally:
            over.set()
            cutter.join()
    became = [destination.became_of(b"once%d" % number) for number in range(ORDERS)]
    assert all(one.get("times", 0) <= 1 and one.get("right", True) for one in became)
    assert ORDERS / 20 < worked < ORDERS, "some worked and some were cut: otherwise nothing was tried"


def test_the_destination_is_killed(network: Testnet) -> None:
    with Destination() as mortal, transfers(network, mortal, "dest") as (running, _):
        mortal.process.kill()
        begun = time.monotonic()
        for one in running:
            end = one.ended(begun + ERROR_S)
            assert end.how == RESET or (end.how == "BrokenPipeError" and isinstance(one, Upload))
            assert one.check.right


def test_the_client_is_killed(network: Testnet, destination: Destination) -> None:
    with transfers(network, destination, "client") as (running, _):
        os.kill(network.pids["client"], signal.SIGKILL)
        assert_ended_with_errors(running, time.monotonic(), destination)
    config = network.directory / "client" / "client.toml"
    again = subprocess.Popen(
        [*PROGRAM, "client", "run", "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert read_line(again, WAIT_S)
        until(
            lambda: echoes(network.socks, destination.port, "after client", ERROR_S),
            "a new connection works",
            WAIT_S,
        )
    finally:
        again.terminate()
        assert again.wait(ERROR_S) == 0
        assert again.stdout is not None
        again.stdout.close()
