"""A conveyor stream without a conveyor, for tests of what is joined to one."""

from __future__ import annotations

import anyio

from port17.links.stream import ConveyorStream, Outlet
from port17.wire.reasons import Reason


class PlainConveyor(ConveyorStream):
    """Delivers what its ``receive`` gives, one piece after the other, and notes how it was aborted."""

    def __init__(self) -> None:
        self.aborted: list[Reason] = []

    async def deliver(self, outlet: Outlet) -> None:
        while True:
            try:
                data = await self.receive()
            except anyio.EndOfStream:
                return
            await outlet.send(data)

    def abort(self, reason: Reason = Reason.DONE) -> None:
        self.aborted.append(reason)
