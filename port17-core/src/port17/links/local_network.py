"""The local-network contract: how beacons reach whoever listens on the links that a machine is attached to,
and nobody beyond them. What is in a beacon, and what of it is believed, is the core's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import ClassVar, NoReturn, TypeAlias

from pydantic import BaseModel, ConfigDict

Announce: TypeAlias = Callable[[], bytes | None]
"""What is to be sent now, at most ``BEACON_CAP`` bytes; None sends nothing."""
Heard: TypeAlias = Callable[[bytes, str, str], None]
"""Takes what somebody sent, the sender's address, and the name of the interface that it came in by. The
address is numeric and without a port, an IPv6 link-local one with its scope: ``fe80::1%eth0``. Never raises,
and takes no time worth waiting for."""


class LocalNetwork(ABC):
    """A driver of entry-point group ``port17.local_networks``; its entry point's name is ``name``.

    What it hands over must have come from a link of this machine's, not by way of a router: the core gives
    local bottles to whoever sends beacons, and to nobody else. Processes of one machine hear each other, and
    may hear themselves.
    """

    name: ClassVar[str]

    class Config(BaseModel):
        """The driver's own options, from ``[local_network.options]``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    @abstractmethod
    async def run(self, announce: Announce, heard: Heard) -> NoReturn:
        """Announce and listen until cancelled.

        No link at hand, one that fails and one that comes later are no errors: it goes on with what there is.

        :param announce: asked before every beacon, at intervals that vary, so that those who started together
            don't send together.
        :param heard: gets what others send; anything longer than ``BEACON_CAP`` bytes is dropped unseen.
        """

    @property
    @abstractmethod
    def links(self) -> Collection[str]:
        """Names of the interfaces that it uses at present: who is on one of these links is a neighbour."""

    @abstractmethod
    def changed(self) -> None:
        """What is announced has changed, or somebody is there who doesn't know it: announce soon. Takes no
        time, may be called often, and at any time."""
