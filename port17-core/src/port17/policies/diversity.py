"""The policy ``diversity``, always on: no route has two nodes that one hand may hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Final

from pydantic import Field

from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode
from port17.navigator.policy import RoutePolicy
from port17.navigator.selector import Selectors
from port17.records.host import AREA_BITS_V4, LAST_PORT, host_of
from port17.records.ip_space import is_public_v4

OWNERS_CAP: Final = 1024
"""Most families of the user's own: each node is compared with all of them."""


_BYTE: Final = r"(0|[1-9][0-9]{0,2})"
_QUAD: Final = re.compile(rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}:([1-9][0-9]{{0,4}})\Z")


class Diversity(RoutePolicy):
    """Puts nodes into families by whose they are and where they are."""

    class Config(RoutePolicy.Config):
        """What makes two nodes one family.

        :param group: they name the same group.
        :param owner: moderators name the same owner, or their addresses are names in one registered domain.
        :param prefix: they have public addresses in one /16 of IPv4 or /32 of IPv6.
        :param asn: they have addresses in one autonomous system, where the geo source knows it.
        :param country: they have addresses in one country.
        :param owners: the user's own families: per name, selectors of the nodes that belong to it.
        """

        group: bool = True
        owner: bool = True
        prefix: bool = True
        asn: bool = True
        country: bool = False
        owners: Annotated[Mapping[str, Selectors], Field(default_factory=dict, max_length=OWNERS_CAP)]

    config: Config

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        own = self.config
        self._by_address = own.owner or own.prefix
        self._by_place = own.asn or own.country
        self._owners = tuple((f"yours:{name}", selectors) for name, selectors in own.owners.items())
        if own.country:
            self.wants_places = True

    @hookimpl
    def families(self, node: ChartNode) -> Collection[str]:
        """By group, owner, network, AS and the user's own word."""
        own = self.config
        found: set[str] = set()
        if node.group and own.group:
            found.add(f"group:{node.group.lower()}")
        if node.owner and own.owner:
            found.add(f"owner:{node.owner.lower()}")
        if self._by_address:
            for addresses in node.addresses.values():
                for address in addresses:
                    kind, name = _family_of(address)
                    if name and (own.prefix if kind == "net" else own.owner):
                        found.add(name)
        if self._by_place:
            for place in node.places:
                if place.asn and own.asn:
                    found.add(f"as:{place.asn}")
                if place.country and own.country:
                    found.add(f"country:{place.country}")
        for family, selectors in self._owners:
            if selectors.touching(node) is not None:
                found.add(family)
        return found


def _family_of(address: str) -> tuple[str, str]:
    """
    :returns: ``net`` or ``owner``, and the family; empty where the address is of none.
    """
    quad = _QUAD.match(address)
    if quad is not None:
        # Nearly all addresses have this form, and to make objects of them would take most of a compilation.
        first, second, third, fourth, port = map(int, quad.groups())
        if first < 256 and second < 256 and third < 256 and fourth < 256 and port <= LAST_PORT:
            public = is_public_v4(first << 24 | second << 16 | third << 8 | fourth)
            return "net", f"net:{first}.{second}.0.0/{AREA_BITS_V4}" if public else ""
    host = host_of(address)
    if host.ip is not None:
        return "net", "" if host.area is None else f"net:{host.area}"
    return "owner", f"owner:{host.site}" if host.is_name else ""
