"""A man in the middle: a TCP proxy before a node that can put other flights in the place of those that cross.

He knows what everybody knows of the network, its charter and every node's bottle, and no secret of anybody's.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from port17.wire.block import BLOCK_SIZE
from port17.wire.handshake import LINK_TAG_SIZE, SALT_SIZE, Initiator, _tag
from port17.wire.prekey import Network, ResponderKey
from rig.destination import HOST, receive_exactly

RECEIVE_SIZE = 256 * 1024
"""Bytes taken at once."""
PATIENCE_S = 10.0
"""How long he waits for a flight, seconds."""


class Man:
    """Listens at an address of his own. Connections are passed on as they are, until he is told to meddle.

    :param target: where whoever connects wants to go.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self._open: list[socket.socket] = []
        self.address: str = f"{HOST}:{self._listener.getsockname()[1]}"
        """Where he listens, HOST:PORT."""
        self.meddle: Callable[[bytes], bytes] | None = None
        """Makes the first flight that the node gets of the one that the caller sent."""
        self.meddled = 0
        """First flights in whose place he sent others."""
        self.answered = 0
        """Of those, how many the node answered."""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for one in self._open:
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return  # closed: the end
            threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        meddle = self.meddle
        try:
            with caller, socket.create_connection(self._target, PATIENCE_S) as node:
                self._open += [caller, node]
                for one in (caller, node):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    one.settimeout(PATIENCE_S)
                if meddle is not None:
                    size = 2 * BLOCK_SIZE
                    node.sendall(meddle(receive_exactly(caller, size)))
                    self.meddled += 1
                    caller.sendall(receive_exactly(node, size))
                    self.answered += 1
                _pipe(caller, node)
        except OSError:
            return


def _pipe(one: socket.socket, other: socket.socket) -> None:
    """Pass on both ways until one ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(RECEIVE_SIZE)  # type: ignore[union-attr]
                if not data:
                    return
                key.data.sendall(data)


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already


def own_flight(network: Network, to: ResponderKey) -> Callable[[bytes], bytes]:
    """His own call, to a prekey of his choice, instead of the caller's."""
    return lambda flight: Initiator(network, to, time.time()).flight


def own_tag(to: ResponderKey) -> Callable[[bytes], bytes]:
    """The tag of a prekey of his choice on the caller's flight."""

    def meddle(flight: bytes) -> bytes:
        salt = flight[:SALT_SIZE]
        return salt + _tag(to.suite, to.record_hash, salt) + flight[SALT_SIZE + LINK_TAG_SIZE :]

    return meddle


def nothing_but(to: ResponderKey) -> Callable[[bytes], bytes]:
    """Only calls to a prekey of his choice; in the place of others, cold ones too, what nobody answers."""

    def meddle(flight: bytes) -> bytes:
        salt = flight[:SALT_SIZE]
        tag = flight[SALT_SIZE : SALT_SIZE + LINK_TAG_SIZE]
        return flight if tag == _tag(to.suite, to.record_hash, salt) else os.urandom(len(flight))

    return meddle
