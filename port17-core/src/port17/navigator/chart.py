"""The chart: an immutable map of the nodes that can be used now, and of the lanes between them.

It takes over what verified bottles say and the charter allows; opinions about it are the policies'.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from port17.navigator.agreement import (
    NOT_ALLOWED,
    NOT_SERVED,
    NOTHING_SAID,
    Agreement,
    agree,
    preference,
)
from port17.records.bottle import Bottle
from port17.records.exit_rules import ExitRules
from port17.records.identity import node_id
from port17.records.prekey import PrekeyRecord
from port17.records.revision import Revision

Fingerprint: TypeAlias = bytes
Claims: TypeAlias = Mapping[Fingerprint, Iterable[tuple[Fingerprint, int, int]]]
"""Per node, the lanes that it claims: peer, latency in microseconds, capacity in bytes per second."""
NOTHING_INHERITED: Mapping[Fingerprint, Fingerprint] = MappingProxyType({})
"""Nobody has handed over to anybody."""
NOTHING_SAID_OF: Mapping[Fingerprint, str] = MappingProxyType({})
"""Nobody is barred."""


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
    :param addresses: per transport; without any it serves only inside routes.
    :param suites: cipher suites that it serves and the charter allows, in the charter's order.
    :param suite: of these, the one to use with it; a prekey of it is held. Empty where nobody asked.
    :param exit: its exit rules; None if it is no exit.
    :param plain_text: the charter trusts it with unencrypted connections.
    :param prekeys: per suite, unexpired: that of the present slot first, then older, then future ones.
    :param lanes: per peer's fingerprint; only lanes that both ends claim.
    """

    fingerprint: Fingerprint
    node_id: str
    name: str
    group: str = ""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    suites: tuple[str, ...] = ()
    suite: str = ""
    exit: ExitRules | None = None
    plain_text: bool = False
    prekeys: Mapping[str, tuple[PrekeyRecord, ...]] = field(default_factory=dict)
    lanes: Mapping[Fingerprint, Lane] = field(default_factory=dict)

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
        """A chart of nodes that have their lanes already; see :meth:`build` and :meth:`from_rack`.

        :param nodes: each fingerprint once.
        :param left_out: what is known but not on it.
        """
        ordered = sorted(nodes, key=lambda node: node.fingerprint)
        self.nodes: Mapping[Fingerprint, ChartNode] = MappingProxyType(
            {node.fingerprint: node for node in ordered}
        )
        self.left_out: tuple[LeftOut, ...] = tuple(left_out)

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

    @classmethod
    def from_rack(
        cls,
        rack: Iterable[Bottle],
        revision: Revision,
        now: float,
        own: Collection[str] | None = None,
        why_not_own: Mapping[str, str] = NOTHING_SAID,
        heirs: Mapping[Fingerprint, Fingerprint] = NOTHING_INHERITED,
        barred: Mapping[Fingerprint, str] = NOTHING_SAID_OF,
        unnamed: Collection[Fingerprint] = frozenset(),
        exits: Collection[Fingerprint] = (),
    ) -> Chart:
        """The chart of all verified bottles of a rack.

        :param rack: a :class:`~port17.bottles.rack.BottleStore`, or any bottles.
        :param revision: the charter's revision in force: allowed suites, exits trusted for plain text.
        :param now: Unix seconds; prekeys that have expired are not taken over.
        :param own: the suites that we can use and our configuration allows; None stands for all that the
            charter allows.
        :param why_not_own: of a suite that is not among them, the reason.
        :param heirs: old identity to its successor. Lanes that name the old one lead to the new one, and so
            does trust: who holds the old key could have given it away as well.
        :param barred: nodes that no route uses, with the reason. Also ones that have no bottle.
        :param unnamed: nodes whose PortName is another's; they go by their id.
        :param exits: trusted for plain text beside those that the charter names.
        """
        trusted = frozenset(heirs.get(trusted, trusted) for trusted in (*revision.plain_text_exits, *exits))
        order = preference(revision)
        usable = order if own is None else own
        nodes: list[ChartNode] = []
        claims: dict[Fingerprint, tuple[tuple[Fingerprint, int, int], ...]] = {}
        left_out: list[LeftOut] = []
        without_bottle = dict(barred)
        for bottle in rack:
            label = bottle.label
            fingerprint = label.identity.fingerprint
            without_bottle.pop(fingerprint, None)
            if fingerprint in barred:
                left_out.append(LeftOut(label.name, barred[fingerprint]))
                continue
            agreed = agree(revision, label.suites, usable, why_not_own=why_not_own)
            prekeys = _unexpired(bottle, revision, now)
            if agreed.suite is None:
                left_out.append(LeftOut(label.name, _nothing_in_common(agreed)))
                continue
            if agreed.suite not in prekeys:
                reason = f"no unexpired prekey of it is held for {agreed.suite}, the suite to use with it"
                left_out.append(LeftOut(label.name, reason))
                continue
            nodes.append(
                ChartNode(
                    fingerprint=fingerprint,
                    node_id=label.identity.node_id,
                    name=label.identity.node_id if fingerprint in unnamed else label.name,
                    group=label.group,
                    addresses=MappingProxyType(
                        {transport: tuple(found) for transport, found in label.addresses.items()}
                    ),
                    suites=tuple(name for name in order if name in label.suites),
                    suite=agreed.suite,
                    exit=None if label.exit is None else ExitRules.parse(label.exit),
                    plain_text=fingerprint in trusted,
                    prekeys=MappingProxyType(prekeys),
                )
            )
            claims[fingerprint] = tuple(
                (heirs.get(peer, peer), latency_us, capacity)
                for peer, latency_us, capacity in bottle.contents.lanes
            )
        left_out += [LeftOut(node_id(one), reason) for one, reason in sorted(without_bottle.items())]
        return cls.build(nodes, claims, left_out)


def _unexpired(bottle: Bottle, revision: Revision, now: float) -> dict[str, tuple[PrekeyRecord, ...]]:
    """The unexpired prekeys per suite that the charter allows."""
    present = int(now) // revision.prekey_lifetime_s
    held: dict[str, list[PrekeyRecord]] = {}
    for record in bottle.bundle:
        if record.expiry > now and record.suite in revision.suites:
            held.setdefault(record.suite, []).append(record)
    return {
        # The present slot's key dies sooner than a future one's, which is what forward secrecy lives on.
        suite: tuple(sorted(records, key=lambda record: (record.slot > present, abs(record.slot - present))))
        for suite, records in held.items()
    }


def _nothing_in_common(agreed: Agreement) -> str:
    """What stands against the best of what the node serves."""
    for verdict in agreed.verdicts:
        if verdict.reason not in (NOT_SERVED, NOT_ALLOWED):
            return f"serves no cipher suite that we can use; {verdict.name}: {verdict.reason}"
    return "serves no cipher suite that the charter allows"
