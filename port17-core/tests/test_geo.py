"""Where addresses are: the table of countries, what sources say, and the table that users write."""

from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from port17.config.settings import ClientConfig
from port17.config.source import load
from port17.errors import ConfigError, PluginError
from port17.navigator import atlas as atlas_module
from port17.navigator import place_table
from port17.navigator.atlas import Atlas, Unplaceable
from port17.navigator.countries import CONTINENTS, COUNTRIES
from port17.navigator.geo import GeoSource, Nowhere, Place
from port17.navigator.place_table import FILE_CAP, PlaceTable
from port17.node.area import Areas
from port17.plugins.loader import Registry
from port17.plugins.own_atlas import open_atlas
from port17.records.ip_space import Address

TABLE = """
[places]
"192.0.2.0/24" = { country = "DE", asn = 64500 }
"192.0.2.128/25" = { country = "FR", latitude = 48.5, longitude = 2.5 }
"192.0.2.129/32" = { continent = "OC" }
"2001:db8::/32" = { country = "JP", asn = 4294967295 }
"0.0.0.0/1" = { asn = 7 }
"""


class Says(GeoSource):
    """Says one thing of every address, or fails; counts how often it is asked."""

    name = "says"

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[Address] = []

    def locate(self, ip: Address) -> Place | None:
        self.asked.append(ip)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def table(folder: Path, text: str = TABLE) -> PlaceTable:
    (folder / "places.toml").write_text(text)
    made = PlaceTable(PlaceTable.Config(file="places.toml"))
    made.open(folder)
    return made


def said(
    *, country: str = "", continent: str = "", asn: int = 0, at: tuple[float, float] | None = None
) -> Place:
    latitude, longitude = at or (None, None)
    return Place(ip_address("192.0.2.9"), asn, country, continent, latitude, longitude)


# -- the table of countries ----------------------------------------------------------------------------
def test_every_country_is_on_a_continent_and_on_earth() -> None:
    assert len(COUNTRIES) == 250
    assert {country.continent for country in COUNTRIES.values()} == set(CONTINENTS)
    for code, country in COUNTRIES.items():
        assert code.isascii()
        assert code.isupper()
        assert len(code) == 2
        assert -90 <= country.latitude <= 90
        assert -180 <= country.longitude <= 180


@pytest.mark.parametrize(
    ("code", "continent", "latitude", "longitude"),
    [
        ("DE", "EU", 51, 9),
        ("US", "NA", 38, -97),
        ("BR", "SA", -10, -55),
        ("AU", "OC", -27, 133),
        ("ZA", "AF", -29, 24),
        ("JP", "AS", 36, 138),
        ("AQ", "AN", -90, 0),
        ("RU", "EU", 60, 100),
        ("TR", "AS", 39, 35),
    ],
)
def test_countries_lie_where_the_factbook_has_them(
    code: str, continent: str, latitude: float, longitude: float
) -> None:
    found = COUNTRIES[code]
    assert found.continent == continent
    assert abs(found.latitude - latitude) <= 1
    assert abs(found.longitude - longitude) <= 1


# -- what a source says --------------------------------------------------------------------------------
def test_what_a_source_leaves_out_is_filled_in_from_the_table_of_countries() -> None:
    ip = ip_address("192.0.2.9")
    place = Atlas(Says(said(country="DE", asn=3))).find(ip)
    assert place == Place(ip, 3, "DE", "EU", 51.0, 9.0)
    assert Atlas(Says(said(country="DE", continent="AS", at=(1.0, 2.0)))).find(ip) == Place(
        ip, 0, "DE", "AS", 1.0, 2.0
    )
    assert Atlas(Says(said(country="ZZ"))).find(ip) == Place(ip, 0, "ZZ")  # a code that came later
    assert Atlas(Says(None)).find(ip) is None


def test_a_source_is_asked_once_of_an_address_and_of_what_an_address_wraps() -> None:
    source = Says(said(country="DE"))
    atlas = Atlas(source)
    for _ in range(3):
        atlas.find(ip_address("192.0.2.9"))
    assert source.asked == [ip_address("192.0.2.9")]
    wrapped = atlas.find(ip_address("64:ff9b::c000:209"))
    assert wrapped is not None
    assert str(wrapped.ip) == "64:ff9b::c000:209"
    assert source.asked[-1] == ip_address("192.0.2.9")


