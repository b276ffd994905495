"""A conveyor as a stream: what waits for what, and what each end is told."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import pytest

from port17.errors import ConveyorReset, LocalViolation
from port17.links.batch import BATCH
from port17.links.stream import HIGH_WATER, LOW_WATER, ConveyorStream
from port17.records.framing import BytesLike
from port17.wire.conveyor import FIRST_WINDOW, WINDOW_CAP
from port17.wire.reasons import Reason

from .links_network import on_virtual_clock
from .wire_ends import Ends

MIB = 1 << 20


class Streams:
    """Both ends of one conveyor as streams, and a network that carries when it is told to."""

    def __init__(self, *, accepts: bool = True) -> None:
        self.ends = Ends()
        self.ends.accepts = accepts
        self.near = ConveyorStream(self.ends.client.open("TEST", b"", 0.0))
        self.ends.settle()
        self.far = ConveyorStream(self.ends.served[0])

    async def carry(self) -> None:
        """Carry without end."""
        while True:
            self.ends.now_s = anyio.current_time()
            self.ends.settle()
            await anyio.sleep(0.01)


def streams(test: Callable[[Streams], Awaitable[None]], *, accepts: bool = True) -> None:
    """Run a test on a pair of streams whose cells are carried meanwhile."""

    async def run() -> None:
        pair = Streams(accepts=accepts)
        async with anyio.create_task_group() as group:
            group.start_soon(pair.carry)
            with anyio.fail_after(3600):
                await test(pair)
            group.cancel_scope.cancel()

    on_virtual_clock(run)


def test_bytes_arrive_both_ways_and_each_end_ends() -> None:
    async def test(pair: Streams) -> None:
        await pair.near.accepted()
        await pair.near.send(b"up")
        await pair.far.send(b"down")
        assert await pair.far.receive() == b"up"
        assert await pair.near.receive() == b"down"
        await pair.near.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await pair.far.receive()
        await pair.far.send(b"after its end")
        assert await pair.near.receive() == b"after its end"
        await pair.far.send_eof()
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await pair.near.receive()

    streams(test)


def test_a_sender_waits_while_much_is_queued() -> None:
    async def test(pair: Streams) -> None:
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                await pair.near.send(bytes(100_000))
                sent += 100_000

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await anyio.sleep(60)
            # Nobody reads: a window at the other end, what may be queued here, and the piece that crossed it.
            assert sent <= FIRST_WINDOW + HIGH_WATER
            assert pair.ends.served[0].received == FIRST_WINDOW
            got = 0
            while got < 100 * 100_000:
                got += len(await pair.far.receive())
                assert pair.ends.client.conveyors[1].waiting <= HIGH_WATER + 100_000
        assert sent == got
        assert LOW_WATER < HIGH_WATER

    streams(test)


def test_nothing_is_granted_before_what_came_was_dealt_with() -> None:
    """What a call gave counts as processed when the next one begins: a reader that hangs is not fed."""

    async def test(pair: Streams) -> None:
        async def send() -> None:
            with pytest.raises(ConveyorReset):
                await pair.near.send(bytes(8 * MIB))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await anyio.sleep(1)
            first = await pair.far.receive()
            assert len(first) == FIRST_WINDOW
            await anyio.sleep(60)
            assert pair.ends.served[0].received == 0
            second = await pair.far.receive()
            assert 0 < len(second) <= WINDOW_CAP
            pair.far.abort()

    streams(test)


def test_a_refusal_is_told_with_its_reason() -> None:
    async def test(pair: Streams) -> None:
        pair.far.abort(Reason.POLICY)
        with pytest.raises(ConveyorReset) as refused:
            await pair.near.accepted()
        assert refused.value.reason == Reason.POLICY
        for call in (pair.near.receive, lambda: pair.near.send(b"x"), pair.near.send_eof, pair.near.accepted):
            with pytest.raises(ConveyorReset):
                await call()
        with pytest.raises(ConveyorReset):
            await pair.far.accept()

    streams(test, accepts=False)


def test_waiting_for_an_answer_ends_when_the_stream_does() -> None:
    async def test(pair: Streams) -> None:
        await pair.near.send_eof()
        pair.ends.served[0].finish()
        with pytest.raises(ConveyorReset):
            await pair.near.accepted()

    streams(test, accepts=False)


def test_whoever_waits_is_woken_by_the_end() -> None:
    for what in ("receive", "send", "accepted"):

        async def test(pair: Streams, what: str = what) -> None:
            async def wait() -> None:
                with pytest.raises(ConveyorReset) as ended:
                    if what == "receive":
                        await pair.near.receive()
                    elif what == "send":
                        await pair.near.send(bytes(4 * MIB))
                    else:
                        await pair.near.accepted()
                assert ended.value.reason == Reason.NEXT_HOP_LOST

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await anyio.sleep(5)
                begun = anyio.current_time()
                pair.ends.client.close(Reason.NEXT_HOP_LOST)
            assert anyio.current_time() == begun

        streams(test, accepts=False)


def test_closing_is_an_orderly_end_only_after_the_peers() -> None:
    async def test(pair: Streams) -> None:
        await pair.far.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await pair.near.receive()
        await pair.near.aclose()
        with pytest.raises(anyio.EndOfStream):
            await pair.far.receive()

    async def early(pair: Streams) -> None:
        await pair.near.aclose()
        with pytest.raises(ConveyorReset):
            await pair.far.receive()

    streams(test)
    streams(early)


class Spout:
    """An outlet that takes a little at once, and the rest slowly."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.room = at_once
        self.got = b""

    def send_now(self, item: BytesLike) -> int:
        taken = min(self.room, len(item))
        self.got += bytes(item[:taken])
        self.room -= taken
        return taken

    async def send(self, item: BytesLike) -> None:
        for at in range(0, len(item), 7_000):
            await anyio.sleep(0.003)
            self.got += bytes(item[at : at + 7_000])
        self.room = self.at_once


