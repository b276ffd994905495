"""The rules of one mesh, one by one: how many lanes, whose are granted, who cannot push whom out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from port17.node.backoff import STEADY_S
from port17.node.candidates import Candidates
from port17.node.commands import Dial, Retire
from port17.node.lane_cost import LaneCost
from port17.node.lane_trial import TRIAL_S
from port17.node.mesh import PROMISE_S, Mesh
from port17.records.bottle import Lane

from .mesh_world import NOW, Folder, leave, print_of, spread, town

OWN = print_of(0)
EVIL = 1_000_000
"""From here on the numbers of an attacker's identities."""


class Bench:
    """One mesh, and nodes that grant it whatever it asks for."""

    def __init__(
        self,
        others: int,
        *,
        seed: int = 0,
        pinned: Iterable[bytes] = (),
        lanes: int | None = None,
        own: bytes = OWN,
    ) -> None:
        self.folder = Folder()
        self.folder.put(own, address="192.0.2.1:1")
        for number in range(1, others + 1):
            self.folder.put(print_of(number), address=spread(number))
        self.known = Candidates(self.folder)
        self.known.read()
        self.objections: dict[bytes, str] = {}
        self.now_s = 0.0
        rng = random.Random(seed)
        self.cost = LaneCost(self.folder, rng)
        self.mesh = Mesh(
            own,
            self.known,
            self.cost,
            rng,
            pinned=list(pinned),
            lanes=lanes,
            objection=lambda one: self.objections.get(one, ""),
        )
        self.retired: list[bytes] = []

    def dials(self) -> list[bytes]:
        commands = self.mesh.tend(self.now_s)
        self.retired += [command.peer for command in commands if isinstance(command, Retire)]
        return [command.peer for command in commands if isinstance(command, Dial)]

    def settle(self, seconds: float = 10.0) -> None:
        """Time passes, and every lane that is dialled stands at once."""
        end_s = self.now_s + seconds
        while self.now_s <= end_s:
            dials = self.dials()
            for peer in dials:
                self.mesh.stands(peer, self.now_s, ours=True)
            if not dials:
                assert self.mesh.due_s > self.now_s
                self.now_s = self.mesh.due_s
        self.now_s = end_s

    def asks(self, peer: bytes) -> str:
        """Somebody asks for a lane, and has it if it is granted."""
        refusal = self.mesh.asked(peer, self.now_s)
        if not refusal:
            self.mesh.stands(peer, self.now_s, ours=False)
        return refusal


# -- how many ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("nodes", "lanes"), [(1, 0), (2, 1), (4, 3), (5, 4), (8, 4), (9, 5), (100, 9), (1000, 13), (3000, 16)]
)
def test_how_many_lanes_there_are_to_be(nodes: int, lanes: int) -> None:
    bench = Bench(nodes - 1)
    assert bench.mesh.need.nodes == nodes
    assert bench.mesh.need.target == lanes
    bench.settle()
    assert len(bench.mesh.standing) == lanes


def test_a_number_that_is_asked_for_is_taken() -> None:
    bench = Bench(200, lanes=3)
    bench.settle(3600)
    assert len(bench.mesh.standing) == 3


def test_half_are_of_its_own_choice_and_half_of_these_at_random() -> None:
    bench = Bench(999)
    dials = bench.dials()
    assert len(dials) == 7
    assert bench.mesh.choices() == {"pinned": 0, "random": 4, "near": 3, "extra": 0, "theirs": 0}
    for peer in dials:
        bench.mesh.stands(peer, 0.0, ours=True)
    assert bench.dials() == []  # the rest is left to others for a moment
    assert 1.0 < bench.mesh.due_s < 5.0
    for number in range(900, 906):
        assert bench.asks(print_of(number)) == ""
    bench.settle()
    assert bench.mesh.choices()["extra"] == 0


def test_nobody_is_dialled_who_is_not_to_be() -> None:
    bench = Bench(6)
    bench.objections = {print_of(1): "blocked", print_of(2): "not found at its address"}
    bench.folder.put(print_of(3), address=spread(3), flags=["offline"])
    bench.folder.put(print_of(4))  # no address
    bench.folder.put(print_of(5), address=spread(5), flavour="local")
    bench.known.read()
    for one in range(6):  # same sequences: only what is named is read again
        bench.known.read(print_of(one))
    bench.settle(3600)
    assert bench.mesh.standing == (print_of(6),)


def test_who_has_signed_nothing_for_hours_comes_last() -> None:
    bench = Bench(200)
    for number in range(1, 197):
        bench.folder.put(print_of(number), address=spread(number), seq=NOW - 4 * 3600)
    bench.known.read()
    bench.settle()
    assert len(bench.mesh.standing) == 10
    assert {print_of(number) for number in range(197, 201)} <= set(bench.mesh.standing)


