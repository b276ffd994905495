"""Real files, as publishers make them and registries ship them. They are never part of this tree."""

from __future__ import annotations

import csv
import time
from functools import cache
from ipaddress import ip_address, summarize_address_range
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from port17 import Place
from port17.navigator.countries import COUNTRIES
from port17_geoip import MaxMind

DATA = Path(__file__).resolve().parents[3] / ".nox" / "tests" / "geo"
CITY = "pypi/_maxminddb_geolite2/GeoLite2-City.mmdb"
COUNTRY = "geolite2-country.mmdb"
ASN = "asn-ipv4.csv"
STEP = 400
"""Every so many'th row of the table of systems goes into the file that is made of it."""
LOOKUPS = 20_000
LOOKUP_US = 100.0
"""Microseconds that one look-up may take: five to twenty, if the machine has nothing else to do."""


@cache
def data(name: str) -> Path:
    """A real file."""
    if not (DATA / name).exists():
        pytest.fail(
            f"There is no {DATA / name}: the tests session fetches it from a registry. Run once"
            "  nox -s tests -- plugins/port17-geoip/tests"
        )
    return DATA / name


def opened(**options: str) -> MaxMind:
    source = MaxMind(MaxMind.Config.model_validate(options))
    source.open(DATA)
    return source


def placed(source: MaxMind, ip: str) -> Place:
    place = source.locate(ip_address(ip))
    assert place is not None
    return place


def test_a_country_file_of_today() -> None:
    source = opened(country=str(data(COUNTRY)))
    # Addresses of root name servers' operators and registries, which do not move.
    found = {ip: placed(source, ip).country for ip in ("8.8.8.8", "193.0.0.1", "2001:67c:2e8::1")}
    assert found == {"8.8.8.8": "US", "193.0.0.1": "NL", "2001:67c:2e8::1": "NL"}
    for nowhere in ("127.0.0.1", "192.168.1.1", "::1", "fe80::1"):
        assert source.locate(ip_address(nowhere)) is None
    source.close()


def test_a_city_file_in_maxminds_own_layout() -> None:
    source = opened(country=str(data(CITY)))
    ripe = placed(source, "193.0.0.1")
    assert (ripe.country, ripe.continent) == ("NL", "EU")
    assert ripe.latitude is not None
    assert ripe.longitude is not None
    assert abs(ripe.latitude - 52.37) < 0.2
    assert abs(ripe.longitude - 4.9) < 0.2
    source.close()


def test_the_table_of_countries_agrees_with_real_data() -> None:
    seen: dict[str, set[str]] = {}
    rng = Random(1)
    city, today = opened(country=str(data(CITY))), opened(country=str(data(COUNTRY)))
    for _ in range(LOOKUPS):
        ip = ip_address(rng.randrange(1 << 24, 224 << 24))
        for source in (city, today):
            place = source.locate(ip)
            if place is not None and place.country:
                known = COUNTRIES[place.country]
                seen.setdefault(place.country, set()).add(place.continent or known.continent)
    city.close()
    today.close()
    assert len(seen) > 120
    assert {code: {COUNTRIES[code].continent} for code in seen} == seen


def test_an_asn_file_that_is_made_of_a_real_table(tmp_path: Path) -> None:
    writer = MMDBWriter(4, database_type="real ASN", int_type="u32")
    wanted = {}
    with data(ASN).open(newline="", encoding="utf-8") as rows:
        for first, last, number, organization in islice(csv.reader(rows), 0, None, STEP):
            start, end = ip_address(first), ip_address(last)
            networks = IPSet([str(one) for one in summarize_address_range(start, end)])  # type: ignore[type-var]
            writer.insert_network(
                networks,
                {"autonomous_system_number": int(number), "autonomous_system_organization": organization},
            )
            wanted[first], wanted[last] = int(number), int(number)
    writer.to_db_file(str(tmp_path / "asn.mmdb"))
    source = opened(asn=str(tmp_path / "asn.mmdb"))
    assert len(wanted) > 1000
    assert {ip: placed(source, ip).asn for ip in wanted} == wanted
    source.close()


def test_a_look_up_takes_microseconds() -> None:
    source = opened(country=str(data(CITY)))
    rng = Random(1)
    addresses = [ip_address(rng.randrange(1 << 24, 224 << 24)) for _ in range(LOOKUPS)]
    began = time.process_time()
    known = sum(source.locate(ip) is not None for ip in addresses)
    took_us = (time.process_time() - began) / LOOKUPS * 1e6
    assert known > LOOKUPS / 2
    assert took_us < LOOKUP_US
    print(f"{took_us:.1f} us per look-up in a city file")
    source.close()
