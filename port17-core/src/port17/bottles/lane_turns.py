"""When this node may call a node as a neighbour that it has never met: at a site that many nodes name, by
turns, so that all nodes together don't flood what somebody else names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from port17.bottles.checkers import sites_of
from port17.records.bottle import Bottle
from port17.records.framing import digest

TURN_S: Final = 1.0
"""Seconds between the turns of two nodes at one site, on average: all nodes together call it 60 times a
minute at most, however many they are."""
CROWDED: Final = 16
"""Nodes that may name a site without turns: whoever draws neighbours by lot calls the site as often as it
would call as many honest nodes."""
SMALL: Final = 64
"""Nodes of a network in which nobody waits for the first turn: if all call at once, these are few."""
SITES_CAP: Final = 4096
"""Most sites whose turns are remembered; at others one waits for the first turn again."""
LOT_SIZE: Final = 8
"""Bytes of a hash that are taken for a fraction."""


class LaneTurns:
    """The turns of one node."""

    def __init__(self, own: bytes) -> None:
        """:param own: its fingerprint, which draws its first turn at each site."""
        self._own = own
        self._next: dict[str, float] = {}

    def take(self, bottle: Bottle, nodes: int, naming: Callable[[str], int], now_s: float) -> bool:
        """Call a node now, if it is time; it has not answered at its addresses before.

        :param nodes: how many there are.
        :param naming: how many of them name a site.
        :param now_s: of any clock that never goes back.
        """
        sites = [site for site in sites_of(bottle) if naming(site) > CROWDED]
        if any(self._turn(site, nodes, now_s) > now_s for site in sites):
            return False
        for site in sites:
            self._remember(site, now_s + nodes * TURN_S)
        return True

    def _turn(self, site: str, nodes: int, now_s: float) -> float:
        held = self._next.get(site)
        if held is None:
            lot = digest("lane's turn", self._own, site.encode())[:LOT_SIZE]
            share = int.from_bytes(lot, "big") / (1 << (8 * LOT_SIZE))
            held = now_s + (share * nodes * TURN_S if nodes > SMALL else 0.0)
            self._remember(site, held)
        return held

    def _remember(self, site: str, turn_s: float) -> None:
        self._next.pop(site, None)
        while len(self._next) >= SITES_CAP:
            del self._next[next(iter(self._next))]
        self._next[site] = turn_s
