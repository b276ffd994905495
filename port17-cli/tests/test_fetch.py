"""The fetch that demonstrations and test networks make, through a proxy that is good or bad."""

from __future__ import annotations

import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from port17.errors import NetworkError
from port17_cli import destination, socks
from port17_cli.fetch import fetch

TIMEOUT_S = 5.0


class Proxy(socketserver.BaseRequestHandler):
    """A SOCKS5 proxy for one connection; how it misbehaves is its server's ``manner``."""

    def handle(self) -> None:
        manner: str = self.server.manner  # type: ignore[attr-defined]
        self.request.recv(3)
        if manner == "hangs up":
            return
        self.request.sendall(b"\x05\xff" if manner == "password" else b"\x05\x00")
        head = self.request.recv(5)
        host = self.request.recv(head[4]).decode()
        port = int.from_bytes(self.request.recv(2), "big")
        if manner == "refuses":
            self.request.sendall(b"\x05\x02\x00\x01" + bytes(6))
            return
        with socket.create_connection((host, port)) as onward:
            self.request.sendall(
                b"\x05\x00\x00\x03\x04name\x00\x50" if manner == "names" else b"\x05\x00\x00\x01" + bytes(6)
            )
            back = threading.Thread(target=self._pump, args=(self.request, onward, None))
            back.start()
            self._pump(onward, self.request, 1000 if manner == "cuts" else None)
            self.request.close()
            onward.close()
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        try:
            while (limit is None or limit > 0) and (data := source.recv(limit or 65536)):
                sink.sendall(data)
                if limit is not None:
                    limit -= len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def proxy(manner: str = "good") -> Iterator[tuple[str, int]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        server.daemon_threads = True
        server.manner = manner  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address  # type: ignore[misc]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("manner", ["good", "names"])
def test_what_is_sent_arrives(secure: bool, manner: str, tmp_path: Path) -> None:
    body = os.urandom(1 << 20)
    pieces: list[int] = []
    with destination.serve(body, tmp_path if secure else None) as target, proxy(manner) as address:
        fetched = fetch(address, destination.HOST, target.port, target.certificate, TIMEOUT_S, pieces.append)
    assert (fetched.digest, fetched.size) == (target.digest, len(body))
    assert sum(pieces) == len(body)
    assert 0 < fetched.opened <= fetched.secured <= fetched.first_byte <= fetched.done


def test_the_destinations_key_is_the_owners_alone(tmp_path: Path) -> None:
    with destination.serve(b"x", tmp_path):
        assert (tmp_path / "destination.key").stat().st_mode & 0o077 == 0


def test_another_destination_is_not_believed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with (
        destination.serve(b"x", other) as stranger,
        destination.serve(b"y", tmp_path) as target,
        proxy() as address,
        pytest.raises(ssl.SSLError),
    ):
        fetch(address, destination.HOST, target.port, stranger.certificate, TIMEOUT_S)


@pytest.mark.parametrize(
    ("manner", "said"),
    [("refuses", "not allowed by the rules"), ("password", "password"), ("cuts", "ended after")],
)
def test_a_proxy_that_does_not_carry(manner: str, said: str) -> None:
    with (
        destination.serve(bytes(100_000)) as target,
        proxy(manner) as address,
        pytest.raises(NetworkError, match=said),
    ):
        fetch(address, destination.HOST, target.port, None, TIMEOUT_S)


def test_a_proxy_that_hangs_up() -> None:
    with proxy("hangs up") as address, pytest.raises(ConnectionError):
        socks.connect(address, "127.0.0.1", 1, TIMEOUT_S)


def test_an_answer_that_is_no_success() -> None:
    class Refusing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Refusing) as server, proxy() as address:
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        with pytest.raises(NetworkError, match="404"):
            fetch(address, "127.0.0.1", server.server_address[1], None, TIMEOUT_S)
        thread.join()
