"""The operation TUNNEL: the last node opens a TCP connection to the destination and joins it to the conveyor.

Which destinations are allowed is :mod:`port17.node.exit_policy`'s to say; every failure leaves as a reason
and never as a log line, since a destination is nobody's business here.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, ClassVar

import anyio
from pydantic import Field

from port17.errors import NetworkError, RecordError
from port17.links.dialling import AllFailed, connect_any, resolve
from port17.links.splice import splice
from port17.links.stream import ConveyorStream
from port17.links.tcp import LAST_PORT, TcpStream, reset
from port17.node.exit_policy import ExitPolicy
from port17.node.operation import Caller, Operation
from port17.records.cbor import decode
from port17.records.exit_rules import Address, normal_host
from port17.wire.reasons import Reason

ARGS_CAP = 512
"""Longest arguments, bytes: a name of 253 and room for the rest of the map."""
DISCARD_PORT = 9
"""Where nothing is sent to: a datagram socket has to name some port (RFC 863)."""
HOST_CAP = 255
"""Longest host, bytes: a full domain name (RFC 1035, 2.3.4); the longest address is shorter."""

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
        if not isinstance(host, str) or type(port) is not int or not 0 < port <= LAST_PORT:
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

    async def handle(self, args: bytes, stream: ConveyorStream) -> None:
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
            await stream.accept()
        except BaseException:
            await reset(connection)
            raise
        await splice(connection, stream)

    async def dial(self, destination: Destination) -> TcpStream:
        """A connection to the first of the destination's allowed addresses that answers.

        :raises Unreachable: there is none.
        """
        host, port = destination.host, destination.port
        try:
            resolved = await resolve(host, port)
        except OSError as error:
            raise Unreachable(Reason.RESOLVE_FAILED) from error
        allowed = [address for address in resolved if self._allows(destination, address)]
        if not allowed:
            raise Unreachable(Reason.POLICY)
        try:
            return TcpStream(await connect_any(allowed, port))
        except AllFailed as error:
            raise Unreachable(_reason(error.errors)) from error

    def _allows(self, destination: Destination, address: Address) -> bool:
        if not self.policy.allows(destination.host, destination.port, address):
            return False
        return self.config.allow_private or not _is_own(address)


def _reason(errors: Iterable[OSError]) -> Reason:
    reasons = {_REASONS.get(error.errno or 0, Reason.GENERIC) for error in errors}
    return next((reason for reason in _TELLING if reason in reasons), Reason.GENERIC)


def _is_own(address: Address) -> bool:
    """Whether an address is this machine's: what trusts the machine's own users must not trust ours.

    A datagram socket that is connected sends nothing, but makes the kernel choose a source address, and
    for the machine's own address that is the address itself.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), DISCARD_PORT))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False  # No route or no such family: the attempt itself will say so.
