"""The graph that meshes make of themselves: lanes enough, few hops, mutual, healed after loss. There is no
gossip: everybody knows everybody at once."""

from __future__ import annotations

import math
import random

import pytest

from port17.node.commands import Dial

from .mesh_world import World, leave, print_of, spread, town


def target(nodes: int) -> int:
    """By the rule, written down once more."""
    return min(nodes - 1, max(4, math.ceil(1.3 * math.log2(nodes))))


def fewest(world: World) -> int:
    return min(len(found) for found in world.lanes().values())


@pytest.mark.parametrize(("nodes", "hops"), [(2, 1), (5, 1), (30, 3), (200, 4), (1000, 4), (3000, 5)])
def test_everybody_has_lanes_enough_and_is_near_to_everybody(nodes: int, hops: int) -> None:
    world = town(nodes)
    world.run(30)
    lanes = world.lanes()
    assert fewest(world) >= target(nodes)
    assert 0 < world.diameter() <= hops
    assert world.one_sided() == []
    # The work is shared: nobody is the hub of the others, and few lanes are made in vain.
    assert max(map(len, lanes.values())) <= 2 * target(nodes)
    if nodes >= 30:
        assert sum(map(len, lanes.values())) <= 1.35 * nodes * target(nodes)
        assert sum(world.dials.values()) <= 1.2 * len(world.links)


def test_a_newcomer_has_half_its_lanes_at_once_and_the_rest_soon() -> None:
    world = town(150)
    world.run(30)
    newcomer = print_of(10_000)
    world.add(newcomer, address=spread(10_000))
    world.run(0.2)
    assert len(world.meshes[newcomer].standing) >= target(151) / 2
    world.run(5)
    assert len(world.meshes[newcomer].standing) >= target(151)
    world.run(60)
    assert world.one_sided() == []


def test_a_network_that_grows_one_by_one_ends_up_like_one_that_was_there() -> None:
    world = World(3)
    for number in range(200):
        world.add(print_of(number), address=spread(number))
        world.run(0.5)
        world.publish()
    world.known.read()
    for _ in range(12):
        for one in list(world.meshes):
            world.wake(one)
        world.run(300)
        world.publish()
    assert fewest(world) >= target(200)
    assert world.diameter() <= 4
    # What the growth made too many of was retired, and everybody who lost one had enough.
    assert max(map(len, world.lanes().values())) <= math.ceil(1.5 * target(200))
    assert world.one_sided() == []


def test_lanes_heal_while_nodes_come_and_go() -> None:
    world = town(200, seed=5)
    world.run(30)
    rng = random.Random(5)
    alive = [print_of(number) for number in range(200)]
    for round_ in range(5):
        # A tenth goes: half of it says so, the other half is just gone.
        gone = rng.sample(alive, 20)
        for number, one in enumerate(gone):
            if number % 2:
                leave(world, one)
            world.crash(one)
        came = [print_of(1000 * (round_ + 1) + number) for number in range(20)]
        for number, one in enumerate(came):
            world.add(one, address=spread(2000 + 100 * round_ + number))
        alive = [one for one in alive if one not in gone] + came
        for one in list(world.meshes):
            world.wake(one)
        world.run(45)
        assert fewest(world) >= target(200)
        assert 0 < world.diameter() <= 4
        assert world.one_sided() == []


def test_both_sides_of_a_partition_heal_and_become_one_again() -> None:
    world = town(120, seed=2)
    world.run(30)
    sides = {print_of(number): number % 3 == 0 for number in range(120)}
    world.split({one: int(side) for one, side in sides.items()})
    world.run(120)
    for one in (print_of(0), print_of(1)):
        assert world.component(one) == {other for other, side in sides.items() if side == sides[one]}
    # Each side calls the other's nodes now and then, but not without end.
    assert sum(world.dials.values()) < 40 * len(world.meshes)
    assert fewest(world) >= target(120) - 1  # of the smaller side, whose lanes find fewer who answer
    world.apart = {}
    world.run(600)
    # Now and then each node calls somebody who did not answer before. One lane makes them one network again,
    assert world.component(print_of(0)) == set(sides)
    assert fewest(world) >= target(120)
    assert world.one_sided() == []
    world.run(3600)  # and the more of them, the shorter its ways.
    across = [link for link in world.links if len({sides[one] for one in link}) == 2]
    assert len(across) >= len(sides)
    assert world.diameter() <= 4


