"""The control verb ``explain``: which route a connection would get from this client now, and why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import Any, Final

import anyio
import anyio.to_thread

from port17.errors import UsageError
from port17.navigator.explanation import explain_request
from port17.navigator.geo import Place
from port17.navigator.policy import LEVELS, Request, SecurityLevel
from port17.navigator.situation import Situation
from port17.records.exit_rules import LAST_PORT, NAME_CAP

PROGRAM_CAP: Final = 4096
"""Longest path of a program, characters: what Linux takes."""

_random: Final = SystemRandom()


def explain(
    situation: Callable[[Request], Situation], place: Callable[[str], Place | None], level: SecurityLevel
) -> Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]:
    """The verb for one client.

    Arguments: ``host``, ``port``, and if wanted ``program`` and ``level``. Nothing is built, and nothing
    remembered.

    :param situation: what a route for a request would be searched in now.
    :param place: where a destination is, as far as that is known.
    :param level: the user's.
    """
    # One at a time: each is a dozen searches at worst.
    one = anyio.Lock()

    async def answer(args: dict[str, Any]) -> dict[str, Any]:
        host, port, program, asked = _checked(args)
        request = Request(host, port, program=program, level=asked or level, place=place(host))
        async with one:
            where = situation(request)
            # A large chart takes seconds, in which circuits must go on. The search shares nothing with theirs
            # but the chart and the policies, neither of which changes.
            return await anyio.to_thread.run_sync(_explained, where, request)

    return answer


def _explained(situation: Situation, request: Request) -> dict[str, Any]:
    return explain_request(situation, request, _random).plain()


def _checked(args: dict[str, Any]) -> tuple[str, int, str, SecurityLevel | None]:
    """:raises UsageError: an argument is missing or wrong."""
    host, port, program, level = (args.get(name) for name in ("host", "port", "program", "level"))
    if not isinstance(host, str) or not 0 < len(host) <= NAME_CAP:
        raise UsageError(f"explain takes a host of up to {NAME_CAP} characters.")
    if type(port) is not int or not 0 < port <= LAST_PORT:
        raise UsageError(f"explain takes a port from 1 to {LAST_PORT}.")
    if program is None:
        program = ""
    if not isinstance(program, str) or len(program) > PROGRAM_CAP:
        raise UsageError(f"explain takes a program's path of up to {PROGRAM_CAP} characters.")
    if level is not None and level not in LEVELS:
        raise UsageError(f"explain takes a level: {', '.join(LEVELS)}.")
    return host, port, program, level
