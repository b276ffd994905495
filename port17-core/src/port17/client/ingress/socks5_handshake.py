"""The server's side of a SOCKS5 handshake (RFC 1928, 1929) without I/O: bytes in, answers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from port17.records.framing import digest
from port17.wire.reasons import Reason

VERSION = 5
_AUTH_VERSION = 1
_CONNECT = 1
_NO_AUTHENTICATION = 0
_USER_AND_PASSWORD = 2
_NO_METHOD = 0xFF
_IPV4, _DOMAIN, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}


class Code(IntEnum):
    """The reply codes (RFC 1928, 6)."""

    SUCCEEDED = 0
    FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


_CODES = {
    Reason.POLICY: Code.NOT_ALLOWED,
    Reason.NETWORK_UNREACHABLE: Code.NETWORK_UNREACHABLE,
    Reason.HOST_UNREACHABLE: Code.HOST_UNREACHABLE,
    Reason.RESOLVE_FAILED: Code.HOST_UNREACHABLE,
    Reason.REFUSED: Code.REFUSED,
    Reason.TIMEOUT: Code.TTL_EXPIRED,
}


def code_of(reason: int) -> Code:
    """The reply code that says of a destination what a reason says; the rest is our own failure."""
    return _CODES.get(Reason.read(reason), Code.FAILURE)


def reply(code: Code) -> bytes:
    """A reply. The address in it is 0.0.0.0:0: the exit's own is nothing that a program should learn."""
    return bytes((VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0))


class Refused(Exception):
    """The handshake is over without a destination.

    :param answer: what the program gets before the connection is closed; empty if it does not speak SOCKS5.
    """

    def __init__(self, why: str, answer: bytes = b"") -> None:
        super().__init__(why)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program asked for.

    :param host: a name, or an address as text; never resolved here.
    :param port: 1 to 65535.
    :param isolation: a digest of user and password, 32 bytes; empty without them.
    :param ahead: what the program sent after its request, not waiting for the reply.
    """

    host: str
    port: int
    isolation: bytes
    ahead: bytes

    def __repr__(self) -> str:
        return "Asked(<destination>)"


_State: TypeAlias = Callable[[], bytes | None]


class Handshake:
    """One handshake.

    User and password are always accepted: they are an isolation key, not a right. They are taken
    whenever offered, also beside "no authentication", since a program that has them means something by them.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._isolation = b""
        self._state: _State | None = self._greeting
        self.asked: Asked | None = None

    def receive(self, data: bytes) -> bytes:
        """Take what came from the program, in pieces of any size.

        :returns: what to send back now; maybe nothing. :attr:`asked` is set once all is known.
        :raises Refused: there is nothing more to expect. No further call is allowed.
        """
        self._buffer += data
        answers = bytearray()
        try:
            while self._state is not None:
                answer = self._state()
                if answer is None:
                    break
                answers += answer
        except Refused as refused:
            raise Refused(str(refused), bytes(answers) + refused.answer) from None
        return bytes(answers)

    # Each state returns None while bytes are missing, else its answer, having eaten its bytes and set
    # the next state. It refuses as early as the bytes at hand allow: who speaks another protocol may be
    # waiting for us. No state keeps more than its own message (513 bytes at most) and one read.

    def _greeting(self) -> bytes | None:
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise Refused("not SOCKS5")
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
            return None
        methods = self._take(2 + buffer[1])[2:]
        if _USER_AND_PASSWORD in methods:
            self._state = self._credentials
            return bytes((VERSION, _USER_AND_PASSWORD))
        if _NO_AUTHENTICATION in methods:
            self._state = self._request
            return bytes((VERSION, _NO_AUTHENTICATION))
        raise Refused("no method in common", bytes((VERSION, _NO_METHOD)))

    def _credentials(self) -> bytes | None:
        buffer = self._buffer
        if buffer and buffer[0] != _AUTH_VERSION:
            raise Refused("not RFC 1929", bytes((_AUTH_VERSION, 1)))
        if len(buffer) < 2 or len(buffer) < 3 + buffer[1]:
            return None
        user_end = 2 + buffer[1]
        end = user_end + 1 + buffer[user_end]
        if len(buffer) < end:
            return None
        message = self._take(end)
        self._isolation = digest("isolation", message[2:user_end], message[user_end + 1 :])
        self._state = self._request
        return bytes((_AUTH_VERSION, 0))

    def _request(self) -> bytes | None:
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            raise Refused("not a request", reply(Code.FAILURE))
        if len(buffer) < 5:
            return None
        command, kind = buffer[1], buffer[3]
        if kind == _DOMAIN:
            start, size = 5, buffer[4]
        elif kind in _ADDRESS_SIZES:
            start, size = 4, _ADDRESS_SIZES[kind]
        else:
            raise Refused("unknown address type", reply(Code.ADDRESS_TYPE_NOT_SUPPORTED))
        if len(buffer) < start + size + 2:
            return None
        message = self._take(start + size + 2)
        if command != _CONNECT:
            raise Refused("a command other than CONNECT", reply(Code.COMMAND_NOT_SUPPORTED))
        port = int.from_bytes(message[-2:], "big")
        if port == 0:
            raise Refused("port 0", reply(Code.FAILURE))
        host = _host(kind, message[start:-2])
        self._state = None
        self.asked = Asked(host, port, self._isolation, bytes(buffer))
        buffer.clear()
        return b""

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _host(kind: int, raw: bytes) -> str:
    if kind == _IPV4:
        return str(IPv4Address(raw))
    if kind == _IPV6:
        return str(IPv6Address(raw))
    try:
        host = raw.decode("utf-8")
    except UnicodeDecodeError:
        host = ""
    # Resolvers take a backslash for the beginning of another character, which rules for names would not see.
    if not host or "\\" in host or not host.isprintable() or any(letter.isspace() for letter in host):
        raise Refused("not a host name", reply(Code.FAILURE))
    return host
