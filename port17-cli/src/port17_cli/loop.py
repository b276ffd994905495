"""Which event loop runs a command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio

Result = TypeVar("Result")
Args = TypeVarTuple("Args")


def run(async_fn: Callable[[*Args], Awaitable[Result]], *args: *Args) -> Result:
    """Run an async function to its end in an event loop of its own."""
    return anyio.run(async_fn, *args, backend="asyncio")
