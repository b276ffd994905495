"""Programs that go on fetching while something is done to their network, and what became of each fetch."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil
from python_socks import ProxyError

from rig.destination import ENDLESS, HOST, PIECE, Check, Destination, order
from rig.program import connect, download
from rig.testnet import Testnet

FETCHERS = 2
"""Programs that fetch one thing after the other."""
FETCH_SIZE = 200_000
"""Bytes of a fetch: some fifty cells."""
IDENTITIES = 3
"""User names that each program takes turns with, so that several circuits are in use."""
PAUSE_S = 0.1
"""Seconds between two fetches of one program; a test machine has other things to do, too."""
LOOK_S = 0.1
"""Seconds between looks at whom the client is connected to."""
SIP = 8192
"""Bytes that a slow program takes at once: with pauses of 0.05 s, some 160 kB/s."""
SIP_S = 0.05


@dataclass(frozen=True)
class Fetch:
    """One fetch.

    :param begun: on the monotonic clock, as ``ended`` is.
    :param failure: what was wrong; empty if what arrived is what was sent.
    """

    begun: float
    ended: float
    failure: str


class Traffic:
    """Fetches on several circuits for as long as the context is open; whom the client talks to is watched."""

    def __init__(self, network: Testnet, destination: Destination) -> None:
        self._network = network
        self._destination = destination
        self._over = threading.Event()
        self.fetches: list[Fetch] = []
        self.direct = 0
        """How often the client was seen with a connection to the destination."""
        self._threads = [
            *(threading.Thread(target=self._fetch, args=(number,)) for number in range(FETCHERS)),
            threading.Thread(target=self._watch),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _fetch(self, number: int) -> None:
        turn = 0
        while not self._over.wait(PAUSE_S):
            turn += 1
            begun, failure = time.monotonic(), ""
            try:
                who = f"program {number} {turn % IDENTITIES}"
                with connect(self._network.socks, self._destination.port, isolation=who) as program:
                    check = download(program, b"traffic", FETCH_SIZE)
                if not check.right or check.got != FETCH_SIZE:
                    failure = f"{check.got} bytes came, {'right' if check.right else 'wrong'}"
            except (OSError, ProxyError) as error:
                failure = f"{type(error).__name__}: {error}"
            self.fetches.append(Fetch(begun, time.monotonic(), failure))

    def _watch(self) -> None:
        client = psutil.Process(self._network.pids["client"])
        while not self._over.wait(LOOK_S):
            for one in client.net_connections("tcp"):
                self.direct += bool(one.raddr) and one.raddr.port == self._destination.port

    @property
    def failures(self) -> list[Fetch]:
        """The fetches that did not bring what they should."""
        return [fetch for fetch in self.fetches if fetch.failure]


class SlowDownload:
    """A download of which little is taken at a time: its circuit stays in use for as long as it lasts.

    :param amount: bytes; endless if not given.
    """

    def __init__(self, network: Testnet, destination: Destination, who: str, amount: int = ENDLESS) -> None:
        self._connection = connect(network.socks, destination.port, host=HOST, isolation=who)
        self._connection.sendall(order(b"D", b"slow", amount))
        self.check = Check(b"slow")
        self.how = ""
        """How it ended: an error's name, or ``in order``; empty while it goes on."""
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hurry(self) -> None:
        """Take what comes from now on as fast as it comes."""
        self._hurry.set()

    def stop(self) -> None:
        """End it from this side."""
        self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        how = "in order"
        try:
            while data := self._connection.recv(PIECE if self._hurry.is_set() else SIP):
                self.check.take(data)
                self._hurry.wait(SIP_S)
        except OSError as error:
            how = type(error).__name__
        self._connection.close()
        self.how = how
