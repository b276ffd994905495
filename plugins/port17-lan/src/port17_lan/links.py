"""The links that beacons go out on: which of the machine's interfaces are of use."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Collection
from typing import Final

LINKS_CAP: Final = 16
"""Most links at once; Linux lets a socket join 20 IPv4 groups. A machine with more is a host of containers,
whose owner can name those that are meant."""

_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP, _IFF_LOOPBACK, _IFF_POINTOPOINT, _IFF_MULTICAST = 0x1, 0x8, 0x10, 0x1000
_REQUEST: Final = struct.Struct("16sH22x")
"""``struct ifreq``: the name, then the flags."""


def usable(named: Collection[str]) -> dict[int, str]:
    """The links to use now: index to name.

    :param named: the only ones to use. If there are none, every one that is up and carries multicast, without
        loopback, where nobody else is, and without tunnels to one other machine: what is behind those is no
        local network.
    """
    found: dict[int, str] = {}
    for index, name in sorted(socket.if_nameindex()):
        if name in named if named else _carries_multicast(name):
            found[index] = name
    return dict(list(found.items())[:LINKS_CAP])


def _carries_multicast(name: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            reply = fcntl.ioctl(asking, _SIOCGIFFLAGS, _REQUEST.pack(name.encode(), 0))
        except OSError:
            return False  # it has just gone
    flags = _REQUEST.unpack(reply)[1]
    wanted, unwanted = _IFF_UP | _IFF_MULTICAST, _IFF_LOOPBACK | _IFF_POINTOPOINT
    return flags & wanted == wanted and not flags & unwanted
