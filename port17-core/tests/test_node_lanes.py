"""Links between two whole nodes, and which of them are lanes."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from port17.links.crane import Crane, dial
from port17.node import lanes
from port17.node.commands import Sign
from port17.node.node_link import coarse
from port17.wire.lane import LaneVerb

from .links_network import on_virtual_clock
from .node_world import Home, Town, one_thread, town

__all__ = ["one_thread"]


async def pair(made: Town) -> tuple[Home, Home]:
    """Two nodes that know each other and make no lanes by themselves."""
    for name in ("ash", "oak"):
        made.home(name, mesh={"lanes": 0})
    await made.start(["ash", "oak"], ["ash", "oak"])
    return made.homes["ash"], made.homes["oak"]


def pin(*homes: Home) -> None:
    """Each takes the others as neighbours whatever else holds."""
    for home in homes:
        home.running._acquaintances._pinned = {one.fingerprint for one in homes}
        home.running._driver.pin(home.running._acquaintances.pinned())


async def link(caller: Home, called: Home) -> Crane:
    """A link as a node makes it, with nothing said yet."""
    to = caller.known.responder_of(called.fingerprint)
    assert to is not None
    ship = await caller.running._transports["memory"].dial(called.endpoint)
    crane = await dial(ship, caller.running._terms, to)
    crane.link.between_nodes(lambda verb: None)
    caller.town.tasks.start_soon(crane.run)
    await crane.standing.wait()
    return crane


def test_of_two_lanes_that_were_made_at_once_the_same_stays_at_both_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            pin(ash, oak)
            for round_ in range(3):
                ash.running._lanes.dial(oak.fingerprint)
                oak.running._lanes.dial(ash.fingerprint)
                await anyio.sleep(1)
                links = [list(home.running._lanes) for home in (ash, oak)]
                assert sum(link.stands for link in links[0]) >= 2, round_
                await anyio.sleep(10)
                links = [list(home.running._lanes) for home in (ash, oak)]
                assert [len(found) for found in links] == [1, 1], round_
                smaller = min(ash, oak, key=lambda home: home.fingerprint)
                assert [found[0].ours for found in links] == [smaller is ash, smaller is oak]
                assert (ash.lanes, oak.lanes) == ({oak.fingerprint}, {ash.fingerprint})
                assert ash.running._following.open == oak.running._following.open == 1
                assert ash.running._followers() == oak.running._followers() == 1

    on_virtual_clock(run)


def test_one_node_has_so_many_links_with_another_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            cranes = [await link(oak, ash) for _ in range(lanes.PER_NODE_CAP)]
            cranes.append(await link(oak, ash))
            await anyio.sleep(1)
            assert [crane.lost for crane in cranes] == [False] * lanes.PER_NODE_CAP + [True]
            await anyio.sleep(lanes.ANSWER_S + 3)
            assert all(crane.lost for crane in cranes), "none of them was asked to be a lane"

    on_virtual_clock(run)


@pytest.mark.parametrize("verb", [LaneVerb.GRANT, LaneVerb.REFUSE, LaneVerb.RETIRE])
def test_a_node_that_speaks_out_of_turn_loses_its_link(verb: LaneVerb, tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            crane = await link(oak, ash)
            crane.link.control.say(verb)
            await anyio.sleep(1)
            assert crane.lost
            assert not ash.lanes

    on_virtual_clock(run)


def test_who_is_refused_is_let_go(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            ash.running._driver._manager._mesh.need.wanted = 0
            ash.running._driver.leave()  # who leaves grants no lanes
            oak.running._lanes.dial(ash.fingerprint)
            await anyio.sleep(3)
            assert not list(oak.running._lanes)
            assert not list(ash.running._lanes)
            assert (ash.lanes, oak.lanes) == (set(), set())

    on_virtual_clock(run)


def test_lanes_that_a_file_pins_are_made_whatever_the_mesh_needs_and_made_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            file = tmp_path / "lanes.json"
            oak = made.home("oak", mesh={"lanes": 0})
            elm = made.home("elm", mesh={"lanes": 0})
            file.write_text(json.dumps([oak.fingerprint.hex()]))
            ash = made.home("ash", mesh={"lanes": 0}, lanes=file)
            back = tmp_path / "back.json"
            back.write_text(json.dumps([ash.fingerprint.hex()]))
            object.__setattr__(oak, "config", oak.config.model_copy(update={"lanes": back}))
            await made.start(["oak", "elm", "ash"], ["oak", "elm", "ash"])
            await made.until(lambda: ash.lanes == {oak.fingerprint} and oak.lanes == {ash.fingerprint}, 20)
            await anyio.sleep(10)
            assert not elm.lanes
            for home in (ash, oak):
                assert len(home.bottle.contents.lanes) == 1
            made.cut(ash, oak)
            await made.until(lambda: not ash.lanes or not oak.lanes, 10)
            await made.until(lambda: ash.lanes == {oak.fingerprint} and oak.lanes == {ash.fingerprint}, 40)

    on_virtual_clock(run)


def test_a_lanes_latency_is_what_a_ping_took_and_what_it_happened_to_carry_is_no_capacity(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with town(tmp_path, delay_s=0.05) as made:
            ash, oak = await pair(made)
            pin(ash, oak)
            oak.running._lanes.dial(ash.fingerprint)
            await anyio.sleep(15)
            for home in (ash, oak):
                (lane,) = home.bottle.contents.lanes
                assert 100_000 <= lane.latency_us < 130_000
                assert lane.capacity == 0

    on_virtual_clock(run)


def test_a_manager_that_fails_ends_no_node(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            manager = ash.running._driver._manager
            wake, learned = manager.wake, manager.learned
            failures = 0

            def fail(*args: object) -> None:
                nonlocal failures
                failures += 1
                raise ZeroDivisionError

            manager.wake = manager.learned = fail  # type: ignore[method-assign,assignment]
            await oak.running._own.sign(Sign((), 500, ()))
            ash.running._driver.learned(oak.fingerprint)
            await anyio.sleep(5)
            assert 3 <= failures <= 12
            manager.wake, manager.learned = wake, learned  # type: ignore[method-assign]
            pin(ash, oak)
            await made.until(lambda: ash.lanes == {oak.fingerprint}, 20)

    on_virtual_clock(run)
    assert any("the manager has failed: ZeroDivisionError" in text for text in caplog.messages)


def test_capacities_are_powers() -> None:
    assert [coarse(found) for found in (0, 1, 3, 4, 15, 16, 17, 1 << 20, (1 << 22) - 1)] == [
        0,
        1,
        1,
        4,
        4,
        16,
        16,
        1 << 20,
        1 << 20,
    ]
