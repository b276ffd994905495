"""A program that uses the tunnel: its connection through SOCKS5, and how that ends."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from python_socks import ProxyError
from python_socks.sync import Proxy

from rig.destination import HOST, PIECE, Check, content, order, receive_all, receive_exactly

PATIENCE_S = 30.0
"""How long any single step of a program may take, seconds, where a test sets no limit of its own."""


def connect(
    proxy: tuple[str, int],
    port: int,
    host: str = HOST,
    isolation: str | None = None,
    timeout: float = PATIENCE_S,
) -> socket.socket:
    """A connection to a destination.

    :param isolation: user name, and so the circuit that it does not share.
    :raises python_socks.ProxyError: the proxy refused; ``error_code`` is its reply.
    """
    who = f"{isolation}:secret@" if isolation is not None else ""
    made = Proxy.from_url(f"socks5://{who}{proxy[0]}:{proxy[1]}", rdns=True)
    connection = made.connect(host, port, timeout=timeout)
    connection.settimeout(timeout)
    return connection


def echoes(
    proxy: tuple[str, int], port: int, isolation: str | None = None, timeout: float = PATIENCE_S
) -> bool:
    """Whether a new connection works; as :func:`connect`."""
    try:
        with connect(proxy, port, isolation=isolation, timeout=timeout) as program:
            program.sendall(order(b"E") + b"?")
            return receive_exactly(program, 1) == b"?"
    except (ProxyError, OSError):
        return False


@dataclass(frozen=True)
class End:
    """How a connection ended.

    :param how: the error's name, or ``in order``.
    :param at: when, on the monotonic clock.
    """

    how: str
    at: float


def read_to_end(connection: socket.socket, check: Check) -> End:
    """Read content until the connection ends, however it does."""
    try:
        while data := connection.recv(PIECE):
            check.take(data)
    except OSError as error:
        return End(type(error).__name__, time.monotonic())
    return End("in order", time.monotonic())


def download(connection: socket.socket, tag: bytes, amount: int) -> Check:
    """Fetch content and check it."""
    connection.sendall(order(b"D", tag, amount))
    check = Check(tag)
    read_to_end(connection, check)
    return check


def upload(connection: socket.socket, tag: bytes, amount: int) -> bool:
    """Send content; whether the destination says that it was right."""
    connection.sendall(order(b"U", tag, amount))
    for piece in content(tag, amount):
        connection.sendall(piece)
    return receive_all(connection) == b"right"
