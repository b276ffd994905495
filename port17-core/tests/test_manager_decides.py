"""What a node's manager commands, from its start to its end."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.node.candidates import OFFLINE
from port17.node.commands import Command, Dial, Follow, Introduce, Retire, Sign, Stop
from port17.node.life import ISOLATED_S
from port17.node.manager import Manager, State
from port17.records.bottle import Lane

from .mesh_world import NOW, Folder, print_of, spread

OWN = print_of(0)


class Shell:
    """A manager, and who does what it says: everybody grants whatever is asked, unless he is silent."""

    def __init__(
        self,
        others: int,
        *,
        seed: int = 0,
        groups: Iterable[str] = (),
        silent: Collection[bytes] = (),
        lanes: int | None = None,
        pinned: Collection[bytes] = (),
        drain_s: float = 30.0,
    ) -> None:
        self.folder = Folder()
        self.folder.put(OWN, address="192.0.2.1:1")
        named = [*groups, *[""] * others]
        for number in range(1, others + 1):
            self.folder.put(print_of(number), address=spread(number), group=named[number - 1])
        self.silent = set(silent)
        self.manager = Manager(
            OWN, self.folder, random.Random(seed), lanes=lanes, pinned=pinned, drain_s=drain_s
        )
        self.now_s = 0.0
        self.log: list[tuple[float, Command]] = []

    def wake(self) -> list[Command]:
        commands = self.manager.wake(self.now_s)
        self.log += [(self.now_s, command) for command in commands]
        return commands

    def settle(self, seconds: float) -> None:
        """Time passes, and all commands are carried out at once."""
        end_s = self.now_s + seconds
        while self.now_s <= end_s:
            commands = self.wake()
            for command in commands:
                match command:
                    case Introduce(peer) | Dial(peer) if peer in self.silent:
                        self.manager.failed(peer, self.now_s)
                    case Introduce(peer):
                        self.manager.introduced(peer, self.now_s)
                    case Dial(peer):
                        self.manager.stands(peer, self.now_s, ours=True)
            if not commands:
                assert self.manager.due_s > self.now_s
                self.now_s = self.manager.due_s
        self.now_s = end_s

    def said(self, kind: type[Command]) -> list[tuple[float, Command]]:
        return [(at_s, command) for at_s, command in self.log if isinstance(command, kind)]


# -- coming ------------------------------------------------------------------------------------------------
def test_nothing_is_done_before_the_start() -> None:
    shell = Shell(5)
    assert shell.wake() == []
    assert shell.manager.due_s == math.inf
    assert shell.manager.state is State.STARTING
    assert shell.manager.asked(print_of(1), 0.0) == "the node is starting"


def test_a_newcomer_is_introduced_then_has_lanes_then_tells_of_them() -> None:
    shell = Shell(20)
    shell.manager.start(0.0)
    first = shell.wake()
    assert [type(command) for command in first] == [Introduce, Introduce]
    assert shell.manager.state is State.BOOTSTRAPPING
    assert shell.wake() == []  # nobody is called as a node before somebody knows it
    for command in first:
        assert isinstance(command, Introduce)
        shell.manager.introduced(command.peer, 0.5)
    shell.now_s = 0.5
    dials = shell.wake()
    assert {type(command) for command in dials} == {Dial}
    assert shell.manager.state is State.JOINING
    for command in dials:
        assert isinstance(command, Dial)
        shell.manager.stands(command.peer, 1.0, ours=True)
    shell.now_s = 1.0
    assert shell.wake() == [Follow(peer) for peer in shell.manager.lanes]
    assert shell.manager.state is State.STANDING
    shell.now_s = shell.manager.due_s
    (signed,) = [command for command in shell.wake() if isinstance(command, Sign)]
    assert shell.now_s == pytest.approx(2.0)
    assert signed == Sign(tuple(Lane(peer, 0, 0) for peer in shell.manager.lanes), 0, ())


@pytest.mark.parametrize("seed", range(10))
def test_a_newcomer_turns_to_nodes_of_different_groups(seed: int) -> None:
    shell = Shell(12, seed=seed, groups=["us"] * 11)
    shell.manager.start(0.0)
    introduced = {command.peer for command in shell.wake() if isinstance(command, Introduce)}
    assert len(introduced) == 2
    assert print_of(12) in introduced  # or it would hear from one hand alone


def test_a_newcomer_turns_to_those_who_have_signed_lately() -> None:
    shell = Shell(40)
    for number in range(1, 39):
        shell.folder.put(print_of(number), address=spread(number), seq=NOW - 86_400)
    shell.manager.start(0.0)
    introduced = {command.peer for command in shell.wake() if isinstance(command, Introduce)}
    assert introduced == {print_of(39), print_of(40)}


def test_of_one_group_alone_it_makes_do() -> None:
    shell = Shell(3, groups=["us"] * 3)
    shell.manager.start(0.0)
    assert len(shell.wake()) == 2


def test_whoever_does_not_answer_is_passed_over() -> None:
    shell = Shell(6, silent=[print_of(number) for number in range(1, 5)])
    shell.manager.start(0.0)
    shell.settle(30)
    assert shell.manager.state is State.STANDING
    assert set(shell.manager.lanes) == {print_of(5), print_of(6)}


def test_one_who_answers_is_enough_after_a_while_and_at_once_if_there_is_no_other() -> None:
    shell = Shell(4, silent=[print_of(number) for number in range(1, 4)])
    shell.manager.start(0.0)
    shell.settle(9)
    assert shell.manager.state is State.BOOTSTRAPPING
    shell.settle(2)
    assert shell.manager.lanes == (print_of(4),)
    shell = Shell(1)
    shell.manager.start(0.0)
    shell.settle(0.1)
    assert shell.manager.state is State.STANDING


def test_the_first_node_of_a_network_waits_for_the_second() -> None:
    shell = Shell(0)
    shell.manager.start(0.0)
    shell.settle(3600)
    assert shell.manager.state is State.BOOTSTRAPPING
    shell.folder.put(print_of(1), address=spread(1))
    shell.manager.learned(print_of(1), shell.now_s)
    assert shell.manager.asked(print_of(1), shell.now_s) == ""
    shell.manager.stands(print_of(1), shell.now_s, ours=False)
    assert Follow(print_of(1)) in shell.wake()
    assert shell.manager.state is State.STANDING


def test_what_a_source_knows_is_used_at_once() -> None:
    shell = Shell(1)
    shell.manager.start(0.0)
    assert shell.wake() == [Introduce(print_of(1))]
    for number in range(2, 30):
        shell.folder.put(print_of(number), address=spread(number))
        shell.manager.learned(print_of(number), 0.1)
    shell.manager.introduced(print_of(1), 0.1)
    shell.now_s = 0.1
    (second,) = shell.wake()  # now that there are more, one is too few
    assert isinstance(second, Introduce)
    shell.manager.introduced(second.peer, 0.2)
    shell.settle(10)
    assert len(shell.manager.lanes) == 7


def test_who_has_been_alone_for_long_is_introduced_anew() -> None:
    shell = Shell(5)
    shell.manager.start(0.0)
    shell.settle(20)
    assert shell.manager.state is State.STANDING
    shell.silent = {print_of(number) for number in range(1, 6)}
    for peer in shell.manager.lanes:
        shell.manager.lost(peer, shell.now_s)
    before = len(shell.said(Introduce))
    shell.settle(ISOLATED_S - 1)
    assert shell.manager.state is State.JOINING
    shell.settle(2)
    assert shell.manager.state is State.BOOTSTRAPPING
    assert len(shell.said(Introduce)) > before
    shell.silent = set()
    shell.settle(400)
    assert shell.manager.state is State.STANDING


# -- pinned ------------------------------------------------------------------------------------------------
def test_pinned_lanes_need_no_introduction() -> None:
    shell = Shell(5, lanes=0, pinned=[print_of(1), print_of(2)])
    shell.manager.start(0.0)
    shell.settle(10)
    assert shell.said(Introduce) == []
    assert set(shell.manager.lanes) == {print_of(1), print_of(2)}
    assert shell.manager.state is State.STANDING


def test_a_pinned_node_that_does_not_know_us_is_shown_our_bottle() -> None:
    shell = Shell(3, lanes=0, pinned=[print_of(1)])
    shell.manager.start(0.0)
    while not (commands := shell.wake()):
        shell.now_s = shell.manager.due_s
    assert commands == [Dial(print_of(1))]
    shell.manager.failed(print_of(1), shell.now_s)
    assert shell.wake() == [Introduce(print_of(1))]
    shell.manager.introduced(print_of(1), shell.now_s)
    shell.settle(10)
    assert shell.manager.lanes == (print_of(1),)
    # One that is gone is not asked all the time.
    shell.manager.lost(print_of(1), shell.now_s)
    shell.silent = {print_of(1)}
    before = len(shell.said(Introduce))
    shell.settle(600)
    assert len(shell.said(Introduce)) - before <= 11


# -- standing ----------------------------------------------------------------------------------------------
def standing(others: int = 30, **settings: float) -> Shell:
    shell = Shell(others, **settings)  # type: ignore[arg-type]
    shell.manager.start(0.0)
    shell.settle(120)
    assert shell.manager.state is State.STANDING
    shell.log.clear()
    return shell


def test_sync_that_ends_is_opened_again() -> None:
    shell = standing()
    peer, other, *_ = shell.manager.lanes
    shell.manager.unfollowed(peer, shell.now_s)
    assert shell.wake() == []
    begun_s = shell.now_s
    shell.settle(60)
    ((at_s, command),) = shell.said(Follow)
    assert (command, at_s - begun_s) == (Follow(peer), 5.0)
    shell.manager.unfollowed(other, shell.now_s)
    shell.manager.lost(other, shell.now_s)
    shell.silent = {other}
    shell.settle(60)
    assert Follow(other) not in [command for _, command in shell.said(Follow)]


def test_contents_are_signed_soon_then_slower_and_slower() -> None:
    shell = standing()
    begun_s = shell.now_s
    for number in range(120):  # something changes every two seconds
        shell.manager.loaded(1000 * ((number + 1) % 2))
        shell.settle(2)
    times = [at_s - begun_s for at_s, _ in shell.said(Sign)]
    assert times[0] == pytest.approx(1.0)
    gaps = [after - before for before, after in pairwise(times)]
    assert all(1.9 <= gap <= 63 for gap in gaps)
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 60
    assert len(times) <= 8
    # Once it has been quiet, the next change is told soon again.
    shell.manager.loaded(0)
    shell.settle(300)
    shell.log.clear()
    begun_s = shell.now_s
    shell.manager.loaded(500)
    shell.settle(20)
    ((at_s, signed),) = shell.said(Sign)
    assert at_s - begun_s == pytest.approx(1.0)
    assert isinstance(signed, Sign)
    assert signed.load == 500


def test_a_sign_of_life_comes_every_hour_or_sooner() -> None:
    shell = standing()
    begun_s = shell.now_s
    shell.settle(24 * 3600)
    times = [begun_s, *(at_s for at_s, _ in shell.said(Sign))]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(2600 <= gap <= 3600 for gap in gaps)
    assert len(set(gaps)) == len(gaps)  # not all at the same time


@pytest.mark.parametrize(
    ("changes", "news"),
    [
        ([("load", 99)], False),
        ([("load", 100)], True),
        ([("latency", 0.030)], True),  # nothing was known
        ([("latency", 0.004)], False),  # as good as nothing
        ([("lost", 0)], True),
        ([("load", 500), ("load", 0)], False),  # and back before it was told
    ],
)
def test_only_what_matters_is_told(changes: list[tuple[str, float]], news: bool) -> None:
    shell = standing()
    peer = shell.manager.lanes[0]
    for what, value in changes:
        match what:
            case "load":
                shell.manager.loaded(int(value))
            case "latency":
                shell.manager.measured(peer, value)
            case "lost":
                shell.manager.lost(peer, shell.now_s)
        shell.settle(0.1)
    shell.settle(10)
    assert bool(shell.said(Sign)) == news


def test_a_lane_that_is_retired_is_told_of_at_once() -> None:
    shell = standing()
    peer = shell.manager.lanes[0]
    shell.manager.retires(peer, shell.now_s)
    begun_s = shell.now_s
    shell.silent = {print_of(number) for number in range(31)}
    shell.settle(1.5)
    ((at_s, signed),) = shell.said(Sign)
    assert at_s - begun_s == pytest.approx(1.0)
    assert isinstance(signed, Sign)
    assert peer not in [lane.fingerprint for lane in signed.lanes]


def test_who_cannot_be_called_is_told_apart_by_where_it_calls_from() -> None:
    shell = standing(100)
    for number in range(200, 320):
        shell.folder.put(print_of(number))
        shell.manager.learned(print_of(number), shell.now_s)

    def granted(numbers: range, place: str) -> int:
        return [shell.manager.asked(print_of(one), shell.now_s, address=place) for one in numbers].count("")

    assert granted(range(200, 240), "81.2.69.9:4711") == 3  # of a target of ten
    # A proxy in front of the node makes all callers one, which says nothing;
    assert granted(range(240, 250), "127.0.0.1:4711") == 10
    # and who can be called is known by its bottle.
    assert granted(range(90, 98), "81.2.69.9:4711") == 8


# -- going -------------------------------------------------------------------------------------------------
def test_who_leaves_says_so_then_retires_its_lanes_then_stops() -> None:
    shell = standing()
    lanes = shell.manager.lanes
    shell.manager.leave(shell.now_s)
    assert shell.wake() == [Sign((), 0, (OFFLINE,))]
    assert shell.manager.state is State.LEAVING
    assert shell.manager.asked(print_of(3), shell.now_s) == "the node is leaving"
    shell.manager.drained(shell.now_s)
    assert shell.wake() == []  # its last words are still on their way
    shell.now_s = shell.manager.due_s
    assert shell.now_s == 122.0
    assert shell.wake() == [*map(Retire, lanes), Stop()]
    assert shell.manager.due_s == math.inf
    assert shell.wake() == []


@pytest.mark.parametrize(("drain_s", "ends_s"), [(30.0, 150.0), (1.0, 121.0), (0.0, 120.0)])
def test_who_leaves_does_not_wait_for_ever(drain_s: float, ends_s: float) -> None:
    shell = standing(drain_s=drain_s)
    shell.manager.leave(shell.now_s)
    shell.settle(60)
    kinds = [type(command) for _, command in shell.log]
    assert kinds[0] is Sign
    assert kinds[-1] is Stop
    assert shell.log[-1][0] == ends_s
    assert kinds.count(Stop) == kinds.count(Sign) == 1


def test_a_lane_that_comes_to_stand_while_it_leaves_is_retired() -> None:
    shell = standing()
    shell.manager.leave(shell.now_s)
    shell.wake()
    late = print_of(99)
    shell.manager.stands(late, shell.now_s, ours=True)
    assert Follow(late) not in shell.wake()
    shell.settle(5)
    assert Retire(late) in [command for _, command in shell.log]


def test_who_never_started_just_stops() -> None:
    shell = Shell(5)
    shell.manager.leave(0.0)
    assert shell.wake() == [Stop()]


# -- whatever happens --------------------------------------------------------------------------------------
EVENTS = "answer refuse ask lost retires unfollowed learned forgotten load wait offline leave drained"
INPUTS = st.lists(st.tuples(st.sampled_from(EVENTS.split()), st.integers(0, 9)), max_size=80)


@settings(max_examples=80, deadline=None)
@given(INPUTS, st.integers(0, 3), st.sampled_from([None, 0, 3]))
def test_whatever_happens_in_whatever_order(
    inputs: list[tuple[str, int]], seed: int, lanes: int | None
) -> None:
    shell = Shell(8, seed=seed, lanes=lanes, pinned=[print_of(2)])
    manager, folder = shell.manager, shell.folder
    manager.start(0.0)
    open_: list[Command] = []
    stopped, seq = False, NOW
    for what, number in inputs:
        peer, seq = print_of(number), seq + 1
        command = open_.pop(number % len(open_)) if what in ("answer", "refuse") and open_ else None
        match what, command:
            case "answer", Introduce(one):
                manager.introduced(one, shell.now_s)
            case "answer", Dial(one):
                manager.stands(one, shell.now_s, ours=True)
            case "refuse", Introduce(one):
                manager.failed(one, shell.now_s)
            case "refuse", Dial(one):
                manager.failed(one, shell.now_s, refused=True)
            case "ask", _:
                refusal = manager.asked(peer, shell.now_s, address=spread(number))
                assert peer != OWN or refusal
                if not refusal and Dial(peer) in open_:
                    open_.remove(Dial(peer))  # whoever called first, it is one lane
                if not refusal and number % 2:
                    manager.stands(peer, shell.now_s, ours=False)
            case "lost", _:
                manager.lost(peer, shell.now_s)
            case "retires", _:
                manager.retires(peer, shell.now_s)
            case "unfollowed", _:
                manager.unfollowed(peer, shell.now_s)
            case "learned" | "offline", _:
                flags = [OFFLINE] if what == "offline" else []
                folder.put(peer, address=spread(number), flags=flags, seq=seq)
                manager.learned(peer, shell.now_s)
            case "forgotten", _:
                folder.bottles.pop(peer, None)
                manager.learned(peer if number % 2 else None, shell.now_s)
            case "load", _:
                manager.loaded(111 * number)
            case "wait", _:
                shell.now_s += number * number
            case "leave", _:
                manager.leave(shell.now_s)
            case "drained", _:
                manager.drained(shell.now_s)
        commands = shell.wake()
        assert not (stopped and commands)
        stopped = stopped or Stop() in commands
        assert commands[-1:] == [Stop()] or Stop() not in commands
        for done in commands:
            match done:
                case Dial(one) | Introduce(one):
                    assert one != OWN
                    assert manager.state is not State.LEAVING
                    assert one not in manager.lanes
                    assert done not in open_
                    open_.append(done)
                case Follow(one):
                    assert one in manager.lanes
                case Retire(one):
                    assert one not in manager.lanes
                case Sign(signed, _, flags):
                    assert flags or tuple(lane.fingerprint for lane in signed) == manager.lanes
        assert shell.wake() == []  # to be asked twice is no reason to do more
        assert manager.due_s > shell.now_s
