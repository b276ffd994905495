"""The event loop's clock as a plain function, for what asks it for every batch of cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import anyio
from anyio.lowlevel import current_token


def clock() -> Callable[[], float]:
    """What :func:`anyio.current_time` gives in this loop, without looking for the loop at every call.

    asyncio's loop has it as a method; any other is asked through anyio, since its clock may be virtual.
    """
    loops_own = getattr(current_token().native_token, "time", None)
    return cast(Callable[[], float], loops_own) if callable(loops_own) else anyio.current_time
