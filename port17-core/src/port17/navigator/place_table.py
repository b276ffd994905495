"""The geo source ``static``: networks and their places, from a file that the user has written."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from port17.errors import ConfigError
from port17.navigator.atlas import ASN_CAP
from port17.navigator.countries import CONTINENTS, COUNTRIES
from port17.navigator.geo import GeoSource, Place
from port17.records.ip_space import Address, Network
from port17.records.regular_file import read_regular

FILE_CAP: Final = 4 << 20
"""Longest table, bytes: 200 for each network."""
NETWORKS_CAP: Final = 20_000
"""Most networks: they are read in a second or two. More belong into a database file, which is not read as a
whole."""


class Entry(BaseModel):
    """What the table says of a network.

    :param country: ISO 3166-1 alpha-2 code, in capitals.
    :param continent: where there is a country, its own.
    :param asn: number of the autonomous system.
    :param latitude: degrees north; where there is none, those of the country's middle.
    :param longitude: degrees east.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: str = ""
    continent: str = ""
    asn: Annotated[int, Field(ge=0, le=ASN_CAP)] = 0
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None

    @model_validator(mode="after")
    def _known(self) -> Entry:
        if self.country and self.country not in COUNTRIES:
            raise ValueError(f"{self.country!r} is no country's code (two capitals, like DE)")
        if self.continent and self.continent not in CONTINENTS:
            raise ValueError(f"{self.continent!r} is none of {', '.join(CONTINENTS)}")
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("latitude and longitude belong together")
        if not (self.country or self.continent or self.asn or self.latitude is not None):
            raise ValueError("nothing is said of it")
        return self


class PlaceTable(GeoSource):
    """Networks to places; of several that hold an address the smallest counts."""

    name = "static"

    class Config(GeoSource.Config):
        """:param file: TOML with one table ``places``, from networks to what is known of them."""

        file: str

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._path = Path(config.file)
        self._lengths: dict[int, tuple[int, ...]] = {4: (), 6: ()}
        """Per version the prefix lengths that there are, the longest first."""
        self._entries: dict[tuple[int, int, int], Entry] = {}
        """By version, prefix length, and the prefix's bits."""

    def open(self, folder: Path) -> None:
        """:raises ConfigError: the file is missing, too long, or says what is no place."""
        path = self._path = folder / Path(self.config.file).expanduser()
        lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._entries = {}
        for network, entry in _read(path).items():
            lengths[network.version].add(network.prefixlen)
            self._entries[_key(network.network_address, network.prefixlen)] = entry
        self._lengths = {version: tuple(sorted(found, reverse=True)) for version, found in lengths.items()}

    def about(self) -> Sequence[str]:
        """The file, and how many networks it names."""
        return [f"table of {len(self._entries)} networks, {self._path}"]

    def locate(self, ip: Address) -> Place | None:
        """Where an address is, by the smallest network that holds it."""
        for length in self._lengths[ip.version]:
            entry = self._entries.get(_key(ip, length))
            if entry is not None:
                return Place(ip, entry.asn, entry.country, entry.continent, entry.latitude, entry.longitude)
        return None


def _key(ip: Address, length: int) -> tuple[int, int, int]:
    return ip.version, length, int(ip) >> (ip.max_prefixlen - length)


def _read(path: Path) -> dict[Network, Entry]:
    try:
        data = read_regular(path, FILE_CAP)
        if len(data) > FILE_CAP:
            raise ConfigError(
                f"{path} is longer than {FILE_CAP} bytes.", cure="Is it a table of networks and places?"
            )
        tree = tomllib.loads(data.decode())
    except FileNotFoundError:
        raise ConfigError(
            f"There is no table of places {path}.", cure="Write one, or correct [geo.options] file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", cure="Check its permissions.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", cure="Mend that line.") from error
    places = tree.get("places")
    if set(tree) != {"places"} or not isinstance(places, dict):
        raise ConfigError(
            f"{path} is no table of places.",
            cure='Write one [places] with lines "NETWORK" = { country = "DE" }.',
        )
    if len(places) > NETWORKS_CAP:
        raise ConfigError(
            f"{path} names {len(places)} networks; {NETWORKS_CAP} are the most.",
            cure="Use a database file, with the source maxmind.",
        )
    return {_network(text, path): _entry(text, said, path) for text, said in places.items()}


def _network(text: str, path: Path) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{path}: {error}.", cure="Write networks like 192.0.2.0/24 or 2001:db8::/32."
        ) from error


def _entry(text: str, said: Any, path: Path) -> Entry:
    try:
        return Entry.model_validate(said if isinstance(said, Mapping) else {"": said})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        what = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{path}: {text}{f', {what}' if what else ''}: {message}.", cure="Correct that line."
        ) from error
