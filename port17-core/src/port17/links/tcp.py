"""How Port17 treats every TCP connection, a ship's as a program's or a destination's: its options, a stream
that holds nothing back in memory, an accept loop that lives on, and the abortive close.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import MultiListener

from port17.records.framing import BytesLike

LAST_PORT = 65535
RECEIVE_SIZE = 256 * 1024
"""Bytes asked of a socket at once, so that the cost of a call is shared by some 64 cells."""
TURN = RECEIVE_SIZE
"""Bytes moved without waiting after which everybody else gets a turn: a peer that is never outrun must not
stop the others, and a turn costs more than the call for a few bytes."""
ACCEPT_PAUSE_S = 0.1
"""Seconds without accepting after the machine refused a connection for want of descriptors or memory:
short for whoever waits, long enough that the loop costs nothing while it lasts."""
KEEPALIVE_IDLE_S = 60
"""Seconds of silence before the kernel asks whether the other end lives: under the usual 5 minutes after
which NAT boxes forget a connection."""
KEEPALIVE_INTERVAL_S = 15
"""Seconds between two such questions."""
KEEPALIVE_PROBES = 4
"""Unanswered questions after which the connection counts as dead: 2 minutes after the last sign of life."""

_LINGER_NONE = struct.pack("ii", 1, 0)
_LINGER_USUAL = struct.pack("ii", 0, 0)
_MAPPED = "::ffff:"
"""Before an IPv4 address that is written as an IPv6 one (RFC 4291, section 2.5.5.2)."""
_LISTENER_GONE = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP})

_log = logging.getLogger(__name__)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    :returns: the host without brackets, and the port, 0 to 65535.
    :raises ValueError: the text is of neither form; says what is.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host or (":" in host and not bracketed) or not host.isprintable() or " " in host:
        raise ValueError(f"not an address: {text!r}; write HOST:PORT, or [IPV6]:PORT")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= LAST_PORT):
        raise ValueError(f"not a port: {port!r}; a port is a number up to {LAST_PORT}")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def told_address(told: tuple[Any, ...]) -> str:
    """``HOST:PORT`` of what the system says, with the scope of a link-local address by name: without it, the
    address leads nowhere. IPv4 that came in by an IPv6 socket is IPv4.

    :param told: as a socket gives an address.
    """
    host, port = told[:2]
    host = host.removeprefix(_MAPPED) if "." in host else host
    if len(told) == 4 and told[3] and "%" not in host:
        with suppress(OSError):  # the interface has gone
            host = f"{host}%{socket.if_indextoname(told[3])}"
    return join_address(host, port)


def tune(sock: socket.socket) -> None:
    """Set what all our connections have in common: non-blocking, no Nagle delay, keepalive.

    Nagle's algorithm holds small writes back for as long as the peer delays its ACKs (40 ms here);
    everything we write is already a batch.

    :raises OSError: the connection is dead already.
    """
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    set_if_known(sock, "TCP_KEEPIDLE", KEEPALIVE_IDLE_S)
    set_if_known(sock, "TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S)
    set_if_known(sock, "TCP_KEEPCNT", KEEPALIVE_PROBES)


def set_if_known(sock: socket.socket, option: str, value: int) -> None:
    """Set a TCP option by its name where this platform has one; elsewhere the system's default stays."""
    number = getattr(socket, option, None)
    if number is not None:
        sock.setsockopt(socket.IPPROTO_TCP, number, value)


