"""The ingress contract: how programs hand over their connections.

An ingress speaks a local protocol with programs and knows nothing of routes; what it gets from the tunnel
is one function that turns a request into a conveyor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeAlias

from anyio.abc import TaskStatus
from pydantic import BaseModel, ConfigDict

from port17.links.stream import ConveyorStream
from port17.navigator.policy import Request

Open: TypeAlias = Callable[[Request], Awaitable[ConveyorStream]]
"""Opens a conveyor to a destination and returns it at once, before the destination has accepted, so that
early data can be sent. Raises :class:`~port17.errors.NetworkError`, e.g. ``NoRoute``."""


class Ingress(ABC):
    """A driver of entry-point group ``port17.ingress``; its entry point's name is ``name``.

    Whatever fails, an ingress ends the program's connection, with the true reason where its protocol has
    words for it. It never resolves a name and never connects to anything itself.
    """

    name: ClassVar[str]

    class Config(BaseModel):
        """The ingress's own options, from ``[ingress.NAME]``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    wants_program: bool = False
    """Set before :meth:`serve` if a policy looks at :attr:`Request.program`: then it is to be filled in,
    where that can be told."""

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    async def serve(self, open: Open, *, task_status: TaskStatus[str]) -> None:  # noqa: A002
        """Serve programs until cancelled.

        :param open: see :data:`Open`.
        :param task_status: is told the address that was really bound, once programs can connect.
        :raises OSError: the address cannot be bound.
        """
