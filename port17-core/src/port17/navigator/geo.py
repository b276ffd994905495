"""Where on earth, and in whose network, an address is: what a geo source says, and the contract of one.

What follows for routes is the policies' to say. What a bottle claims of itself counts for nothing here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from port17.records.ip_space import Address


@dataclass(frozen=True, slots=True)
class Place:
    """What a geo source says of one address. What it doesn't know is empty.

    :param ip: the address.
    :param asn: number of the autonomous system that announces it; 0 if that is not known.
    :param country: ISO 3166-1 alpha-2, in capitals.
    :param continent: AF, AN, AS, EU, NA, OC or SA.
    :param latitude: degrees north; the country's middle where nothing finer is known.
    :param longitude: degrees east.
    """

    ip: Address
    asn: int = 0
    country: str = ""
    continent: str = ""
    latitude: float | None = None
    longitude: float | None = None


class GeoSource(ABC):
    """A driver of entry-point group ``port17.geo_sources``; its entry point's name is ``name``.

    It reads local files alone: who asks somebody else where a node is tells him that he uses it.
    """

    name: ClassVar[str]

    class Config(BaseModel):
        """The source's own options, from ``[geo.options]``."""

        model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, config: Config | None = None) -> None:
        self.config = config if config is not None else self.Config()

    def open(self, folder: Path) -> None:  # noqa: B027 - not all have something to do
        """Read what the options name. Called once, before anything is asked.

        :param folder: what relative files are relative to: the configuration file's.
        :raises ConfigError: a file is missing, or is not what it should be.
        """

    @abstractmethod
    def locate(self, ip: Address) -> Place | None:
        """Where an address is; None if nothing is known of it. Quick (microseconds), and pure."""

    def about(self) -> Sequence[str]:
        """What it reads, for people: a line per file."""
        return ()

    def close(self) -> None:  # noqa: B027 - most have no files open
        """Let go of files."""


class Nowhere(GeoSource):
    """The source ``none``: nothing is known of any address."""

    name = "none"

    def locate(self, ip: Address) -> Place | None:
        """Nothing is known."""
        return None
