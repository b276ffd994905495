"""The operation TUNNEL: the last node opens a TCP connection to the destination and joins it to the conveyor.

Which destinations are allowed is :mod:`port17.node.exit_policy`'s to say; every failure leaves as a reason
and never as a log line, since a destination is nobody's business here.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar

import anyio
from anyio.abc import SocketStream
from pydantic import Field

from port17.errors import NetworkError, RecordError
from port17.links.splice import splice
from port17.links.tcp import close, reset, tune
from port17.node.exit_policy import ExitPolicy
from port17.node.operation import Caller, OfferedConveyor, Operation
from port17.records.cbor import decode
from port17.records.exit_rules import Address, literal, normal_host
from port17.wire.reasons import Reason

ARGS_CAP = 512
"""Longest arguments, bytes: a name of 253 and room for the rest of the map."""
HOST_CAP = 255
"""Longest host, bytes: a full domain name (RFC 1035, 2.3.4); the longest address is shorter."""
ATTEMPT_DELAY_S = 0.25
"""Seconds before the next address is tried beside a silent one (RFC 8305, 5: 250 ms recommended)."""
ADDRESSES_CAP = 8
"""Most addresses tried of one name: whoever controls a name must not make us knock on a thousand doors."""

_REASONS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EHOSTUNREACH: Reason.HOST_UNREACHABLE,
    errno.EHOSTDOWN: Reason.HOST_UNREACHABLE,
    errno.ENETUNREACH: Reason.NETWORK_UNREACHABLE,
    errno.ENETDOWN: Reason.NETWORK_UNREACHABLE,
    # What this machine cannot speak (IPv6 turned off, no address of the family) it has no network for.
    errno.EADDRNOTAVAIL: Reason.NETWORK_UNREACHABLE,
    errno.EAFNOSUPPORT: Reason.NETWORK_UNREACHABLE,
    errno.EINVAL: Reason.NETWORK_UNREACHABLE,
    # A packet filter on the exit's machine says no in its owner's name.
    errno.EACCES: Reason.POLICY,
    errno.EPERM: Reason.POLICY,
    errno.EMFILE: Reason.RESOURCES,
    errno.ENFILE: Reason.RESOURCES,
    errno.ENOBUFS: Reason.RESOURCES,
    errno.ENOMEM: Reason.RESOURCES,
}
_TELLING = (
    Reason.RESOURCES,
    Reason.REFUSED,
    Reason.RESET,
    Reason.TIMEOUT,
    Reason.HOST_UNREACHABLE,
    Reason.POLICY,
    Reason.NETWORK_UNREACHABLE,
)
"""Of several attempts' reasons the first of these is told: who answered says more than who did not, and the
address family that the exit lacks says least."""


class Unreachable(NetworkError):
    """No connection to the destination; without its name on purpose.

    :param reason: what the client is told.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the destination cannot be reached: {reason.name}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Destination:
    """What TUNNEL is asked for.

    :param host: a name or an address, as the client wrote it, normalised.
    :param port: 1 to 65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, args: bytes) -> Destination:
        """The destination of TUNNEL's arguments: CBOR ``{"proto": "tcp", "host": str, "port": int}``.

        :raises Unreachable: ``PROTOCOL`` for what is malformed, ``UNKNOWN_OPERATION`` for another proto.
        """
        try:
            asked = decode(args, cap=ARGS_CAP)
        except RecordError as error:
            raise Unreachable(Reason.PROTOCOL) from error
        if not isinstance(asked, dict) or asked.keys() != {"proto", "host", "port"}:
            raise Unreachable(Reason.PROTOCOL)
        host, port = asked["host"], asked["port"]
        if not isinstance(host, str) or type(port) is not int or not 0 < port <= 65535:
            raise Unreachable(Reason.PROTOCOL)
        if asked["proto"] != "tcp":
            raise Unreachable(Reason.UNKNOWN_OPERATION)
        host = normal_host(host)
        if not 0 < len(host.encode()) <= HOST_CAP or not host.isprintable() or " " in host:
            raise Unreachable(Reason.PROTOCOL)
        return cls(host, port)


class Tunnel(Operation):
    """TUNNEL over TCP. No client can make an exit without rules connect anywhere."""

    name: ClassVar[str] = "TUNNEL"
    callers: ClassVar[Caller] = Caller.CLIENT

    class Config(Operation.Config):
        """Options of the exit.

        :param allow: exit rules in order; the first match wins, what none matches is refused.
        :param allow_private: True leaves addresses that are not public to the rules as well.
        :param connect_timeout_s: seconds for resolving and connecting together. Above the 3 SYNs that a
            lossy path needs (1 + 2 + 4 s), below the patience of people.
        """

        allow: tuple[str, ...] = ()
        allow_private: bool = False
        connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 15.0

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self.policy = ExitPolicy.parse(self.config.allow, allow_private=self.config.allow_private)

    async def handle(self, args: bytes, stream: OfferedConveyor) -> None:
        """Connect, accept, carry.

        :param args: see :meth:`Destination.parse`.
        """
        try:
            destination = Destination.parse(args)
            with anyio.fail_after(self.config.connect_timeout_s):
                connection = await self.dial(destination)
        except Unreachable as failure:
            stream.abort(failure.reason)
            return
        except TimeoutError:
            stream.abort(Reason.TIMEOUT)
            return
        try:
            tune(connection)
            await stream.accept()
        except OSError:
            stream.abort(Reason.RESET)
            await close(connection)
            return
        except BaseException:
            await reset(connection)
            raise
        await splice(connection, stream)

    async def dial(self, destination: Destination) -> SocketStream:
        """A connection to the first of the destination's allowed addresses that answers.

        :raises Unreachable: there is none.
        """
        addresses = [
            address
            for address in await resolve(destination)
            if self.policy.allows(destination.host, destination.port, address)
            and (self.config.allow_private or not _is_own(address))
        ]
        if not addresses:
            raise Unreachable(Reason.POLICY)
        return await connect_any(interleave(addresses)[:ADDRESSES_CAP], destination.port)


async def resolve(destination: Destination) -> list[Address]:
    """The destination's addresses, best first (RFC 6724, as the system sorts them), each once.

    :raises Unreachable: ``RESOLVE_FAILED``: it has none, or the resolver does not answer.
    """
    address = literal(destination.host)
    if address is not None:
        return [address]
    try:
        found = await anyio.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        # UnicodeError: the name has no form in the domain name system (an empty or overlong label).
        raise Unreachable(Reason.RESOLVE_FAILED) from error
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate address families, beginning with the best address's, order kept within each (RFC 8305, 4)."""
    first = [address for address in addresses if address.version == addresses[0].version]
    other = [address for address in addresses if address.version != addresses[0].version]
    mixed: list[Address] = []
    for place in range(max(len(first), len(other))):
        mixed += first[place : place + 1]
        mixed += other[place : place + 1]
    return mixed


