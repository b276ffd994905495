"""A SOCKS5 client (RFC 1928), blocking, for the fetches that the program itself makes through a client."""

from __future__ import annotations

import socket

from port17.errors import NetworkError

VERSION = 5
NO_AUTHENTICATION = 0
CONNECT = 1
NAME = 3
"""Address type of a host name; addresses are sent as names too, and read at the exit."""
SUCCEEDED = 0
REPLIES = {
    1: "general failure",
    2: "not allowed by the rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "address type not supported",
}
"""What a proxy can answer (RFC 1928, section 6)."""
ADDRESS_SIZES = {1: 4, 4: 16}
"""Bytes of a bound address by its type; a name says its own length."""


def connect(proxy: tuple[str, int], host: str, port: int, timeout: float) -> socket.socket:
    """A connection to a destination through a proxy.

    :param proxy: where the proxy listens.
    :param host: a name or an address; the proxy resolves it.
    :param timeout: seconds without progress, while connecting and later.
    :raises NetworkError: the proxy refused, with its reply code's meaning.
    :raises OSError: the proxy cannot be reached, or ended the connection.
    """
    stream = socket.create_connection(proxy, timeout)
    try:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _negotiate(stream, host.encode("idna"), port)
    except BaseException:
        stream.close()
        raise
    return stream


def _negotiate(stream: socket.socket, host: bytes, port: int) -> None:
    stream.sendall(bytes([VERSION, 1, NO_AUTHENTICATION]))
    if _exactly(stream, 2) != bytes([VERSION, NO_AUTHENTICATION]):
        raise NetworkError("The proxy wants a password.")
    stream.sendall(bytes([VERSION, CONNECT, 0, NAME, len(host)]) + host + port.to_bytes(2, "big"))
    _, reply, _, kind = _exactly(stream, 4)
    if reply != SUCCEEDED:
        raise NetworkError(f"The proxy refused: {REPLIES.get(reply, f'reply {reply}')}.")
    size = ADDRESS_SIZES[kind] if kind in ADDRESS_SIZES else _exactly(stream, 1)[0]
    _exactly(stream, size + 2)


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionError("the proxy ended the connection")
        data += piece
    return data
