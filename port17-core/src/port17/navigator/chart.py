"""The chart: an immutable map of the nodes that can be used now, and of the lanes between them.

How it is made of bottles, and kept current, is :mod:`~port17.navigator.chart_maker`'s; opinions about it are
the policies'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self, TypeAlias

from port17.navigator.geo import Place
from port17.records.bottle import Slot
from port17.records.exit_rules import ExitRules

Fingerprint: TypeAlias = bytes
Claims: TypeAlias = Mapping[Fingerprint, Iterable[tuple[Fingerprint, int, int]]]
"""Per node, the lanes that it claims: peer, latency in microseconds, capacity in bytes per second."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane that both its ends claim.

    :param latency_us: microseconds of a round trip, the larger of both claims: one end cannot make itself
        attractive.
    :param capacity: bytes per second, the smaller of both claims; 0 where nobody measured.
    """

    latency_us: int = 0
    capacity: int = 0


@dataclass(frozen=True, eq=False)
class ChartNode:
    """A node that can be used now.

    :param fingerprint: 32 bytes.
    :param node_id: the fingerprint as people see it.
    :param name: its PortName.
    :param group: whose node it is; empty if it doesn't say.
    :param owner: whose node it is by the moderators' word; empty if they don't say.
    :param marks: what moderators say of it: ``trusted_exit``, ``owner_verified``.
    :param addresses: per transport; without any it serves only inside routes.
    :param suites: cipher suites that it serves and the charter allows, in the charter's order.
    :param suite: of these, the one to use with it. Empty where nobody asked.
    :param exit: its exit rules; None if it is no exit.
    :param plain_text: the charter trusts it with unencrypted connections.
    :param slots: the prekeys of ``suite`` that its contents commit to; not all of them have expired.
    :param lanes: per peer's fingerprint; only lanes that both ends claim.
    :param load: by its own word, permille.
    :param places: where its addresses are, by the user's own source: one per address that it knows.
    """

    fingerprint: Fingerprint
    node_id: str
    name: str
    group: str = ""
    owner: str = ""
    marks: frozenset[str] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suites: tuple[str, ...] = ()
    suite: str = ""
    exit: ExitRules | None = None
    plain_text: bool = False
    slots: tuple[Slot, ...] = ()
    lanes: Mapping[Fingerprint, Lane] = field(default_factory=dict)
    load: int = 0
    places: tuple[Place, ...] = ()

    def __repr__(self) -> str:
        return f"ChartNode({self.name}, {self.node_id})"


@dataclass(frozen=True)
class LeftOut:
    """A node that is known but cannot be used.

    :param name: its PortName, or the start of its id where that is not known.
    :param reason: why, for people.
    """

    name: str
    reason: str


class Chart:
    """The map. Iterating gives its nodes, in the order of their fingerprints."""

    def __init__(self, nodes: Iterable[ChartNode], left_out: Iterable[LeftOut] = ()) -> None:
        """A chart of nodes that have their lanes already; see :meth:`build`.

        :param nodes: each fingerprint once.
        :param left_out: what is known but not on it.
        """
        ordered = sorted(nodes, key=lambda node: node.fingerprint)
        self.nodes: Mapping[Fingerprint, ChartNode] = MappingProxyType(
            {node.fingerprint: node for node in ordered}
        )
        self.left_out: tuple[LeftOut, ...] = tuple(left_out)

    @classmethod
    def of_ordered(cls, nodes: dict[Fingerprint, ChartNode], left_out: Iterable[LeftOut]) -> Self:
        """The same of nodes in the order of their fingerprints.

        :param nodes: the chart's from now on.
        """
        chart = cls((), left_out)
        chart.nodes = MappingProxyType(nodes)
        return chart

    def __iter__(self) -> Iterator[ChartNode]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def find(self, text: str) -> ChartNode | None:
        """The node of a PortName or a node id, or None."""
        for node in self:
            if text in (node.name, node.node_id):
                return node
        return None

    @classmethod
    def build(cls, nodes: Iterable[ChartNode], claims: Claims, left_out: Iterable[LeftOut] = ()) -> Chart:
        """The chart of nodes without lanes and of what each claims about its lanes."""
        known = {node.fingerprint: node for node in nodes}
        claimed: dict[Fingerprint, dict[Fingerprint, Lane]] = {
            fingerprint: {
                peer: Lane(latency_us, capacity)
                for peer, latency_us, capacity in claims.get(fingerprint, ())
                if peer != fingerprint and peer in known
            }
            for fingerprint in known
        }
        drawn = []
        for fingerprint, node in known.items():
            mutual = {
                peer: Lane(
                    max(lane.latency_us, claimed[peer][fingerprint].latency_us),
                    min(lane.capacity, claimed[peer][fingerprint].capacity),
                )
                for peer, lane in sorted(claimed[fingerprint].items())
                if fingerprint in claimed[peer]
            }
            drawn.append(replace(node, lanes=MappingProxyType(mutual)))
        return cls(drawn, left_out)
