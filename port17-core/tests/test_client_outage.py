"""Whole clients over memory ships: what they do while their line is gone, and after a sleep."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from port17.client.sources import WANTED
from port17.client.tunnel import SLEEP_LOOK_S
from port17.errors import NetworkError
from port17.navigator.policy import Request
from port17_transports.memory import Memory

from .links_network import on_virtual_clock
from .node_world import one_thread, town
from .test_client_sources import REQUEST, Guest, guest, standing

__all__ = ["one_thread"]
OUTAGE_S = 400.0
REQUESTS = 20


class Line:
    """The client's own line, which can be cut; and all calls over it."""

    def __init__(self, client: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up = True
        self.calls: list[tuple[float, str]] = []
        dial = Memory.dial
        transport = client.tunnel._entries._transports["memory"]

        async def dialled(of: Memory, address: str) -> object:
            if of is transport:
                self.calls.append((anyio.current_time(), address))
                if not self.up:
                    await anyio.sleep(3)
                    raise OSError("no route to host")
            return await dial(of, address)

        monkeypatch.setattr(Memory, "dial", dialled)
        self.client = client

    def cut(self) -> None:
        self.up = False
        self.client.tunnel._entries.end_all()

    def mend(self) -> None:
        self.up = True


async def settled(client: Guest) -> None:
    await client.made.until(
        lambda: len(client.groups) == WANTED and client.followed == client.guards, 30, "no guards"
    )


def test_a_line_that_is_gone_is_no_storm_and_one_that_is_back_is_used_in_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            async with guest(made, names[:2]) as client:
                await settled(client)
                guards = client.guards
                listed = set(client.tunnel._keeper.listed)
                line = Line(client, monkeypatch)
                line.cut()
                begun_s = anyio.current_time()
                failed: list[float] = []

                async def ask(number: int) -> None:
                    await anyio.sleep(number * OUTAGE_S / REQUESTS)
                    at_s = anyio.current_time()
                    with pytest.raises(NetworkError):
                        await client.tunnel.open(Request(f"h{number}.example", 443))
                    failed.append(anyio.current_time() - at_s)

                async with anyio.create_task_group() as tasks:
                    for number in range(REQUESTS):
                        tasks.start_soon(ask, number)
                await anyio.sleep_until(begun_s + OUTAGE_S)
                calls = len(line.calls)
                print(f"{calls} calls in {OUTAGE_S:.0f} s, requests waited {max(failed):.1f} s at most")
                assert calls < 12 + OUTAGE_S / 30
                assert max(failed) <= 30
                homes = {home.endpoint: home.fingerprint for home in made.homes.values()}
                assert {homes[address] for _, address in line.calls} <= listed
                line.mend()
                took_s = await made.until(lambda: client.guards == guards, 100, "it is not noticed")
                print(f"noticed after {took_s:.0f} s")
                await client.tunnel.open(REQUEST)
                await made.until(lambda: client.followed == client.guards, 90, "no sources again")
                assert len(line.calls) - calls < 12

    on_virtual_clock(run)


def test_after_a_sleep_links_are_made_anew_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with town(tmp_path) as made:
            names = await standing(made, 4)
            async with guest(made, names[:2]) as client:
                slept_s = 0.0
                sleep = client.tunnel._sleep
                sleep._running = lambda: anyio.current_time() + slept_s
                sleep.look()
                await settled(client)
                stream = await client.tunnel.open(REQUEST)
                cranes = set(client.tunnel._entries)
                line = Line(client, monkeypatch)
                await anyio.sleep(3 * SLEEP_LOOK_S)
                assert {crane for crane in client.tunnel._entries if not crane.lost} == cranes
                slept_s = 3600.0
                fresh = await client.tunnel.open(REQUEST)
                assert fresh._built.crane not in cranes, "nobody tries what led somewhere before"
                stream.abort()
                await made.until(lambda: client.followed == client.guards, 60, "no sources again")
                await anyio.sleep(60)
                assert len(line.calls) <= 2 * WANTED
                assert len(await client.built()) == 3

    on_virtual_clock(run)
