"""A link between two nodes, and what has become of it as a lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import anyio

from port17.links.crane import Crane
from port17.navigator.cost import USUAL_CAPACITY
from port17.wire.lane import LaneState, LaneVerb

CAPACITY_STEP: Final = 4
"""Capacities are published as powers of this, bytes per second: what a lane has carried at its best tells
routes apart, and says little about when who used it."""


@dataclass(eq=False)
class NodeLink:
    """A link whose other end has proved to be a node, or is about to.

    :param ours: we called.
    """

    crane: Crane
    peer: bytes
    ours: bool
    stands: bool = False
    """It is a lane, or was and is retired."""
    retired_s: float | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)
    """The question whether it is to be a lane is settled, or will never be."""
    over: anyio.Event = field(default_factory=anyio.Event)
    """It is a lane no longer."""
    left: anyio.Event = field(default_factory=anyio.Event)
    """The other end knows that, too, or is gone."""
    seen: int = 0
    """Cells that it had carried at the last measurement."""
    rate: int | None = None
    """Bytes per second that it carried of late; None before the first measurement."""
    best: int = 0
    """Most bytes per second that it was seen to carry since it was last tested."""
    speed: int = 0
    """Bytes per second that it was found to carry when it was last tested; 0 if it never was."""

    @property
    def is_lane(self) -> bool:
        """It stands and is not retired."""
        return self.stands and self.retired_s is None

    @property
    def is_retiring(self) -> bool:
        """We have said that it is to be none, and the other end has not answered."""
        return self.crane.link.lane is not None and self.crane.link.lane.state is LaneState.RETIRING

    @property
    def capacity(self) -> int:
        """What is published of what it can carry; 0 says nothing.

        What was carried says how much was wanted, and is no capacity: it counts where it is more than what a
        lane is taken for of which nobody says anything.
        """
        proven = self.best if self.best >= USUAL_CAPACITY else 0
        return coarse(max(proven, self.speed))

    def tested(self, speed: int) -> None:
        """It was tested: what it carried before tells nothing any more."""
        self.speed, self.best = speed, 0

    def may(self, verb: LaneVerb) -> bool:
        """Whether this can be said now."""
        return self.crane.link.lane is not None and self.crane.link.lane.may(verb)

    def say(self, verb: LaneVerb) -> None:
        """Say it, if it can be said."""
        if self.crane.link.lane is not None and self.may(verb):
            self.crane.link.lane.say(verb)


def coarse(capacity: int) -> int:
    """A capacity as it is published: the power of :data:`CAPACITY_STEP` that it reaches; 0 for none."""
    reached = 0
    step = 1
    while step <= capacity:
        reached, step = step, step * CAPACITY_STEP
    return reached