def test_what_is_kept_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas_module, "KEPT_CAP", 3)
    source = Says(None)
    atlas = Atlas(source)
    for last in (1, 2, 3, 4, 2, 3, 4):
        atlas.find(ip_address(f"192.0.2.{last}"))
    assert len(source.asked) == 4
    atlas.find(ip_address("192.0.2.1"))
    assert len(source.asked) == 5, "the oldest was forgotten"


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("the disk is gone"),
        said(),
        said(country="de"),
        said(country="Germany"),
        said(continent="XX"),
        said(asn=-1),
        said(asn=1 << 32),
        said(at=(float("nan"), 0.0)),
        said(at=(91.0, 0.0)),
        said(at=(0.0, 181.0)),
        "DE",
    ],
)
def test_a_source_that_fails_is_not_one_that_knows_nothing(answer: object) -> None:
    source = Says(answer)
    atlas = Atlas(source)
    for _ in range(2):
        with pytest.raises(Unplaceable, match="the geo source 'says' failed"):
            atlas.find(ip_address("192.0.2.9"))
        with pytest.raises(Unplaceable):
            atlas.places({"tcp": ["192.0.2.9:1"]})
    assert len(source.asked) == 1


def test_how_a_source_failed_names_no_address() -> None:
    atlas = Atlas(Says(ValueError("cannot look up 192.0.2.9")))
    with pytest.raises(Unplaceable) as failure:
        atlas.find(ip_address("192.0.2.9"))
    assert "192.0.2.9" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


def test_only_numbers_have_places_each_once_in_their_order() -> None:
    source = Says(said(country="DE"))
    addresses = {
        "tcp": ["192.0.2.9:1", "example.org:1", "192.0.2.9:2", "[2001:db8::1]:1"],
        "tls": ["192.0.2.8:1", "wss://192.0.2.9:443/way", "memory-7"],
    }
    places = Atlas(source).places(addresses)
    assert [str(place.ip) for place in places] == ["192.0.2.9", "2001:db8::1", "192.0.2.8"]


def test_without_a_source_nobody_is_anywhere() -> None:
    for atlas in (Atlas(), Atlas(Nowhere())):
        assert atlas.is_empty
        assert atlas.find(ip_address("192.0.2.9")) is None
        assert atlas.places({"tcp": ["192.0.2.9:1"]}) == ()


# -- the table that users write ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("ip", "country", "asn"),
    [
        ("192.0.2.1", "DE", 64500),
        ("192.0.2.127", "DE", 64500),
        ("192.0.2.128", "FR", 0),
        ("192.0.2.129", "", 0),
        ("2001:db8:ffff::1", "JP", 4294967295),
        ("10.0.0.1", "", 7),
    ],
)
def test_of_the_networks_of_a_table_the_smallest_counts(
    tmp_path: Path, ip: str, country: str, asn: int
) -> None:
    place = table(tmp_path).locate(ip_address(ip))
    assert place is not None
    assert (place.country, place.asn) == (country, asn)


@pytest.mark.parametrize("ip", ["192.0.3.0", "2001:db9::", "::", "255.255.255.255"])
def test_what_is_in_no_network_is_not_known(tmp_path: Path, ip: str) -> None:
    assert table(tmp_path).locate(ip_address(ip)) is None


