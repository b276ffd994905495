"""Nodes measure what their lanes are like and publish it; nobody can make them carry much for that."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from port17.asking import ask
from port17.errors import ConveyorReset, NetworkError
from port17.links.stream import ConveyorStream
from port17.node import lanes, speed_plan, speedtest
from port17.node.manager import LATENCY_STEP
from port17.node.node_link import NodeLink, coarse
from port17.node.speed_plan import APART_S, BURST, PATIENCE_S, PER_PEER_BURST, PER_PEER_S, QUIET
from port17.node.speedtest import SpeedTest
from port17.records.bottle import Lane
from port17.wire.block import BLOCK_SIZE
from port17.wire.conveyor import WINDOW_CAP
from port17.wire.quota import Budget
from port17.wire.reasons import Reason

from .links_network import on_virtual_clock
from .node_world import Client, Home, Town, one_thread, town
from .test_node_network import circuit_over

__all__ = ["one_thread"]
HOUR = 3600.0
MIB = 1 << 20
BURST_ON_THE_WIRE = 1.05 * BURST
"""With what cells, blocks and the circuit's own keys add."""
LATER_S = 900.0
"""Seconds in which two nodes that start have measured each other, also where one was at work when the other
asked."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new lane is soon measured: every virtual minute costs."""
    monkeypatch.setattr(speed_plan, "STEADY_S", 20.0)
    monkeypatch.setattr(speed_plan, "RETRY_S", 120.0)


async def pair(made: Town, **ash: object) -> tuple[Home, Home]:
    """Two nodes with a lane."""
    made.home("ash", **ash)
    made.home("oak")
    await made.start(["ash", "oak"], ["ash", "oak"])
    ash_, oak = made.homes["ash"], made.homes["oak"]
    await made.until(lambda: ash_.lanes == {oak.fingerprint} and oak.lanes == {ash_.fingerprint}, 30)
    return ash_, oak


def lane(home: Home, other: Home) -> NodeLink:
    found = home.running._lanes.current(other.fingerprint)
    assert found is not None
    return found


def carried(home: Home, other: Home) -> int:
    """Bytes that the lane has carried for circuits, both directions."""
    return lane(home, other).crane.link.keys.used * BLOCK_SIZE


def claim(home: Home) -> Lane:
    return next(iter(home.bottle.contents.lanes), Lane(b"", 0, 0))


def speak(*homes: Home) -> None:
    """Sign contents soon, as a node does that has become busy: what lanes carry is told with all else."""
    for home in homes:
        home.running._driver.loaded(150)


async def opened(home: Home, other: Home, *, own: bool = True) -> int:
    """A node asks for a measurement out of its turn; the bytes that come."""
    got, to = 0, home.known.responder_of(other.fingerprint)
    assert to is not None
    crane = lane(home, other).crane
    async with ask(crane, to, home.known, "SPEEDTEST", budget=Budget(1 << 26), own=own) as stream:
        await stream.accepted()
        try:
            while True:
                got += len(await stream.receive())
        except anyio.EndOfStream:
            return got


def test_both_ends_measure_what_comes_and_the_chart_has_the_lesser(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, bandwidth=5e6, delay_s=0.05) as made:
            ash, oak = await pair(made)
            before = carried(ash, oak)
            await made.until(lambda: all(lane(*two).speed for two in ((ash, oak), (oak, ash))), LATER_S)
            for two in ((ash, oak), (oak, ash)):
                assert 0.9 * 5e6 < lane(*two).speed < 5e6
            assert [home.running.speeds.status() for home in (ash, oak)] == [{"measured": 1, "served": 1}] * 2
            upkeep = carried(ash, oak) - before - 2 * BURST
            assert upkeep < 0.3 * BURST, "gossip, and what cells and blocks add"

            speak(ash, oak)
            await made.until(lambda: all(claim(home).capacity for home in (ash, oak)), 90)
            # The later half came with the line full; it is told as a power of four.
            assert claim(ash).capacity == claim(oak).capacity == 4**11
            measured = made.homes["ash"].known.chart().nodes[oak.fingerprint].lanes[ash.fingerprint]
            assert (measured.capacity, round(measured.latency_us, -4)) == (4**11, 100_000)
            for home in (ash, oak):
                assert (await home.running.status({}))["speed_tests"]["measured"] >= 1

    on_virtual_clock(run)


