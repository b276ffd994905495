"""Networks of whole nodes that find each other, make lanes, and heal."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from port17.asking import SYNC, Bell, ask
from port17.links.crane import Crane, dial
from port17.node import lanes
from port17.node.own_bottle import OwnBottle
from port17.wire.circuit import Circuit
from port17.wire.lane import LaneVerb
from port17.wire.reasons import Reason

from .amended_network import CHACHA, X25519
from .links_network import on_virtual_clock
from .node_world import Client, Home, Town, one_thread, town

__all__ = ["one_thread"]
FIRST = ("n00", "n01", "n02")
LEAST = 4


def alike(made: Town) -> bool:
    """All racks say the same, and know everybody."""
    racks = [home.rack for home in made.running]
    return all(rack == racks[0] for rack in racks) and len(racks[0]) >= len(made.running)


def mutual(made: Town) -> bool:
    """What nodes say of their lanes is what stands, and both ends of each say it."""
    return all(
        home.lanes == {lane.fingerprint for lane in home.bottle.contents.lanes}
        and all(home.fingerprint in made.by(peer).lanes for peer in home.lanes)
        for home in made.running
    )


def stands(made: Town) -> bool:
    enough = min(LEAST, len(made.running) - 1)
    return all(len(home.lanes) >= enough for home in made.running) and mutual(made) and alike(made)


def in_the_chart(made: Town, home: Home) -> bool:
    """Everybody could put it into a route."""
    charts = [other.known.chart() for other in made.running]
    return all(
        home.fingerprint in chart.nodes and len(chart.nodes[home.fingerprint].lanes) >= 2 for chart in charts
    )


def test_nodes_that_know_a_list_find_each_other_and_the_network_heals(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = [f"n{number:02}" for number in range(12)]
            for name in (*names, "late"):
                made.home(name)
            await made.start(names, FIRST)
            await made.until(lambda: stands(made), 30)

            await made.homes["late"].start(FIRST)
            assert await made.until(lambda: in_the_chart(made, made.homes["late"]), 15) < 15
            await made.until(lambda: stands(made), 60)

            leaver = made.homes["n05"]
            neighbours = [made.by(peer) for peer in leaver.lanes]
            begun_s = anyio.current_time()
            retired = [home.running._lanes.current(leaver.fingerprint) for home in neighbours]
            await leaver.leave()
            assert all(link is not None and link.retired_s is not None for link in retired)
            assert anyio.current_time() - begun_s < 5, "nobody used it"
            for home in made.running:
                held = home.known.rack.get(leaver.fingerprint)
                assert held is not None
                assert held.contents.flags == ("offline",)
                assert leaver.fingerprint not in home.known.chart().nodes
            assert all(leaver.fingerprint not in home.lanes for home in neighbours)
            await made.until(lambda: stands(made), 90)

            victim = made.homes["n07"]
            assert victim.lanes
            await victim.kill()
            gone_s = await made.until(
                lambda: all(victim.fingerprint not in home.lanes for home in made.running), 15
            )
            assert gone_s < 10
            await made.until(lambda: stands(made), 90)

            await leaver.start(FIRST)
            await made.until(lambda: in_the_chart(made, leaver), 30)
            assert leaver.running._driver.state == "standing"

    on_virtual_clock(run)


def circuit_over(client: Client, crane: Crane, homes: list[Home]) -> Circuit:
    """A client's circuit over a link to the first."""
    keys = [client.known.responder_of(home.fingerprint) for home in homes]
    route = [key for key in keys if key is not None]
    assert len(route) == len(homes)
    suites = [key.suite.generate() for key in route]
    circuit = Circuit(client.known.transcript(), route, suites, client.budget, client.known.wall())
    leg = crane.link.open(circuit)
    assert leg is not None
    circuit.begin(leg)
    return circuit


