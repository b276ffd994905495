"""The geo source ``maxmind``: asks a country or city file for the place, and an ASN file for the network."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from pathlib import Path
from time import gmtime, strftime
from typing import Annotated, ClassVar, Final

from pydantic import BeforeValidator, Field, model_validator

from port17 import GeoSource, Place
from port17_geoip.database import Database
from port17_geoip.layout import Spot, spot, system

FILES_CAP: Final = 4
"""Most files of one kind: one each for IPv4 and IPv6, and others for what these don't know."""
OLD_DAYS: Final = 366.0
"""Days after which a file is called old: in a year some per cent of all addresses move."""

_log = logging.getLogger(__name__)


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(max_length=FILES_CAP)]


class MaxMind(GeoSource):
    """Files in MaxMind's format. Of several the first that knows an address counts."""

    name: ClassVar[str] = "maxmind"

    class Config(GeoSource.Config):
        """Options of the source; at least one of them.

        :param country: a country or city file, or several.
        :param asn: an ASN file, or several. A file that has both is named twice.
        """

        country: Files = ()
        asn: Files = ()

        @model_validator(mode="after")
        def _any(self) -> MaxMind.Config:
            if not (self.country or self.asn):
                raise ValueError("name a file: country, asn, or both")
            return self

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._countries: list[Database] = []
        self._systems: list[Database] = []

    def open(self, folder: Path) -> None:
        """:raises ConfigError: a file is missing, damaged, or of something else."""
        try:
            for files, what, says, opened in (
                (self.config.country, "countries", spot, self._countries),
                (self.config.asn, "AS numbers", system, self._systems),
            ):
                for file in files:
                    opened.append(Database(folder / Path(file).expanduser(), what, says))
        except BaseException:
            self.close()
            raise
        for database in {one.path: one for one in (*self._countries, *self._systems)}.values():
            if database.age_days > OLD_DAYS:
                _log.warning(
                    "%s is %.0f days old: many addresses have moved since", database.path, database.age_days
                )

    def locate(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Place | None:
        """Where an address is.

        :raises ConfigError: a file is damaged there.
        """
        found = next(filter(None, (spot(one.get(ip)) for one in self._countries)), None)
        asn = next(filter(None, (system(one.get(ip)) for one in self._systems)), 0)
        if found is None and not asn:
            return None
        found = found or Spot()
        return Place(ip, asn, found.country, found.continent, found.latitude, found.longitude)

    def about(self) -> Sequence[str]:
        """Per file its type, its day and its path."""
        return [
            f"{one.kind} of {strftime('%Y-%m-%d', gmtime(one.made_s))}, {one.path}"
            for one in (*self._countries, *self._systems)
        ]

    def close(self) -> None:
        """Let go of the files."""
        for one in (*self._countries, *self._systems):
            one.close()
        self._countries, self._systems = [], []
