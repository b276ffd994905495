"""The TCP transport's own promises: its options, both address families, and a listener that lives on."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from port17 import Ship, split_address
from port17_transports.tcp import Tcp

pytestmark = pytest.mark.anyio


def raw_socket(ship: Ship) -> socket.socket:
    found: socket.socket = ship.socket  # type: ignore[attr-defined]
    return found


async def test_ships_have_no_nagle_delay_and_die_of_silence() -> None:
    transport = Tcp(Tcp.Config(user_timeout_s=7, unsent_kib=64))
    async with transport.listen("127.0.0.1:0") as listener:
        dialled = await transport.dial(listener.address)
        taken = await anext(listener.ships())
        for ship in (dialled, taken):
            raw = raw_socket(ship)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000
            assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 64 * 1024
            await ship.aclose()


@pytest.mark.parametrize(
    ("listen_at", "dial_at"),
    [
        ("127.0.0.1:0", ["127.0.0.1"]),
        ("[::1]:0", ["[::1]"]),
        ("localhost:0", ["localhost"]),
        ("*:0", ["127.0.0.1", "[::1]"]),
    ],
)
async def test_both_address_families(listen_at: str, dial_at: list[str]) -> None:
    transport = Tcp()
    async with transport.listen(listen_at) as listener:
        port = split_address(listener.address)[1]
        assert port
        ships = listener.ships()
        for host in dial_at:
            ship = await transport.dial(f"{host}:{port}")
            with anyio.fail_after(5):
                taken = await anext(ships)
            transport.check_address(taken.remote)
            assert ship.remote.endswith(f":{port}")
            await ship.aclose()
            await taken.aclose()


async def test_connections_that_die_at_once_end_nothing() -> None:
    transport = Tcp()
    async with transport.listen("127.0.0.1:0") as listener:
        where = split_address(listener.address)
        for _ in range(50):
            with socket.socket() as rude:
                rude.connect(where)
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ship = await transport.dial(listener.address)
        await ship.send(b"good")
        with anyio.fail_after(5):
            async for taken in listener.ships():
                with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                    if await taken.receive() == b"good":
                        break
                await taken.aclose()
        await taken.aclose()
        await ship.aclose()


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The next descriptor would be the lowest free one: the limit goes right there.
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_listener_outlives_a_lack_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    transport = Tcp()
    async with transport.listen("127.0.0.1:0") as listener:
        with socket.socket() as waiting:
            with no_descriptor_left():
                waiting.connect(split_address(listener.address))
                await anyio.sleep(0.15)
            assert "EMFILE" in caplog.text
            with anyio.fail_after(5):
                taken = await anext(listener.ships())
            await taken.aclose()


@pytest.mark.parametrize("pumped", [False, True])
async def test_a_reset_is_no_orderly_end(pumped: bool) -> None:
    transport = Tcp()
    async with transport.listen("127.0.0.1:0") as listener:
        ship = await transport.dial(listener.address)
        taken = await anext(listener.ships())
        raw_socket(taken).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await taken.aclose()
        with pytest.raises(anyio.BrokenResourceError):
            await (ship.pump(bytearray().extend) if pumped else ship.receive())
        await ship.aclose()


async def test_a_ship_that_never_has_to_wait_lets_others_run() -> None:
    transport = Tcp()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with transport.listen("127.0.0.1:0") as listener, anyio.create_task_group() as group:
        one = await transport.dial(listener.address)
        other = await anext(listener.ships())
        for ship in (one, other):  # All of it fits into the kernel: nobody waits for anybody.
            raw_socket(ship).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            raw_socket(ship).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        group.start_soon(count_turns)
        await anyio.lowlevel.checkpoint()
        for move in (lambda: one.send(bytes(65536)), lambda: other.receive(65536)):
            before = turns
            for _ in range(48):
                await move()
            assert turns - before >= 6  # trio draws who is next: not every turn that is offered is taken
        group.cancel_scope.cancel()
    await one.aclose()
    await other.aclose()
