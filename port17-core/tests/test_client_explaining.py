"""The control verb ``explain``: what it takes, what it makes a search of, and that it holds up nothing."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from typing import Any

import anyio
import anyio.to_thread
import pytest

from port17.client import explaining
from port17.client.explaining import PROGRAM_CAP, explain
from port17.errors import UsageError
from port17.navigator.geo import Place
from port17.navigator.policy import NoPolicies, Request
from port17.navigator.situation import Situation

from .policy_nodes import full_mesh, node

pytestmark = pytest.mark.anyio
CHART = full_mesh(*(node(f"n{number}", f"85.{number}.0.1") for number in range(4)))
HERE = Place(ip_address("192.0.2.1"), country="DE")


@pytest.fixture
def asked() -> list[Request]:
    """What routes were looked for."""
    return []


@pytest.fixture
def verb(asked: list[Request]) -> Any:
    def situation(request: Request) -> Situation:
        asked.append(request)
        return Situation(CHART, NoPolicies())

    return explain(situation, lambda host: HERE if host == "192.0.2.1" else None, "high")


async def test_a_request_is_made_as_a_program_would(verb: Any, asked: list[Request]) -> None:
    found = await verb({"host": "192.0.2.1", "port": 443, "program": "/bin/x"})
    await verb({"host": "example.com", "port": 80, "program": None, "level": "fast"})
    assert asked == [
        Request("192.0.2.1", 443, program="/bin/x", level="high", place=HERE),
        Request("example.com", 80, level="fast"),
    ]
    assert found["routes"]["count"] == 24
    assert found["destination"] == {"host": "192.0.2.1", "port": 443, "program": "/bin/x"}


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"host": "", "port": 443},
        {"host": "x" * 254, "port": 443},
        {"host": 7, "port": 443},
        {"host": "x"},
        {"host": "x", "port": 0},
        {"host": "x", "port": 65536},
        {"host": "x", "port": True},
        {"host": "x", "port": "443"},
        {"host": "x", "port": 443, "program": 7},
        {"host": "x", "port": 443, "program": "x" * (PROGRAM_CAP + 1)},
        {"host": "x", "port": 443, "level": "none"},
        {"host": "x", "port": 443, "level": ["fast"]},
    ],
)
async def test_what_is_no_request_is_refused(verb: Any, asked: list[Request], args: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="explain takes"):
        await verb(args)
    assert asked == []


async def test_searches_go_on_beside_the_circuits_and_one_at_a_time(
    verb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end, at_once = threading.Event(), threading.Event(), []

    def slow(situation: Situation, request: Request) -> dict[str, Any]:
        at_once.append(request.port)
        begun.set()
        end.wait(10.0)
        return {}

    monkeypatch.setattr(explaining, "_explained", slow)
    with anyio.fail_after(20.0):
        async with anyio.create_task_group() as tasks:
            for port in (1, 2):
                tasks.start_soon(verb, {"host": "x", "port": port})
            # The loop is free while a thread searches.
            assert await anyio.to_thread.run_sync(begun.wait, 10.0)
            await anyio.sleep(0.05)
            assert len(at_once) == 1
            end.set()
    assert sorted(at_once) == [1, 2]
