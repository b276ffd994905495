"""A TCP proxy that stands between two processes, keeps what crosses, and lets a test hold it back."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

RECEIVE_SIZE = 256 * 1024
"""Bytes taken at once."""
KEPT_CAP = 4 * 1024 * 1024
"""Bytes kept of each direction of a connection: enough for statistics; what follows is counted."""
HOST = "127.0.0.1"


@dataclass
class Direction:
    """What crossed one way.

    :param total: bytes so far.
    :param kept: the first of them.
    :param held: bytes that came and were not passed on.
    """

    total: int = 0
    kept: bytearray = field(default_factory=bytearray)
    held: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> None:
        """Some crossed."""
        self.total += len(data)
        self.kept += data[: max(0, KEPT_CAP - len(self.kept))]


class Crossing:
    """One connection through a recorder."""

    def __init__(self, caller: socket.socket, answerer: socket.socket, gate: int | None) -> None:
        self._caller = caller
        self._answerer = answerer
        self.port: int = caller.getpeername()[1]
        """The caller's, by which its process can be told."""
        self._lock = threading.Lock()
        self.gate = gate
        """How many of the caller's bytes are passed on; None is all of them."""
        self.called = Direction()
        """From whoever connected."""
        self.answered = Direction()
        """The other way."""
        self.over = threading.Event()
        """Both directions have ended."""

    def start(self) -> None:
        """Carry on a thread of its own."""
        threading.Thread(target=self._carry, daemon=True).start()

    def _carry(self) -> None:
        try:
            with selectors.DefaultSelector() as selector, self._caller, self._answerer:
                selector.register(self._caller, selectors.EVENT_READ, self.called)
                selector.register(self._answerer, selectors.EVENT_READ, self.answered)
                while True:
                    for key, _ in selector.select():
                        data = key.fileobj.recv(RECEIVE_SIZE)  # type: ignore[union-attr]
                        if not data:
                            return
                        if key.data is self.answered:
                            self.answered.take(data)
                            self._caller.sendall(data)
                        else:
                            self.called.take(data)
                            with self._lock:
                                self.called.held += data
                            self.pass_on()
        except OSError:
            return
        finally:
            self.over.set()

    def open_gate(self, upto: int | None) -> None:
        """Pass on as many of the caller's bytes in all; None is all that come."""
        self.gate = upto
        with suppress(OSError):  # it has ended meanwhile, and nobody is left to hear
            self.pass_on()

    def pass_on(self) -> None:
        """Send what the gate lets through."""
        with self._lock:
            held = self.called.held
            passed = self.called.total - len(held)
            size = len(held) if self.gate is None else max(0, min(len(held), self.gate - passed))
            if size:
                self._answerer.sendall(held[:size])
                del held[:size]

    def inject(self, data: bytes) -> None:
        """Let the answerer get something that the caller did not say."""
        with self._lock:
            self._answerer.sendall(data)

    def cut(self) -> None:
        """End it, as a network that fails does."""
        for one in (self._caller, self._answerer):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended already


class Recorder:
    """Listens at an address of its own, and passes every connection on to another.

    :param target: where whoever connects wants to go.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self.address: str = f"{HOST}:{self._listener.getsockname()[1]}"
        """Where it listens, HOST:PORT."""
        self.crossings: list[Crossing] = []
        self.gate: int | None = None
        """The gate of connections to come."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for crossing in self.crossings:
            crossing.cut()
            crossing.over.wait()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return  # closed: the end
            answerer = socket.socket()
            try:
                answerer.connect(self._target)
            except OSError:
                caller.close()
                answerer.close()
                continue
            for one in (caller, answerer):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            crossing = Crossing(caller, answerer, self.gate)
            self.crossings.append(crossing)
            crossing.start()

    @property
    def open(self) -> list[Crossing]:
        """The connections that have not ended."""
        return [crossing for crossing in self.crossings if not crossing.over.is_set()]
