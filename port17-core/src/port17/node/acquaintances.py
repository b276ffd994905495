"""What a node makes of others as neighbours: whom the user pins, who can be called, and who is not wanted."""

from __future__ import annotations

from collections.abc import Collection

from port17.network import KnownNetwork
from port17.records.bottle import Label


class Acquaintances:
    """Of one node."""

    def __init__(
        self, own: bytes, network: KnownNetwork, transports: Collection[str], pinned: Collection[bytes]
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param transports: names of those that it has.
        :param pinned: what the lanes file names.
        """
        self._own = own
        self._network = network
        self._transports = transports
        self._pinned = pinned

    def pinned(self) -> frozenset[bytes]:
        """The nodes to which lanes are pinned; of who has handed over, the successor."""
        return frozenset(map(self._network.successors.resolve, self._pinned)) - {self._own}

    def is_dialable(self, label: Label) -> bool:
        """Whether a node has an address that we can and may dial."""
        return any(kind in self._transports for kind, _ in self._network.ways(label))

    def objection(self, fingerprint: bytes) -> str:
        """Why a node is not to be a neighbour; empty if it may."""
        said = self._network.reputation.barred().get(fingerprint)
        if said is not None:
            return said
        held = self._network.rack.held(fingerprint)
        return held.distrust if held is not None else ""