def test_nodes_that_cannot_be_called_have_their_lanes_too() -> None:
    world = World(4)
    for number in range(200):
        world.folder.put(print_of(number), address=spread(number) if number % 4 == 0 else "")
    world.known.read()
    for number in range(200):
        world.add(print_of(number), address=spread(number) if number % 4 == 0 else "")
    world.run(60)
    assert fewest(world) >= target(200)
    assert 0 < world.diameter() <= 4
    called = {command.peer for _, _, command in world.log if isinstance(command, Dial)}
    assert called <= {print_of(number) for number in range(0, 200, 4)}


@pytest.mark.parametrize("place", ["10.1.{0}.{1}:7", "node-{0}-{1}.example.org:7", "[2001:db8:{0}::{1}]:7"])
def test_a_network_in_one_area_is_no_smaller_for_it(place: str) -> None:
    world = World(6)
    addresses = [place.format(number // 200, number % 200) for number in range(100)]
    for number, address in enumerate(addresses):
        world.folder.put(print_of(number), address=address, group="everybody")
    world.known.read()
    for number, address in enumerate(addresses):
        world.add(print_of(number), address=address, group="everybody")
    world.run(30)
    assert fewest(world) >= target(100)
    assert 0 < world.diameter() <= 3


def test_most_of_a_network_in_one_area_still_has_lanes_enough_and_takes_newcomers() -> None:
    # 120 nodes at one provider and 30 elsewhere: the limit can't be kept there, and gives way.
    world = World(7)
    addresses = [spread(number) if number < 30 else f"10.9.0.{number - 30}:7" for number in range(150)]
    for number, address in enumerate(addresses):
        world.folder.put(print_of(number), address=address)
    world.known.read()
    for number, address in enumerate(addresses):
        world.add(print_of(number), address=address)
    world.run(120)
    assert fewest(world) >= target(150)
    assert 0 < world.diameter() <= 4
    newcomer = print_of(9999)
    world.add(newcomer, address="10.9.1.1:7")
    world.run(60)
    assert len(world.meshes[newcomer].standing) >= target(151)


def test_equal_seeds_give_equal_meshes_and_others_do_not() -> None:
    def life(seed: int) -> list[tuple[object, ...]]:
        world = town(60, seed)
        world.run(20)
        world.crash(print_of(3))
        world.run(2000)
        return world.log

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_a_standing_network_is_left_as_it_is() -> None:
    world = town(100, seed=9)
    for _ in range(10):
        world.run(360)
        world.publish()
    # Until here those who have too many may retire some. Then there is nothing but the slow search for
    # cheaper lanes, which finds none where all cost the same.
    before = len(world.log)
    world.run(6 * 3600)
    assert len(world.log) == before
    for mesh in world.meshes.values():
        assert mesh.tend(world.now_s) == []


def test_a_node_that_comes_and_goes_is_left_alone() -> None:
    world = town(8, seed=8)
    world.run(30)
    flapper, address = print_of(0), spread(0)
    had = []
    for _ in range(20):
        world.crash(flapper)
        world.run(5)
        world.silent.discard(flapper)
        world.add(flapper, address=address)
        world.run(15)
        had.append(len(world.meshes[flapper].standing))
    # A restart or two are forgiven. Then its neighbours keep away for longer and longer, and have lanes
    # enough among themselves,
    assert min(had[:2]) >= 4
    assert sum(had[10:]) <= 20
    rest = {one: found for one, found in world.lanes().items() if one != flapper}
    assert min(map(len, rest.values())) >= 4
    world.run(900)  # and take it back once it stays.
    assert len(world.meshes[flapper].standing) >= 4
