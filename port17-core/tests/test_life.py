"""The life of a node: which states may follow which, whatever happens."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from port17.node.life import ISOLATED_S, Life, State

MAY_FOLLOW = {
    State.STARTING: {State.BOOTSTRAPPING, State.LEAVING},
    State.BOOTSTRAPPING: {
        State.JOINING,
        State.STANDING,
        State.LEAVING,
    },  # standing at once, with lanes enough
    State.JOINING: {State.STANDING, State.BOOTSTRAPPING, State.LEAVING},
    State.STANDING: {State.JOINING, State.LEAVING},
    State.LEAVING: set(),
}


def test_a_node_is_introduced_joins_and_stands() -> None:
    life = Life()
    life.look(0.0, introduced=True, lanes=9, enough=1)
    assert life.state is State.STARTING
    life.start(1.0)
    life.look(1.0, introduced=False, lanes=0, enough=3)
    assert life.state is State.BOOTSTRAPPING
    life.look(2.0, introduced=True, lanes=0, enough=3)
    assert life.state is State.JOINING
    life.look(3.0, introduced=True, lanes=2, enough=3)
    assert life.state is State.JOINING
    life.look(4.0, introduced=True, lanes=3, enough=3)
    assert (life.state, life.since_s) == (State.STANDING, 4.0)


def test_whom_others_call_is_known_to_them() -> None:
    life = Life()
    life.start(0.0)
    life.look(1.0, introduced=False, lanes=1, enough=4)
    assert life.state is State.JOINING


def test_a_lane_that_is_lost_changes_nothing_and_half_of_them_do() -> None:
    life = Life()
    life.start(0.0)
    life.look(0.0, introduced=True, lanes=4, enough=4)
    life.look(1.0, introduced=True, lanes=2, enough=4)
    assert life.state is State.STANDING
    life.look(2.0, introduced=True, lanes=1, enough=4)
    assert life.state is State.JOINING


def test_who_is_alone_for_long_is_introduced_anew() -> None:
    life = Life()
    life.start(0.0)
    life.look(0.0, introduced=True, lanes=4, enough=4)
    life.look(10.0, introduced=True, lanes=0, enough=4)
    assert life.state is State.JOINING
    assert life.due_s == 10.0 + ISOLATED_S
    life.look(9.9 + ISOLATED_S, introduced=True, lanes=0, enough=4)
    assert life.state is State.JOINING
    life.look(10.0 + ISOLATED_S, introduced=False, lanes=0, enough=4)
    assert life.state is State.BOOTSTRAPPING
    assert life.due_s is None


class Lives(RuleBasedStateMachine):
    """Anything may happen in any order."""

    @initialize()
    def born(self) -> None:
        self.life = Life()
        self.now_s = 0.0
        self.before = (State.STARTING, 0.0)
        self.last: tuple[bool, int, int] | None = None
        self.gone = False

    def _moves(self, to: set[State]) -> None:
        state, since_s = self.before
        assert self.life.state is state or self.life.state in MAY_FOLLOW[state]
        assert self.life.state is state or self.life.state in to
        if self.life.state is state:
            assert self.life.since_s == since_s
        else:
            assert self.life.since_s == self.now_s
        self.before = (self.life.state, self.life.since_s)

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def starts(self) -> None:
        self.life.start(self.now_s)
        self._moves({State.BOOTSTRAPPING})

    @rule()
    def leaves(self) -> None:
        self.life.leave(self.now_s)
        self.gone = True
        self._moves({State.LEAVING})

    @rule(introduced=st.booleans(), lanes=st.integers(0, 6), enough=st.integers(0, 6))
    def looks(self, introduced: bool, lanes: int, enough: int) -> None:
        self.life.look(self.now_s, introduced=introduced, lanes=lanes, enough=enough)
        self._moves({State.BOOTSTRAPPING, State.JOINING, State.STANDING})
        if self.life.state is State.STANDING:
            assert 2 * lanes >= enough
        if self.life.state is State.JOINING:
            assert lanes < enough
        if self.life.state is State.BOOTSTRAPPING:
            assert not lanes
        # To look twice changes nothing more, unless there is something new.
        if self.life.state is not State.BOOTSTRAPPING:
            state = self.life.state
            self.life.look(self.now_s, introduced=introduced, lanes=lanes, enough=enough)
            assert self.life.state is state

    @invariant()
    def who_leaves_is_gone(self) -> None:
        assert (self.life.state is State.LEAVING) == self.gone

    @invariant()
    def what_is_due_is_ahead(self) -> None:
        due_s = self.life.due_s
        assert due_s is None or self.life.since_s <= due_s


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
