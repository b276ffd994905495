"""The control socket: who may open it, what a wrong question does, and what a dead process leaves."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import anyio.abc
import pytest

from port17.control import REQUEST_CAP, ask, serve
from port17.errors import ConfigError, NetworkError, NoRoute, Port17Error, UsageError

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path() -> Any:
    with TemporaryDirectory(prefix="p17") as directory:  # pytest's own are too long for a socket
        yield Path(directory) / "control.sock"


async def echo(args: dict[str, Any]) -> dict[str, Any]:
    return {"args": args}


async def refuse(args: dict[str, Any]) -> dict[str, Any]:
    raise NoRoute("no route", cure="add nodes")


async def crash(args: dict[str, Any]) -> dict[str, Any]:
    raise ZeroDivisionError("secret.example")


async def hang(args: dict[str, Any]) -> dict[str, Any]:
    await anyio.sleep_forever()
    return {}


async def pour(stream: anyio.abc.ByteStream, size: int) -> None:
    await stream.send(b"x" * size)
    await stream.receive()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    verbs = {"echo": echo, "refuse": refuse, "crash": crash, "hang": hang}
    async with anyio.create_task_group() as tasks:
        await tasks.start(serve, path, verbs)
        yield
        # On asyncio, anyio 4.16's unix stream complains when it is cancelled in the very turn of the loop in
        # which its peer hangs up; let the hang-up be seen first.
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_answers_and_goes_away(path: Path) -> None:
    async with serving(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert await ask(path, "echo", {"count": 3}) == {"args": {"count": 3}}
        assert await ask(path, "echo") == {"args": {}}
    with pytest.raises(NetworkError, match="no control socket"):
        await ask(path, "echo")


async def test_errors_keep_their_exit_code_and_cure(path: Path) -> None:
    async with serving(path):
        with pytest.raises(NetworkError, match="no route") as caught:
            await ask(path, "refuse")
        assert (caught.value.exit_code, caught.value.cure) == (5, "add nodes")
        with pytest.raises(UsageError, match="no verb") as unknown:
            await ask(path, "ehco")
        assert "echo" in unknown.value.cure


async def test_a_crash_ends_nothing_and_tells_no_detail(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(path):
        with pytest.raises(Port17Error, match="ZeroDivisionError") as caught:
            await ask(path, "crash")
        assert caught.value.exit_code == 1
        assert "secret.example" not in str(caught.value) + caplog.text
        assert await ask(path, "echo") == {"args": {}}


async def test_a_slow_answer_is_given_up(path: Path) -> None:
    async with serving(path):
        with pytest.raises(NetworkError, match="No answer"):
            await ask(path, "hang", timeout=0.05)
        assert await ask(path, "echo") == {"args": {}}


@pytest.mark.parametrize(
    "line", [b"", b"not json", b"[]", b'"x"', b"{}", b'{"verb":1}', b'{"verb":"echo","args":[]}', b"[" * 5000]
)
async def test_malformed_requests_are_answered(path: Path, line: bytes) -> None:
    async with serving(path), await anyio.connect_unix(path) as stream:
        await stream.send(line + b"\n")
        answer = json.loads(await stream.receive())
        assert answer["error"]["exit_code"] == 2


async def test_an_endless_request_costs_only_its_connection(path: Path) -> None:
    async with serving(path):
        async with await anyio.connect_unix(path) as stream:
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await pour(stream, 16 * REQUEST_CAP)
        assert await ask(path, "echo") == {"args": {}}


async def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    async with serving(path):
        assert await ask(path, "echo") == {"args": {}}


async def test_a_living_process_is_not_robbed(path: Path) -> None:
    async with serving(path):
        with pytest.raises(ConfigError, match="Another process"):
            await serve(path, {})
        assert await ask(path, "echo") == {"args": {}}


def test_a_file_that_is_no_socket_is_kept(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        anyio.run(serve, path, {})
    assert path.read_text() == "precious"


async def test_paths_that_no_system_takes(path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than"):
        await serve(path.parent / ("x" * 120), {})
    with pytest.raises(ConfigError, match="cannot be made"):
        await serve(path.parent / "none" / "c.sock", {})
