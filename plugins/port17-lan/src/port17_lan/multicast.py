"""The driver ``multicast``: beacons over IPv6 and IPv4, on every link that there is, or comes later."""

from __future__ import annotations

import logging
import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from typing import Annotated, ClassVar, Final, NoReturn

import anyio
from pydantic import Field, model_validator

from port17 import BEACON_CAP, Announce, Heard, LocalNetwork
from port17_lan.links import LINKS_CAP, usable
from port17_lan.sockets import Sockets

LOOK_S: Final = 5.0
"""Seconds between looks for links that have come or gone."""
SOON_S: Final = 1.0
"""Longest wait before a change is announced, seconds: drawn, since all who hear a newcomer announce."""
GAP_S: Final = 2.0
"""Least seconds between two beacons, however much changes."""
TURN: Final = 32
"""Datagrams taken before everybody else gets a turn."""
PAUSE_S: Final = 0.01
"""Seconds of such a turn: a flood costs us 3200 looks a second at most, and the kernel drops the rest."""

_log = logging.getLogger(__name__)

InterfaceName = Annotated[str, Field(min_length=1, max_length=15, pattern=r"^[^\s/%]+$")]
"""As the kernel allows: 15 bytes, no slash."""


class Multicast(LocalNetwork):
    """Beacons by multicast, one hop far."""

    name: ClassVar[str] = "multicast"

    class Config(LocalNetwork.Config):
        """Options of the driver.

        :param interfaces: names of the only ones to use; empty takes all but loopback and tunnels.
        :param ipv4: over IPv4.
        :param ipv6: over IPv6.
        :param interval_s: seconds between beacons on average; drawn, from half to one and a half times.
        :param port: UDP port; all nodes of a local network have the same.
        """

        interfaces: Annotated[tuple[InterfaceName, ...], Field(max_length=LINKS_CAP)] = ()
        ipv4: bool = True
        ipv6: bool = True
        interval_s: Annotated[float, Field(ge=1, le=60)] = 10.0
        port: Annotated[int, Field(ge=1, le=65535)] = 17017

        @model_validator(mode="after")
        def _any_family(self) -> Multicast.Config:
            if not (self.ipv4 or self.ipv6):
                raise ValueError("neither ipv4 nor ipv6: nothing is left to announce by")
            return self

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._changed = False
        self._wake: anyio.Event | None = None

    @property
    def links(self) -> Collection[str]:
        """See :attr:`port17.LocalNetwork.links`."""
        return usable(self.config.interfaces).values()

    def changed(self) -> None:
        """See :meth:`port17.LocalNetwork.changed`."""
        self._changed = True
        if self._wake is not None:
            self._wake.set()

    async def run(self, announce: Announce, heard: Heard) -> NoReturn:
        """See :meth:`port17.LocalNetwork.run`."""
        with ExitStack() as stack:
            sockets = self._open(stack)
            links = usable(self.config.interfaces)
            for one in sockets:
                one.join(links)
            async with anyio.create_task_group() as group:
                for one in sockets:
                    group.start_soon(self._listen, one, heard)
                group.start_soon(self._look, sockets)
                group.start_soon(self._announce, sockets, announce)
                await anyio.sleep_forever()
        raise AssertionError("cancelled before this")

    def _open(self, stack: ExitStack) -> list[Sockets]:
        """Those of the families that the machine has."""
        opened: list[Sockets] = []
        for wanted, family in ((self.config.ipv6, socket.AF_INET6), (self.config.ipv4, socket.AF_INET)):
            if not wanted:
                continue
            try:
                opened.append(stack.enter_context(Sockets(family, self.config.port)))
            except OSError as error:
                _log.warning("no local network is looked for by %s: %s", family.name, error.strerror)
        return opened

    async def _look(self, sockets: list[Sockets]) -> None:
        while True:
            await anyio.sleep(LOOK_S)
            links = usable(self.config.interfaces)
            for one in sockets:
                if one.join(links):
                    self.changed()

    async def _announce(self, sockets: list[Sockets], announce: Announce) -> None:
        now_s = anyio.current_time()
        due_s, sent_s = now_s + random.uniform(0, SOON_S), now_s - GAP_S
        while True:
            if self._changed:
                self._changed = False
                soon_s = anyio.current_time() + random.uniform(0, SOON_S)
                due_s = min(due_s, max(soon_s, sent_s + GAP_S))
            self._wake = anyio.Event()
            with anyio.move_on_after(max(0.0, due_s - anyio.current_time())):
                await self._wake.wait()
                continue
            sent_s = anyio.current_time()
            due_s = sent_s + self.config.interval_s * random.uniform(0.5, 1.5)
            beacon = announce()
            if beacon is None:
                continue
            if len(beacon) > BEACON_CAP:
                _log.error("a beacon of %d bytes is not sent: at most %d", len(beacon), BEACON_CAP)
                continue
            for one in sockets:
                one.send(beacon)

    async def _listen(self, sockets: Sockets, heard: Heard) -> None:
        taken = 0
        while True:
            try:
                datagram = sockets.receive()
            except (BlockingIOError, InterruptedError):
                taken = 0
                await anyio.wait_readable(sockets.hearing)
                continue
            except OSError as error:
                _log.debug("a datagram could not be taken: %s", error.strerror)
                await anyio.sleep(PAUSE_S)
                continue
            if datagram is not None:
                heard(*datagram)
            taken += 1
            if taken >= TURN:
                taken = 0
                await anyio.sleep(PAUSE_S)
