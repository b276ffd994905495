"""The transport ``memory``: ships between endpoints of one process, for tests of whole networks.

Delay, jitter, bandwidth and the loss of a line follow a seed and anyio's clock alone, so that under trio's
MockClock a test takes no time and comes out the same again.
"""

from __future__ import annotations

import errno
import random
import re
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf
from typing import Annotated, ClassVar
from weakref import WeakSet, WeakValueDictionary

import anyio
import anyio.lowlevel
from pydantic import Field

from port17 import RECEIVE_SIZE, BytesLike, Listener, Ship, Transport
from port17_transports.harbour import Harbour

PIECE = 16 * 1024
"""Bytes that arrive together on a line of limited bandwidth: large sends trickle in, as they do on a wire."""

_ADDRESS = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


class Network:
    """The endpoints of one named network and the lines between them."""

    _named: ClassVar[WeakValueDictionary[str, Network]] = WeakValueDictionary()

    def __init__(self) -> None:
        self.listeners: dict[str, Harbour] = {}
        self._lines: WeakSet[Line] = WeakSet()
        self._dials: Counter[tuple[str, str]] = Counter()

    @classmethod
    def named(cls, name: str) -> Network:
        """The network of this name; it lasts as long as anybody holds it."""
        network = cls._named.get(name)
        if network is None:
            network = cls._named[name] = cls()
        return network

    def line(self, endpoint: str, address: str, config: Memory.Config) -> Line:
        """A new line from an endpoint to an address.

        Its random numbers depend on the seed, both names, and how many lines there were between them,
        not on the order in which tasks run.
        """
        self._dials[endpoint, address] += 1
        seed = f"{config.seed}/{endpoint}/{address}/{self._dials[endpoint, address]}"
        line = Line(endpoint, address, config, random.Random(seed))
        self._lines.add(line)
        return line

    def cut(self, one: str | None = None, other: str | None = None) -> int:
        """Break the lines at one endpoint, between two, or all.

        :returns: how many were broken.
        """
        named = {name for name in (one, other) if name is not None}
        cut = [line for line in self._lines if not line.broken and named <= line.ends]
        for line in cut:
            line.cut()
        return len(cut)


class Memory(Transport):
    """Ships within one process. The options of whoever dials hold for both directions of the line."""

    name: ClassVar[str] = "memory"
    resolves: ClassVar[bool] = False

    class Config(Transport.Config):
        """Options of the transport.

        :param network: endpoints of different networks cannot reach each other.
        :param endpoint: this end's name, for the peer and for :meth:`Network.cut`.
        :param seed: of all that is random.
        :param delay_s: seconds from one end to the other.
        :param jitter_s: most seconds added to that, evenly distributed; the order stays.
        :param bandwidth: bytes per second each way; None for no limit.
        :param mean_life_s: mean of the exponentially distributed seconds until a line breaks; None for never.
        :param buffer: bytes on their way or unread, above which a send waits. At least bandwidth times delay,
            or the line cannot be filled.
        """

        network: str = "default"
        endpoint: str = "somebody"
        seed: int = 0
        delay_s: Annotated[float, Field(ge=0)] = 0.0
        jitter_s: Annotated[float, Field(ge=0)] = 0.0
        bandwidth: Annotated[float | None, Field(gt=0)] = None
        mean_life_s: Annotated[float | None, Field(gt=0)] = None
        buffer: Annotated[int, Field(ge=1)] = 1024 * 1024

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.network = Network.named(self.config.network)

    def check_address(self, address: str) -> None:
        """:raises ValueError: the address is not up to 64 letters, digits and ``. _ : -``."""
        if not _ADDRESS.match(address):
            raise ValueError(f"not an endpoint's name: {address!r}; write letters, digits and . _ : -")

    async def dial(self, address: str) -> Ship:
        """A ship to the address, after one round trip.

        :raises OSError: nobody listens there.
        """
        self.check_address(address)
        await anyio.sleep(2 * self.config.delay_s)
        harbour = self.network.listeners.get(address)
        if harbour is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens at this endpoint")
        line = self.network.line(self.config.endpoint, address, self.config)
        arrived = MemoryShip(line, incoming=line.there, outgoing=line.back, remote=self.config.endpoint)
        if not await harbour.berth(arrived):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens at this endpoint any more")
        return MemoryShip(line, incoming=line.back, outgoing=line.there, remote=address)

    @asynccontextmanager
    async def listen(self, address: str) -> AsyncGenerator[Listener]:
        """Listen while the context is open.

        :raises OSError: somebody listens there already.
        """
        self.check_address(address)
        if address in self.network.listeners:
            raise OSError(errno.EADDRINUSE, "somebody listens at this endpoint already")
        async with Harbour(address) as harbour:
            self.network.listeners[address] = harbour
            try:
                yield harbour
            finally:
                del self.network.listeners[address]


