"""What of one verified bottle a chart is made of, and where the node is that signed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from port17.navigator.atlas import Atlas, Unplaceable
from port17.navigator.geo import Place
from port17.records.bottle import OFFLINE, Bottle, Slot
from port17.records.exit_rules import ExitRules


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """Of a bottle what the chart is made of; the rest need not be kept.

    :param sequence: of label and contents.
    :param slots: per suite, the prekeys that its contents commit to.
    :param lanes: peer, latency in microseconds, capacity in bytes per second; as it claims.
    :param load: by its own word, permille.
    :param offline: it has said that it leaves.
    :param places: where its addresses are.
    :param misplaced: why nobody can tell where it is, although there is somebody to ask; else empty.
    """

    sequence: tuple[int, int]
    node_id: str
    name: str
    group: str
    addresses: Mapping[str, tuple[str, ...]]
    suites: tuple[str, ...]
    exit: ExitRules | None
    slots: Mapping[str, tuple[Slot, ...]]
    lanes: tuple[tuple[bytes, int, int], ...]
    load: int
    offline: bool
    places: tuple[Place, ...]
    misplaced: str

    @classmethod
    def by(cls, bottle: Bottle, atlas: Atlas) -> Self:
        """
        :param atlas: says where addresses are.
        """
        label, contents = bottle.label, bottle.contents
        places: tuple[Place, ...] = ()
        misplaced = ""
        try:
            places = atlas.places(label.addresses)
        except Unplaceable as error:
            misplaced = error.message
        addresses = {transport: tuple(found) for transport, found in label.addresses.items()}
        return cls(
            bottle.sequence,
            label.identity.node_id,
            label.name,
            label.group,
            MappingProxyType(addresses),
            tuple(label.suites),
            None if label.exit is None else ExitRules.parse(label.exit),
            contents.slots,
            contents.lanes,
            contents.load,
            OFFLINE in contents.flags,
            places,
            misplaced,
        )
