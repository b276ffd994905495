"""The transport ``tcp``: ships that are TCP connections, over IPv4 and IPv6.

Addresses are ``HOST:PORT`` or ``[IPV6]:PORT``; a link-local one has its scope, ``[fe80::1%eth0]:PORT``. What
all our TCP connections have in common is the core's.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, ClassVar

import anyio
from pydantic import Field

from port17 import (
    Listener,
    Ship,
    Transport,
    bind,
    connect_any,
    resolve,
    set_if_known,
    split_address,
    told_address,
)
from port17_transports.asyncio_ship import AsyncioShip, on_asyncio
from port17_transports.harbour import Harbour
from port17_transports.stream_ship import StreamShip


class Tcp(Transport):
    """Ships over TCP."""

    name: ClassVar[str] = "tcp"

    class Config(Transport.Config):
        """Options of the transport.

        :param user_timeout_s: seconds after which a ship breaks if the peer acknowledges nothing that was
            sent. The kernel's own default is about 15 minutes.
        :param unsent_kib: KiB that wait in the kernel before a send waits. What waits there can no longer be
            reordered by the fair queue above, so it is latency for everybody else's cells.
        """

        user_timeout_s: Annotated[float, Field(ge=1, le=3600)] = 20.0
        unsent_kib: Annotated[int, Field(ge=16, le=65536)] = 256

    config: Config

    def check_address(self, address: str) -> None:
        """:raises ValueError: the address is neither ``HOST:PORT`` nor ``[IPV6]:PORT``."""
        split_address(address)

    async def dial(self, address: str) -> Ship:
        """A ship to the address.

        :raises OSError: it cannot be reached.
        """
        host, port = split_address(address)
        return await self._ship(await connect_any(await resolve(host, port), port))

    @asynccontextmanager
    async def listen(self, address: str) -> AsyncGenerator[Listener]:
        """Listen while the context is open; the host ``*`` is every address of the machine, of both families.

        :raises OSError: the address cannot be bound.
        """
        bound = await bind(*split_address(address))
        async with bound, Harbour(bound.address) as harbour, anyio.create_task_group() as group:

            async def take(sock: socket.socket) -> None:
                try:
                    ship = await self._ship(sock)
                except OSError:
                    return  # It is dead already, and closed.
                if not await harbour.berth(ship):
                    await ship.aclose()

            group.start_soon(bound.serve, take)
            yield harbour
            group.cancel_scope.cancel()

    async def _ship(self, sock: socket.socket) -> Ship:
        try:
            set_if_known(sock, "TCP_USER_TIMEOUT", int(self.config.user_timeout_s * 1000))
            set_if_known(sock, "TCP_NOTSENT_LOWAT", self.config.unsent_kib * 1024)
            remote = told_address(sock.getpeername())
        except OSError:
            sock.close()
            raise
        return AsyncioShip(sock, remote) if on_asyncio() else StreamShip(sock, remote)
