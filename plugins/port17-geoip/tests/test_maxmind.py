"""Files in MaxMind's format, small ones made for the purpose: every layout, and every way to be damaged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from port17 import ConfigError, Place
from port17_geoip import MaxMind
from port17_geoip import database as database_module
from port17_geoip.layout import spot, system

HOME = ip_address("192.0.2.7")
FAR = ip_address("2001:db8::7")
ELSEWHERE = ip_address("203.0.113.1")

COUNTRIES: dict[str, tuple[Any, tuple[str, str, float | None, float | None]]] = {
    "MaxMind and DB-IP, country": (
        {
            "continent": {"code": "EU", "geoname_id": 6255148, "names": {"en": "Europe"}},
            "country": {"iso_code": "DE", "names": {"en": "Germany"}},
            "registered_country": {"iso_code": "US"},
        },
        ("DE", "EU", None, None),
    ),
    "MaxMind and DB-IP, city": (
        {
            "city": {"names": {"en": "Ulm"}},
            "continent": {"code": "EU"},
            "country": {"iso_code": "DE"},
            "location": {"latitude": 48.4, "longitude": 9.98, "accuracy_radius": 20},
        },
        ("DE", "EU", 48.4, 9.98),
    ),
    "MaxMind, only where it is registered": ({"registered_country": {"iso_code": "US"}}, None),
    "ip-location-db, country": ({"country_code": "DE"}, ("DE", "", None, None)),
    "ip-location-db, city": (
        {"city": "Ulm", "country_code": "DE", "latitude": 48.5, "longitude": 10.0, "timezone": ""},
        ("DE", "", 48.5, 10.0),
    ),
    "IPLocate": (
        {"continent_code": "EU", "country_code": "DE", "country_name": "Germany"},
        ("DE", "EU", None, None),
    ),
    "IPinfo": ({"continent": "EU", "country": "DE", "asn": "AS3320"}, ("DE", "EU", None, None)),
    "coordinates as text": (
        {"country_code": "de", "latitude": "48.5", "longitude": "10"},
        ("DE", "", 48.5, 10.0),
    ),
}

SYSTEMS: dict[str, tuple[Any, int]] = {
    "MaxMind, DB-IP and ip-location-db": (
        {"autonomous_system_number": 3320, "autonomous_system_organization": "Deutsche Telekom AG"},
        3320,
    ),
    "IPLocate": ({"asn": 3320, "country_code": "US", "name": "DTAG", "org": "x", "domain": "x"}, 3320),
    "IPLocate, as text": ({"asn": "3320", "country_code": "US"}, 3320),
    "IPinfo": ({"asn": "AS3320", "as_name": "x", "country": "DE"}, 3320),
}


def file(path: Path, records: Mapping[str, Any], *, version: int = 6, epoch: int | None = None) -> Path:
    writer = MMDBWriter(
        version, database_type="test", ipv4_compatible=version == 6, float_type="f64", int_type="u32"
    )
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    if epoch is not None:
        data = path.read_bytes()
        at = data.rindex(b"build_epoch") + len(b"build_epoch")
        length = data[at] & 0x1F or data[at + 1]
        start = at + (2 if data[at] >> 5 == 0 else 1)
        path.write_bytes(data[:start] + epoch.to_bytes(length, "big") + data[start + length :])
    return path


def opened(folder: Path, **options: Any) -> MaxMind:
    made = MaxMind(MaxMind.Config(**options))
    made.open(folder)
    return made


@pytest.mark.parametrize("layout", COUNTRIES)
def test_the_layouts_of_country_and_city_files(tmp_path: Path, layout: str) -> None:
    record, wanted = COUNTRIES[layout]
    # The second makes it a country file whatever the first says.
    file(tmp_path / "c.mmdb", {"192.0.2.0/24": record, "198.51.100.0/24": {"country_code": "FR"}})
    source = opened(tmp_path, country="c.mmdb")
    place = source.locate(HOME)
    if wanted is None:
        assert place is None
    else:
        assert place == Place(HOME, 0, *wanted)
    assert source.locate(ELSEWHERE) is None
    source.close()


@pytest.mark.parametrize("layout", SYSTEMS)
def test_the_layouts_of_asn_files(tmp_path: Path, layout: str) -> None:
    record, wanted = SYSTEMS[layout]
    file(tmp_path / "a.mmdb", {"192.0.2.0/24": record})
    source = opened(tmp_path, asn=["a.mmdb"])
    # The country of an ASN file is where the system is registered.
    assert source.locate(HOME) == Place(HOME, wanted)
    assert source.locate(ELSEWHERE) is None
    source.close()


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "DE",
        {},
        {"country_code": "DEU"},
        {"country_code": ""},
        {"country_code": 49},
        {"country": {"names": {"en": "Germany"}}},
        {"country": {"iso_code": None}},
        {"continent_code": "XX"},
        {"latitude": 91.0, "longitude": 1.0},
        {"latitude": 1.0},
        {"latitude": float("nan"), "longitude": 0.0},
        {"latitude": True, "longitude": True},
        {"latitude": "north", "longitude": "west"},
    ],
)
def test_what_is_no_place_is_none(record: object) -> None:
    assert spot(record) is None


@pytest.mark.parametrize(
    "record",
    [None, [], {}, {"asn": "DE"}, {"asn": 0}, {"asn": True}, {"asn": 1 << 32}, {"asn": "AS99999999999"}],
)
def test_what_is_no_as_number_is_none(record: object) -> None:
    assert system(record) == 0


def test_a_country_and_an_as_come_from_two_files_and_from_one(tmp_path: Path) -> None:
    file(tmp_path / "c.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    file(tmp_path / "a.mmdb", {"192.0.0.0/16": {"asn": 5}})
    file(tmp_path / "both.mmdb", {"192.0.2.0/24": {"country": "FR", "asn": "AS6"}})
    source = opened(tmp_path, country="c.mmdb", asn="a.mmdb")
    assert source.locate(HOME) == Place(HOME, 5, "DE")
    assert source.locate(ip_address("192.0.3.1")) == Place(ip_address("192.0.3.1"), 5)
    source.close()
    source = opened(tmp_path, country="both.mmdb", asn="both.mmdb")
    assert source.locate(HOME) == Place(HOME, 6, "FR")
    source.close()


def test_of_several_files_the_first_that_knows_an_address_counts(tmp_path: Path) -> None:
    file(tmp_path / "4.mmdb", {"192.0.2.0/25": {"country_code": "DE"}}, version=4)
    file(tmp_path / "6.mmdb", {"2001:db8::/32": {"country_code": "JP"}})
    file(tmp_path / "all.mmdb", {"192.0.2.0/24": {"country_code": "FR"}})
    source = opened(tmp_path, country=["4.mmdb", "6.mmdb", "all.mmdb"])
    countries = {}
    for ip in (HOME, ip_address("192.0.2.200"), FAR, ELSEWHERE):
        place = source.locate(ip)
        countries[str(ip)] = place and place.country
    assert countries == {"192.0.2.7": "DE", "192.0.2.200": "FR", "2001:db8::7": "JP", "203.0.113.1": None}
    assert [line.split()[0] for line in source.about()] == ["test", "test", "test"]
    source.close()


# -- files that are not what they should be ------------------------------------------------------------
def refused(folder: Path, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as failure:
        opened(folder, **options)
    assert failure.value.cure
    return failure.value


def test_what_is_not_there_or_no_file_is_said_to_be_so(tmp_path: Path) -> None:
    assert f"There is no file {tmp_path / 'no.mmdb'}" in refused(tmp_path, country="no.mmdb").message
    (tmp_path / "folder.mmdb").mkdir()
    assert "is no file" in refused(tmp_path, country="folder.mmdb").message


def test_what_is_no_database_or_packed_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "c.mmdb").write_bytes(b"\x1f\x8b" + bytes(1000))
    error = refused(tmp_path, country="c.mmdb")
    assert "damaged, or no file in MaxMind's format" in error.message
    assert "unpack it" in error.cure
    (tmp_path / "c.mmdb").write_bytes(b"")
    assert "damaged, or no file" in refused(tmp_path, country="c.mmdb").message


def test_what_is_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file(tmp_path / "c.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    monkeypatch.setattr(database_module, "FILE_CAP", 100)
    assert "100 are the most" in refused(tmp_path, country="c.mmdb").message


def test_files_of_something_else_say_what_they_hold(tmp_path: Path) -> None:
    file(tmp_path / "c.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    file(tmp_path / "a.mmdb", {"192.0.2.0/24": {"autonomous_system_number": 5}})
    assert (
        refused(tmp_path, country="a.mmdb")
        .message.removeprefix(f"{tmp_path}/")
        .startswith(
            "a.mmdb names no countries: it is of type 'test' and has records with autonomous_system_number"
        )
    )
    assert "names no AS numbers" in refused(tmp_path, asn="c.mmdb").message


def test_a_file_whose_middle_is_missing_is_no_file(tmp_path: Path) -> None:
    whole = file(
        tmp_path / "c.mmdb", {f"192.{n}.2.0/24": {"country_code": "DE", "n": n} for n in range(200)}
    ).read_bytes()
    (tmp_path / "c.mmdb").write_bytes(whole[:500] + whole[-300:])
    message = refused(tmp_path, country="c.mmdb").message
    assert "c.mmdb is damaged" in message or "c.mmdb ends early" in message


def test_one_that_proves_damaged_later_raises_and_does_not_say_that_nothing_is_known(tmp_path: Path) -> None:
    path = file(
        tmp_path / "c.mmdb",
        {"10.0.0.0/8": {"country_code": "DE"}, "192.0.2.0/24": {"country_code": "FR", "spoilt": "xyzzy"}},
    )
    data = bytearray(path.read_bytes())
    at = data.rindex(b"spoilt")
    data[at - 1] = 0xFF  # a type that there is not
    data[at : at + 6] = b"\xff" * 6
    path.write_bytes(data)
    source = opened(tmp_path, country="c.mmdb")
    place = source.locate(ip_address("10.0.0.1"))
    assert place is not None
    assert place.country == "DE"
    with pytest.raises(ConfigError, match="is damaged") as failure:
        source.locate(HOME)
    assert str(HOME) not in str(failure.value), "it may be a destination's"
    source.close()


def test_options_without_any_file_or_with_too_many_are_refused() -> None:
    with pytest.raises(ValueError, match="name a file"):
        MaxMind.Config()
    with pytest.raises(ValueError, match="country"):
        MaxMind.Config(country=["a"] * 5)
    with pytest.raises(ValueError, match="city"):
        MaxMind.Config(city="a")  # type: ignore[call-arg]


def test_an_old_file_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    file(tmp_path / "new.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    opened(tmp_path, country="new.mmdb").close()
    assert not caplog.records
    file(tmp_path / "old.mmdb", {"192.0.2.0/24": {"country_code": "DE"}}, epoch=1_000_000_000)
    source = opened(tmp_path, country="old.mmdb", asn=())
    assert "days old" in caplog.text
    assert source.about() == [f"test of 2001-09-09, {tmp_path / 'old.mmdb'}"]
    source.close()
