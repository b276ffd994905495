"""One circuit of a client, with its route and what it is used for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import anyio

from port17.links.crane import Crane
from port17.navigator.agreement import Standing
from port17.navigator.chart import ChartNode
from port17.navigator.policy import Request, Route
from port17.wire.circuit import Circuit

YOUNG_S = 600.0
"""Seconds for which a circuit takes new connections, as Tor does: long enough to be cheap, short enough that
what one exit sees of a user stays little. Counted from the first connection."""
Key: TypeAlias = tuple[bytes, str, str]
"""Isolation key, destination host and program: what may share a circuit."""


def key_of(request: Request) -> Key:
    """What a request may share a circuit with."""
    return request.isolation, request.host, request.program


@dataclass(eq=False)
class Built:
    """A circuit, its route, and what it is used for."""

    ident: int
    route: Route
    circuit: Circuit
    crane: Crane
    """The link that it begins with."""
    request: Request
    """What it was made for; of a spare one, what is usual."""
    exit: ChartNode
    """Its last node, as the chart has it now."""
    made_s: float
    used_s: float
    """When the last connection began on it."""
    first_s: float | None = None
    """When the first one did; None of a spare one."""
    asked_s: float = 0.0
    """When the policies last agreed that the request may use it."""
    standing: Standing = Standing.GOOD
    """What has become of its suites: of its nodes and of its link, the worst."""
    since_s: float = 0.0
    """When that began."""
    provisional: bool = False
    """It may go over lanes that are on their way out."""
    retired: bool = False
    """No new connection uses it: a successor is there, it is unusually slow, or the user is another."""
    waiting: anyio.Event = field(default_factory=anyio.Event)
    """Set once the circuit is confirmed or over."""

    @property
    def key(self) -> Key:
        """What may share it."""
        return key_of(self.request)

    @property
    def busy(self) -> bool:
        """A connection is open on it."""
        return bool(self.circuit.last.mux.conveyors)

    def age_s(self, now_s: float) -> float:
        """Seconds since its first connection, or since it was made if there was none."""
        return now_s - (self.made_s if self.first_s is None else self.first_s)

    def use(self, request: Request, now_s: float) -> None:
        """A connection begins on it."""
        if self.first_s is None:
            self.first_s = now_s
        self.request, self.used_s = request, now_s

    def takes(self, request: Request, now_s: float) -> bool:
        """Whether a new connection may use it, as far as it can be told without the policies."""
        node = self.exit
        return (
            self.circuit.closed is None
            and self.standing is Standing.GOOD
            and not self.retired
            and self.age_s(now_s) < YOUNG_S
            and not self.circuit.last.mux.full
            and node.exit is not None
            and node.exit.allows(request.host, request.port)
            and (node.plain_text or not request.plain_text)
        )
