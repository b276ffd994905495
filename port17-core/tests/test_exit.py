"""The exit: it connects where it may, by resolved address, and every failure has its reason."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from port17.errors import ConveyorReset
from port17.links.dialling import Address, AllFailed
from port17.node import exit as exit_module
from port17.node.exit import Destination, Tunnel, Unreachable, _is_own
from port17.records.cbor import encode
from port17.records.framing import BytesLike
from port17.wire.reasons import Reason

from .plain_conveyor import PlainConveyor

pytestmark = pytest.mark.anyio

EVERYWHERE: dict[str, Any] = {"allow": ["accept *:*"], "allow_private": True}


def asked(host: str, port: int, proto: str = "tcp") -> bytes:
    return encode({"proto": proto, "host": host, "port": port})


class Client(PlainConveyor):
    """A conveyor as the exit sees it: the client sends some bytes and FIN, and keeps what it gets."""

    def __init__(self, *sends: bytes, accept_fails: bool = False) -> None:
        super().__init__()
        self._sends = list(sends)
        self._accept_fails = accept_fails
        self.accepted_by_exit = False
        self.got = bytearray()
        self.finished = False

    async def accept(self, data: bytes = b"") -> None:
        if self._accept_fails:
            raise ConveyorReset("gone meanwhile", Reason.DONE)
        self.accepted_by_exit = True

    async def receive(self) -> bytes:
        if not self._sends:
            raise anyio.EndOfStream
        return self._sends.pop(0)

    async def send(self, data: BytesLike) -> None:
        assert self.accepted_by_exit
        self.got += data

    async def send_eof(self) -> None:
        self.finished = True

    async def aclose(self) -> None:
        assert self.finished


class Destinations:
    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0


@asynccontextmanager
async def echo_server(host: str = "127.0.0.1", *, rude: bool = False) -> AsyncGenerator[Destinations]:
    async def echo(stream: SocketStream) -> None:
        found.connections += 1
        async with stream:
            try:
                while True:
                    await stream.send(b"<" + await stream.receive() + b">")
                    if rude:
                        stream.extra(SocketAttribute.raw_socket).setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                        return
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return

    listener = await anyio.create_tcp_listener(local_host=host)
    found = Destinations(listener.extra(SocketAttribute.local_port))
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        yield found
        group.cancel_scope.cancel()


async def handle(args: bytes, client: Client | None = None, **options: Any) -> Client:
    client = client or Client(b"hello")
    with anyio.fail_after(10):
        await Tunnel(Tunnel.Config(**options)).handle(args, client)
    return client


@pytest.mark.parametrize(
    ("listen_at", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::1", "[::1]")]
)
async def test_bytes_cross_over_both_families(listen_at: str, host: str) -> None:
    async with echo_server(listen_at) as server:
        client = await handle(asked(host, server.port), **EVERYWHERE)
    assert client.got == b"<hello>"
    assert client.finished
    assert not client.aborted


async def test_a_name_is_resolved_here() -> None:
    async with echo_server() as server:
        client = await handle(asked("LocalHost.", server.port), **EVERYWHERE)
    assert client.got == b"<hello>"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "localhost", "::1", "::", "::ffff:127.0.0.1",
     "64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1"],
)  # fmt: skip
async def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async with echo_server() as server:
        client = await handle(asked(host, server.port), allow=["accept *:*"])
        assert client.aborted == [Reason.POLICY]
        assert not client.accepted_by_exit
        assert server.connections == 0


async def test_without_rules_nothing_is_allowed() -> None:
    async with echo_server() as server:
        assert (await handle(asked("127.0.0.1", server.port), allow_private=True)).aborted == [Reason.POLICY]
        closed = await handle(asked("127.0.0.1", server.port), allow=["accept *:1"], allow_private=True)
        assert closed.aborted == [Reason.POLICY]
        assert server.connections == 0


async def test_of_a_names_addresses_only_the_allowed_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Address] = []

    async def resolving(host: str, port: int) -> list[Address]:
        return [ip_address(text) for text in ("127.0.0.1", "9.9.9.9", "10.0.0.1", "2620:fe::fe", "fe80::1")]

    async def connecting(addresses: list[Address], port: int) -> socket.socket:
        tried.extend(addresses)
        raise AllFailed([OSError(errno.ECONNREFUSED, "refused")])

    monkeypatch.setattr(exit_module, "resolve", resolving)
    monkeypatch.setattr(exit_module, "connect_any", connecting)
    client = await handle(asked("rebinding.example", 80), allow=["accept *:*"])
    assert tried == [ip_address("9.9.9.9"), ip_address("2620:fe::fe")]
    assert client.aborted == [Reason.REFUSED]


def test_the_machines_own_addresses_are_known() -> None:
    assert _is_own(ip_address("127.0.0.1"))
    assert _is_own(ip_address("::1"))
    assert not _is_own(ip_address("192.0.2.1"))
    # Whatever else this machine is called.
    for entry in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM):
        assert _is_own(ip_address(entry[4][0]))


@pytest.mark.parametrize("allow_private", [False, True])
async def test_the_machines_own_public_address_is_refused(
    allow_private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Address] = []

    async def connecting(addresses: list[Address], port: int) -> socket.socket:
        tried.extend(addresses)
        raise AllFailed([])

    monkeypatch.setattr(exit_module, "connect_any", connecting)
    monkeypatch.setattr(exit_module, "_is_own", lambda address: address == ip_address("9.9.9.9"))
    client = await handle(asked("9.9.9.9", 80), allow=["accept *:*"], allow_private=allow_private)
    assert client.aborted == [Reason.GENERIC if allow_private else Reason.POLICY]
    assert bool(tried) == allow_private


# -- every failure has its reason ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([errno.ECONNREFUSED], Reason.REFUSED),
        ([errno.EHOSTUNREACH], Reason.HOST_UNREACHABLE),
        ([errno.ENETUNREACH], Reason.NETWORK_UNREACHABLE),
        ([errno.ETIMEDOUT], Reason.TIMEOUT),
        ([errno.ECONNRESET], Reason.RESET),
        ([errno.EMFILE], Reason.RESOURCES),
        ([errno.EADDRNOTAVAIL], Reason.NETWORK_UNREACHABLE),
        ([errno.EPERM], Reason.POLICY),
        ([errno.EXFULL], Reason.GENERIC),
        ([errno.ENETUNREACH, errno.ECONNREFUSED], Reason.REFUSED),
        ([errno.ECONNREFUSED, errno.EAFNOSUPPORT], Reason.REFUSED),
        ([errno.EHOSTUNREACH, errno.ETIMEDOUT], Reason.TIMEOUT),
        ([], Reason.GENERIC),
    ],
)
async def test_the_most_telling_reason_is_told(
    numbers: list[int], reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(addresses: list[Address], port: int) -> socket.socket:
        raise AllFailed([OSError(number, os.strerror(number)) for number in numbers])

    monkeypatch.setattr(exit_module, "connect_any", failing)
    assert (await handle(asked("127.0.0.1", 80), **EVERYWHERE)).aborted == [reason]


async def test_a_refused_port_is_refused() -> None:
    assert (await handle(asked("127.0.0.1", 1), **EVERYWHERE)).aborted == [Reason.REFUSED]


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
async def test_a_name_without_address_fails_to_resolve(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object, **options: object) -> None:
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", failing)
    assert (await handle(asked("nowhere.example", 80), **EVERYWHERE)).aborted == [Reason.RESOLVE_FAILED]


@pytest.mark.parametrize("step", ["resolve", "connect_any"])
async def test_what_takes_too_long_is_a_timeout(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(*args: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(exit_module, step, hanging)
    client = await handle(asked("127.0.0.1", 80), connect_timeout_s=0.02, **EVERYWHERE)
    assert client.aborted == [Reason.TIMEOUT]


async def test_a_destination_that_resets_resets_the_conveyor() -> None:
    class Patient(Client):
        async def receive(self) -> bytes:
            if not self._sends:
                await anyio.sleep_forever()
            return await super().receive()

    async with echo_server(rude=True) as server:
        client = await handle(asked("127.0.0.1", server.port), Patient(b"hello"), **EVERYWHERE)
    assert client.aborted == [Reason.RESET]
    assert not client.finished


async def test_a_client_that_has_gone_costs_the_destination_its_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConveyorReset):
            await handle(asked("127.0.0.1", port), Client(accept_fails=True), **EVERYWHERE)
        taken, _ = server.accept()
        with taken, pytest.raises(ConnectionResetError):
            taken.recv(1)


async def test_no_failure_names_its_destination(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "port17")
    await handle(asked("127.0.0.1", 1), **EVERYWHERE)
    await handle(asked("127.0.0.1", 80))
    assert not [record for record in caplog.records if record.name.startswith("port17")]
    with pytest.raises(Unreachable) as raised:
        await Tunnel(Tunnel.Config(**EVERYWHERE)).dial(Destination("127.0.0.1", 1))
    assert "127.0.0.1" not in str(raised.value)


# -- arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (b"", Reason.PROTOCOL),
        (b"\xff", Reason.PROTOCOL),
        (encode([]), Reason.PROTOCOL),
        (encode({}), Reason.PROTOCOL),
        (encode({"proto": "tcp", "host": "h"}), Reason.PROTOCOL),
        (encode({"proto": "tcp", "host": "h", "port": 80, "more": 1}), Reason.PROTOCOL),
        (asked("h", 0), Reason.PROTOCOL),
        (asked("h", 65536), Reason.PROTOCOL),
        (encode({"proto": "tcp", "host": "h", "port": True}), Reason.PROTOCOL),
        (encode({"proto": "tcp", "host": b"h", "port": 80}), Reason.PROTOCOL),
        (asked("", 80), Reason.PROTOCOL),
        (asked("a b", 80), Reason.PROTOCOL),
        (asked("a\x00b", 80), Reason.PROTOCOL),
        (asked("a\nb", 80), Reason.PROTOCOL),
        (asked("h" * 256, 80), Reason.PROTOCOL),
        (asked("h" * 600, 80), Reason.PROTOCOL),
        (asked("h", 80, "udp"), Reason.UNKNOWN_OPERATION),
    ],
)
async def test_malformed_arguments_are_refused(args: bytes, reason: Reason) -> None:
    assert (await handle(args, **EVERYWHERE)).aborted == [reason]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=30) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.binary(max_size=600)
    | VALUES.map(encode)
    | st.fixed_dictionaries({"proto": VALUES, "host": VALUES, "port": VALUES}).map(encode)
)
def test_no_arguments_do_harm(args: bytes) -> None:
    try:
        destination = Destination.parse(args)
    except Unreachable:
        return
    assert destination.host
    assert 0 < destination.port < 65536
