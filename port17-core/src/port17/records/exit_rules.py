"""Exit rules: which destinations a node connects to, as text that travels in its label.

Pure matching; resolving names, and refusing private addresses whatever the rules say, are the exit's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from port17.errors import RecordError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

RULES_CAP = 256
"""Most rules of one node: they travel in its label, and a client asks each of them per request."""
RULE_LENGTH_CAP = 650
"""Longest rule, characters: a name of 253, and 32 ranges of 12 with their commas."""
PORT_RANGES_CAP = 32
"""Most ranges in one rule."""
NAME_CAP = 253
"""Longest host name, characters (RFC 1035, 2.3.4)."""
LAST_PORT = 65535

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}\Z")
_FORM = (
    'A rule is "accept HOST:PORTS" or "reject HOST:PORTS". HOST is *, a name, *.name, an address or a network'
    " (IPv6 in brackets: [2001:db8::/32]); PORTS is *, 80, 80-90 or 80,443."
)


@dataclass(frozen=True, slots=True)
class ExitRule:
    """One line of an exit policy.

    :param accept: what the rule says of what it matches.
    :param name: a host name in lower case, or ``*.`` and a name for all below it; None if ``network`` or all.
    :param network: the addresses matched; None if ``name`` or all.
    :param ports: inclusive ranges.
    """

    accept: bool
    name: str | None
    network: Network | None
    ports: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, text: str) -> ExitRule:
        """The rule of one line.

        :raises RecordError: the line is no rule; says what is one.
        """
        words = text.split()
        if len(text) > RULE_LENGTH_CAP or len(words) != 2 or words[0] not in ("accept", "reject"):
            raise _bad(text)
        host, colon, ports = words[1].rpartition(":")
        if not colon:
            raise _bad(text)
        try:
            name, network = _host_pattern(host)
            return cls(words[0] == "accept", name, network, _ports(ports))
        except ValueError as error:
            raise _bad(text) from error

    def matches(self, host: str, port: int, address: Address | None) -> bool:
        """Whether the rule speaks of a destination, given as :meth:`ExitRules.allows` normalises it."""
        if not any(first <= port <= last for first, last in self.ports):
            return False
        if self.network is not None:
            return address is not None and address in self.network
        if self.name is None:
            return True
        if self.name.startswith("*."):
            return host.endswith(self.name[1:])
        return host == self.name

    def __str__(self) -> str:
        host = self.name or "*"
        if self.network is not None:
            host = f"[{self.network}]" if self.network.version == 6 else str(self.network)
        return f"{'accept' if self.accept else 'reject'} {host}:{_show(self.ports)}"


@dataclass(frozen=True, slots=True)
class ExitRules:
    """A node's rules in order: the first match wins, and what none matches is rejected."""

    rules: tuple[ExitRule, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> ExitRules:
        """The rules of a label's or a configuration's list of strings.

        :raises RecordError: a line is no rule, or there are more than :data:`RULES_CAP`.
        """
        rules: list[ExitRule] = []
        for line in lines:
            if len(rules) == RULES_CAP:
                raise RecordError(f"more than {RULES_CAP} exit rules", cure="Merge some: ports take lists.")
            rules.append(ExitRule.parse(line))
        return cls(tuple(rules))

    def allows(self, host: str, port: int, address: Address | None = None) -> bool:
        """Whether the rules let a connection out.

        A client asks with the name alone; rules about addresses then say nothing, so the answer is the best
        guess there is. The exit asks again with each address the name has.

        :param host: a host name or an address, as the program gave it.
        :param port: 1 to 65535; no rule matches anything else.
        :param address: what ``host`` resolved to; taken from ``host`` when that is an address.
        """
        host = normal_host(host)
        address = address if address is not None else literal(host)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            # ::ffff:10.0.0.1 reaches the same machine as 10.0.0.1: a rule about one holds for both.
            address = address.ipv4_mapped
        for rule in self.rules:
            if rule.matches(host, port, address):
                return rule.accept
        return False

    def lines(self) -> tuple[str, ...]:
        """The rules as text, as :meth:`parse` takes them."""
        return tuple(str(rule) for rule in self.rules)


def normal_host(host: str) -> str:
    """A host as rules compare it: lower case, no trailing dot, no brackets around an address."""
    host = host.strip().lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return host.removesuffix(".")


def literal(host: str) -> Address | None:
    """The address that a host is when it is no name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bad(text: str) -> RecordError:
    return RecordError(f"not an exit rule: {text[:RULE_LENGTH_CAP]!r}", cure=_FORM)


def _host_pattern(host: str) -> tuple[str | None, Network | None]:
    if host == "*":
        return None, None
    bare = normal_host(host)
    try:
        network = ipaddress.ip_network(bare)
    except ValueError:
        if len(bare) > NAME_CAP or not _NAME.match(bare) or bare.replace(".", "").replace("/", "").isdigit():
            raise
        return bare, None
    if network.version == 6 and not host.startswith("["):
        raise ValueError("an IPv6 network stands in brackets, or its last group would be read as the port")
    return None, network


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    if text == "*":
        return ((1, LAST_PORT),)
    pieces = text.split(",")
    if len(pieces) > PORT_RANGES_CAP:
        raise ValueError("too many port ranges")
    ranges = []
    for piece in pieces:
        first, dash, last = piece.partition("-")
        low, high = _port(first), _port(last if dash else first)
        if low > high:
            raise ValueError("a port range runs upwards")
        ranges.append((low, high))
    return tuple(ranges)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= LAST_PORT and len(text) <= 5):
        raise ValueError("a port is 1 to 65535")
    return int(text)


def _show(ports: tuple[tuple[int, int], ...]) -> str:
    if ports == ((1, LAST_PORT),):
        return "*"
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