def test_what_is_known_of_who_is_gone_is_forgotten() -> None:
    folder = Folder()
    known = Candidates(folder)
    folder.put(OWN, address=spread(0), group="us")
    known.read()
    for number in range(1, 500):
        folder.put(
            print_of(1), address=spread(number), group=f"group-{number}", seq=NOW + number, label_seq=number
        )
        known.read(print_of(1))
        assert known.without(f"group group-{number}") == 1
        assert known.without(f"group group-{number - 1}") == 2
    assert (known.present, len(known.choosable)) == (2, 2)
    folder.bottles.clear()
    known.read()
    assert (known.present, known.choosable, known.get(OWN)) == (0, [], None)
    assert not known._marked


# -- whose are granted ---------------------------------------------------------------------------------
def test_who_is_unknown_blocked_or_ourselves_is_refused() -> None:
    bench = Bench(20)
    bench.objections[print_of(2)] = "banned: equivocation"
    assert bench.asks(print_of(77))
    assert bench.asks(OWN)
    assert bench.asks(print_of(2)) == "banned: equivocation"
    assert bench.asks(print_of(3)) == ""
    assert bench.asks(print_of(3)) == ""  # once more is no second lane
    assert bench.mesh.standing == (print_of(3),)


def test_a_lane_that_was_granted_and_never_stands_is_forgotten() -> None:
    bench = Bench(999)
    refused = [bench.mesh.asked(print_of(number), 0.0) for number in range(1, 40)]
    assert refused.count("") == bench.mesh.need.most_granted
    bench.now_s = PROMISE_S
    bench.dials()
    assert bench.mesh.asked(print_of(39), PROMISE_S) == ""


def test_who_calls_whom_at_the_same_time_has_one_lane() -> None:
    bench = Bench(1)
    assert bench.dials() == [print_of(1)]
    assert bench.asks(print_of(1)) == ""
    bench.mesh.failed(print_of(1), 0.1, refused=True)  # their end of our call; there is a lane
    assert bench.mesh.standing == (print_of(1),)
    assert bench.mesh.choices()["random"] == 1  # it is still the one that we drew


@pytest.mark.parametrize("hostile", ["group", "area", "caller"])
def test_one_hand_gets_no_more_than_its_share(hostile: str) -> None:
    """300 of 1000 identities in one group, in one /16, or calling from one machine, ask all the time."""
    bench = Bench(699)
    for number in range(300):
        bench.folder.put(
            print_of(EVIL + number),
            address={"group": spread(5000 + number), "area": f"198.51.{number // 250}.7:{number + 1}"}.get(
                hostile, ""
            ),
            group="us" if hostile == "group" else "",
        )
    bench.known.read()
    evil = {print_of(EVIL + number) for number in range(300)}
    areas = ["203.0.0.0/16"] if hostile == "caller" else []

    def attack() -> None:
        for one in sorted(evil):
            if not bench.mesh.asked(one, bench.now_s, areas):
                bench.mesh.stands(one, bench.now_s, ours=False)

    attack()  # before the node has made its own
    for _ in range(20):
        bench.settle(5)
        attack()
    lanes = bench.mesh.standing
    assert len(lanes) >= 13
    assert sum(one in evil for one in lanes) <= 4  # a quarter, rounded up: 31 %


@pytest.mark.parametrize("place", [lambda number: "", lambda number: spread(5000 + number)])
def test_nobody_fills_a_node_from_a_thousand_identities(place: Callable[[int], str]) -> None:
    bench = Bench(999)
    for number in range(1000):
        bench.folder.put(print_of(EVIL + number), address=place(number))
    bench.known.read()
    evil = [print_of(EVIL + number) for number in range(1000)]
    assert [bench.asks(one) for one in evil].count("") > 10
    bench.settle()
    for one in evil:
        bench.asks(one)
    # It has its own choices all the same, half of all that it would have in peace; and there is room for
    # no more of theirs.
    choices = bench.mesh.choices()
    assert choices["random"] + choices["near"] == bench.mesh.need.share >= bench.mesh.need.target / 2
    assert choices["theirs"] <= bench.mesh.need.most_granted
    assert len(bench.mesh.standing) <= 2 * bench.mesh.need.fair
    if not place(0):  # whom nobody can call nobody chooses
        own = set(bench.mesh.standing) - set(evil)
        assert len(own) >= bench.mesh.need.share
        # and newcomers that can be called still find room
        honest = [print_of(number) for number in range(1, 1000) if print_of(number) not in own]
        assert [bench.asks(one) for one in honest].count("") >= bench.mesh.need.share


