"""The operation contract: what a node does for whoever opens a conveyor on it.

Who may call, how often, and the framing of the conveyor are the node's engine's business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Flag, auto
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from port17.links.stream import ConveyorStream

if TYPE_CHECKING:
    from port17.asking import Exchanges
    from port17.network import KnownNetwork
    from port17.node.speedtest import Speeds
    from port17.refreshing import Refresher


class Caller(Flag):
    """Who opened the conveyor."""

    CLIENT = auto()
    """Whoever built a circuit to this node: anybody, unknown."""
    NODE = auto()
    """The node at the other end of a lane, for itself and none of its clients: it says so of the circuit."""
    OPERATOR = auto()
    """Whoever holds this node's operator key."""


class Host(Protocol):
    """The node, as the operations of the network's own upkeep see it."""

    @property
    def network(self) -> KnownNetwork:
        """What it knows."""

    @property
    def refresher(self) -> Refresher:
        """How it asks nodes themselves."""

    @property
    def exchanges(self) -> Exchanges:
        """How bottles are exchanged."""

    @property
    def speeds(self) -> Speeds:
        """How it measures lanes, and lets others."""

    def is_local(self, origin: str) -> bool:
        """Whether a link, by its name, comes from the local network."""


class Operation(ABC):
    """A driver of entry-point group ``port17.operations``; its entry point's name is ``name``.

    One instance serves the whole node; each call of :meth:`handle` is a task of its own, which the
    engine cancels when the conveyor's circuit ends.
    """

    name: ClassVar[str]
    """The wire name, ASCII, e.g. ``TUNNEL``."""
    callers: ClassVar[Caller]
    """Who may open it; anybody else is answered ``POLICY`` before :meth:`handle` is called."""
    upkeep: ClassVar[bool] = False
    """The network itself needs it: it is no use that somebody makes of the node, and a node that leaves does
    not wait for it."""

    class Config(BaseModel):
        """The operation's own options."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    def attach(self, host: Host) -> None:  # noqa: B027 - most operations need nothing of the node
        """Called once, before anything is served."""

    @abstractmethod
    async def handle(self, args: bytes, stream: ConveyorStream) -> None:
        """Serve one conveyor to its end.

        Either ``stream.accept`` is called once, or ``stream.abort`` with the reason. The
        conveyor is over when this returns. ``stream.origin`` names the link that it came over, so that limits
        can be each link's own.

        :param args: what the opener asked for, in the operation's own encoding; hostile until checked.
        """
