"""Reaches a host over TCP: resolves, and tries its addresses as happy eyeballs says (RFC 8305).

Which of the addresses may be tried is the caller's to say; nothing but what it passes is ever connected to.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar

from port17.links.tcp import tune

Address: TypeAlias = IPv4Address | IPv6Address

ATTEMPT_DELAY_S = 0.25
"""Seconds before the next address is tried beside a silent one (RFC 8305, 5: 250 ms recommended)."""
RESOLVERS = 64
"""Names asked for at once. The event loop's own threads are six on two cores, which as many silent name
servers could hold up for everybody; these are ours alone, and end when they have nothing to do."""
ADDRESSES_CAP = 8
"""Most addresses tried of one name: whoever controls a name must not make us knock on a thousand doors."""

_RESOLVERS: RunVar[anyio.CapacityLimiter] = RunVar("_RESOLVERS")


class AllFailed(OSError):
    """No address answered.

    :param errors: what each attempt failed with, in the order in which they failed.
    """

    def __init__(self, errors: Sequence[OSError]) -> None:
        self.errors = tuple(errors)
        last = self.errors[-1] if self.errors else OSError("no address to try")
        super().__init__(last.errno, last.strerror or "no address answered")


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, best first as the system sorts them (RFC 6724), each once.

    :param host: a name or an address; text that only looks like an address to the system (``127.1``) is a
        name, and comes back as the address it leads to.
    :raises OSError: it has none, or the resolver does not answer.
    """
    try:
        return [ip_address(host)]
    except ValueError:
        pass  # A name.
    try:
        name = host.encode("ascii") if host.isascii() else _punycode(host)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "no form in the domain name system") from error
    found = await to_thread.run_sync(_ask_system, name, port, abandon_on_cancel=True, limiter=_resolvers())
    return list(dict.fromkeys(found))


def _punycode(host: str) -> bytes:
    """The name as IDNA 2008 writes it, like a browser; Python's own codec would ask for ``fass`` for ``faß``.

    :raises UnicodeError: it has no such form.
    """
    import idna  # anyio brings it; most programs have done this by themselves, so few processes need it.

    return idna.encode(host, uts46=True)


def _ask_system(name: bytes, port: int) -> list[Address]:
    """The system's resolver, which can block for as long as name servers are silent."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [ip_address(entry[4][0]) for entry in found]


def _resolvers() -> anyio.CapacityLimiter:
    try:
        return _RESOLVERS.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(RESOLVERS)
        _RESOLVERS.set(limiter)
        return limiter


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Alternate address families, beginning with the best address's, order kept within each (RFC 8305, 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.version, []).append(address)
    longest = max(map(len, families.values()), default=0)
    return [family[place] for place in range(longest) for family in families.values() if place < len(family)]


async def connect(address: Address, port: int) -> socket.socket:
    """One connection attempt. The system's own time limit is minutes: the caller sets a better one.

    :returns: connected and tuned.
    :raises OSError: it failed, with the system's number.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        try:
            sock.connect(_target(address, port))
        except BlockingIOError:
            if not _is_connected(sock):
                await anyio.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number)) from None
        tune(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def _target(address: Address, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """As the system takes it: the scope of a link-local address as a number beside it, not within the text.

    :raises OSError: there is no such interface.
    """
    if isinstance(address, IPv4Address) or address.scope_id is None:
        return str(address), port
    scope = address.scope_id
    index = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    return str(IPv6Address(int(address))), port, 0, index


def _is_connected(sock: socket.socket) -> bool:
    """Whether a connection that was under way a moment ago stands: on one machine, it does."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


async def connect_any(addresses: Iterable[Address], port: int) -> socket.socket:
    """The first of several addresses that answers: each is tried once the one before has failed or stayed
    silent for :data:`ATTEMPT_DELAY_S` (RFC 8305, 5).

    :param addresses: vetted, best first; families are interleaved here, and the first
        :data:`ADDRESSES_CAP` tried.
    :returns: connected and tuned.
    :raises AllFailed: none did.
    """
    candidates = interleave(addresses)[:ADDRESSES_CAP]
    if len(candidates) == 1:
        # The usual case, and a race of one costs as much as all else of opening a connection.
        try:
            return await connect(candidates[0], port)
        except OSError as error:
            raise AllFailed([error]) from error
    errors: list[OSError] = []
    won: list[socket.socket] = []

    async def attempt(address: Address, over: anyio.Event) -> None:
        try:
            won.append(await connect(address, port))
        except OSError as error:
            errors.append(error)
        else:
            group.cancel_scope.cancel()
        finally:
            over.set()

    try:
        async with anyio.create_task_group() as group:
            for address in candidates:
                over = anyio.Event()
                group.start_soon(attempt, address, over)
                with anyio.move_on_after(ATTEMPT_DELAY_S):
                    await over.wait()
    except BaseException:
        for sock in won:
            sock.close()
        raise
    for loser in won[1:]:  # Two may win in the same moment.
        loser.close()
    if not won:
        raise AllFailed(errors)
    return won[0]
