"""The client's guards over time, on a virtual clock: whom it calls, and how often, whatever fails."""

from __future__ import annotations

import errno
import json
from collections.abc import Awaitable, Callable, Collection
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest
from trio.testing import MockClock

from port17.bottles.successors import Successors
from port17.client import guards_file
from port17.client.guard_keeper import (
    ALONE_S,
    DOWN_CAP_S,
    LOOK_S,
    PATIENCE_S,
    PROBE_CAP_S,
    GuardKeeper,
    Unreachable,
)
from port17.client.guards_file import GuardsFile
from port17.errors import ConfigError, NetworkError
from port17.navigator.chart import Chart, ChartNode
from port17.navigator.compiled import Compiled
from port17.navigator.guards import GUARDS, SAMPLED
from port17.navigator.policy import AGREED, Judgement, NoPolicies, Objection, Position, Request, SecurityLevel

NODES = 30
REQUEST = Request("192.0.2.1", 443)
NETWORK = bytes(32)


def fingerprint(number: int) -> bytes:
    return bytes([number]) * 32


def node(number: int) -> ChartNode:
    one = fingerprint(number)
    return ChartNode(one, one.hex()[:8], f"n{number}", addresses={"tcp": (f"192.0.2.{number}:1",)})


class Known:
    """As much of a network as guards need."""

    def __init__(self, nodes: int) -> None:
        self.map = Chart([node(number) for number in range(nodes)])
        self.successors = Successors((), ())
        self.ahead_s = 1.8e9

    def chart(self) -> Chart:
        return self.map

    def wall(self) -> float:
        return self.ahead_s + anyio.current_time()


class ByRule(NoPolicies):
    """Requests to port 22 begin at some nodes only."""

    by_request = frozenset({"exclude_node"})

    def __init__(self, allowed: Collection[bytes]) -> None:
        self.allowed = allowed
        self.strict: set[bytes] = set()

    def judge_node_for(self, node: ChartNode, position: Position, request: Request) -> Judgement:
        refused = position == "entry" and request.port == 22 and node.fingerprint not in self.allowed
        return Judgement((Objection("rules", "not here"),)) if refused else AGREED

    def judge_node(self, node: ChartNode, position: Position, level: SecurityLevel) -> Judgement:
        refused = level == "high" and node.fingerprint in self.strict
        return Judgement((Objection("levels", "not so"),)) if refused else AGREED


class Crane:
    def __init__(self) -> None:
        self.standing = anyio.Event()
        self.standing.set()
        self.lost = False


class Street:
    """A client's guards, and the calls that it makes."""

    def __init__(self, folder: Path, nodes: int = NODES, policies: NoPolicies | None = None) -> None:
        self.known = Known(nodes)
        self.file = GuardsFile(folder / "state", NETWORK)
        self.policies = policies if policies is not None else NoPolicies()
        self.whole = True
        self.dead: set[bytes] = set()
        self.calls: list[tuple[float, bytes]] = []
        self.at_once = self.most_at_once = 0
        self.keeper = self.start()

    def start(self) -> GuardKeeper:
        known: Any = self.known
        cranes: Any = self
        self.keeper = GuardKeeper(
            known,
            cranes,
            Compiled(self.policies),
            ["tcp"],
            self.file,
            whole=lambda: self.whole,
            rng=Random(7),
        )
        return self.keeper

    async def crane(self, node: ChartNode) -> Any:
        """As of the client's entries."""
        self.calls.append((anyio.current_time(), node.fingerprint))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await anyio.sleep(0.5)
        self.at_once -= 1
        if node.fingerprint in self.dead:
            self.keeper.failed(node.fingerprint)
            raise NetworkError("no address answers")
        self.keeper.stood(node.fingerprint)
        return Crane()

    @property
    def written(self) -> list[str]:
        return [row["id"] for row in json.loads(self.file.path.read_text())["guards"]]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inline(work: Callable[..., Any], *args: object) -> Any:
        await anyio.lowlevel.checkpoint()
        return work(*args)

    monkeypatch.setattr(anyio.to_thread, "run_sync", inline)