def test_a_liar_alone_makes_no_lane_wider_nor_quicker(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, bandwidth=5e6, delay_s=0.05) as made:
            ash, oak = await pair(made)
            contents = oak.running._driver._manager._contents

            def lies() -> object:
                said = contents()
                return type(said)(
                    tuple(Lane(one.fingerprint, 1, 1 << 40) for one in said.lanes), said.load, said.flags
                )

            oak.running._driver._manager._contents = lies  # type: ignore[method-assign,assignment]
            await made.until(lambda: lane(ash, oak).speed > 0, LATER_S)
            speak(ash, oak)
            await made.until(lambda: claim(ash).capacity > 0 and claim(oak).capacity == 1 << 40, 90)
            drawn = ash.known.chart().nodes[oak.fingerprint].lanes[ash.fingerprint]
            assert drawn.capacity == 4**11
            assert 99_000 < drawn.latency_us < 120_000

    on_virtual_clock(run)


def test_the_latency_follows_the_line_also_where_something_is_always_under_way(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, delay_s=0.02) as made:
            ash, oak = await pair(made)
            await made.until(lambda: claim(ash).latency_us > 0, 120)

            async def chatter() -> None:
                while True:  # nothing is ever silent for two seconds, so that the pulse sends no PING
                    await anyio.sleep(1)
                    for home, other in ((ash, oak), (oak, ash)):
                        to = home.known.responder_of(other.fingerprint)
                        assert to is not None
                        async with ask(
                            lane(home, other).crane, to, home.known, "SYNC", budget=Budget(1 << 20)
                        ) as stream:
                            await stream.accepted()

            made.tasks.start_soon(chatter)
            assert 40_000 <= claim(ash).latency_us < 60_000
            for home in (ash, oak):
                home.running._transports["memory"].config.__dict__["delay_s"] = 0.1

            def found(home: Home, other: Home) -> int:
                return home.running._driver._manager._cost.found(other.fingerprint)[0]

            took_s = await made.until(
                lambda: all(190_000 < found(*two) < 220_000 for two in ((ash, oak), (oak, ash))), 300
            )
            assert took_s > 20, "a few slow ones say little"
            # What is said differs from what was found by less than a step.
            await made.until(
                lambda: all(claim(home).latency_us > 180_000 / LATENCY_STEP for home in (ash, oak)), 60
            )
            for home in (ash, oak):
                home.running._transports["memory"].config.__dict__["delay_s"] = 0.01
            await made.until(
                lambda: all(claim(home).latency_us < 24_000 * LATENCY_STEP for home in (ash, oak)), 300
            )

    on_virtual_clock(run)


def refusal(error: BaseException) -> Reason | None:
    assert isinstance(error, ConveyorReset)
    return error.reason


def test_only_a_node_at_the_other_end_of_a_lane_is_served_and_none_of_its_clients(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            ash, oak = await pair(made)
            await anyio.sleep(60)  # until it is known that the lane is idle
            client = Client(made)
            crane = await client.call(ash)
            await client.known.offer([home.bottle.encode() for home in (ash, oak)], client.trusted)
            for route in ([ash], [ash, oak]):
                circuit = circuit_over(client, crane, route)
                stream = ConveyorStream(circuit.last.mux.open("SPEEDTEST", b"", anyio.current_time()))
                with pytest.raises(ConveyorReset) as refused:
                    await stream.accepted()
                assert refusal(refused.value) is Reason.POLICY
            with pytest.raises(ConveyorReset) as refused:
                await opened(ash, oak, own=False)  # as what a client has ash pass on
            assert refusal(refused.value) is Reason.POLICY
            assert await opened(ash, oak) == BURST
            assert oak.running.speeds.status()["served"] == 1

    on_virtual_clock(run)


def test_who_asks_all_the_time_costs_so_many_bytes_in_an_hour_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, bandwidth=20e6) as made:
            ash, oak = await pair(made, operations={"SPEEDTEST": {"enabled": False}})
            begun_s, before = anyio.current_time(), carried(oak, ash)
            got, reasons = 0, set()
            while anyio.current_time() < begun_s + HOUR / 4:
                await anyio.sleep(6)
                try:
                    got += await opened(ash, oak)
                except ConveyorReset as error:
                    reasons.add(error.reason)
            assert reasons == {Reason.RATE, Reason.RESOURCES}, "not so soon again, and not while it is busy"
            assert 2 <= got / BURST <= PER_PEER_BURST + HOUR / 4 / PER_PEER_S
            upkeep = HOUR / 4 / 6 * 6 * BLOCK_SIZE  # a circuit that is refused is six cells at most
            assert carried(oak, ash) - before < got * 1.05 + upkeep + BURST_ON_THE_WIRE

    on_virtual_clock(run)


def sends(serve: Callable[[ConveyorStream], object]) -> Callable[..., object]:
    async def handle(self: SpeedTest, args: bytes, stream: ConveyorStream) -> None:
        await stream.accept()
        await serve(stream)  # type: ignore[misc]

    return handle


