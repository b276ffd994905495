"""What an advertised address names: a machine, by number or by name, or something that only its transport
understands. And whether a bottle of some flavour may name it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from port17.records.ip_space import Address, embedded_ipv4, is_public

Flavour: TypeAlias = Literal["public", "local"]

LAST_PORT: Final = 65535
DIGITS: Final = 5
"""Most digits of a port."""
HOST_NAME_CAP: Final = 253
"""Longest host name, characters (RFC 1035, 2.3.4)."""
SITE_BITS_V4: Final = 24
"""Bits of an IPv4 address that name a site: what one customer may well have, and is attacked as one."""
SITE_BITS_V6: Final = 48
"""The same of an IPv6 address: the usual customer's share (RFC 6177)."""
AREA_BITS_V4: Final = 16
"""Bits of an IPv4 address that name an area: who rents machines of one provider gets them in few of these."""
AREA_BITS_V6: Final = 32
"""The same of an IPv6 address: what a provider is allotted; everything finer its customers have in plenty."""
OWNED_LABELS: Final = 2
"""Labels of a host name, from the right, that name its owner: each costs a registration. Where a registry
sells names of three labels their owners count as one, which costs them nothing but time."""
KNOWN_CAP: Final = 65_536
"""Parsed addresses that are kept, some 20 MiB: every node's is asked about again and again."""

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_NUMERIC = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_PRIVATE_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
)
"""RFC 1918, and link-local."""
_PRIVATE_V6 = tuple(ipaddress.IPv6Network(text) for text in ("fc00::/7", "fe80::/10"))
"""Unique local (RFC 4193), and link-local."""


@dataclass(frozen=True, slots=True)
class Host:
    """What one address names.

    :param name: the host as written, lower case; the whole address where its form is the transport's own.
    :param port: 0 where the form is the transport's own.
    :param ip: the address that ``name`` is; None for a name, and for what is neither.
    """

    name: str
    port: int
    ip: Address | None

    @property
    def is_opaque(self) -> bool:
        """Only its transport knows what it means."""
        return self.port == 0

    @property
    def is_name(self) -> bool:
        """It leads wherever its owner wants, at any moment."""
        return self.ip is None and not self.is_opaque

    @property
    def is_public(self) -> bool:
        """A public address; nothing is known so of a name."""
        return self.ip is not None and is_public(self.ip) and not embedded_ipv4(self.ip)

    @property
    def site(self) -> str:
        """Whose machine it is, as far as that can be told: a flood of addresses that name parts of one site
        is a flood of this site."""
        if self.ip is not None:
            return _prefix(self.ip, SITE_BITS_V4, SITE_BITS_V6)
        return self.name if self.is_opaque else ".".join(self.name.split(".")[-OWNED_LABELS:])

    @property
    def area(self) -> str | None:
        """Where it is, by what cannot be had cheaply in numbers; None for what is not a public address."""
        return None if self.ip is None else _area(self.ip)


@lru_cache(maxsize=KNOWN_CAP)
def _area(ip: Address) -> str | None:
    public = is_public(ip) and not embedded_ipv4(ip)
    return _prefix(ip, AREA_BITS_V4, AREA_BITS_V6) if public else None


@lru_cache(maxsize=KNOWN_CAP)
def _prefix(ip: Address, bits_v4: int, bits_v6: int) -> str:
    bits = bits_v4 if ip.version == 4 else bits_v6
    shift = ip.max_prefixlen - bits
    return f"{type(ip)(int(ip) >> shift << shift)}/{bits}"


@lru_cache(maxsize=KNOWN_CAP)
def host_of(address: str) -> Host:
    """What an address of any transport names."""
    scheme, separator, rest = address.partition("://")
    host, colon, digits = (rest.partition("/")[0] if separator else scheme).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not (colon and host and digits.isascii() and digits.isdigit() and len(digits) <= DIGITS):
        return Host(address, 0, None)
    if not 0 < int(digits) <= LAST_PORT:
        return Host(address, 0, None)
    if ":" in host and not bracketed:
        return Host(address, 0, None)
    return Host(host.rstrip(".").lower(), int(digits), _ip(host))


def _ip(text: str) -> Address | None:
    ip: Address
    try:
        # Not ip_address(), which tries the other version first: to fail takes longer than all the rest.
        ip = ipaddress.IPv6Address(text) if ":" in text else ipaddress.IPv4Address(text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


@lru_cache(maxsize=KNOWN_CAP)
def forbidden(ip: Address, flavour: Flavour, *, allow_private: bool = False) -> str:
    """Why nobody dials an address that a bottle names, or to which a name in it leads; empty if one may.

    :param flavour: of the bottle.
    :param allow_private: of the configuration: any address of one machine will do.
    """
    if ip.is_multicast or ip.is_unspecified or (ip.version == 4 and ip.is_reserved):
        return "it is no machine's address"
    if allow_private:
        return ""
    if embedded_ipv4(ip):
        return "it only stands for another address"
    if flavour == "local":
        networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network] = (
            _PRIVATE_V4 if ip.version == 4 else _PRIVATE_V6
        )
        return "" if any(ip in network for network in networks) else "it is not of a local network"
    return "" if is_public(ip) else "it is not public"


def malformed(address: str) -> str:
    """What is wrong with the form of an address; empty if nothing, or if only its transport can tell.

    A name that a resolver may take for a number (``127.1``, ``0x7f000001``) is none.
    """
    host = host_of(address)
    if not host.is_name:
        return ""
    if len(host.name) > HOST_NAME_CAP or not _NAME.match(host.name):
        return "it is no host name"
    return "it may be taken for a number" if _NUMERIC.match(host.name.rpartition(".")[2]) else ""


def objection(address: str, flavour: Flavour, *, allow_private: bool = False) -> str:
    """As :func:`forbidden`, of an address as it is advertised. A name is judged when it has been resolved;
    what only its transport understands, by nobody."""
    host = host_of(address)
    if host.ip is None:
        if host.is_name and flavour == "local" and not allow_private:
            return "a local node is found by number: names are asked for outside of its network"
        return ""
    return forbidden(host.ip, flavour, allow_private=allow_private)