def test_an_outage_does_not_make_a_node_take_whoever_comes() -> None:
    """An attacker with many nodes in one area cuts a node off from all others for an hour."""
    bench = Bench(40)
    evil = {print_of(EVIL + number) for number in range(500)}
    for number in range(500):
        bench.folder.put(print_of(EVIL + number), address=f"198.51.{number // 250}.{number % 250}:7")
    bench.known.read()
    while bench.now_s < 3600:
        for peer in bench.dials():
            if peer in evil:
                bench.mesh.stands(peer, bench.now_s, ours=True)
            else:
                bench.mesh.failed(peer, bench.now_s)
        for one in sorted(evil)[:10]:
            bench.asks(one)
        bench.now_s += 10
    assert set(bench.mesh.standing) <= evil
    assert len(bench.mesh.standing) == bench.mesh.need.target / 4
    bench.settle(600)
    assert len(bench.mesh.standing) >= bench.mesh.need.target
    assert len(evil.intersection(bench.mesh.standing)) <= bench.mesh.need.target / 4


def test_in_a_small_network_one_group_may_have_all() -> None:
    bench = Bench(0)
    for number in range(1, 9):
        bench.folder.put(print_of(number), address=f"127.0.0.1:{number}", group="test")
    bench.known.read()
    assert [bench.asks(print_of(number)) for number in range(1, 6)] == [""] * 5
    bench.settle()
    assert len(bench.mesh.standing) == 8  # its own choices beside them
    assert [bench.asks(print_of(number)) for number in range(1, 9)] == [""] * 8


# -- pinned --------------------------------------------------------------------------------------------
def test_pinned_lanes_are_always_wanted_and_never_retired() -> None:
    bench = Bench(100, pinned=[print_of(5), OWN])
    bench.settle()
    assert print_of(5) in bench.mesh.standing
    for _ in range(3):
        bench.mesh.lost(print_of(5), bench.now_s)
        bench.settle(20)
        assert print_of(5) in bench.mesh.standing
    bench.mesh.retires(print_of(5), bench.now_s)
    bench.settle(20)
    assert print_of(5) in bench.mesh.standing
    bench.objections[print_of(5)] = "distrusted"
    bench.mesh.learned(print_of(5), bench.now_s)
    bench.mesh.learned(None, bench.now_s)
    bench.settle(20)
    assert print_of(5) in bench.mesh.standing
    assert bench.asks(print_of(5)) == ""


def test_zero_lanes_are_the_pinned_ones_alone() -> None:
    bench = Bench(50, pinned=[print_of(1), print_of(2)], lanes=0)
    bench.settle(3600)
    assert bench.mesh.standing == tuple(sorted([print_of(1), print_of(2)]))
    assert bench.asks(print_of(3))
    assert bench.mesh.due_s == float("inf")


def test_of_two_ends_that_pin_each_other_the_smaller_dials_first() -> None:
    small, great = sorted([print_of(1), print_of(2)])
    bench = Bench(2, own=small, pinned=[great], lanes=0)
    assert bench.dials() == [great]
    bench = Bench(2, own=great, pinned=[small], lanes=0)
    assert bench.dials() == []
    bench.now_s = bench.mesh.due_s
    assert 1 < bench.now_s < 5
    assert bench.dials() == [small]  # it may be pinned at this end alone


def test_a_pinned_node_that_hands_over_is_pinned_no_more() -> None:
    bench = Bench(50, pinned=[print_of(1)], lanes=0)
    bench.settle()
    bench.mesh.pin([print_of(2)])
    bench.settle()
    assert set(bench.mesh.standing) == {print_of(1), print_of(2)}
    assert bench.mesh.choices()["pinned"] == 1


# -- how lanes end -------------------------------------------------------------------------------------
def test_a_neighbour_that_leaves_or_is_blocked_is_none() -> None:
    world = town(30)
    world.run(30)
    node = world.meshes[OWN]
    first, second, *_ = node.standing
    leave(world, first)
    node.learned(first, world.now_s)
    assert first not in node.standing
    world.objections[second] = "blocked"
    node.learned(second, world.now_s)
    assert Retire(second) in node.tend(world.now_s)
    assert second not in node.standing


@pytest.mark.parametrize("first", ["news", "verb"])
def test_who_left_and_is_back_may_be_called_at_once(first: str) -> None:
    bench = Bench(1)
    bench.settle()
    if first == "verb":
        bench.mesh.retires(print_of(1), bench.now_s)
    bench.folder.put(print_of(1), address=spread(1), flags=["offline"], seq=NOW + 1)
    bench.known.read()
    bench.mesh.learned(print_of(1), bench.now_s)
    bench.mesh.retires(print_of(1), bench.now_s)
    bench.settle()
    assert bench.mesh.standing == ()
    bench.folder.put(print_of(1), address=spread(1), seq=NOW + 2)
    bench.known.read()
    bench.mesh.learned(print_of(1), bench.now_s)
    assert bench.dials() == [print_of(1)]


