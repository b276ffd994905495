"""What programs are told when a connection cannot be, who shares a circuit, and what is never dialled."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from python_socks import ProxyError
from rig.destination import Destination, order, receive_exactly
from rig.house import House, command
from rig.program import connect
from rig.testnet import Testnet

from port17_cli.network import HOST, free_ports

NOT_ALLOWED, HOST_UNREACHABLE, REFUSED = 2, 4, 5
"""SOCKS5 replies (RFC 1928, 6)."""
ERROR_S = 10.0
"""How long a program may wait for its answer, seconds."""


def refusal(proxy: tuple[str, int], host: str, port: int) -> int | None:
    """The reply code that a program gets."""
    with pytest.raises(ProxyError) as caught:
        connect(proxy, port, host=host, timeout=3 * ERROR_S).close()
    return caught.value.error_code


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A network whose exits refuse addresses that are not public, as they do unless told otherwise."""
    names = ("ash", "birch", "cedar")
    directory: Path = tmp_path_factory.mktemp("public")
    ports = dict(zip(names, free_ports(*[HOST] * len(names)), strict=True))
    with House(directory, names, ports, private=False) as house:
        house.start(*names)
        house.wait_for_lanes()
        house.start("client")
        house.wait_for_lanes()
        yield house


def test_a_port_that_nobody_listens_on(testnet: Testnet) -> None:
    assert refusal(testnet.socks, HOST, free_ports(HOST)[0]) == REFUSED
    assert refusal(testnet.socks, "localhost", free_ports(HOST)[0]) == REFUSED


def test_a_name_that_has_no_address(testnet: Testnet) -> None:
    assert refusal(testnet.socks, "no-such-host.invalid", 8443) == HOST_UNREACHABLE


@pytest.mark.parametrize(
    "host",
    [HOST, "localhost", "0.0.0.0", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1", "224.0.0.1"],
)
def test_an_exit_refuses_what_is_not_public(public: House, destination: Destination, host: str) -> None:
    before = destination.connections()
    assert refusal(public.socks, host, destination.port) == NOT_ALLOWED
    assert destination.connections() == before


def test_other_commands_are_refused(testnet: Testnet) -> None:
    for number in (2, 3, 9):  # BIND, UDP ASSOCIATE, and one that does not exist
        with socket.create_connection(testnet.socks, ERROR_S) as program:
            program.sendall(b"\x05\x01\x00" + bytes((5, number, 0, 1, 127, 0, 0, 1, 0, 80)))
            assert receive_exactly(program, 2) == b"\x05\x00"
            assert receive_exactly(program, 2) == b"\x05\x07"


def test_credentials_and_destinations_isolate(testnet: Testnet, destination: Destination) -> None:
    """Other credentials or another host: another circuit. The same of both: the same circuit."""
    with ExitStack() as stack:

        def circuit(isolation: str | None, host: str) -> int:
            """The circuit that a new connection is on: the one that has one conveyor more than before."""
            before = _conveyors(testnet)
            program = stack.enter_context(
                connect(testnet.socks, destination.port, host=host, isolation=isolation)
            )
            program.sendall(order(b"E") + b"?")
            assert receive_exactly(program, 1) == b"?"
            after = _conveyors(testnet)
            (ident,) = (one for one, count in after.items() if count > before.get(one, 0))
            return ident

        cases = [(None, HOST), ("alice", HOST), ("bob", HOST), ("alice", "localhost")]
        circuits = [circuit(*case) for case in cases]
        assert len(set(circuits)) == len(cases)
        assert [circuit(*case) for case in cases] == circuits
        shown = command("route", "show", "--control", testnet.state["client"]["control"])
        assert set(circuits) <= {one["id"] for one in shown["circuits"]}
        assert all(len({hop["id"] for hop in one["hops"]}) == 3 for one in shown["circuits"])


def _conveyors(testnet: Testnet) -> dict[int, int]:
    return {one["id"]: one["conveyors"] for one in testnet.ask("circuits")["circuits"]}


def test_nothing_is_dialled_directly_when_the_nodes_are_dead(
    tmp_path: Path, destination: Destination
) -> None:
    with Testnet(tmp_path / "net", 3, ["--lanes", "2"]) as network:
        with connect(network.socks, destination.port) as program:
            program.sendall(order(b"E") + b"?")
            assert receive_exactly(program, 1) == b"?"
            served = destination.connections()
            for node in network.state["nodes"]:
                os.kill(node["pid"], signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                program.recv(1)
        with socket.create_connection((HOST, destination.port)):
            pass  # it can be reached, directly
        for number, host in enumerate((HOST, "localhost", HOST)):
            begun = time.monotonic()
            with pytest.raises((ProxyError, ConnectionError)):
                connect(network.socks, destination.port, host=host, isolation=f"dead {number}").close()
            assert time.monotonic() - begun < ERROR_S
        assert destination.connections() == served
        assert network.end() < 5.0, "the rest ends in time, whoever has died"