@pytest.mark.parametrize("at_once", [0, 1, 5_000, 100_000, 10_000_000])
@pytest.mark.parametrize("events", [1, 2, 7])
def test_what_is_delivered_is_what_was_sent_in_its_order(at_once: int, events: int) -> None:
    """However many events bring data before the delivering task has its turn."""

    async def run() -> None:
        pair = Streams()
        data = random.Random(at_once).randbytes(2_000_000)
        spout = Spout(at_once)
        ended = anyio.Event()

        async def deliver() -> None:
            await pair.far.deliver(spout)
            ended.set()

        async def send() -> None:
            for at in range(0, len(data), 9_999):
                await pair.near.send(data[at : at + 9_999])
            await pair.near.send_eof()

        async with anyio.create_task_group() as group:
            group.start_soon(deliver)
            group.start_soon(send)
            with anyio.fail_after(20):
                while not ended.is_set():
                    pair.ends.now_s = anyio.current_time()
                    for _ in range(events):
                        with BATCH:
                            for way in (True, False):
                                pair.ends.send(way)
                                pair.ends.arrive(way)
                    await anyio.sleep(0.001)
        assert len(spout.got) == len(data)
        assert spout.got == data

    on_virtual_clock(run)


def test_a_delivery_that_is_cut_off_says_so() -> None:
    for early in (True, False):

        async def test(pair: Streams, early: bool = early) -> None:
            spout = Spout(100_000)
            await pair.near.send(b"x" * 50_000)
            if not early:
                await anyio.sleep(1)

            async def cut() -> None:
                await anyio.sleep(1)
                pair.near.abort(Reason.TIMEOUT)

            async with anyio.create_task_group() as group:
                group.start_soon(cut)
                with pytest.raises(ConveyorReset) as ended:
                    await pair.far.deliver(spout)
            assert ended.value.reason == Reason.TIMEOUT
            assert spout.got == b"x" * 50_000

        streams(test)


def test_a_reset_is_told_to_whoever_listens() -> None:
    async def test(pair: Streams) -> None:
        told: list[bool] = []
        pair.far.on_reset = lambda: told.append(True)
        await pair.near.send(b"x")
        await pair.far.receive()
        assert told == []
        assert not pair.far.was_reset
        pair.near.abort()
        await anyio.sleep(1)
        assert told
        assert pair.far.was_reset

    streams(test)


def test_sending_after_the_end_is_a_mistake_of_ours() -> None:
    async def test(pair: Streams) -> None:
        await pair.near.send_eof()
        with pytest.raises(LocalViolation):
            await pair.near.send(b"x")

    streams(test)