def test_who_does_not_answer_is_called_less_and_less_until_it_gives_a_sign_of_life() -> None:
    bench = Bench(1)
    calls = []
    while bench.now_s < 3000:
        dials = bench.dials()
        for peer in dials:
            calls.append(bench.now_s)
            bench.mesh.failed(peer, bench.now_s)
        if not dials:
            bench.now_s = bench.mesh.due_s
    gaps = [after - before for before, after in pairwise(calls)]
    assert gaps[0] < 3
    assert gaps[-1] > 100
    assert len(calls) < 30
    bench.now_s = calls[-1] + 20
    bench.mesh.learned(print_of(1), bench.now_s)
    assert bench.dials() == [print_of(1)]


def test_too_many_lanes_are_retired_one_by_one_from_those_who_have_enough() -> None:
    bench = Bench(99)
    own = bench.dials()
    for peer in own:
        bench.mesh.stands(peer, 0.0, ours=True)
    bench.settle()
    for number in range(1, 100):
        bench.asks(print_of(number))
    assert len(bench.mesh.standing) > 14  # one and a half times 9
    poor = set(bench.mesh.standing[:8])
    for number in range(1, 100):
        lanes = [
            Lane(print_of(other), 0, 0) for other in range(200, 205 if print_of(number) in poor else 230)
        ]
        bench.folder.put(print_of(number), address=spread(number), lanes=lanes, seq=NOW + 1)
    bench.known.read()
    bench.settle(STEADY_S - 1)
    assert bench.retired == []
    bench.settle(3600)
    assert len(bench.mesh.standing) == 14
    assert not poor.intersection(bench.retired)
    assert set(own) <= set(bench.mesh.standing)


def test_a_dear_lane_is_replaced_by_a_cheaper_one_made_before_it_ends() -> None:
    bench = Bench(60)
    bench.settle()
    for peer in bench.mesh.standing:
        bench.cost.measured(peer, 0.2)
    # The neighbours of all others say that these are near.
    pairs = [print_of(number) for number in range(1, 61)]
    for one, other in zip(pairs, pairs[1:] + pairs[:1], strict=True):
        for end, far in ((one, other), (other, one)):
            held = bench.folder.bottles[end].contents.lanes
            bench.folder.bottles[end].contents.lanes = (*held, Lane(far, 10_000, 0))
    before = set(bench.mesh.standing)
    bench.now_s += STEADY_S
    events: list[tuple[float, bytes]] = []
    for _ in range(200):
        for peer in bench.dials():
            events.append((bench.now_s, peer))
            assert set(bench.mesh.standing) == before
            bench.mesh.stands(peer, bench.now_s, ours=True)
            bench.cost.measured(peer, 0.01)
            assert bench.dials() == []
            assert bench.retired == []
        if bench.retired:
            break
        bench.now_s = bench.mesh.due_s
    ((begun_s, new),) = events
    assert bench.now_s - begun_s == TRIAL_S  # both were measured for as long
    (old,) = bench.retired
    assert old in before
    assert new not in before
    assert set(bench.mesh.standing) == before - {old} | {new}
    assert bench.mesh.choices()["near"] == 2  # of a share of four: random ones are not replaced


def test_a_lane_that_only_promised_to_be_cheaper_goes_itself() -> None:
    bench = Bench(60)
    bench.settle()
    for peer in bench.mesh.standing:
        bench.cost.measured(peer, 0.1)
    for number in range(1, 61):
        bench.folder.bottles[print_of(number)].contents.load = 0
    before = set(bench.mesh.standing)
    liars = [print_of(number) for number in range(1, 61) if print_of(number) not in before]
    for one, other in zip(liars, liars[1:] + liars[:1], strict=True):
        for end, far in ((one, other), (other, one)):
            held = bench.folder.bottles[end].contents.lanes
            bench.folder.bottles[end].contents.lanes = (*held, Lane(far, 1, 10**9))
    bench.now_s += STEADY_S
    for _ in range(200):
        for peer in bench.dials():
            bench.mesh.stands(peer, bench.now_s, ours=True)
            bench.cost.measured(peer, 0.3)
        if bench.retired:
            break
        bench.now_s = bench.mesh.due_s
    assert set(bench.retired[:1]) & set(liars)
    assert set(bench.mesh.standing) == before
