"""How Port17 treats every TCP connection, a ship's as a program's or a destination's: its options, an
accept loop that lives on, and the abortive close. What travels in it is others' business.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream

LAST_PORT = 65535
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
_LISTENER_GONE = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, errno.EOPNOTSUPP})

_log = logging.getLogger(__name__)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT`` or ``[IPV6]:PORT``.

    :returns: the host without brackets, and the port, 0 to 65535.
    :raises ValueError: the text is of neither form; says what is.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        bare = False
    else:
        bare = True
    if not colon or not host or (bare and ":" in host) or not host.isprintable() or " " in host:
        raise ValueError(f"not an address: {text!r}; write HOST:PORT, or [IPV6]:PORT")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= LAST_PORT):
        raise ValueError(f"not a port: {port!r}; a port is a number up to {LAST_PORT}")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """``HOST:PORT``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tune(stream: SocketStream) -> socket.socket:
    """Set what all our connections have in common: no Nagle delay, and keepalive.

    Nagle's algorithm holds back small writes for as long as the peer delays its ACKs (40 ms here);
    everything we write is already a batch.

    :returns: the raw socket, for options of the caller's own.
    :raises OSError: the connection is dead already.
    """
    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        set_if_known(raw, option, value)
    return raw


def set_if_known(raw: socket.socket, option: str, value: int) -> None:
    """Set a TCP option by its name where this platform has one; elsewhere the system's default stays."""
    number = getattr(socket, option, None)
    if number is not None:
        raw.setsockopt(socket.IPPROTO_TCP, number, value)


async def reset(stream: SocketStream) -> None:
    """Close with RST: what was cut short must never look like an orderly end to the other side."""
    # The socket may be closed or dead already; then there is nobody left to be told.
    with suppress(OSError, anyio.TypedAttributeLookupError):
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    await close(stream)


async def close(stream: SocketStream) -> None:
    """Close whatever the state of the stream or of the calling task; never raises."""
    with anyio.CancelScope(shield=True), suppress(OSError, anyio.BrokenResourceError):
        await stream.aclose()


Handle: TypeAlias = Callable[[SocketStream], Coroutine[Any, Any, None]]
"""Takes a connection over. While it waits, nothing more is accepted: that is the backpressure."""


@asynccontextmanager
async def listening(host: str, port: int, handle: Handle) -> AsyncGenerator[str]:
    """Hand over every connection that comes in, tuned, while the context is open.

    :param host: an address, a name of this machine, or ``*`` for all of its addresses, IPv4 and IPv6.
    :param port: 0 takes a free one.
    :returns: ``HOST:PORT`` as it was bound.
    :raises OSError: it cannot be bound.
    """
    multi = await anyio.create_tcp_listener(local_host=None if host == "*" else host, local_port=port)
    async with multi, anyio.create_task_group() as group:
        for listener in multi.listeners:
            assert isinstance(listener, SocketListener)
            group.start_soon(accept_each, listener, handle)
        bound = multi.listeners[0].extra(SocketAttribute.local_address)
        yield join_address(str(bound[0]), int(bound[1]))
        group.cancel_scope.cancel()


async def accept_each(listener: SocketListener, handle: Handle) -> None:
    """Accept connections until the listener is closed.

    A connection that dies between the kernel's accept and ours, or a machine out of descriptors, ends
    nothing: the loop goes on as soon as there is something to accept again.

    :raises OSError: the listening socket itself is unusable.
    """
    while True:
        try:
            stream = await listener.accept()
        except anyio.ClosedResourceError:
            return
        except (OSError, anyio.BrokenResourceError) as error:
            # Of anyio's backends one raises the system's error, the other wraps it.
            cause = error if isinstance(error, OSError) else error.__cause__
            number = cause.errno if isinstance(cause, OSError) else None
            if number in _LISTENER_GONE:
                raise
            _log.warning("cannot accept a connection now: %s", errno.errorcode.get(number or 0, "unknown"))
            await anyio.sleep(ACCEPT_PAUSE_S)
            continue
        try:
            tune(stream)
        except OSError:
            await close(stream)
            continue
        await handle(stream)
