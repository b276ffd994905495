"""The life of a node in five states. Which it is in follows from a few facts; what is done in each is the
manager's."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

ISOLATED_S: Final = 30.0
"""Seconds without any lane after which a node introduces itself anew, as if it had just started: longer than
a neighbour's restart takes, and those who knew it may have forgotten it."""


class State(StrEnum):
    """What a node is busy with."""

    STARTING = "starting"
    """Nothing has begun: keys are made, addresses bound."""
    BOOTSTRAPPING = "bootstrapping"
    """It introduces itself: nobody knows it, and it may know few."""
    JOINING = "joining"
    """It is known, and makes lanes."""
    STANDING = "standing"
    """It has lanes enough to be of use."""
    LEAVING = "leaving"
    """It has said that it goes, and waits for those who still use it."""


class Life:
    """Where a node stands in its life."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self.since_s = 0.0
        """When this state began."""
        self._alone_since_s: float | None = None

    def start(self, now_s: float) -> None:
        """It is ready to be called. Has an effect once."""
        if self.state is State.STARTING:
            self._enter(State.BOOTSTRAPPING, now_s)

    def leave(self, now_s: float) -> None:
        """It is to go; from any state, and for good."""
        if self.state is not State.LEAVING:
            self._enter(State.LEAVING, now_s)

    def look(self, now_s: float, *, introduced: bool, lanes: int, enough: int) -> None:
        """What follows from how things are now.

        :param introduced: it has told as many nodes of itself as it needs to.
        :param lanes: how many stand.
        :param enough: how many make it one of the network.
        """
        if self.state in (State.STARTING, State.LEAVING):
            return
        if lanes:
            self._alone_since_s = None
        elif self._alone_since_s is None:
            self._alone_since_s = now_s
        if self.state is State.BOOTSTRAPPING and (introduced or lanes):
            self._enter(State.JOINING, now_s)
            self._alone_since_s = None if lanes else now_s
        if self.state is State.JOINING:
            if lanes >= enough:
                self._enter(State.STANDING, now_s)
            elif self._alone_since_s is not None and now_s >= self._alone_since_s + ISOLATED_S:
                self._enter(State.BOOTSTRAPPING, now_s)
        elif self.state is State.STANDING and 2 * lanes < enough:
            # Not at the first lane that is lost: a node at the bound would be told to be two things in turn.
            self._enter(State.JOINING, now_s)

    @property
    def due_s(self) -> float | None:
        """When time alone changes the state; None if it doesn't."""
        if self.state is not State.JOINING or self._alone_since_s is None:
            return None
        return self._alone_since_s + ISOLATED_S

    def _enter(self, state: State, now_s: float) -> None:
        self.state = state
        self.since_s = now_s
