"""The kinds of plugin there are: their entry-point groups, contracts, and the words for them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final


@dataclass(frozen=True, slots=True)
class Family:
    """One entry-point group.

    :param group: entry-point group.
    :param noun: what people call one.
    :param contract: ``module:class`` that drivers derive from, imported when first needed; empty for hooks.
    :param home: the project's own distribution that brings the usual ones.
    """

    group: str
    noun: str
    contract: str
    home: str

    def load_contract(self) -> type[object]:
        """The class that drivers of this family derive from."""
        module, _, name = self.contract.partition(":")
        contract: type[object] = getattr(import_module(module), name)
        return contract


HOOKS: Final = "port17"
CIPHER_SUITES: Final = "port17.cipher_suites"
IDENTITY_SCHEMES: Final = "port17.identity_schemes"
TRANSPORTS: Final = "port17.transports"
BOTTLE_STORES: Final = "port17.bottle_stores"
INGRESS: Final = "port17.ingress"
OPERATIONS: Final = "port17.operations"
POLICIES: Final = "port17.policies"
LOCAL_NETWORKS: Final = "port17.local_networks"
GEO_SOURCES: Final = "port17.geo_sources"

ALWAYS_ON: Final = ("diversity", "levels", "proximity")
"""Route policies that every client has, named or not: without them a configuration that names none would have
routes through one hand. Their options can be set all the same, and switch off what they do."""

FAMILIES: Final = {
    family.group: family
    for family in (
        Family(CIPHER_SUITES, "cipher suite", "port17.wire.suite:CipherSuite", "port17-crypto"),
        Family(IDENTITY_SCHEMES, "identity scheme", "port17.records.scheme:IdentityScheme", "port17-crypto"),
        Family(TRANSPORTS, "transport", "port17.links.transport:Transport", "port17-transports"),
        Family(BOTTLE_STORES, "bottle store", "port17.bottles.rack:BottleStore", "port17-core"),
        Family(INGRESS, "ingress", "port17.client.ingress:Ingress", "port17-core"),
        Family(OPERATIONS, "operation", "port17.node.operation:Operation", "port17-core"),
        Family(POLICIES, "route policy", "port17.navigator.policy:RoutePolicy", "port17-core"),
        Family(LOCAL_NETWORKS, "local network", "port17.links.local_network:LocalNetwork", "port17-lan"),
        Family(GEO_SOURCES, "geo source", "port17.navigator.geo:GeoSource", "port17-geoip"),
        Family(HOOKS, "hook plugin", "", "port17-core"),
    )
}
"""By entry-point group. A distribution's entry point in another ``port17.`` group is never loaded."""