def on_virtual_clock(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await test()

    anyio.run(run, backend="trio", backend_options={"clock": MockClock(autojump_threshold=0)})


def running(folder: Path, test: Callable[[Street], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        street = Street(folder, **options)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(street.keeper.run)
            await anyio.sleep(2)
            await test(street)
            tasks.cancel_scope.cancel()

    on_virtual_clock(run)


def test_they_are_drawn_once_and_kept_from_run_to_run(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        active = street.keeper.active
        assert len(active) == GUARDS
        assert [bytes.fromhex(one) for one in street.written] == list(street.keeper.listed)
        assert street.start().active == active
        assert not street.calls, "nobody is called for that"

    running(tmp_path, test)


def test_what_cannot_be_kept_now_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise a disk that is full for a moment has others drawn at the next start."""
    write = guards_file.write_whole

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(guards_file, "write_whole", full)

    async def test(street: Street) -> None:
        await anyio.sleep(3 * LOOK_S)
        assert caplog.text.count("cannot be kept") == 1
        monkeypatch.setattr(guards_file, "write_whole", write)
        await anyio.sleep(2 * LOOK_S)
        assert [bytes.fromhex(one) for one in street.written] == list(street.keeper.listed)

    running(tmp_path, test)


def test_what_was_drawn_before_all_were_known_does_not_last(tmp_path: Path) -> None:
    async def test() -> None:
        street = Street(tmp_path, 4)
        street.whole = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(street.keeper.run)
            await anyio.sleep(2)
            assert len(street.keeper.active) == GUARDS
            assert not street.keeper.chosen
            assert not street.file.path.exists()
            street.known.map = Chart([node(number) for number in range(200)])
            street.whole = True
            street.keeper.changed()
            await anyio.sleep(5)
            assert street.keeper.chosen
            assert not set(street.keeper.active) <= {fingerprint(number) for number in range(4)}
            assert len(street.written) == SAMPLED
            tasks.cancel_scope.cancel()

    on_virtual_clock(test)


def test_where_nobody_tells_of_the_network_what_works_is_kept(tmp_path: Path) -> None:
    async def test() -> None:
        street = Street(tmp_path, 4)
        street.whole = False
        active = street.keeper.active
        street.keeper.proven()
        street.keeper.look()
        assert not street.keeper.chosen, "it has only begun"
        await anyio.sleep(ALONE_S + 1)
        street.keeper.look()
        assert not street.keeper.chosen, "and no circuit has stood since"
        street.keeper.proven()
        street.keeper.look()
        assert street.keeper.chosen
        assert street.keeper.active == active

    on_virtual_clock(test)


def test_while_none_answers_one_is_called_at_a_time_and_ever_less_often(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        street.dead = {one.fingerprint for one in street.known.map}
        for one in street.keeper.listed:
            street.keeper.failed(one)
        assert street.keeper.active == ()
        begun_s = anyio.current_time()
        await anyio.sleep(3600)
        called = [at_s - begun_s for at_s, _ in street.calls]
        assert street.most_at_once == 1
        assert 3600 / (1.5 * PROBE_CAP_S) - 1 < len(called) < 3600 / (0.5 * PROBE_CAP_S) + 12
        assert called[0] < 2, "the first one soon"
        assert {one for _, one in street.calls} == set(street.keeper.listed), "and nobody but the list"
        street.dead = set()
        at_s = anyio.current_time()
        while not street.keeper.active:  # noqa: ASYNC110 - on a virtual clock
            await anyio.sleep(0.25)
        assert anyio.current_time() - at_s <= 1.5 * PROBE_CAP_S + 2

    running(tmp_path, test)


def test_a_hundred_requests_wait_together_and_learn_in_time_that_none_answers(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        street.dead = {one.fingerprint for one in street.known.map}
        for one in street.keeper.listed:
            street.keeper.failed(one)
        told: list[float] = []

        async def ask() -> None:
            begun_s = anyio.current_time()
            with pytest.raises(Unreachable):
                await street.keeper.reachable()
            told.append(anyio.current_time() - begun_s)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(ask)
        assert len(told) == 100
        assert max(told) <= PATIENCE_S + 0.1
        assert len(street.calls) <= 5, "nobody is called for each of them"
        street.dead = set()
        await street.keeper.reachable()
        assert street.keeper.active

    running(tmp_path, test)


def test_who_does_not_answer_is_called_again_less_and_less_until_he_is_back(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        first = street.keeper.active[0]
        street.dead = {first}
        street.keeper.lost(first)
        await anyio.sleep(3600)
        assert first not in street.keeper.active
        called = [at_s for at_s, one in street.calls if one == first]
        assert {one for _, one in street.calls} == {first}
        assert called[0] < 4, "a link that is lost is looked after at once"
        pauses = [later - earlier for earlier, later in pairwise(called)]
        assert 6 <= len(called) <= 14
        assert max(pauses) <= 1.5 * DOWN_CAP_S + 1
        assert pauses[0] < pauses[-1]
        street.dead = set()
        await anyio.sleep(1.5 * DOWN_CAP_S + 2)
        assert street.keeper.active[0] == first

    running(tmp_path, test)


def test_after_a_sleep_all_are_tried_anew(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        for one in street.keeper.listed:
            street.keeper.failed(one)
        assert not street.keeper.active
        street.keeper.woke()
        assert len(street.keeper.active) == GUARDS
        await street.keeper.reachable()

    running(tmp_path, test)


def test_rules_for_a_request_choose_among_the_list_and_draw_one_for_it_at_last(tmp_path: Path) -> None:
    policies = ByRule(())
    ssh = Request("192.0.2.1", 22)

    async def test(street: Street) -> None:
        keeper = street.keeper
        active, listed = keeper.active, keeper.listed
        assert keeper.entries(REQUEST) == active
        policies.allowed = {active[1], listed[-1]}
        assert keeper.entries(ssh) == (active[1],)
        policies.allowed = {listed[-1]}
        assert keeper.entries(ssh) == (listed[-1],)
        others = [one.fingerprint for one in street.known.map if one.fingerprint not in listed]
        policies.allowed = set(others[:3])
        assert set(keeper.entries(ssh, draw=False)) == policies.allowed, "a question draws none"
        assert keeper.listed == listed
        (added,) = keeper.entries(ssh)
        assert added in others[:3]
        assert keeper.entries(ssh) == (added,), "the same from now on"
        assert keeper.active == active
        await anyio.sleep(3)
        assert len(street.written) == SAMPLED + 1
        policies.allowed = ()
        assert keeper.entries(ssh) == ()
        policies.strict = {active[0]}
        high = Request("192.0.2.1", 443, level="high")
        assert keeper.entries(high) == active[1:]

    running(tmp_path, test, policies=policies)


def test_the_list_is_shown(tmp_path: Path) -> None:
    async def test(street: Street) -> None:
        first = street.keeper.active[0]
        street.keeper.failed(first)
        rows = street.keeper.described()
        states = [row["state"] for row in rows]
        assert states == ["down", "in use", "in use"] + ["waiting"] * (SAMPLED - GUARDS)
        assert 0 < rows[0]["again_s"] < 30
        street.known.map = Chart([one for one in street.known.map if one.fingerprint != first])
        assert street.keeper.described()[0]["state"] == "gone"

    running(tmp_path, test)


def test_a_damaged_file_is_told_before_anything_else(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "guards.json").write_text("{}")
        with pytest.raises(ConfigError):
            Street(tmp_path)

    on_virtual_clock(test)