async def connect_any(addresses: Sequence[Address], port: int) -> SocketStream:
    """Happy eyeballs (RFC 8305, 5): the next address is tried once the last has failed or stayed silent.

    :param addresses: in order of trial; already vetted, since nothing else is ever connected to.
    :raises Unreachable: all failed, with the most telling of their reasons.
    """
    reasons: list[Reason] = []
    winner: SocketStream | None = None

    async def attempt(address: Address, over: anyio.Event) -> None:
        nonlocal winner
        try:
            connection = await anyio.connect_tcp(str(address), port)
        except OSError as error:
            reasons.append(_reason(error))
        else:
            if winner is None:
                winner = connection
                group.cancel_scope.cancel()
            else:
                await close(connection)
        finally:
            over.set()

    try:
        async with anyio.create_task_group() as group:
            for address in addresses:
                over = anyio.Event()
                group.start_soon(attempt, address, over)
                with anyio.move_on_after(ATTEMPT_DELAY_S):
                    await over.wait()
    except BaseException:
        if winner is not None:
            await close(winner)
        raise
    if winner is None:
        raise Unreachable(next((reason for reason in _TELLING if reason in reasons), Reason.GENERIC))
    return winner


def _reason(error: BaseException) -> Reason:
    """The reason of a failed connection; anyio wraps the system's error as a cause."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _REASONS:
            return _REASONS[seen.errno]
        seen = seen.__cause__
    return Reason.GENERIC


def _is_own(address: Address) -> bool:
    """Whether an address is this machine's: what trusts the machine's own users must not trust ours.

    A datagram socket that is connected sends nothing, but makes the kernel choose a source address, and
    for the machine's own address that is the address itself.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    where: Any = (str(address), 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(where)
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False  # No route or no such family: the attempt itself will say so.