@settings(max_examples=50, deadline=None)
@given(
    networks=st.dictionaries(
        st.tuples(st.integers(0, 255), st.integers(24, 32)).map(
            lambda pair: str(ip_network((f"192.0.2.{pair[0]}", pair[1]), strict=False))
        ),
        st.integers(1, 1000),
        max_size=8,
    ),
    last=st.integers(0, 255),
)
def test_a_table_says_what_looking_at_every_network_would(
    tmp_path_factory: pytest.TempPathFactory, networks: dict[str, int], last: int
) -> None:
    text = "[places]\n" + "".join(f'"{one}" = {{ asn = {asn} }}\n' for one, asn in networks.items())
    ip = ip_address(f"192.0.2.{last}")
    place = table(tmp_path_factory.mktemp("table"), text).locate(ip)
    holding = [ip_network(one) for one in networks if ip in ip_network(one)]
    if not holding:
        assert place is None
    else:
        smallest = max(holding, key=lambda one: one.prefixlen)
        assert place is not None
        assert place.asn == networks[str(smallest)]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("places = 3", "no table of places"),
        ("[elsewhere]", "no table of places"),
        ('[places]\n"192.0.2.0/24" = { country = "DE" }\n[more]', "no table of places"),
        ("[places", "not valid TOML"),
        ('[places]\n"192.0.2.1/24" = { country = "DE" }', "192.0.2.1/24 has host bits set"),
        ('[places]\n"example.org" = { country = "DE" }', "'example.org' does not appear to be"),
        ('[places]\n"192.0.2.0/24" = { country = "de" }', "'de' is no country's code"),
        ('[places]\n"192.0.2.0/24" = { country = "UK" }', "'UK' is no country's code"),
        ('[places]\n"192.0.2.0/24" = { continent = "EUROPE" }', "'EUROPE' is none of AF, AN"),
        ('[places]\n"192.0.2.0/24" = { latitude = 3 }', "latitude and longitude belong together"),
        ('[places]\n"192.0.2.0/24" = { latitude = 91, longitude = 3 }', "latitude"),
        ('[places]\n"192.0.2.0/24" = { asn = -1 }', "asn"),
        ('[places]\n"192.0.2.0/24" = { city = "Ulm" }', "city"),
        ('[places]\n"192.0.2.0/24" = "DE"', "192.0.2.0/24"),
        ('[places]\n"192.0.2.0/24" = {}', "nothing is said of it"),
        ("places = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_a_wrong_table_says_what_is_wrong_and_where(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(ConfigError) as failure:
        table(tmp_path, text)
    assert wrong in failure.value.message
    assert "places.toml" in failure.value.message
    assert failure.value.cure


def test_a_table_that_is_not_there_or_too_large_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = PlaceTable(PlaceTable.Config(file="none.toml"))
    with pytest.raises(ConfigError, match=r"There is no table of places .*none\.toml"):
        made.open(tmp_path)
    with pytest.raises(ConfigError, match=f"longer than {FILE_CAP}"):
        table(tmp_path, "#" * (FILE_CAP + 1))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot be read"):
        PlaceTable(PlaceTable.Config(file="pipe")).open(tmp_path)
    monkeypatch.setattr(place_table, "NETWORKS_CAP", 3)
    with pytest.raises(ConfigError, match="names 4 networks; 3 are the most"):
        table(tmp_path, "[places]\n" + "".join(f'"192.0.2.{number}" = {{}}\n' for number in range(4)))


# -- as a process has it -------------------------------------------------------------------------------
def config(folder: Path, geo: str) -> ClientConfig:
    file = folder / "client.toml"
    file.write_text(f'charter = "x.charter"\n{geo}')
    return load(ClientConfig, file)[0]


def test_files_are_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    table(tmp_path)
    atlas = open_atlas(
        config(tmp_path, '[geo]\nsource = "static"\noptions = { file = "places.toml" }'), Registry()
    )
    place = atlas.find(ip_address("192.0.2.1"))
    assert place is not None
    assert (place.country, place.continent, place.latitude) == ("DE", "EU", 51.0)
    assert str(tmp_path / "places.toml") in atlas.source.about()[0]


def test_who_names_no_source_has_one_that_knows_nothing(tmp_path: Path) -> None:
    assert open_atlas(config(tmp_path, ""), Registry()).is_empty


@pytest.mark.parametrize(
    ("geo", "error"),
    [
        ('[geo]\nsource = "stars"', PluginError),
        ('[geo]\nsource = "static"', ConfigError),
        ('[geo]\nsource = "static"\noptions = { files = "x" }', ConfigError),
        ('[geo]\nsource = "none"\noptions = { file = "x" }', ConfigError),
    ],
)
def test_a_source_that_cannot_be_had_stops_the_start(
    tmp_path: Path, geo: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        open_atlas(config(tmp_path, geo), Registry())


# -- lanes ---------------------------------------------------------------------------------------------
class Labelled:
    """As much of a label as is looked at."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = {"tcp": addresses}


def test_the_as_of_an_address_is_an_area_of_its_node(tmp_path: Path) -> None:
    areas = Areas(Atlas(table(tmp_path)))
    assert areas.of(Labelled("192.0.2.1:1", "10.0.0.1:1")) == {  # type: ignore[arg-type]
        "192.0.0.0/16",
        "10.0.0.0/16",
        "AS64500",
        "AS7",
    }
    assert areas.of(Labelled("192.0.2.129:1", "example.org:1")) == {"192.0.0.0/16", "name"}  # type: ignore[arg-type]
    assert areas.at("9.9.9.9:1234") == {"9.9.0.0/16", "AS7"}
    assert areas.at("192.0.2.1:1234") == set(), "not a public address"
    broken = Areas(Atlas(Says(ValueError("gone"))))
    assert broken.of(Labelled("192.0.2.1:1")) == {"192.0.0.0/16"}  # type: ignore[arg-type]
    assert broken.at("9.9.9.9:1234") == {"9.9.0.0/16"}
