"""The driver on this machine alone: its loopback is named, where nobody else hears.

Several machines are joined in tests/test_local_network.py.
"""

from __future__ import annotations

import ast
import logging
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pydantic import ValidationError

import port17_lan
from port17 import BEACON_CAP, on_link
from port17_lan import Multicast, multicast, sockets
from port17_lan.links import usable
from port17_lan.sockets import GROUP4, Sockets

pytestmark = pytest.mark.anyio

PATIENCE_S = 10
SOON_S, GAP_S = 0.1, 0.3
"""In place of the driver's own, so that the tests take no longer than they must."""
LOOPBACK = socket.if_nametoindex("lo")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multicast, "SOON_S", SOON_S)
    monkeypatch.setattr(multicast, "GAP_S", GAP_S)


@pytest.fixture
def port() -> int:
    """One that nobody else of this machine announces on."""
    return random.randrange(20_000, 60_000)


class Listener:
    """What somebody hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, str, str]] = []
        self._news = anyio.Event()

    def __call__(self, data: bytes, host: str, link: str) -> None:
        self.heard.append((data, host, link))
        self._news.set()
        self._news = anyio.Event()

    async def until(self, data: bytes) -> tuple[bytes, str, str]:
        with anyio.fail_after(PATIENCE_S):
            while not any(one[0] == data for one in self.heard):
                await self._news.wait()
        return next(one for one in self.heard if one[0] == data)


def on_loopback(port: int, **options: object) -> Multicast:
    return Multicast(Multicast.Config(interfaces=("lo",), port=port, **options))  # type: ignore[arg-type]


@asynccontextmanager
async def running(
    driver: Multicast, announce: Callable[[], bytes | None] = lambda: None
) -> AsyncIterator[Listener]:
    heard = Listener()
    async with anyio.create_task_group() as group:
        group.start_soon(driver.run, announce, heard)
        await anyio.wait_all_tasks_blocked()
        yield heard
        group.cancel_scope.cancel()


def shout(data: bytes, port: int) -> None:
    """To the group on the loopback, as any program may."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        way = struct.pack("=4s4si", bytes(4), bytes(4), LOOPBACK)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, way)
        mouth.sendto(data, (GROUP4, port))


async def test_two_nodes_of_one_machine_hear_each_other(port: int) -> None:
    async with (
        running(on_loopback(port, interval_s=1), lambda: b"oak") as oak,
        running(on_loopback(port, interval_s=1), lambda: b"elm") as elm,
    ):
        for listener, name in ((elm, b"oak"), (oak, b"elm")):
            _, host, link = await listener.until(name)
            assert link == "lo"
            assert on_link(host)