async def _endless(stream: ConveyorStream) -> None:
    while True:
        await stream.send(speedtest.CHUNK)


async def _trickle(stream: ConveyorStream) -> None:
    while True:
        await stream.send(b"x")
        await anyio.sleep(0.1)


async def _nothing(stream: ConveyorStream) -> None:
    await anyio.sleep_forever()


async def _short(stream: ConveyorStream) -> None:
    for _ in range(BURST // len(speedtest.CHUNK) - 1):
        await stream.send(speedtest.CHUNK)
    await stream.send_eof()
    await anyio.sleep(5)


@pytest.mark.parametrize("serve", [_endless, _trickle, _nothing, _short])
def test_who_serves_more_or_less_than_was_asked_for_is_cut_off_and_asked_seldom(
    serve: Callable[[ConveyorStream], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with town(tmp_path, bandwidth=20e6) as made:
            ash, oak = await pair(made)
            oak.running.speeds.enabled = False  # it measures nothing itself
            monkeypatch.setattr(SpeedTest, "handle", sends(serve))
            tests: list[float] = []
            begin = ash.running.speeds._plan.begin

            def begins(now_s: float) -> None:
                tests.append(now_s)
                begin(now_s)

            monkeypatch.setattr(ash.running.speeds._plan, "begin", begins)
            before = carried(ash, oak)
            await anyio.sleep(HOUR / 6)
            assert 1 <= len(tests) <= HOUR / 6 / APART_S
            spent = carried(ash, oak) - before
            assert spent < len(tests) * 1.05 * (BURST + WINDOW_CAP) + 16 * MIB / 100 * len(tests)
            if serve is not _nothing:
                assert len(tests) == 1, "what came counts, whatever it was worth"
            speed = lane(ash, oak).speed
            if serve is _endless:
                assert 10e6 < speed < 20e6
            elif serve is _trickle:
                assert 0 < speed < 20
            else:
                assert speed == 0
            assert not ash.running.speeds._plan._at_work
            link = lane(ash, oak).crane.link
            assert link.legs == link.background

    on_virtual_clock(run)


def test_a_lane_in_use_is_not_measured_until_it_is_idle(tmp_path: Path) -> None:
    async def run() -> None:
        async with town(tmp_path, bandwidth=20e6) as made:
            ash, oak = await pair(made)
            busy = True

            async def use() -> None:
                while busy:
                    lane(ash, oak).crane.link.keys.own_cells -= QUIET // BLOCK_SIZE * 2  # as carried cells do
                    lane(oak, ash).crane.link.keys.own_cells -= QUIET // BLOCK_SIZE * 2
                    await anyio.sleep(1)

            made.tasks.start_soon(use)
            await anyio.sleep(LATER_S)
            assert [home.running.speeds.status()["measured"] for home in (ash, oak)] == [0, 0]
            with pytest.raises(NetworkError) as refused:
                await opened(ash, oak)
            assert refusal(refused.value) is Reason.RESOURCES
            busy = False
            await made.until(lambda: lane(ash, oak).speed > 0, LATER_S)

    on_virtual_clock(run)


def test_what_is_published_says_little() -> None:
    assert [coarse(one) for one in (0, 1, 3, 4, 5_000_000, 1 << 44)] == [0, 1, 1, 4, 4**11, 1 << 44]
    assert PATIENCE_S * 1_250_000 < BURST < 1.2 * PATIENCE_S * 1_250_000, "10 Mbit/s"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_lanes_over_real_sockets_are_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_plan, "STEADY_S", 0.1)
    monkeypatch.setattr(speed_plan, "RETRY_S", 1.0)
    monkeypatch.setattr(speed_plan, "APART_S", 1.0)
    monkeypatch.setattr(speedtest, "LOOK_S", 0.3)
    monkeypatch.setattr(lanes, "MEASURE_S", 0.5)

    async def run() -> None:
        async with town(tmp_path) as made:
            for name in ("ash", "oak"):
                made.home(name, listen={"tcp": f"127.0.0.1:{free_port()}"}, transports={"tcp": {}})
            await made.start(["ash", "oak"], ["ash", "oak"])
            ash, oak = made.homes["ash"], made.homes["oak"]
            await made.until(lambda: ash.lanes == {oak.fingerprint} and oak.lanes == {ash.fingerprint}, 30)
            await made.until(lambda: all(lane(*two).speed for two in ((ash, oak), (oak, ash))), 60)
            for two in ((ash, oak), (oak, ash)):
                assert MIB < lane(*two).speed <= BURST / speed_plan.LEAST_S, (
                    "of loopback, as far as Python goes"
                )

    anyio.run(run)
