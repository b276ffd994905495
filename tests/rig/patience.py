"""Waiting for what has to come about, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE_S = 0.05
"""Between two looks, seconds."""


def until(condition: Callable[[], bool], what: str, limit: float) -> None:
    """Wait until a condition holds.

    :param what: says in the failure what did not come about.
    :param limit: seconds.
    """
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {limit:g} s"
        time.sleep(PAUSE_S)
