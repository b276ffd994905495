"""A client's circuits: which are shared, made ahead, made anew in time, and how many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from port17.client import spares
from port17.client.build_pace import BUILDS_BURST, BUILDS_PER_S
from port17.client.built import YOUNG_S, Built
from port17.client.circuits import AHEAD_S, REPLACE_S, UNUSED_S
from port17.client.spares import SPARE_S, SPARES, USED_S
from port17.client.timings import ENOUGH, PATIENCE_S
from port17.errors import NetworkError, NoRoute
from port17.navigator.chart import ChartNode
from port17.navigator.policy import AGREED, Judgement, NoPolicies, Objection, Request, Route
from port17.wire.reasons import Reason

from . import test_client_turnover as turnover
from .test_client_turnover import REQUEST, Client, end, on_virtual_clock, use

BUILD_S = 0.05
"""Seconds that a circuit takes to stand."""


class Rules(NoPolicies):
    """Port 22 leaves by certain nodes; nothing else is said."""

    by_request = frozenset({"exclude_exit"})

    def __init__(self) -> None:
        self.exits: set[str] = set()

    def judge_exit(self, node: ChartNode, request: Request) -> Judgement:
        refused = request.port == 22 and node.name not in self.exits
        return Judgement((Objection("rules", "not here"),)) if refused else AGREED


def confirm(client: Client, built: Built, took_s: float = BUILD_S) -> None:
    """Its last node has answered."""
    built.circuit.written_s, built.circuit.confirmed_s = 0.0, took_s
    built.circuit.on_confirmed()


def standing(client: Client) -> None:
    """Every circuit stands at once, as it were."""
    made = client.circuits._built

    def note(built: Built) -> None:
        made(built)
        begin = built.circuit.begin

        def begun(leg: Any) -> None:
            begin(leg)
            confirm(client, built)

        built.circuit.begin = begun  # type: ignore[method-assign]

    client.builder.on_built = note


def pooled(folder: Path, test: Callable[[Client], Awaitable[None]], *, replaced: bool = False) -> None:
    async def run(client: Client) -> None:
        standing(client)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.circuits.spares.run)
            if replaced:
                tasks.start_soon(client.circuits.replace)
            await anyio.sleep(5)
            await test(client)
            tasks.cancel_scope.cancel()

    on_virtual_clock(folder, run)


@pytest.fixture(autouse=True)
def five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnover, "NAMES", ("ash", "elm", "oak", "yew", "fir"))


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> Rules:
    made = Rules()
    monkeypatch.setattr(turnover, "POLICIES", made)
    return made


def of(client: Client) -> list[Built]:
    """The spares."""
    return [built for built in client.circuits if built in client.circuits.spares]


def test_spares_stand_before_anybody_asks_and_are_made_again(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        ready = of(client)
        assert len(ready) == SPARES
        one = await client.circuits.get(REQUEST)
        assert one in ready
        assert one.first_s == anyio.current_time()
        assert await client.circuits.get(REQUEST) is one, "from now on it is that connection's"
        other = await client.circuits.get(replace(REQUEST, isolation=b"other"))
        assert other in ready
        assert other is not one
        await anyio.sleep(3)
        assert len(of(client)) == SPARES
        assert not set(of(client)) & set(ready)

    pooled(tmp_path, test)


def test_a_spare_is_taken_only_where_it_suits(tmp_path: Path, rules: Rules) -> None:
    async def test(client: Client) -> None:
        plain = replace(REQUEST, port=80)
        with pytest.raises(NoRoute) as refused:
            await client.circuits.get(plain)  # no exit is trusted with it
        assert refused.value.tell is not None
        told = refused.value.tell()
        assert (told["no_route"]["lacks"], told["route"]) == ("exit", None)
        assert {one["kind"] for one in told["changes"] if one["helps"]} == {"port"}
        assert len(of(client)) == SPARES
        exits = {built.exit.name for built in of(client)}
        rules.exits = set(turnover.NAMES) - exits
        built = await client.circuits.get(replace(REQUEST, port=22))
        assert built.exit.name in rules.exits
        assert len(of(client)) == SPARES
        rules.exits = set()
        client.draws._surveys.clear()
        client.draws._none.clear()
        with pytest.raises(NoRoute):
            await client.circuits.get(replace(REQUEST, port=22, isolation=b"x"))

    pooled(tmp_path, test)


def test_one_host_s_ports_share_a_circuit_only_where_the_rules_agree(tmp_path: Path, rules: Rules) -> None:
    async def test(client: Client) -> None:
        web = await client.circuits.get(REQUEST)
        rules.exits = set(turnover.NAMES)
        shell = replace(REQUEST, port=22)
        assert await client.circuits.get(shell) is web
        assert await client.circuits.get(replace(REQUEST, program="/bin/curl")) is not web
        web.retired = True
        web = await client.circuits.get(REQUEST)
        rules.exits = set(turnover.NAMES) - {web.exit.name}
        client.draws._surveys.clear()
        client.draws._none.clear()
        other = await client.circuits.get(shell)
        assert other.exit.name in rules.exits
        for _ in range(3):
            assert await client.circuits.get(REQUEST) in (web, other)
            assert await client.circuits.get(shell) is other

    pooled(tmp_path, test)


def test_who_uses_nothing_has_no_spares(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        await anyio.sleep(USED_S + 10)
        assert not of(client)
        await anyio.sleep(3600)
        assert not list(client.circuits)
        await client.circuits.get(REQUEST)
        await anyio.sleep(5)
        assert len(of(client)) == SPARES

    pooled(tmp_path, test)


def test_a_spare_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "USED_S", 1e9)

    async def test(client: Client) -> None:
        before = of(client)
        await anyio.sleep(SPARE_S + 20)
        assert {built.circuit.closed for built in before} == {Reason.DONE}
        assert len(of(client)) == SPARES

    pooled(tmp_path, test)


def test_a_circuit_in_use_has_a_successor_before_it_is_too_old(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy = await client.circuits.get(REQUEST)
        use(busy)
        made: list[Built] = [busy]
        for _ in range(int(3 * YOUNG_S)):
            await anyio.sleep(1)
            built = await client.circuits.get(REQUEST)
            if built is not made[-1]:
                made.append(built)
        assert 4 <= len(made) <= 5
        ages = [(later.first_s or 0.0) - (earlier.first_s or 0.0) for earlier, later in pairwise(made)]
        assert all(YOUNG_S - AHEAD_S[1] <= age <= YOUNG_S - AHEAD_S[0] + 2 for age in ages)
        assert busy.circuit.closed is None, "what uses it goes on"
        end(busy)
        await anyio.sleep(10)
        assert busy.circuit.closed is Reason.DONE

    pooled(tmp_path, test, replaced=True)


def test_what_nobody_connects_over_any_more_has_none(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy = await client.circuits.get(REQUEST)
        use(busy)
        await anyio.sleep(2 * YOUNG_S)
        assert list(client.circuits) == [busy]

    pooled(tmp_path, test, replaced=True)


def test_a_new_identity_uses_nothing_that_stands(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        busy, idle = await client.circuits.get(REQUEST), await client.circuits.get(replace(REQUEST, port=444))
        assert busy is idle
        idle = await client.circuits.get(replace(REQUEST, isolation=b"other"))
        use(busy)
        await anyio.sleep(3)
        before = set(client.circuits)
        guards = client.keeper.active
        assert client.circuits.renew() == (len(before) - 1, 1)
        assert set(client.circuits) == {busy}, "but for what is open"
        assert idle.circuit.closed is Reason.DONE
        assert await client.circuits.get(REQUEST) not in before
        assert client.keeper.active == guards
        await anyio.sleep(REPLACE_S[1] * 5)
        assert client.circuits.renew(end=True)[1] == 0
        assert busy.circuit.closed is Reason.DONE
        assert not [built for built in client.circuits if built.first_s is not None]

    pooled(tmp_path, test, replaced=True)


def test_what_is_being_made_for_an_old_identity_is_not_used_by_the_new_one(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        got: list[Built] = []

        async def slow() -> None:
            client.dialled = None
            await anyio.sleep(5)

        async def ask() -> None:
            got.append(await client.circuits.get(REQUEST))

        client.circuits.spares.drop()
        client.dialled = slow
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1)
            client.circuits.renew()
        assert got[0].circuit.closed is None
        assert await client.circuits.get(REQUEST) is not got[0]

    on_virtual_clock(tmp_path, lambda client: _unpooled(client, test))


async def _unpooled(client: Client, test: Callable[[Client], Awaitable[None]]) -> None:
    standing(client)
    await test(client)


def test_a_thousand_requests_at_once_are_no_storm(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        begun_s = anyio.current_time()
        times: list[float] = []

        async def ask(number: int) -> None:
            await client.circuits.get(Request(f"h{number}.example", 443))
            times.append(anyio.current_time() - begun_s)

        async with anyio.create_task_group() as tasks:
            for number in range(BUILDS_BURST + 200):
                tasks.start_soon(ask, number)
        assert sum(at_s < 0.5 for at_s in times) <= BUILDS_BURST + BUILDS_PER_S
        assert max(times) == pytest.approx(200 / BUILDS_PER_S, rel=0.1)

    on_virtual_clock(tmp_path, lambda client: _unpooled(client, test))


def test_an_unusually_slow_circuit_takes_no_new_connections(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        for _ in range(ENOUGH):
            confirm(client, await client.circuits.build(REQUEST))
        slow, quick = await client.circuits.get(REQUEST), None
        use(slow)
        confirm(client, slow, 2.0)
        assert slow.retired
        quick = await client.circuits.get(REQUEST)
        assert quick is not slow
        confirm(client, quick)
        assert await client.circuits.get(REQUEST) is quick
        assert slow.circuit.closed is None
        assert set(client.draws.timings.entry_us) <= {one.fingerprint for one in client.known.chart()}

    on_virtual_clock(tmp_path, test)


def test_a_circuit_that_never_stands_is_given_up_and_the_gap_is_set_aside(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.circuits.tend)
            built = await client.circuits.get(REQUEST)
            built.circuit.hops[0].pace.answered_s = anyio.current_time()
            built.circuit.hops[1].pace.answered_s = anyio.current_time()
            await anyio.sleep(PATIENCE_S[1] - 2)
            assert built.circuit.closed is None
            await anyio.sleep(4)
            assert built.circuit.closed is not None
            nodes = [node.fingerprint for node in built.route.nodes]
            assert client.draws.failures.lanes == {(nodes[1], nodes[2])}
            assert not client.draws.failures.nodes
            tasks.cancel_scope.cancel()

    on_virtual_clock(tmp_path, test)


def test_a_circuit_that_fails_is_made_over_another_route(tmp_path: Path) -> None:
    async def test(client: Client) -> None:
        avoided: set[tuple[bytes, bytes]] = set()
        for _ in range(4):
            built = await client.circuits.get(REQUEST)
            nodes = [node.fingerprint for node in built.route.nodes]
            assert not avoided & {(nodes[0], nodes[1]), (nodes[1], nodes[2])}
            avoided.add((nodes[0], nodes[1]))
            built.circuit.lost_edge = 0
            built.circuit.close(Reason.NEXT_HOP_LOST)

    on_virtual_clock(tmp_path, test)


def test_routes_are_kept_where_they_were_allowed(tmp_path: Path) -> None:
    """A circuit that a rule forbids since is not used any more."""

    async def test(client: Client) -> None:
        built = await client.circuits.get(REQUEST)
        assert client.draws.allows(built.route, REQUEST, anyio.current_time())
        gone = Route((*built.route.nodes[:-1], replace(built.route.exit, exit=None)))
        assert client.draws.allows(gone, REQUEST, anyio.current_time()), "by what the chart says now"
        await anyio.sleep(UNUSED_S / 2)
        assert await client.circuits.get(REQUEST) is built

    on_virtual_clock(tmp_path, test)


class Groups(NoPolicies):
    """No exit of one group."""

    def __init__(self) -> None:
        self.refused = 0

    def judge_node(self, node: ChartNode, position: str, level: str) -> Judgement:
        refused = position == "exit" and node.group == "foes"
        self.refused += refused
        return Judgement((Objection("groups", "not these"),)) if refused else AGREED


async def join(client: Client, node: ChartNode) -> None:
    """A node says that it is of the group that may not be an exit, and the client hears of it."""
    client.net.now += 1
    ring = client.rings[node.name]
    client.net.publish(ring, node.name, list(node.lanes), exit={"enabled": True}, group="foes")
    await client.known.look_again()
    client.circuits.changed()


@pytest.mark.parametrize("when", ["it is made", "it stands"])
def test_an_exit_that_changes_sides_takes_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    policy = Groups()
    monkeypatch.setattr(turnover, "POLICIES", policy)

    async def test(client: Client) -> None:
        drawn: list[Route] = []
        draw = client.draws.draw

        def noted(*args: Any) -> Route:
            drawn.append(draw(*args))
            return drawn[-1]

        async def change() -> None:
            client.dialled = None
            await join(client, drawn[0].exit)

        monkeypatch.setattr(client.draws, "draw", noted)
        if when == "it is made":
            client.dialled = change
            with pytest.raises(NetworkError, match="not allowed any more"):
                await client.circuits.get(REQUEST)
        else:
            assert await client.circuits.get(REQUEST) is await client.circuits.get(REQUEST)
            await change()
        later = await client.circuits.get(REQUEST)
        assert later.route.exit.fingerprint != drawn[0].exit.fingerprint
        assert policy.refused

    on_virtual_clock(tmp_path, test)
