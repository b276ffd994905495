"""What rules say of a connection: to which names and addresses, to which ports, of which programs.

Names are compared as text. Where one leads is found out at the exit, so a name is never within a network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from port17.records.exit_rules import LAST_PORT, NAME_CAP, literal, normal_host
from port17.records.ip_space import Address, Network

DESTINATIONS_CAP: Final = 65_536
"""Most names and networks of one rule: more than a configuration file can hold. Asking costs no more for
them, since they are looked up."""
RANGES_CAP: Final = 1024
"""Most ranges of ports of one rule."""
PROGRAMS_CAP: Final = 1024
"""Most programs of one rule."""

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}\Z")
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")


class Destinations:
    """Names, whole domains, addresses and networks."""

    def __init__(self, texts: Iterable[str]) -> None:
        """
        :param texts: ``example.org``, ``*.example.org`` (all below it, not itself), ``192.0.2.1``,
            ``2001:db8::/32``.
        :raises ValueError: one is none of these, or there is none.
        """
        self._names: set[str] = set()
        self._domains: set[str] = set()
        self._networks: dict[tuple[int, int], set[int]] = {}
        for count, text in enumerate(texts):
            if count == DESTINATIONS_CAP:
                raise ValueError(f"more than {DESTINATIONS_CAP} destinations")
            found = _pattern(text)
            if not isinstance(found, str):
                shift = found.max_prefixlen - found.prefixlen
                table = self._networks.setdefault((found.version, shift), set())
                table.add(int(found.network_address) >> shift)
            elif found.startswith("*."):
                self._domains.add(found[2:])
            else:
                self._names.add(found)
        if not (self._names or self._domains or self._networks):
            raise ValueError("is empty; leave it out to match every destination")

    def match(self, host: str) -> bool:
        """Whether a destination is one of them.

        :param host: a name or an address, as the program gave it.
        """
        host = _comparable(host)
        address = address_of(host)
        if address is None:
            return host in self._names or self._within(host)
        return any(
            version == address.version and int(address) >> shift in table
            for (version, shift), table in self._networks.items()
        )

    def cover(self, other: Destinations) -> bool:
        """Whether they match all that others match."""
        return (
            all(name in self._names or self._within(name) for name in other._names)
            and all(domain in self._domains or self._within(domain) for domain in other._domains)
            and all(
                any(mine[0] == version and mine[1] >= shift and prefix >> (mine[1] - shift) in held
                    for mine, held in self._networks.items())
                for (version, shift), table in other._networks.items()
                for prefix in table
            )
        )  # fmt: skip

    def _within(self, name: str) -> bool:
        while name and self._domains:
            name = name.partition(".")[2]
            if name in self._domains:
                return True
        return False

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: cls(_texts(value, 'destinations, such as ["example.org", "*.example.org"]'))
        )


class Ports:
    """Ranges of ports."""

    def __init__(self, ranges: Iterable[int | str]) -> None:
        """
        :param ranges: 443, ``"443"`` or ``"8000-8999"``.
        :raises ValueError: one is none of these, or there is none.
        """
        found: list[tuple[int, int]] = []
        for one in ranges:
            if len(found) == RANGES_CAP:
                raise ValueError(f"more than {RANGES_CAP} ranges of ports")
            found.append(_range(one))
        if not found:
            raise ValueError("is empty; leave it out to match every port")
        self._ranges: list[tuple[int, int]] = []
        for first, last in sorted(found):
            if self._ranges and first <= self._ranges[-1][1] + 1:
                self._ranges[-1] = (self._ranges[-1][0], max(last, self._ranges[-1][1]))
            else:
                self._ranges.append((first, last))

    def match(self, port: int) -> bool:
        """Whether a port is in one of them."""
        return any(first <= port <= last for first, last in self._ranges)

    def cover(self, other: Ports) -> bool:
        """Whether they match all that others match."""
        return all(
            any(first <= low and high <= last for first, last in self._ranges) for low, high in other._ranges
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._of_option)

    @classmethod
    def _of_option(cls, value: object) -> Ports:
        given: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if not all(isinstance(one, int | str) and not isinstance(one, bool) for one in given):
            raise ValueError('a list of ports is wanted, such as [80, 443, "8000-8999"]')
        return cls(given)


class Programs:
    """Programs by path, or by file name in whatever folder."""

    def __init__(self, texts: Iterable[str]) -> None:
        """
        :param texts: ``/usr/bin/curl``, or ``curl``.
        :raises ValueError: one is neither, or there is none.
        """
        self._names: set[str] = set()
        self._paths: set[str] = set()
        for count, text in enumerate(texts):
            if count == PROGRAMS_CAP:
                raise ValueError(f"more than {PROGRAMS_CAP} programs")
            if text.startswith("/"):
                self._paths.add(text)
            elif text and "/" not in text:
                self._names.add(text)
            else:
                raise ValueError(f"{text!r} is neither a whole path, /usr/bin/curl, nor a file name, curl")
        if not (self._names or self._paths):
            raise ValueError("is empty; leave it out to match every program")

    def match(self, program: str) -> bool:
        """Whether a program is one of them. One that is not known is none.

        :param program: its path.
        """
        return program in self._paths or program.rpartition("/")[2] in self._names

    def cover(self, other: Programs) -> bool:
        """Whether they match all that others match."""
        return other._names <= self._names and all(map(self.match, other._paths))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: cls(_texts(value, 'programs, such as ["/usr/bin/curl", "firefox"]'))
        )


def address_of(host: str) -> Address | None:
    """The address that a host is; resolvers take old forms for one as well, ``127.1``, ``0x7f000001``.

    :param host: in lower case.
    """
    found = literal(host)
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped if found.ipv4_mapped is not None else found
    if found is not None:
        return found
    pieces = host.split(".")
    # Resolvers take any number of zeros before a number, so its length says nothing.
    if len(host) > NAME_CAP or len(pieces) > 4 or not all(map(_NUMBER.match, pieces)):
        return None
    try:
        numbers = [_old_number(piece) for piece in pieces]
    except ValueError:
        return None
    rest = 5 - len(pieces)
    if any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256**rest:
        return None
    value = numbers[-1]
    for place, number in enumerate(numbers[:-1]):
        value += number << (8 * (3 - place))
    return ipaddress.IPv4Address(value)


def _old_number(piece: str) -> int:
    if piece.startswith("0x"):
        return int(piece[2:] or "0", 16)
    return int(piece, 8) if piece.startswith("0") and len(piece) > 1 else int(piece)


def _comparable(host: str) -> str:
    """Names beyond ASCII as the name system has them."""
    host = normal_host(host)
    if not host.isascii():
        import idna  # most programs have done this by themselves, so few processes need it

        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return host
    # However many dots: an exit takes one off, and a resolver another. Dots of other scripts are dots by now.
    return host.rstrip(".")


def _pattern(text: str) -> str | Network:
    """
    :returns: a network; or a name, with ``*.`` before it if all below are meant.
    :raises ValueError: it is neither; says what is wrong.
    """
    bare = _comparable(text)
    address = address_of(bare)
    if address is not None:
        return ipaddress.ip_network(address)
    if "://" in bare:
        raise ValueError(f"{text!r} is a URL; a rule takes the name alone, and ports under `ports`")
    try:
        network = ipaddress.ip_network(bare, strict=False)
    except ValueError:
        network = None
    if network is not None:
        if network.network_address != literal(bare.partition("/")[0]):
            raise ValueError(f"{text} is an address inside a network; the network is {network}")
        return network
    if bare == "*":
        raise ValueError("'*' is everything; leave `to` out to match every destination")
    if bare.startswith("."):
        raise ValueError(f"{text!r}: all below a domain is *{bare}; the domain itself is {bare[1:]}")
    name, colon, port = bare.rpartition(":")
    if colon and port.isdigit():
        raise ValueError(f"{text!r} has a port; write {name!r} here and {port} under `ports`")
    if "*" in bare.removeprefix("*."):
        raise ValueError(
            f"{text!r}: an asterisk stands for whole labels at the beginning alone, *.example.org"
        )
    if len(bare) > NAME_CAP or not _NAME.match(bare.removeprefix("*.")):
        raise ValueError(f"{text!r} is neither a name, nor *.name, nor an address, nor a network")
    return bare


def _texts(value: object, wanted: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a list of {wanted}, is wanted")
    return list(texts)


def _range(given: int | str) -> tuple[int, int]:
    first, dash, last = str(given).partition("-")
    ends = [first.strip(), (last if dash else first).strip()]
    if not all(
        end.isascii() and end.isdigit() and len(end) <= 5 and 0 < int(end) <= LAST_PORT for end in ends
    ):
        raise ValueError(f'{given!r} is neither a port, 1 to {LAST_PORT}, nor a range such as "8000-8999"')
    low, high = int(ends[0]), int(ends[1])
    if low > high:
        raise ValueError(f'{given!r}: a range runs upwards, "{high}-{low}"')
    return low, high
