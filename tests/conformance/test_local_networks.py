"""What the local-network contract promises, asked of every installed driver, on this machine's own links."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address

import anyio
import pytest
from conformance.conftest import registry

from port17 import BEACON_CAP, LocalNetwork

PATIENCE_S = 20
"""No single wait takes longer, unless something hangs, or this machine has no link that carries multicast."""

pytestmark = pytest.mark.anyio


@pytest.fixture
def another(request: pytest.FixtureRequest, local_network: LocalNetwork) -> LocalNetwork:
    """A second one, as another process of this machine has it."""
    group, name = request.node.callspec.params["local_network"]
    made: LocalNetwork = registry.make(group, name, None)
    return made


class Said:
    """Announces one thing, and counts how often it was asked for."""

    def __init__(self, beacon: bytes | None) -> None:
        self.beacon = beacon
        self.times = 0
        self._asked = anyio.Event()

    def __call__(self) -> bytes | None:
        self.times += 1
        self._asked.set()
        self._asked = anyio.Event()
        return self.beacon

    async def until(self, times: int) -> None:
        with anyio.fail_after(PATIENCE_S):
            while self.times < times:
                await self._asked.wait()


def deaf(data: bytes, host: str, link: str) -> None:
    """Who listens to nobody."""


async def test_is_named_as_its_entry_point(local_network: LocalNetwork, entry_point: str) -> None:
    assert local_network.name == entry_point


async def test_asks_for_what_to_announce_and_soon_again_after_a_change(local_network: LocalNetwork) -> None:
    local_network.changed()  # before it runs, too
    said = Said(None)
    async with anyio.create_task_group() as group:
        group.start_soon(local_network.run, said, deaf)
        await said.until(1)
        local_network.changed()
        await said.until(2)
        group.cancel_scope.cancel()


async def test_two_of_one_machine_hear_each_other(local_network: LocalNetwork, another: LocalNetwork) -> None:
    one, other = Said(os.urandom(BEACON_CAP)), Said(os.urandom(100))
    heard: dict[bytes, tuple[str, str]] = {}
    both = anyio.Event()

    def ear(expected: bytes | None) -> Callable[[bytes, str, str], None]:
        def hear(data: bytes, host: str, link: str) -> None:
            if data == expected:
                heard[data] = host, link
            if len(heard) == 2:
                both.set()

        return hear

    async with anyio.create_task_group() as group:
        group.start_soon(local_network.run, one, ear(other.beacon))
        group.start_soon(another.run, other, ear(one.beacon))
        with anyio.fail_after(PATIENCE_S):
            await both.wait()
        group.cancel_scope.cancel()
    for host, link in heard.values():
        address = ip_address(host)
        assert link
        assert address.version == 4 or not address.is_link_local or host.endswith(f"%{link}")


async def test_can_be_run_again_after_it_was_cancelled(local_network: LocalNetwork) -> None:
    for _ in range(2):
        said = Said(None)
        async with anyio.create_task_group() as group:
            group.start_soon(local_network.run, said, deaf)
            await said.until(1)
            group.cancel_scope.cancel()
