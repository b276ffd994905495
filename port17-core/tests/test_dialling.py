"""Happy eyeballs by a virtual clock: who is tried when, who wins, and that nobody leaks."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from port17.links import dialling
from port17.links.dialling import ADDRESSES_CAP, Address, AllFailed, connect_any, interleave, resolve

SIX = [ip_address(f"2001:db8::{number}") for number in range(1, 20)]
FOUR = [ip_address(f"192.0.2.{number}") for number in range(1, 20)]


def on_virtual_clock(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(test, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


class Internet:
    """Addresses that answer after some seconds, with a connection or an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[Address, tuple[float, int]] = {}
        self.tried: list[tuple[float, Address]] = []
        self.sockets: dict[Address, socket.socket] = {}
        self._begun_s: float | None = None
        monkeypatch.setattr(dialling, "connect", self.connect)

    async def connect(self, address: Address, port: int) -> socket.socket:
        if self._begun_s is None:
            self._begun_s = anyio.current_time()
        self.tried.append((round(anyio.current_time() - self._begun_s, 6), address))
        after_s, number = self.answers.get(address, (1e9, 0))
        await anyio.sleep(after_s)
        if number:
            raise OSError(number, os.strerror(number))
        self.sockets[address] = sock = socket.socket()
        return sock


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    return Internet(monkeypatch)


def test_families_alternate_from_the_best_address_on() -> None:
    assert interleave([SIX[0], SIX[1], FOUR[0], SIX[2], FOUR[1]]) == [
        SIX[0],
        FOUR[0],
        SIX[1],
        FOUR[1],
        SIX[2],
    ]
    assert interleave([FOUR[0], FOUR[1], SIX[0]]) == [FOUR[0], SIX[0], FOUR[1]]
    assert interleave([]) == []


def test_a_silent_address_is_overtaken(internet: Internet) -> None:
    async def run() -> None:
        internet.answers = {FOUR[0]: (0.1, 0)}
        begun_s = anyio.current_time()
        sock = await connect_any([SIX[0], SIX[1], FOUR[0]], 80)
        assert sock is internet.sockets[FOUR[0]]
        sock.close()
        assert anyio.current_time() - begun_s == pytest.approx(0.35)
        assert internet.tried == [(0.0, SIX[0]), (0.25, FOUR[0])]

    on_virtual_clock(run)


def test_a_refusal_is_followed_at_once(internet: Internet) -> None:
    async def run() -> None:
        internet.answers = {SIX[0]: (0.01, errno.ENETUNREACH), FOUR[0]: (0.02, 0)}
        (await connect_any([SIX[0], FOUR[0]], 80)).close()
        assert internet.tried == [(0.0, SIX[0]), (0.01, FOUR[0])]

    on_virtual_clock(run)


def test_a_slow_first_address_may_still_win(internet: Internet) -> None:
    async def run() -> None:
        internet.answers = {SIX[0]: (0.4, 0), FOUR[0]: (5.0, 0)}
        sock = await connect_any([SIX[0], FOUR[0]], 80)
        assert sock is internet.sockets[SIX[0]]
        sock.close()

    on_virtual_clock(run)


def test_of_two_winners_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        both = anyio.Event()
        sockets: list[socket.socket] = []

        async def connecting(address: Address, port: int) -> socket.socket:
            await both.wait()  # Who has been woken is past being cancelled.
            sockets.append(socket.socket())
            return sockets[-1]

        monkeypatch.setattr(dialling, "connect", connecting)
        async with anyio.create_task_group() as group:

            async def answer() -> None:
                await anyio.sleep(1)
                both.set()

            group.start_soon(answer)
            winner = await connect_any([SIX[0], FOUR[0]], 80)
        assert len(sockets) == 2
        assert sorted(sock.fileno() for sock in sockets) == [-1, winner.fileno()]
        winner.close()

    on_virtual_clock(run)


def test_all_failures_are_told(internet: Internet) -> None:
    async def run() -> None:
        internet.answers = {SIX[0]: (0.01, errno.ENETUNREACH), FOUR[0]: (0.01, errno.ECONNREFUSED)}
        with pytest.raises(AllFailed) as raised:
            await connect_any([SIX[0], FOUR[0]], 80)
        assert [error.errno for error in raised.value.errors] == [errno.ENETUNREACH, errno.ECONNREFUSED]
        assert raised.value.errno == errno.ECONNREFUSED
        with pytest.raises(AllFailed):
            await connect_any([], 80)

    on_virtual_clock(run)


def test_only_so_many_doors_are_knocked_on(internet: Internet) -> None:
    async def run() -> None:
        internet.answers = dict.fromkeys((*SIX, *FOUR), (0.0, errno.ECONNREFUSED))
        with pytest.raises(AllFailed):
            await connect_any([*SIX, *FOUR], 80)
        assert len(internet.tried) == ADDRESSES_CAP
        assert {address.version for _, address in internet.tried} == {4, 6}

    on_virtual_clock(run)


def test_cancellation_ends_every_attempt(internet: Internet) -> None:
    async def run() -> None:
        with anyio.move_on_after(1.0) as scope:
            await connect_any([SIX[0], FOUR[0]], 80)
        assert scope.cancelled_caught
        assert not internet.sockets

    on_virtual_clock(run)


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_every_way_to_write_loopback_resolves_to_loopback(host: str) -> None:
    assert await resolve(host, 80) == [ip_address("127.0.0.1")]


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", ".", "\udcff.example"])
async def test_a_name_that_cannot_be_asked_for_is_an_os_error(host: str) -> None:
    with pytest.raises(OSError, match=r"name|Name|domain"):
        await resolve(host, 80)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "asked"),
    [("faß.example", b"xn--fa-hia.example"), ("Bücher.example", b"xn--bcher-kva.example")],
)
async def test_a_name_is_asked_for_as_browsers_write_it(
    host: str, asked: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []

    def asking(name: bytes, port: int, **options: object) -> list[tuple[object, ...]]:
        seen.append(name)
        return [(0, 0, 0, "", (text, port)) for text in ("2001:db8::1", "192.0.2.1", "2001:db8::1")]

    monkeypatch.setattr(socket, "getaddrinfo", asking)
    assert await resolve(host, 80) == [SIX[0], FOUR[0]]
    assert seen == [asked]


@pytest.mark.anyio
async def test_silent_name_servers_do_not_hold_up_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()
    usual = socket.getaddrinfo

    def asking(name: bytes, port: int, **options: Any) -> Any:
        if name == b"silent.example":
            silence.wait(20)
        return usual(b"127.0.0.1", port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", asking)
    try:
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(resolve, "silent.example", 80)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(5):
                assert await resolve("quick.example", 80) == [ip_address("127.0.0.1")]
            group.cancel_scope.cancel()
    finally:
        silence.set()


@pytest.mark.anyio
async def test_a_real_connection_is_tuned_and_a_real_refusal_has_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with await connect_any([ip_address("127.0.0.1")], port) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.getblocking()
        server.accept()[0].close()
    with pytest.raises(AllFailed) as raised:
        await connect_any([ip_address("127.0.0.1")], port)
    assert raised.value.errno == errno.ECONNREFUSED