def test_a_node_without_an_address_serves_in_the_middle_and_clients_cause_no_lane(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = [f"n{number:02}" for number in range(5)]
            for name in names:
                made.home(name)
            hidden = made.home("hidden", address=False)
            await made.start([*names, "hidden"], FIRST)
            await made.until(lambda: stands(made), 30)
            assert not hidden.bottle.label.addresses
            assert all(link.ours for link in hidden.running._lanes)

            client = Client(made)
            one, other = [made.by(peer) for peer in sorted(hidden.lanes)[:2]]
            crane = await client.call(one)
            fetched = await client.fetch(crane, one)
            assert set(fetched) == {home.fingerprint for home in made.running}
            before = {home.name: home.lanes for home in made.running}
            circuit = circuit_over(client, crane, [one, hidden, other])
            await anyio.sleep(1)
            assert circuit.closed is None
            assert circuit.confirmed_s is not None
            assert hidden.running._engine.foreign == 1

            crane.link.control.say(LaneVerb.ASK)  # as no client of ours does
            await anyio.sleep(1)
            assert crane.lost
            await client.call(one)
            await anyio.sleep(60)
            assert {home.name: home.lanes for home in made.running} == before
            assert hidden.running._engine.foreign == 0

    on_virtual_clock(run)


def test_a_node_that_calls_and_does_not_ask_is_cut_off(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in ("n00", "n01"):
                made.home(name, mesh={"lanes": 0})
            await made.start(["n00", "n01"], ["n00", "n01"])
            ash, oak = made.homes["n00"], made.homes["n01"]
            to = oak.known.responder_of(ash.fingerprint)
            assert to is not None
            ship = await oak.running._transports["memory"].dial(ash.endpoint)
            crane = await dial(ship, oak.running._terms, to)
            made.tasks.start_soon(crane.run)
            await crane.standing.wait()
            assert not crane.lost
            await anyio.sleep(lanes.ANSWER_S + 3)
            assert crane.lost
            assert not ash.lanes
            assert not list(ash.running._lanes)

    on_virtual_clock(run)


def test_a_lane_that_is_retired_still_carries_what_it_carried_and_then_ends(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            three = [made.home(name) for name in FIRST]
            await made.start(FIRST, FIRST)
            await made.until(lambda: all(len(home.lanes) == 2 for home in three) and mutual(made), 30)
            ash, oak, elm = three
            client = Client(made)
            crane = await client.call(ash)
            for home in three:
                await client.known.offer([home.bottle.encode()], client.trusted)
            old = circuit_over(client, crane, [ash, oak, elm])
            await anyio.sleep(1)
            assert old.confirmed_s is not None

            link = oak.running._lanes.current(elm.fingerprint)
            assert link is not None
            oak.running._lanes.retire(elm.fingerprint)
            oak.running._driver._manager.retires(elm.fingerprint, anyio.current_time())
            await anyio.sleep(3)
            assert elm.fingerprint not in oak.lanes
            assert oak.fingerprint not in elm.lanes
            # Who drew a route a moment ago still gets it; and what only keeps bottles current has ended.
            new = circuit_over(client, crane, [ash, oak, elm])
            await anyio.sleep(lanes.HOPS_TAKEN_S - 10)
            assert (new.closed, old.closed) == (None, None)
            assert new.confirmed_s is not None
            assert link.crane.link.legs == 2
            old.close(Reason.DONE)
            await anyio.sleep(20)
            late = circuit_over(client, crane, [ash, oak, elm])
            await anyio.sleep(1)
            assert late.closed is Reason.NO_LANE
            assert not link.crane.lost
            new.close(Reason.DONE)
            await anyio.sleep(5)
            assert link.crane.lost

    on_virtual_clock(run)


def test_lanes_are_made_anew_under_another_suite_before_the_old_ones_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, suites=(X25519,)) as made:
            four = [made.home(name) for name in (*FIRST, "n03")]
            await made.start([*FIRST, "n03"], FIRST)
            await made.until(lambda: all(len(home.lanes) == 3 for home in four), 30)
            made.net.now = made.wall()
            made.net.amend(suites=[CHACHA, X25519])

            def turned() -> bool:
                assert all(len(home.lanes) == 3 for home in four), "a lane broke before it was made anew"
                return all(link.crane.suite == CHACHA for home in four for link in home.running._lanes)

            await made.until(turned, 60)
            assert not any(home.losses for home in four)
            assert all(len(list(home.running._lanes)) == 3 for home in four)

    on_virtual_clock(run)


def test_a_node_whose_neighbours_prekeys_have_all_expired_asks_them_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, prekey_lifetime_s=60, overlap_s=30) as made:
            for name in (*FIRST, "late"):
                made.home(name)
            await made.start(FIRST, FIRST)
            await made.until(lambda: stands(made), 30)
            await anyio.sleep(700)
            assert stands(made)
            late = made.homes["late"]
            await late.start(FIRST)
            await made.until(lambda: in_the_chart(made, late), 60)
            assert sum(made.homes[name].running._cold.answered for name in FIRST) >= 1

    on_virtual_clock(run)


@pytest.mark.parametrize("drain_s", [4.0, 20.0])
def test_a_node_that_leaves_waits_for_those_who_use_it(drain_s: float, tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            three = [made.home(name, mesh={"drain_s": drain_s}) for name in FIRST]
            await made.start(FIRST, FIRST)
            await made.until(lambda: all(len(home.lanes) == 2 for home in three) and mutual(made), 30)
            ash, oak, elm = three
            client = Client(made)
            crane = await client.call(ash)
            for home in three:
                await client.known.offer([home.bottle.encode()], client.trusted)
            circuit = circuit_over(client, crane, [ash, oak, elm])
            await anyio.sleep(1)
            begun_s = anyio.current_time()
            made.tasks.start_soon(oak.leave)
            await anyio.sleep(3)
            assert oak.fingerprint not in ash.known.chart().nodes
            assert circuit.closed is None
            assert oak.running._driver.state == "leaving"
            await anyio.sleep(3)
            if drain_s > 6:
                assert circuit.closed is None
                circuit.close(Reason.DONE)
            await made.until(lambda: oak.node is None, 10)
            assert anyio.current_time() - begun_s < max(drain_s, 8)
            assert circuit.closed is not None

    on_virtual_clock(run)


def test_sync_is_served_to_anybody_within_bounds_that_are_each_links_own(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash = made.home("n00")
            await made.start(["n00"], [])
            client = Client(made)
            crane = await client.call(ash)
            to = client.known.responder_of(ash.fingerprint)
            assert to is not None
            reasons: list[Reason | None] = []

            async def follow() -> None:
                async with ask(crane, to, client.known, SYNC, budget=client.budget) as stream:
                    try:
                        await stream.accepted()
                        reasons.append(None)
                        await anyio.sleep(10)
                    except Exception as error:  # noqa: BLE001
                        reasons.append(getattr(error, "reason", None))

            async with anyio.create_task_group() as group:
                for _ in range(12):
                    group.start_soon(follow)
                await anyio.sleep(5)
                assert (reasons.count(None), reasons.count(Reason.RESOURCES)) == (8, 4)
                other = await client.call(ash)
                assert set(await client.fetch(other, ash)) == {ash.fingerprint}
            await anyio.sleep(1)
            assert ash.running._followers() == 0
            assert Bell is not None

    on_virtual_clock(run)


def test_who_has_nothing_to_show_is_introduced_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            for name in ("ash", "elm", "oak"):
                made.home(name)
            await made.start(("ash", "elm"), ("ash", "elm"))
            await made.until(lambda: all(home.lanes for home in made.running))
            monkeypatch.setattr(OwnBottle, "bottle", None)  # as when its name is another's
            late = made.homes["oak"]
            await late.start(("ash", "elm"))
            await anyio.sleep(30)
            status = await late.running.status({})
            assert (status["state"], status["lanes"]["introduced"]) == ("bootstrapping", 0)
            assert len(late.rack) == 3, "it learns of others all the same"
            monkeypatch.undo()

    on_virtual_clock(run)