class Line:
    """What two ships share: two directions, and the moment at which both break.

    :param rng: of the jitter and that moment.
    """

    def __init__(self, endpoint: str, address: str, config: Memory.Config, rng: random.Random) -> None:
        self.ends = frozenset((endpoint, address))
        life = rng.expovariate(1 / config.mean_life_s) if config.mean_life_s is not None else inf
        self.breaks_at = anyio.current_time() + life
        self._cut = False
        self.there = Direction(self, config, random.Random(rng.random()))
        self.back = Direction(self, config, random.Random(rng.random()))

    @property
    def broken(self) -> bool:
        """Whether the line is lost, by command or by its seed."""
        return self._cut or anyio.current_time() >= self.breaks_at

    def cut(self) -> None:
        """Break the line now; what was on its way is lost."""
        self._cut = True
        self.there.changed()
        self.back.changed()


class Direction:
    """Bytes on their way from one ship to the other."""

    def __init__(self, line: Line, config: Memory.Config, rng: random.Random) -> None:
        self._line = line
        self._config = config
        self._rng = rng
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._free_at = -inf
        self._change = anyio.Event()
        self._sender_closed_at: float | None = None
        self._receiver_closed = False

    def changed(self) -> None:
        """Let whoever waits look again."""
        self._change.set()
        self._change = anyio.Event()

    def close_sender(self) -> None:
        """What is on its way still arrives, then the end does."""
        self._sender_closed_at = anyio.current_time() + self._config.delay_s
        self.changed()

    def close_receiver(self) -> None:
        """Nobody will read any more."""
        self._receiver_closed = True
        self.changed()

    async def put(self, data: BytesLike) -> None:
        """Send all of the data. As with a socket, a send cut short by cancellation breaks the line."""
        try:
            await self._put(data)
        except anyio.get_cancelled_exc_class():
            self._line.cut()
            raise

    async def _put(self, data: BytesLike) -> None:
        await anyio.lowlevel.checkpoint()
        size = self._config.buffer if self._config.bandwidth is None else min(PIECE, self._config.buffer)
        with memoryview(data) as view:
            for start in range(0, len(view), size):
                piece = bytes(view[start : start + size])
                self._check_sendable()
                while self._held and self._held + len(piece) > self._config.buffer:
                    await self._wait(inf)
                    self._check_sendable()
                self._launch(piece)
        self._check_sendable()

    def _check_sendable(self) -> None:
        if self._sender_closed_at is not None:
            raise anyio.ClosedResourceError
        if self._line.broken or self._receiver_closed:
            raise anyio.BrokenResourceError

    def _launch(self, piece: bytes) -> None:
        now = anyio.current_time()
        rate = self._config.bandwidth
        self._free_at = max(now, self._free_at) + (len(piece) / rate if rate is not None else 0.0)
        delay = self._config.delay_s + self._rng.uniform(0, self._config.jitter_s)
        # What overtakes on its way waits for what it has overtaken: the first piece is taken first.
        self._pieces.append((self._free_at + delay, piece))
        self._held += len(piece)
        self.changed()

    async def get(self, max_bytes: int) -> bytes:
        """What has arrived, or what arrives next."""
        await anyio.lowlevel.checkpoint()
        while True:
            if self._receiver_closed:
                raise anyio.ClosedResourceError
            if self._line.broken:
                raise anyio.BrokenResourceError
            now = anyio.current_time()
            if self._pieces:
                arrives_at = self._pieces[0][0]
                if arrives_at <= now:
                    return self._take(max_bytes, now)
            elif self._sender_closed_at is not None:
                arrives_at = self._sender_closed_at
                if arrives_at <= now:
                    raise anyio.EndOfStream
            else:
                arrives_at = inf
            await self._wait(arrives_at)

    def _take(self, max_bytes: int, now: float) -> bytes:
        taken: list[bytes] = []
        room = max_bytes
        while room and self._pieces and self._pieces[0][0] <= now:
            arrived_at, piece = self._pieces.popleft()
            if len(piece) > room:
                self._pieces.appendleft((arrived_at, piece[room:]))
                piece = piece[:room]
            room -= len(piece)
            taken.append(piece)
        data = taken[0] if len(taken) == 1 else b"".join(taken)
        self._held -= len(data)
        self.changed()
        return data

    async def _wait(self, until: float) -> None:
        with anyio.CancelScope(deadline=min(until, self._line.breaks_at)):
            await self._change.wait()


class MemoryShip(Ship):
    """One end of a line."""

    def __init__(self, line: Line, *, incoming: Direction, outgoing: Direction, remote: str) -> None:
        self._line = line
        self._incoming = incoming
        self._outgoing = outgoing
        self._remote = remote
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""
        with self._receiving:
            return await self._incoming.get(max_bytes)

    async def send(self, data: BytesLike) -> None:
        """All of the data."""
        with self._sending:
            await self._outgoing.put(data)

    async def aclose(self) -> None:
        """End the connection at once."""
        self._outgoing.close_sender()
        self._incoming.close_receiver()

    def cut(self) -> None:
        """Break the line, as its loss would."""
        self._line.cut()

    @property
    def remote(self) -> str:
        """The other endpoint's name."""
        return self._remote