async def test_the_longest_beacon_travels_and_a_longer_one_is_not_sent(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(on_loopback(port), lambda: bytes(BEACON_CAP)) as heard:
        await heard.until(bytes(BEACON_CAP))
    with caplog.at_level(logging.ERROR):
        async with running(on_loopback(port), lambda: bytes(BEACON_CAP + 1)) as heard:
            await anyio.sleep(SOON_S + 0.5)
    assert heard.heard == []
    assert "is not sent" in caplog.text


async def test_a_longer_datagram_of_others_is_not_heard_and_what_follows_is(port: int) -> None:
    async with running(on_loopback(port)) as heard:
        shout(bytes(BEACON_CAP + 1), port)
        shout(b"fair", port)
        await heard.until(b"fair")
    assert [data for data, _, _ in heard.heard] == [b"fair"]


async def test_who_announces_nothing_is_silent(port: int) -> None:
    asked = 0

    def nothing() -> None:
        nonlocal asked
        asked += 1

    async with running(on_loopback(port), nothing) as heard:
        await anyio.sleep(SOON_S + 0.5)
    assert asked >= 1
    assert heard.heard == []


async def test_a_change_is_announced_soon_but_not_at_once_again(port: int) -> None:
    asked_s: list[float] = []

    def announce() -> bytes:
        asked_s.append(anyio.current_time())
        return b"%d" % len(asked_s)

    driver = on_loopback(port, interval_s=60)
    async with running(driver, announce) as heard:
        await heard.until(b"1")
        for _ in range(100):
            driver.changed()
        await heard.until(b"2")
        await anyio.sleep(0.3)
    assert len(asked_s) == 2
    assert GAP_S - 0.1 <= asked_s[1] - asked_s[0] <= GAP_S + SOON_S + 0.5


async def test_beacons_come_again_and_again_at_intervals_that_vary(port: int) -> None:
    asked_s: list[float] = []

    def announce() -> bytes:
        asked_s.append(anyio.current_time())
        return b"x"

    async with running(on_loopback(port, interval_s=1), announce):
        await anyio.sleep(SOON_S + 3.2)
    assert len(asked_s) >= 3
    gaps = [later - earlier for earlier, later in pairwise(asked_s)]
    assert all(0.45 <= gap <= 2 for gap in gaps)
    assert len({round(gap, 2) for gap in gaps}) > 1


async def test_what_is_sent_to_us_alone_is_not_heard(port: int) -> None:
    """Else any host of the world that can reach the port would be taken for a neighbour."""
    async with running(on_loopback(port)) as heard:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as mouth:
                mouth.sendto(b"unicast", (host, port))
        shout(b"fair", port)
        await heard.until(b"fair")
    assert [data for data, _, _ in heard.heard] == [b"fair"]


async def test_what_comes_by_way_of_a_router_is_not_heard(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def routed(host: str) -> bool:
        asked.append(host)
        return False

    monkeypatch.setattr(sockets, "on_link", routed)
    async with running(on_loopback(port)) as heard:
        shout(b"from afar", port)
        await anyio.sleep(0.2)
    assert len(asked) == 1
    assert heard.heard == []


async def test_a_link_that_comes_later_is_used_and_one_that_fails_stops_nobody(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = {1 << 20: "gone0"}
    monkeypatch.setattr(multicast, "usable", lambda named: links)
    monkeypatch.setattr(multicast, "LOOK_S", 0.05)
    asked_s: list[float] = []

    def announce() -> bytes:
        asked_s.append(anyio.current_time())
        return b"oak %d" % len(asked_s)

    async with running(on_loopback(port, interval_s=60), announce) as heard:
        await anyio.sleep(SOON_S + 0.1)
        assert len(asked_s) == 1
        assert heard.heard == []
        links[LOOPBACK] = "lo"
        await heard.until(b"oak 2")
        del links[LOOPBACK]
        await anyio.sleep(0.2)
        shout(b"nobody is there", port)
        await anyio.sleep(0.1)
        assert all(data != b"nobody is there" for data, _, _ in heard.heard)


async def test_a_flood_leaves_the_process_its_time(port: int) -> None:
    async with running(on_loopback(port)) as heard:
        turns = 0
        with anyio.move_on_after(0.5):
            while True:
                for _ in range(200):
                    shout(b"x", port)
                turns += 1
                await anyio.lowlevel.checkpoint()
        assert turns > 3
        assert len(heard.heard) < 3000


def test_what_beacons_may_not_pass_is_set_on_every_socket(port: int) -> None:
    with Sockets(socket.AF_INET, port) as four:
        assert four._sending.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == 1
    with Sockets(socket.AF_INET6, port) as six:
        assert six._sending.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 1


def test_the_loopback_is_used_only_where_it_is_named() -> None:
    assert LOOPBACK not in usable(())
    assert usable(("lo", "nosuch0")) == {LOOPBACK: "lo"}
    assert usable(("nosuch0",)) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"ipv4": False, "ipv6": False},
        {"interval_s": 0.1},
        {"interfaces": ["a/b"]},
        {"interfaces": ["x" * 16]},
        {"interfaces": [f"eth{number}" for number in range(17)]},
        {"port": 0},
        {"colour": "red"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Multicast.Config(**options)  # type: ignore[arg-type]


async def test_without_a_family_the_other_one_serves(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = multicast.Sockets

    def sockets_of(family: socket.AddressFamily, port: int) -> Sockets:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return usual(family, port)

    monkeypatch.setattr(multicast, "Sockets", sockets_of)
    async with running(on_loopback(port), lambda: b"oak") as heard:
        await heard.until(b"oak")


def test_it_imports_only_what_is_public() -> None:
    for file in Path(port17_lan.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("port17."):
                pytest.fail(f"{file.name} imports {node.module}")
