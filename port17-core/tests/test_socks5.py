"""The SOCKS5 ingress with real programs and real sockets, over a tunnel that is none."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream
from pydantic import ValidationError
from python_socks import ProxyType
from python_socks.async_.anyio import Proxy

from port17.client.ingress import Open
from port17.client.ingress.socks5 import Socks5
from port17.client.ingress.socks5_handshake import Code, code_of, reply
from port17.errors import CircuitFailed, ConveyorReset, LinkLost, NoRoute
from port17.links.dialling import connect
from port17.links.stream import ConveyorStream
from port17.links.tcp import TcpStream, split_address
from port17.navigator.policy import Request
from port17.records.framing import BytesLike
from port17.wire.reasons import Reason

from .plain_conveyor import PlainConveyor

pytestmark = pytest.mark.anyio

CONNECT = b"\x05\x01\x00" + b"\x05\x01\x00\x03\x0esecret.example\x01\xbb"
"""A whole handshake at once."""
SECRET = "secret.example"


class Direct(PlainConveyor):
    """A conveyor that goes straight to the destination."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._connected = anyio.Event()
        self._sock: socket.socket | None = None

    async def accepted(self) -> None:
        address = ip_address(self._request.host.replace("localhost", "127.0.0.1"))
        self._sock = await connect(address, self._request.port)
        self._stream = TcpStream(self._sock)
        self._connected.set()

    async def receive(self) -> bytes:
        return await self._stream.receive()

    async def send(self, data: BytesLike) -> None:
        await self._connected.wait()
        await self._stream.send(data)

    async def send_eof(self) -> None:
        await self._connected.wait()
        await self._stream.send_eof()

    async def aclose(self) -> None:
        self.abort()

    def abort(self, reason: Reason = Reason.DONE) -> None:
        if self._sock is not None:
            self._sock.close()


