"""What programs talk to in the tests: a process of its own that sends, checks, echoes, stalls and remembers.

A connection begins with one order (:data:`ORDER`). Content depends on its place in the stream, so that what
is lost, doubled, swapped or altered shows at once. As a script it prints its port and serves until killed.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

ORDER = struct.Struct("!c8sQ")
"""Operation, tag, amount in bytes."""
TAG_SIZE = 8
"""Bytes of a tag; a shorter one is filled with zeros."""
PIECE = 64 * 1024 - 13
"""Bytes of content made at once; no multiple of any buffer or cell."""
ENDLESS = 1 << 50
"""An amount that no test carries."""
HOST = "127.0.0.1"
START_S = 20.0
"""How long the process may take to listen, seconds."""

_RESET = struct.pack("ii", 1, 0)
_ORDERLY = struct.pack("ii", 0, 0)


def content(tag: bytes, amount: int) -> Iterator[bytes]:
    """The bytes that belong to a tag, in pieces."""
    tag = tag.ljust(TAG_SIZE, b"\0")
    for number in range(-(-amount // PIECE)):
        piece = hashlib.shake_128(tag + number.to_bytes(8, "big")).digest(PIECE)
        yield piece[: amount - number * PIECE]


class Check:
    """Compares what arrives with what belongs there.

    :param tag: whose content is expected.
    """

    def __init__(self, tag: bytes) -> None:
        self._rest = b""
        self._pieces = content(tag, ENDLESS)
        self.got = 0
        """Bytes that were right so far."""
        self.right = True
        """Nothing else came."""

    def take(self, data: bytes) -> None:
        """Some bytes came."""
        while data and self.right:
            self._rest = self._rest or next(self._pieces)
            size = min(len(data), len(self._rest))
            self.right = data[:size] == self._rest[:size]
            self.got += size if self.right else 0
            data, self._rest = data[size:], self._rest[size:]


def order(operation: bytes, tag: bytes = b"", amount: int = 0) -> bytes:
    """What a program says first.

    :param operation: ``D`` sends content and ends its direction. ``U`` checks content up to the amount, or
        to its end, and answers ``right`` or ``wrong``. ``E`` echoes until the end. ``H`` hashes until
        the end, and answers with SHA-256. ``S`` never reads again. ``Q`` answers what became of a
        tag, as JSON.
    """
    return ORDER.pack(operation, tag, amount)


class Server:
    """The process's inside."""

    def __init__(self) -> None:
        self._records: dict[bytes, dict[str, Any]] = {}
        self.connections = 0

    def serve(self) -> None:
        """Print the port, serve until killed."""
        with socket.create_server((HOST, 0), backlog=512) as listener:
            print(listener.getsockname()[1], flush=True)
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        # What a killed process leaves behind is then an error for the other side, and no orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        record: dict[str, Any] = {}
        with connection:
            try:
                operation, tag, amount = ORDER.unpack(receive_exactly(connection, ORDER.size))
                if operation == b"Q":
                    answer = (
                        self._records.get(tag, {}) if tag.strip(b"\0") else {"connections": self.connections}
                    )
                    connection.sendall(json.dumps(answer).encode())
                else:
                    self.connections += 1
                    record["times"] = self._records.get(tag, {}).get("times", 0) + 1
                    self._records[tag] = record
                    self._serve(connection, operation, tag, amount, record)
                    record["ended"] = "in order"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ORDERLY)
            except OSError as error:
                record["ended"] = type(error).__name__

    def _serve(
        self, connection: socket.socket, operation: bytes, tag: bytes, amount: int, record: dict[str, Any]
    ) -> None:
        if operation == b"D":
            for piece in content(tag, amount):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(PIECE):
                continue
        elif operation == b"U":
            check = Check(tag)
            while check.right and check.got < amount and (data := connection.recv(PIECE)):
                check.take(data)
                record.update(got=check.got, right=check.right)
            connection.sendall(b"right" if check.right else b"wrong")
        elif operation == b"E":
            while data := connection.recv(PIECE):
                connection.sendall(data)
        elif operation == b"H":
            digest = hashlib.sha256()
            while data := connection.recv(PIECE):
                digest.update(data)
            connection.sendall(digest.digest())
        elif operation == b"S":
            threading.Event().wait()


class Destination:
    """The process's outside; it runs while the context is open."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def became_of(self, tag: bytes) -> dict[str, Any]:
        """What became of the connection of a tag: how much was right, and how it ended."""
        answer: dict[str, Any] = json.loads(self._asked(tag))
        return answer

    def connections(self) -> int:
        """How many connections it served, questions left out."""
        return int(json.loads(self._asked(b""))["connections"])

    def _asked(self, tag: bytes) -> bytes:
        with socket.create_connection((HOST, self.port), START_S) as connection:
            connection.sendall(order(b"Q", tag))
            return receive_all(connection)


def receive_exactly(connection: socket.socket, amount: int) -> bytes:
    """An amount of bytes.

    :raises ConnectionError: fewer came.
    """
    data = bytearray()
    while len(data) < amount:
        piece = connection.recv(amount - len(data))
        if not piece:
            raise ConnectionError(f"{len(data)} of {amount} bytes came")
        data += piece
    return bytes(data)


def receive_all(connection: socket.socket) -> bytes:
    """All bytes until the other side ends its direction in order."""
    data = bytearray()
    while piece := connection.recv(PIECE):
        data += piece
    return bytes(data)


if __name__ == "__main__":
    Server().serve()
