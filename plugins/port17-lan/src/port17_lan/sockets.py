"""Multicast sockets: one pair per family that sends to and hears its group on every link that it has joined,
and nothing that comes by way of a router.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from port17 import BEACON_CAP, on_link

GROUP4: Final = "239.255.70.17"
"""In the IPv4 Local Scope, the smallest there is (RFC 2365, section 6.1)."""
GROUP6: Final = "ff12::7017"
"""Link-local scope, which no router forwards, and not one of the assigned groups (RFC 4291, section 2.7)."""
HOPS: Final = 1
"""Routers pass nothing on that may take one hop alone."""

_IP_PKTINFO: Final = 8  # Linux; not in Python's module
_IP_MULTICAST_ALL: Final = 49
_PKTINFO4: Final = struct.Struct("=i4s4s")
_PKTINFO6: Final = struct.Struct("=16si")
_MEMBER4: Final = struct.Struct("=4s4si")
_MEMBER6: Final = struct.Struct("=16si")
_ANCILLARY: Final = 64
"""Bytes for the one ancillary message that is asked for."""
_ANY4: Final = bytes(4)

_log = logging.getLogger(__name__)


class Datagram(NamedTuple):
    """What came in.

    :param host: numeric, with its scope if it is link-local.
    :param link: the name of the interface.
    """

    data: bytes
    host: str
    link: str


class Sockets:
    """Those of one family; a context that closes them."""

    def __init__(self, family: socket.AddressFamily, port: int) -> None:
        """:raises OSError: the machine has no such family, or the port is another program's alone."""
        self._family = family
        self._port = port
        self._joined: dict[int, str] = {}
        self._refused: set[str] = set()
        self.hearing = socket.socket(family, socket.SOCK_DGRAM)
        self._sending = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    @property
    def _is_v6(self) -> bool:
        return self._family == socket.AF_INET6

    def _set_up(self) -> None:
        hearing, sending = self.hearing, self._sending
        hearing.setblocking(False)
        sending.setblocking(False)
        # Every program of the machine that listens gets its own copy.
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._is_v6:
            hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            hearing.bind(("::", self._port))
            sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
            sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            hearing.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            hearing.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)  # only what we have joined ourselves
            hearing.bind((GROUP4, self._port))
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
            sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def close(self) -> None:
        """Leave every group."""
        self.hearing.close()
        self._sending.close()

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def join(self, links: Mapping[int, str]) -> bool:
        """Be in the group on these links and on no others.

        :returns: True if there is a new one.
        """
        for index in self._joined.keys() - links.keys():
            del self._joined[index]
            try:
                self._member(index, leave=True)
            except OSError:
                _log.debug("a link that is left is gone")
        before = len(self._joined)
        for index, name in links.items():
            if self._joined.get(index, name) != name:
                self._joined[index] = name  # renamed; the membership is the index's
            if index in self._joined:
                continue
            try:
                self._member(index)
            except OSError as error:
                if name not in self._refused:
                    self._refused.add(name)
                    _log.info("no %s on %s: %s", self._family.name, name, error.strerror)
                continue
            self._joined[index] = name
            self._refused.discard(name)
        return len(self._joined) > before

    def _member(self, index: int, *, leave: bool = False) -> None:
        if self._is_v6:
            group = _MEMBER6.pack(socket.inet_pton(socket.AF_INET6, GROUP6), index)
            option = socket.IPV6_LEAVE_GROUP if leave else socket.IPV6_JOIN_GROUP
            self.hearing.setsockopt(socket.IPPROTO_IPV6, option, group)
        else:
            group = _MEMBER4.pack(socket.inet_aton(GROUP4), _ANY4, index)
            option = socket.IP_DROP_MEMBERSHIP if leave else socket.IP_ADD_MEMBERSHIP
            self.hearing.setsockopt(socket.IPPROTO_IP, option, group)

    def send(self, data: bytes) -> int:
        """To everybody, on every link; one that fails is left out this time.

        :returns: on how many links it went out.
        """
        sent = 0
        for index, name in self._joined.items():
            try:
                if self._is_v6:
                    self._sending.sendto(data, (GROUP6, self._port, 0, index))
                else:
                    way = _MEMBER4.pack(_ANY4, _ANY4, index)
                    self._sending.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, way)
                    self._sending.sendto(data, (GROUP4, self._port))
            except OSError as error:
                _log.debug("nothing could be sent on %s: %s", name, error.strerror)
            else:
                sent += 1
        return sent

    def receive(self) -> Datagram | None:
        """The next datagram; None if it is not one to be heard.

        :raises BlockingIOError: there is none.
        :raises OSError: the socket is unusable.
        """
        data, ancillary, flags, sender = self.hearing.recvmsg(BEACON_CAP, _ANCILLARY)
        link = self._link(ancillary)
        if link is None or flags & socket.MSG_TRUNC:
            return None
        host = str(sender[0]).partition("%")[0]
        if not on_link(host):
            return None
        return Datagram(data, f"{host}%{link}" if self._is_v6 else host, link)

    def _link(self, ancillary: list[tuple[int, int, bytes]]) -> str | None:
        """The link that it came in by; None if it was not sent to the group there."""
        for level, kind, value in ancillary:
            if self._is_v6 and (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                to, index = _PKTINFO6.unpack(value)
                group = socket.inet_pton(socket.AF_INET6, GROUP6)
            elif not self._is_v6 and (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                index, _, to = _PKTINFO4.unpack(value)
                group = socket.inet_aton(GROUP4)
            else:
                continue
            return self._joined.get(index) if to == group else None
        return None
