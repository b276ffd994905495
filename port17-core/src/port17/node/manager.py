"""The manager of a node: what it does next, from who is known, which lanes stand, and the time.

Composes the mesh and the node's life; it opens nothing and calls nobody. The shell does what it commands and
tells it what came of that.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection

from port17.node.candidates import Nodes, no_objection
from port17.node.commands import Command, Dial, Follow, Introduce, Retire, Sign, Stop
from port17.node.life import Life, State
from port17.records.bottle import Label

__all__ = [
    "Command",
    "Dial",
    "Follow",
    "Introduce",
    "Manager",
    "Retire",
    "Sign",
    "State",
    "Stop",
]


class Manager:
    """The deciding half of a node. After every input, and at :attr:`due_s`, :meth:`wake` says what to do."""

    def __init__(
        self,
        own: bytes,
        nodes: Nodes,
        rng: random.Random,
        *,
        pinned: Collection[bytes] = (),
        lanes: int | None = None,
        drain_s: float = 30.0,
        flavour: str = "public",
        dialable: Callable[[Label], bool] = lambda label: bool(label.addresses),
        objection: Callable[[bytes], str] = no_objection,
    ) -> None:
        """
        :param own: the node's fingerprint.
        :param nodes: whoever is known; a rack, for one.
        :param rng: draws neighbours and jitter. Unpredictable in earnest (``random.SystemRandom``).
        :param pinned: fingerprints of the nodes to have lanes with whatever the mesh needs.
        :param lanes: how many to see to; None takes what the size of the network asks for, 0 only the pinned.
        :param drain_s: most seconds between the last contents and :class:`Stop`.
        :param flavour: of the own label. Lanes are made within a flavour.
        :param dialable: whether a label names an address that this node may and can call.
        :param objection: why a node is not to be a neighbour now (blocked, distrusted, not at its address);
            empty if it may. Asked when one is about to be chosen or granted a lane.
        """
        self._life = Life()

    # -- inputs ------------------------------------------------------------------------------------
    def start(self, now_s: float) -> None:
        """The node listens, and can sign."""

    def introduced(self, peer: bytes, now_s: float) -> None:
        """A node has our bottle, and we have what it holds."""

    def failed(self, peer: bytes, now_s: float) -> None:
        """An introduction or a dial came to nothing, or the lane was refused."""

    def asked(self, peer: bytes, now_s: float, *, address: str = "") -> str:
        """A node asks for a lane.

        :param address: where its ship comes from, if that is known.
        :returns: empty grants it, and :meth:`stands` or :meth:`lost` is to follow; else why not.
        """
        return ""

    def stands(self, peer: bytes, now_s: float, *, ours: bool) -> None:
        """A lane was granted: it stands. Again for one that stands is no error.

        :param ours: we asked for it.
        """

    def lost(self, peer: bytes, now_s: float) -> None:
        """The last link to a node is gone, a lane or not."""

    def retires(self, peer: bytes, now_s: float) -> None:
        """The node at the other end of a lane retires it. The shell answers with RETIRE if it has not sent one."""

    def learned(self, fingerprint: bytes | None, now_s: float) -> None:
        """What is known of a node has changed, or it was forgotten.

        :param fingerprint: None if it may be any.
        """

    def measured(self, peer: bytes, round_trip_s: float, capacity: int = 0) -> None:
        """What a lane was found to be like.

        :param capacity: bytes per second; 0 says nothing.
        """

    def loaded(self, permille: int) -> None:
        """How much of what it can do the node does."""

    def leave(self, now_s: float) -> None:
        """The node is to go."""

    def drained(self, now_s: float) -> None:
        """Nobody's circuits use the node any more, and its last contents are out."""

    # -- outputs -----------------------------------------------------------------------------------
    def wake(self, now_s: float) -> list[Command]:
        """What is to be done now."""
        return []

    @property
    def due_s(self) -> float:
        """When :meth:`wake` is to be called at the latest; infinite if only an input changes anything."""
        return math.inf

    @property
    def state(self) -> State:
        """Where the node stands in its life."""
        return self._life.state

    @property
    def lanes(self) -> tuple[bytes, ...]:
        """The nodes to which a lane stands, in the order of fingerprints."""
        return ()

    def status(self) -> dict[str, object]:
        """For people: state, lanes by kind, how many are wanted, and how many nodes are known."""
        return {"state": str(self.state)}