class Scripted(PlainConveyor):
    """A conveyor that takes everything and answers what a test says, when it says so."""

    def __init__(self, answer: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._answer = answer
        self.sent = bytearray()
        self._more_sent = anyio.Event()

    async def accepted(self) -> None:
        await self._answer()

    async def receive(self) -> bytes:
        await anyio.sleep_forever()
        return b""

    async def send(self, data: BytesLike) -> None:
        self.sent += data
        self._more_sent.set()
        self._more_sent = anyio.Event()

    async def has_sent(self, data: bytes) -> None:
        while bytes(self.sent) != data:
            await self._more_sent.wait()

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def direct(request: Request) -> ConveyorStream:
    return Direct(request)


@asynccontextmanager
async def ingress(open_conveyor: Open, **options: Any) -> AsyncGenerator[str]:
    driver = Socks5(Socks5.Config(listen="127.0.0.1:0", **options))
    async with anyio.create_task_group() as group:
        yield await group.start(driver.serve, open_conveyor)
        group.cancel_scope.cancel()


async def program(address: str) -> SocketStream:
    return await anyio.connect_tcp(*split_address(address))


async def read_all(stream: SocketStream) -> bytes:
    got = bytearray()
    with anyio.fail_after(10):
        while True:
            try:
                got += await stream.receive()
            except anyio.EndOfStream:
                return bytes(got)


async def expect_reset(stream: SocketStream) -> None:
    with pytest.raises(anyio.BrokenResourceError), anyio.fail_after(10):
        while True:
            await stream.receive()


@asynccontextmanager
async def web_server(host: str = "127.0.0.1") -> AsyncGenerator[int]:
    """Answers any HTTP request with its own first line, then closes; counts on nothing else of HTTP."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += await stream.receive()
            line = asked.split(b"\r\n")[0]
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(line)
            await stream.send(head + line)

    async with (
        await anyio.create_tcp_listener(local_host=host) as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, answer)
        yield listener.extra(SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def output_of(*command: str, stdin: bytes = b"") -> bytes:
    with anyio.fail_after(20):
        return (await anyio.run_process(command, input=stdin)).stdout


# -- programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--socks5-hostname", "--socks5"])
async def test_curl(option: str) -> None:
    asked: list[Request] = []

    async def recording(request: Request) -> ConveyorStream:
        asked.append(request)
        return Direct(request)

    async with web_server() as port, ingress(recording) as address:
        got = await output_of("curl", "-sS", option, address, f"http://localhost:{port}/fetched")
    assert got == b"GET /fetched HTTP/1.1"
    # One sends the name, the other has resolved it by itself: neither was resolved here.
    assert asked[0].host == ("localhost" if option == "--socks5-hostname" else "127.0.0.1")
    assert asked[0].isolation == b""


async def test_curl_over_ipv6() -> None:
    async with web_server("::1") as port, ingress(direct) as address:
        got = await output_of("curl", "-sS", "-g", "--socks5", address, f"http://[::1]:{port}/six")
    assert got == b"GET /six HTTP/1.1"


async def test_curls_credentials_isolate() -> None:
    keys = []

    async def recording(request: Request) -> ConveyorStream:
        keys.append(request.isolation)
        return Direct(request)

    async with web_server() as port, ingress(recording) as address:
        for user in ("one:secret", "two:secret", "one:secret"):
            await output_of(
                "curl", "-sS", "--proxy", f"socks5h://{user}@{address}", f"http://localhost:{port}/"
            )
    assert keys[0] == keys[2] != keys[1]


async def test_ncat() -> None:
    async with web_server() as port, ingress(direct) as address:
        got = await output_of(
            "ncat", "--proxy", address, "--proxy-type", "socks5", "127.0.0.1", str(port),
            stdin=b"GET /by-ncat HTTP/1.0\r\n\r\n",
        )  # fmt: skip
    assert got.endswith(b"GET /by-ncat HTTP/1.0")


async def test_python_socks() -> None:
    async with web_server() as port, ingress(direct) as address:
        host, proxy_port = split_address(address)
        proxy = Proxy(ProxyType.SOCKS5, host, proxy_port, username="u", password="p", rdns=True)
        async with await proxy.connect("localhost", port) as stream:
            await stream.send(b"GET /by-python HTTP/1.0\r\n\r\n")
            got = await read_all(stream)
    assert got.endswith(b"GET /by-python HTTP/1.0")


# -- early data ---------------------------------------------------------------------------------------


async def test_data_goes_ahead_of_the_destinations_answer() -> None:
    ready = anyio.Event()
    belt = Scripted(ready.wait)

    async def opening(request: Request) -> ConveyorStream:
        return belt

    async with ingress(opening) as address, await program(address) as stream:
        await stream.send(CONNECT + b"hello, ")
        await stream.send(b"early world")
        with anyio.fail_after(5):
            await belt.has_sent(b"hello, early world")
        assert await stream.receive() == b"\x05\x00", "no reply before the destination has answered"
        with anyio.move_on_after(0.05) as waited:
            await stream.receive()
        assert waited.cancelled_caught
        ready.set()
        assert await stream.receive() == reply(Code.SUCCEEDED)


# -- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_is_answered_with_its_code(
    reason: Reason, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse() -> None:
        raise ConveyorReset(f"no {SECRET}", reason)

    belt = Scripted(refuse)

    async def opening(request: Request) -> ConveyorStream:
        return belt

    caplog.set_level(logging.DEBUG)
    async with ingress(opening) as address, await program(address) as stream:
        await stream.send(CONNECT)
        assert await read_all(stream) == b"\x05\x00" + reply(code_of(reason))
    assert reason.name in caplog.text
    assert SECRET not in caplog.text
    assert belt.aborted


@pytest.mark.parametrize(
    "error",
    [
        NoRoute(f"no exit for {SECRET}"),
        CircuitFailed(SECRET, Reason.REFUSED),  # A circuit says nothing about a destination.
        LinkLost(SECRET),
        ZeroDivisionError(SECRET),  # A policy's bug.
    ],
)
async def test_no_tunnel_is_a_general_failure(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def opening(request: Request) -> ConveyorStream:
        raise error

    caplog.set_level(logging.DEBUG)
    async with ingress(opening) as address:
        for _ in range(2):  # It has survived the first.
            async with await program(address) as stream:
                await stream.send(CONNECT)
                assert await read_all(stream) == b"\x05\x00" + reply(Code.FAILURE)
    assert type(error).__name__ in caplog.text
    assert SECRET not in caplog.text


async def test_what_the_users_policies_forbid_is_not_allowed(caplog: pytest.LogCaptureFixture) -> None:
    async def opening(request: Request) -> ConveyorStream:
        raise NoRoute(f"no exit for {SECRET}", cure=SECRET, short="too few nodes", by_policy=True)

    caplog.set_level(logging.DEBUG)
    async with ingress(opening) as address, await program(address) as stream:
        await stream.send(CONNECT)
        assert await read_all(stream) == b"\x05\x00" + reply(Code.NOT_ALLOWED)
    assert "NoRoute: too few nodes" in caplog.text
    assert SECRET not in caplog.text


async def test_a_refusal_arrives_although_the_program_goes_on_sending() -> None:
    async def refuse() -> None:
        raise ConveyorReset("refused", Reason.REFUSED)

    async def opening(request: Request) -> ConveyorStream:
        return Scripted(refuse)

    async with ingress(opening) as address, await program(address) as stream:
        await stream.send(CONNECT + b"x" * 500_000)
        assert await read_all(stream) == b"\x05\x00" + reply(Code.REFUSED)
        for _ in range(5):  # Nor is it thrown out in mid-sentence.
            await stream.send(b"y")
            await anyio.sleep(0.01)


async def test_a_destination_that_never_answers_is_a_timeout() -> None:
    belt = Scripted(anyio.sleep_forever)

    async def opening(request: Request) -> ConveyorStream:
        return belt

    async with ingress(opening, connect_timeout_s=0.05) as address, await program(address) as stream:
        await stream.send(CONNECT)
        assert await read_all(stream) == b"\x05\x00" + reply(Code.TTL_EXPIRED)
    assert belt.aborted


async def test_a_tunnel_that_fails_later_resets_the_program() -> None:
    class Failing(Scripted):
        async def receive(self) -> bytes:
            await anyio.sleep(0.05)
            raise CircuitFailed("gone", Reason.NEXT_HOP_LOST)

    async def opening(request: Request) -> ConveyorStream:
        return Failing(anyio.lowlevel.checkpoint)

    async with ingress(opening) as address, await program(address) as stream:
        await stream.send(CONNECT)
        await expect_reset(stream)


async def test_stopping_resets_every_program() -> None:
    async def opening(request: Request) -> ConveyorStream:
        return Scripted(anyio.lowlevel.checkpoint)

    async with ingress(opening) as address:
        served = await program(address)
        await served.send(CONNECT)
        while not (await served.receive()).endswith(reply(Code.SUCCEEDED)):
            pass
        waiting = await program(address)
        await waiting.send(b"\x05")
        await anyio.sleep(0.02)
    for stream in (served, waiting):
        async with stream:
            await expect_reset(stream)


# -- hostile programs ---------------------------------------------------------------------------------


async def test_a_dawdling_handshake_is_ended() -> None:
    async def opening(request: Request) -> ConveyorStream:
        raise AssertionError("nothing was asked for")

    async with ingress(opening, handshake_timeout_s=0.1) as address:
        silent, slow = await program(address), await program(address)
        async with silent, slow:
            with anyio.fail_after(5):
                assert await read_all(silent) == b""
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)), anyio.fail_after(5):
                for byte in CONNECT:  # A byte at a time does not win time.
                    await slow.send(bytes([byte]))
                    with anyio.move_on_after(0.02):
                        await slow.receive()


async def test_more_connections_than_allowed_are_reset() -> None:
    async with ingress(direct, max_connections=2) as address, web_server() as port:
        one, two = await program(address), await program(address)
        for stream in (one, two):
            await stream.send(b"\x05\x01\x00")
            assert await stream.receive() == b"\x05\x00"
        with socket.socket() as three:
            three.connect(split_address(address))
            three.setblocking(False)
            await anyio.sleep(0.05)
            with pytest.raises(ConnectionResetError):
                three.recv(1)
        await one.aclose()
        await anyio.sleep(0.05)
        # A place is free again.
        await output_of("curl", "-sS", "--socks5", address, f"http://127.0.0.1:{port}/")
        await two.aclose()


async def test_malformed_and_vanishing_programs_harm_nobody() -> None:
    linger_none = struct.pack("ii", 1, 0)
    async with ingress(direct) as address, web_server() as port:
        for first in (
            b"",
            b"\x05",
            b"\x05\x01\x00\x05\x01",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x04\x01",
            bytes(5000),
        ):
            for rude in (False, True):
                stream = await program(address)
                if first:
                    await stream.send(first)
                if rude:
                    stream.extra(SocketAttribute.raw_socket).setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger_none
                    )
                await stream.aclose()
        got = await output_of("curl", "-sS", "--socks5", address, f"http://127.0.0.1:{port}/alive")
    assert got == b"GET /alive HTTP/1.1"


def test_the_options_are_checked() -> None:
    for wrong in ({"listen": "1080"}, {"listen": "::1:1080"}, {"max_connections": 0}, {"port": 1}):
        with pytest.raises(ValidationError):
            Socks5.Config(**wrong)


async def test_an_address_in_use_is_an_os_error() -> None:
    async with ingress(direct) as address:
        with pytest.raises(OSError, match="in use"):
            await Socks5(Socks5.Config(listen=address)).serve(direct, task_status=anyio.TASK_STATUS_IGNORED)


async def test_listening_for_others_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with anyio.create_task_group() as group:
        await group.start(Socks5(Socks5.Config(listen="0.0.0.0:0")).serve, direct)
        group.cancel_scope.cancel()
    assert "beyond this machine" in caplog.text
