"""The operation SYNC: exchange of bottles with whoever opens it, another node or a client.

What is said is :mod:`port17.bottles.gossip`'s; here is who may, and how many at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import ClassVar, Final

from port17.asking import SYNC, Bell
from port17.bottles.intake import Sender
from port17.errors import NetworkError, PeerViolation
from port17.links.stream import ConveyorStream
from port17.node.operation import Caller, Host, Operation
from port17.wire.reasons import Reason

PER_LINK_CAP: Final = 8
"""Most at once over one link: a neighbour's or a client's own, some that are about to end, and of clients who
come by a circuit over a lane a few; these find the same bottles at any other node."""
SERVED_CAP: Final = 4096
"""Most at once in all: each holds two windows and what is known of the other end."""

_log = logging.getLogger(__name__)


class Sync(Operation):
    """Always served: a network is what its nodes tell each other."""

    name: ClassVar[str] = SYNC
    callers: ClassVar[Caller] = Caller.CLIENT
    upkeep: ClassVar[bool] = True

    def __init__(self, config: Operation.Config | None = None) -> None:
        super().__init__(config)
        self._open: Counter[str] = Counter()
        self._host: Host | None = None

    @property
    def open(self) -> int:
        """How many follow us."""
        return self._open.total()

    def attach(self, host: Host) -> None:
        """See :meth:`Operation.attach`."""
        self._host = host

    async def handle(self, args: bytes, stream: ConveyorStream) -> None:
        """See :meth:`Operation.handle`."""
        host, origin = self._host, stream.origin
        if host is None or args:
            stream.abort(Reason.PROTOCOL if args else Reason.RESOURCES)
            return
        if self._open[origin] >= PER_LINK_CAP or self._open.total() >= SERVED_CAP:
            stream.abort(Reason.RESOURCES)
            return
        self._open[origin] += 1
        try:
            await stream.accept()
            bell = Bell()
            key = host.network.gossip.serve(Sender(origin, local=host.is_local(origin)), bell.ring)
            await host.exchanges.move(key, stream, bell)
        except PeerViolation as error:
            _log.info("a SYNC was ended: %s", error)
        except NetworkError as error:
            _log.debug("a SYNC ended: %s", error)
        finally:
            self._open[origin] -= 1
            if not self._open[origin]:
                del self._open[origin]
