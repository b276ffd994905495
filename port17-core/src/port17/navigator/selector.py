"""Selectors: words that pick nodes, ``group:acme`` or ``country:DE``, the same in every policy and command.

What becomes of the nodes that they pick is for whoever asks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from port17.errors import ConfigError, RecordError
from port17.navigator.chart import ChartNode
from port17.navigator.countries import COUNTRIES
from port17.navigator.geo import Place
from port17.records.host import host_of
from port17.records.identity import parse_node_id
from port17.records.ip_space import Address
from port17.records.moderation import Action
from port17.records.record import PORT_NAME_PATTERN

SELECTORS_CAP: Final = 4096
"""Most selectors of one list. Asking costs no more for it, since all but a few are found by a look-up; who
has a longer one wants another list."""
SHOWN: Final = 3
"""Selectors of a list that a reason names: more is no sentence."""

CONTINENTS: Final = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
MARKS: Final = (Action.TRUSTED_EXIT.value, Action.OWNER_VERIFIED.value, "hostile")
"""What moderators say of a node that is on the chart (what they say against one takes it off); the last is of
simulated charts alone."""
LAST_AS: Final = (1 << 32) - 1
"""The largest number of an autonomous system (RFC 6793)."""

_WORD: Final = ""
"""The kind of a bare word."""
_NAME: Final = re.compile(PORT_NAME_PATTERN)
_LIKE_AS: Final = re.compile(r"as-?[0-9]{1,10}\Z", re.IGNORECASE)
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}\Z")
_FORM: Final = (
    "A selector is name:ash, id:NODE_ID, group:acme, owner:acme, as:3320, country:DE, continent:EU,"
    " ip:192.0.2.0/24 or mark:trusted_exit; a bare word is a PortName or a node id."
)
_OF_NODE: Final[dict[str, Callable[[ChartNode], Collection[str]]]] = {
    _WORD: lambda node: (node.name.lower(),),
    "name": lambda node: (node.name.lower(),),
    "id": lambda node: (node.node_id, node.fingerprint.hex()),
    "group": lambda node: (node.group.lower(),),
    "owner": lambda node: (node.owner.lower(),),
    "mark": lambda node: node.marks,
}
"""What of a node is compared, per kind that is about the node as a whole."""
_OF_PLACE: Final[dict[str, Callable[[Place], str]]] = {
    "as": lambda place: str(place.asn) if place.asn else "",
    "country": lambda place: place.country,
    "continent": lambda place: place.continent,
}
"""What of a place is compared, per kind that is about one address. Empty stands for not known."""
KINDS: Final = ("name", "id", "group", "owner", "as", "country", "continent", "ip", "mark")


@dataclass(frozen=True, slots=True)
class Selector:
    """One word.

    :param kind: one of :data:`KINDS`; empty for a bare word.
    :param value: in the form that is compared.
    """

    kind: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Selector:
        """The selector of its text.

        :raises ConfigError: it is none; says what is wrong and what is one.
        """
        text = text.strip()
        kind, colon, value = text.partition(":")
        kind, value = kind.strip().lower(), value.strip()
        if not colon:
            # Anybody may call himself by another's id; who writes an id means that node alone.
            return cls("id", text.lower()) if _is_id(text) else cls(_WORD, _word(text))
        if kind not in KINDS:
            raise _bad(text, f"there is no kind {kind!r}{_meant(kind)}")
        if not value:
            raise _bad(text, f"nothing stands after {kind}:")
        return cls(kind, _PARSERS[kind](text, value))

    @property
    def needs_places(self) -> bool:
        """Whether only a geo source can say what it picks."""
        return self.kind in _OF_PLACE

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.kind else self.value


class Selectors:
    """A list of selectors, as an option of a policy or of a command.

    A field of this type in a policy's ``Config`` takes a list of texts, or one text. A node that has several
    addresses may be touched by a list that doesn't cover it.
    """

    __slots__ = ("_networks", "_of_node", "_of_place", "_selectors")

    def __init__(self, selectors: Iterable[Selector | str] = ()) -> None:
        """
        :raises ConfigError: a text is no selector, or there are more than :data:`SELECTORS_CAP`.
        """
        found: list[Selector] = []
        for one in selectors:
            if len(found) == SELECTORS_CAP:
                raise ConfigError(f"more than {SELECTORS_CAP} selectors", cure="Pick by something coarser.")
            found.append(one if isinstance(one, Selector) else Selector.parse(one))
        self._selectors: Final = tuple(found)
        of_node: dict[str, dict[str, Selector]] = {}
        of_place: dict[str, dict[str, Selector]] = {}
        self._networks: Final[dict[tuple[int, int], dict[int, Selector]]] = {}
        for selector in found:
            if selector.kind == "ip":
                network = ipaddress.ip_network(selector.value)
                shift = network.max_prefixlen - network.prefixlen
                table = self._networks.setdefault((network.version, shift), {})
                table[int(network.network_address) >> shift] = selector
            else:
                kinds = of_place if selector.needs_places else of_node
                kinds.setdefault(selector.kind, {})[selector.value] = selector
        self._of_node: Final = tuple((_OF_NODE[kind], table) for kind, table in of_node.items())
        self._of_place: Final = tuple((_OF_PLACE[kind], table) for kind, table in of_place.items())

    def touching(self, node: ChartNode) -> Selector | None:
        """One that picks the node by *any* of its addresses, or as a whole; None if none does."""
        found = self._picking(node)
        if found is not None:
            return found
        if self._of_place:
            for place in node.places:
                for of_place, table in self._of_place:
                    found = table.get(of_place(place))
                    if found is not None:
                        return found
        if self._networks:
            for ip in _addresses(node):
                found = None if ip is None else self._holding(ip)
                if found is not None:
                    return found
        return None

    def covers(self, node: ChartNode) -> bool:
        """Whether they pick the node as a whole, or *each* of its addresses, known as it must be for that."""
        if self._picking(node) is not None:
            return True
        if not (self._of_place or self._networks):
            return False
        places = {place.ip: place for place in node.places}
        addresses = _addresses(node)
        return bool(addresses) and all(
            ip is not None and (self._holding(ip) is not None or self._placing(places.get(ip)))
            for ip in addresses
        )

    def uncertain(self, node: ChartNode) -> bool:
        """Whether they may pick the node and nobody knows: an address that is a name or of an unknown place,
        or no address at all."""
        if self._picking(node) is not None or not (self._of_place or self._networks):
            return False
        places = {place.ip: place for place in node.places}
        addresses = _addresses(node)
        for ip in addresses:
            if ip is None:
                return True
            if self._holding(ip) is None and not self._placing(place := places.get(ip)):
                if place is None and self._of_place:
                    return True
                if place is not None and any(not of_place(place) for of_place, _ in self._of_place):
                    return True
        return not addresses

    @property
    def needs_places(self) -> bool:
        """Whether only a geo source can say what they pick."""
        return bool(self._of_place)

    def _picking(self, node: ChartNode) -> Selector | None:
        for of_node, table in self._of_node:
            for value in of_node(node):
                found = table.get(value)
                if found is not None:
                    return found
        return None

    def _placing(self, place: Place | None) -> bool:
        return place is not None and any(of_place(place) in table for of_place, table in self._of_place)

    def _holding(self, ip: Address) -> Selector | None:
        for (version, shift), table in self._networks.items():
            if version == ip.version:
                found = table.get(int(ip) >> shift)
                if found is not None:
                    return found
        return None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._of_option)

    @classmethod
    def _of_option(cls, value: object) -> Selectors:
        if isinstance(value, Selectors):
            return value
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise ValueError('a list of selectors is wanted, such as ["country:DE", "group:acme"]')
        try:
            return cls(texts)
        except ConfigError as error:
            raise ValueError(f"{error.message}. {error.cure}") from error

    def __iter__(self) -> Iterator[Selector]:
        return iter(self._selectors)

    def __len__(self) -> int:
        return len(self._selectors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selectors) and self._selectors == other._selectors

    def __hash__(self) -> int:
        return hash(self._selectors)

    def __str__(self) -> str:
        """For people: the first few."""
        shown = [str(selector) for selector in self._selectors[:SHOWN]]
        more = len(self._selectors) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def __repr__(self) -> str:
        return f"Selectors({[str(selector) for selector in self._selectors]})"


def needs_places(options: object) -> bool:
    """Whether there are selectors among some options of which only a geo source can say what they pick.

    :param options: a policy's configuration, or part of one.
    """
    if isinstance(options, Selectors):
        return options.needs_places
    if isinstance(options, BaseModel):
        return any(needs_places(value) for _, value in options)
    if isinstance(options, Mapping):
        return any(map(needs_places, options.values()))
    return isinstance(options, list | tuple) and any(map(needs_places, options))


def _addresses(node: ChartNode) -> list[Address | None]:
    """What each address is by number; None for a name, and for what only its transport understands."""
    return [host_of(address).ip for found in node.addresses.values() for address in found]


def _word(text: str) -> str:
    """A bare word, unless it looks as if something else was meant: a list that picks nobody would be kept
    to without a sound."""
    if not text:
        raise ConfigError("a selector is empty", cure=_FORM)
    upper = text.upper()
    if text.startswith("{") and text.endswith("}") and upper[1:-1] in COUNTRIES:
        raise ConfigError(f"not a selector: {text!r}", cure=f"Write country:{upper[1:-1]}.")
    meant = ""
    if len(text) == 2 and upper in COUNTRIES:
        meant = f"country:{upper}"
    elif len(text) == 2 and upper in CONTINENTS:
        meant = f"continent:{upper}"
    elif _LIKE_AS.match(text):
        meant = f"as:{text[2:].lstrip('-')}"
    elif _is_network(text):
        meant = f"ip:{text}"
    if meant:
        raise ConfigError(
            f"{text!r} may mean a node of that name or something else",
            cure=f"Write {meant}, or name:{text} if a node is called so.",
        )
    return _named(text, text)


def _named(text: str, value: str) -> str:
    if not _NAME.match(value):
        raise _bad(text, f"{value!r} is no name that a node, a group or an owner can have")
    return value.lower()


def _identified(text: str, value: str) -> str:
    if not _is_id(value):
        raise _bad(text, "neither a node id (32 letters and digits) nor a fingerprint (64 in hex)")
    return value.lower()


def _is_id(text: str) -> bool:
    if _FINGERPRINT.match(text.lower()):
        return True
    try:
        parse_node_id(text)
    except RecordError:
        return False
    return True


def _numbered(text: str, value: str) -> str:
    digits = value[2:] if value[:2].lower() == "as" else value
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and 0 < int(digits) <= LAST_AS):
        raise _bad(text, f"an AS number is 1 to {LAST_AS}, such as as:3320")
    return str(int(digits))


def _country(text: str, value: str) -> str:
    code = value.upper()
    if code not in COUNTRIES:
        hints = {
            "UK": ": the United Kingdom is country:GB",
            "EU": ": continent:EU is all of Europe; the European Union has no selector",
        }
        raise _bad(text, f"{value!r} is no country's code in ISO 3166-1, of two letters{hints.get(code, '')}")
    return code


def _continent(text: str, value: str) -> str:
    code = value.upper()
    if code not in CONTINENTS:
        there_are = ", ".join(f"{key} ({name})" for key, name in CONTINENTS.items())
        raise _bad(text, f"{value!r} is no continent: there are {there_are}")
    return code


def _network(text: str, value: str) -> str:
    bare = value.replace("[", "").replace("]", "")
    try:
        network = ipaddress.ip_network(bare, strict=False)
        address = ipaddress.ip_address(bare.partition("/")[0])
    except ValueError:
        wrong = f"{value!r} is neither an address nor a network such as 192.0.2.0/24"
        raise _bad(text, wrong) from None
    if network.network_address != address:
        raise _bad(text, f"{value} is an address inside a network; the network is ip:{network}")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise _bad(text, f"nodes have such addresses as IPv4: write ip:{address.ipv4_mapped}")
    return str(network)


def _mark(text: str, value: str) -> str:
    if value.lower() not in MARKS:
        raise _bad(text, f"moderators give no mark {value!r}: there are {', '.join(MARKS)}")
    return value.lower()


_PARSERS: Final[dict[str, Callable[[str, str], str]]] = {
    "name": _named,
    "id": _identified,
    "group": _named,
    "owner": _named,
    "as": _numbered,
    "country": _country,
    "continent": _continent,
    "ip": _network,
    "mark": _mark,
}


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _meant(kind: str) -> str:
    close = get_close_matches(kind, KINDS, n=1)
    return f"; did you mean {close[0]}:?" if close else ""


def _bad(text: str, wrong: str) -> ConfigError:
    return ConfigError(f"not a selector: {text[:200]!r}: {wrong}", cure=_FORM)
