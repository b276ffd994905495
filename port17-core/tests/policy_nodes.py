"""Nodes for tests of policies: in a few words, where they are and whose."""

from __future__ import annotations

from ipaddress import ip_address

from port17.navigator.chart import Chart, ChartNode
from port17.navigator.countries import COUNTRIES
from port17.navigator.geo import Place
from port17.records.exit_rules import ExitRules
from port17.records.framing import digest
from port17.records.identity import node_id

EVERYWHERE = ExitRules.parse(["accept *:*"])


def node(
    name: str, *addresses: str, group: str = "", owner: str = "", marks: tuple[str, ...] = ()
) -> ChartNode:
    """A node; each address is ``IP``, ``IP=COUNTRY``, ``IP=COUNTRY/AS`` or a host name."""
    advertised: list[str] = []
    places: list[Place] = []
    for address in addresses:
        host, known, where = address.partition("=")
        country, _, asn = where.partition("/")
        advertised.append(f"[{host}]:7017" if ":" in host else f"{host}:7017")
        if known:
            found = COUNTRIES.get(country)
            places.append(
                Place(
                    ip_address(host),
                    int(asn or 0),
                    country,
                    found.continent if found else "",
                    found.latitude if found else None,
                    found.longitude if found else None,
                )
            )
    fingerprint = digest("node of a test", name.encode())
    return ChartNode(
        fingerprint,
        node_id(fingerprint),
        name,
        group=group,
        owner=owner,
        marks=frozenset(marks),
        addresses={"tcp": tuple(advertised)} if advertised else {},
        exit=EVERYWHERE,
        plain_text=True,
        places=tuple(places),
    )


def full_mesh(*nodes: ChartNode) -> Chart:
    """The chart on which all of them have lanes with each other."""
    claims = {
        one.fingerprint: [(other.fingerprint, 10_000, 1_000_000) for other in nodes if other is not one]
        for one in nodes
    }
    return Chart.build(nodes, claims)