class TcpStream(SocketStream):
    """A connected socket as a stream that reads only when it is asked to.

    anyio's own stream goes on reading an accepted socket into memory, without bound, until a receive has
    once had to wait; whoever connects and sends at once could fill a process's memory with that.

    :param sock: connected and tuned; owned by the stream from here on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._closed = False
        self._received = 0
        self._sent = 0
        self._receiving = anyio.ResourceGuard("receiving from")
        self._sending = anyio.ResourceGuard("sending to")

    @property
    def beneath(self) -> socket.socket:
        """The socket beneath, for its options."""
        return self._sock

    @property
    def _raw_socket(self) -> socket.socket:
        return self._sock

    async def receive(self, max_bytes: int = RECEIVE_SIZE) -> bytes:
        """At least one byte, at most ``max_bytes``."""
        with self._receiving:
            if self._received >= TURN:
                # Before reading: what a cancelled receive had read would be lost.
                self._received = 0
                await anyio.lowlevel.checkpoint()
            while True:
                try:
                    data = self._sock.recv(max_bytes)
                except (BlockingIOError, InterruptedError):
                    await anyio.wait_readable(self._sock)
                    self._received = 0
                except OSError as error:
                    raise self._broken(error) from error
                else:
                    if not data:
                        raise anyio.EndOfStream
                    self._received += len(data)
                    return data

    async def send(self, item: BytesLike) -> None:
        """All of the data, with backpressure."""
        with self._sending:
            with memoryview(item) as view:
                sent = 0
                while sent < len(view):
                    try:
                        sent += self._sock.send(view[sent:])
                    except (BlockingIOError, InterruptedError):
                        await anyio.wait_writable(self._sock)
                        self._sent = 0
                    except OSError as error:
                        raise self._broken(error) from error
                self._sent += sent
            if self._sent >= TURN:
                self._sent = 0
                await anyio.lowlevel.checkpoint()

    def send_now(self, item: BytesLike) -> int:
        """As much of the data as the kernel takes at once; the bytes taken, maybe none."""
        try:
            return self._sock.send(item)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._broken(error) from error

    async def send_eof(self) -> None:
        """End this direction in order."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise self._broken(error) from error

    async def aclose(self) -> None:
        """Close both directions at once. Never waits and never raises."""
        if not self._closed:
            self._closed = True
            anyio.notify_closing(self._sock)
            self._sock.close()

    def _broken(self, error: OSError) -> Exception:
        return anyio.ClosedResourceError() if self._closed else anyio.BrokenResourceError(error.strerror)


def arm(stream: SocketStream) -> None:
    """Let the connection end with RST unless :func:`close` ends it: the kernel closes in order what a killed
    process leaves behind, and the other side would take what was cut short for all there is."""
    _linger(stream, _LINGER_NONE)


async def reset(stream: SocketStream) -> None:
    """Close with RST: what was cut short must never look like an orderly end to the other side."""
    _linger(stream, _LINGER_NONE)
    await _aclose(stream)


async def close(stream: SocketStream) -> None:
    """Close in order, whatever the state of the stream or of the calling task; never raises."""
    _linger(stream, _LINGER_USUAL)
    await _aclose(stream)


def _linger(stream: SocketStream, how: bytes) -> None:
    # The socket may be closed or dead already; then there is nobody left to be told.
    with suppress(OSError):
        # anyio's way to the socket builds a table of all that it knows of it.
        sock = stream.beneath if isinstance(stream, TcpStream) else stream.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)


async def _aclose(stream: SocketStream) -> None:
    if isinstance(stream, TcpStream):
        await stream.aclose()  # which neither waits nor raises
        return
    with anyio.CancelScope(shield=True), suppress(OSError, anyio.BrokenResourceError):
        await stream.aclose()


Handle: TypeAlias = Callable[[socket.socket], Coroutine[Any, Any, None]]
"""Takes a tuned connection over. While it waits, nothing more is accepted: that is the backpressure."""


class Bound:
    """An address that listens; a context that closes it. Made by :func:`bind`."""

    def __init__(self, multi: MultiListener[SocketStream]) -> None:
        self._multi = multi
        self.address = told_address(multi.listeners[0].extra(SocketAttribute.raw_socket).getsockname())
        """``HOST:PORT`` as it was bound."""

    async def serve(self, handle: Handle) -> None:
        """Hand over every connection that comes in, until cancelled."""
        async with anyio.create_task_group() as group:
            for listener in self._multi.listeners:
                group.start_soon(accept_each, listener.extra(SocketAttribute.raw_socket), handle)

    async def __aenter__(self) -> Bound:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._multi.aclose()


async def bind(host: str, port: int) -> Bound:
    """Listen at an address.

    :param host: an address, a name of this machine, or ``*`` for all of its addresses, IPv4 and IPv6.
    :param port: 0 takes a free one.
    :raises OSError: it cannot be bound.
    """
    return Bound(await anyio.create_tcp_listener(local_host=None if host == "*" else host, local_port=port))


async def accept_each(listener: socket.socket, handle: Handle) -> None:
    """Accept connections until cancelled.

    A connection that dies between the kernel's accept and ours, or a machine out of descriptors, ends
    nothing: the loop goes on as soon as there is something to accept again.

    :raises OSError: the listening socket itself is unusable.
    """
    while True:
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, InterruptedError):
            await anyio.wait_readable(listener)
            continue
        except OSError as error:
            if error.errno in _LISTENER_GONE:
                raise
            _log.warning("cannot accept a connection now: %s", errno.errorcode.get(error.errno or 0, "?"))
            await anyio.sleep(ACCEPT_PAUSE_S)
            continue
        try:
            tune(sock)
        except OSError:
            sock.close()
            continue
        await handle(sock)
        await anyio.lowlevel.checkpoint()
