"""One HTTP or HTTPS fetch through a SOCKS5 proxy, timed, its body hashed as it arrives."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from port17.errors import NetworkError
from port17_cli import socks

HEAD_CAP = 64 * 1024
"""Longest head of an answer, bytes."""
PIECE = 256 * 1024
"""Bytes asked of the socket at once."""


@dataclass(frozen=True)
class Fetched:
    """What came, and when, in seconds from the first step.

    :param digest: SHA-256 of the body, hex.
    :param size: bytes of the body.
    :param opened: the proxy said that the destination is connected.
    :param secured: the TLS handshake with the destination was over; without TLS as ``opened``.
    :param first_byte: the answer began.
    :param done: the body was complete.
    """

    digest: str
    size: int
    opened: float
    secured: float
    first_byte: float
    done: float


def fetch(
    proxy: tuple[str, int],
    host: str,
    port: int,
    trust: Path | None,
    timeout: float,
    progress: Callable[[int], None] = lambda size: None,
) -> Fetched:
    """GET ``/`` and read the whole body.

    :param trust: PEM file of the certificate to expect; None speaks plain HTTP.
    :param timeout: seconds without progress.
    :param progress: told the size of every piece of the body.
    :raises NetworkError: the proxy refused, or the answer is no complete one of status 200.
    :raises OSError: a connection failed.
    """
    begin = time.perf_counter()
    stream: socket.socket = socks.connect(proxy, host, port, timeout)
    try:
        opened = time.perf_counter() - begin
        if trust is not None:
            context = ssl.create_default_context(cafile=str(trust))
            stream = context.wrap_socket(stream, server_hostname=host)
        secured = time.perf_counter() - begin
        stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        length, body = _head(stream)
        first_byte = time.perf_counter() - begin
        digest = hashlib.sha256(body)
        size = len(body)
        progress(size)
        piece = bytearray(PIECE)
        while size < length and (count := stream.recv_into(piece)):
            digest.update(memoryview(piece)[:count])
            size += count
            progress(count)
        if size != length:
            raise NetworkError(f"The answer ended after {size} of {length} bytes.")
        return Fetched(digest.hexdigest(), size, opened, secured, first_byte, time.perf_counter() - begin)
    finally:
        stream.close()


def _head(stream: socket.socket) -> tuple[int, bytes]:
    """The length of the body, and what of it came with the head."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(PIECE)
        if not piece or len(data) > HEAD_CAP:
            raise NetworkError("The destination's answer has no end to its head.")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    if " 200 " not in f"{status} ":
        raise NetworkError(f"The destination answered {status!r}.")
    lengths = [
        value
        for name, _, value in (line.partition(":") for line in fields)
        if name.lower() == "content-length"
    ]
    if len(lengths) != 1:
        raise NetworkError("The destination's answer does not say how long it is.")
    return int(lengths[0]), body
