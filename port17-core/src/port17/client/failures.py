"""What has just failed, and is set aside for a while."""

from __future__ import annotations

ASIDE_S = 30.0
"""Seconds for which a node or a lane that failed is not used: nodes come back, and a lane's edge is re-made
within some seconds."""


class Failures:
    """Nodes and lanes set aside."""

    def __init__(self) -> None:
        self._nodes: dict[bytes, float] = {}
        self._lanes: dict[tuple[bytes, bytes], float] = {}
        self._version = 0

    @property
    def nodes(self) -> frozenset[bytes]:
        """Fingerprints."""
        return frozenset(self._nodes)

    @property
    def lanes(self) -> frozenset[tuple[bytes, bytes]]:
        """Pairs of fingerprints."""
        return frozenset(self._lanes)

    def node(self, fingerprint: bytes, now_s: float) -> None:
        """A node failed."""
        self._nodes[fingerprint] = now_s + ASIDE_S
        self._version += 1

    def lane(self, source: bytes, target: bytes, now_s: float) -> None:
        """A lane failed: which of its ends is to blame is not known."""
        self._lanes[source, target] = now_s + ASIDE_S
        self._version += 1

    def forget_all(self) -> bool:
        """Use everything again; False if nothing was set aside."""
        had = bool(self._nodes or self._lanes)
        self._nodes.clear()
        self._lanes.clear()
        self._version += 1
        return had

    def version(self, now_s: float) -> int:
        """Changes whenever something is set aside or comes back."""
        nodes = {key: until for key, until in self._nodes.items() if until > now_s}
        lanes = {key: until for key, until in self._lanes.items() if until > now_s}
        if len(nodes) + len(lanes) != len(self._nodes) + len(self._lanes):
            self._nodes, self._lanes = nodes, lanes
            self._version += 1
        return self._version
