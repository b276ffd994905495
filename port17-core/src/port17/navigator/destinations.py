"""Destinations for trials: where the connections go by which policies are judged, if the user names none."""

from __future__ import annotations

import ipaddress
from random import Random
from typing import Final

from port17.navigator.geo import Place
from port17.navigator.policy import Request, SecurityLevel
from port17.navigator.simulated import COUNTRIES

PORTS: Final = ((443, 0.88), (80, 0.04), (22, 0.04), (993, 0.04))
"""Ports, and how many connections go there: nearly all of what people do is the encrypted web."""
WORLDWIDE: Final = 0.5
"""Share of destinations whose name says nothing of where they are."""
ADDRESSES: Final = 0.2
"""Share of the others that are addresses of which a geo source knows the country; the rest have names that
end in their country's code."""
ENDINGS: Final = {"GB": "uk"}
"""Countries whose names end in something else than their code."""
TEST_NETWORK: Final = int(ipaddress.IPv4Address("198.18.0.0"))
"""Addresses for benchmarks (RFC 2544): nobody's machine."""


def usual_destinations(count: int, *, seed: int = 0, level: SecurityLevel = "normal") -> tuple[Request, ...]:
    """Where some people's connections may go. Equal seeds give equal ones, whatever the number.

    :param level: of all of them.
    """
    rng = Random(f"destinations {seed}")
    return tuple(_destination(index, rng, level) for index in range(count))


def _destination(index: int, rng: Random, level: SecurityLevel) -> Request:
    port = rng.choices([port for port, _ in PORTS], [share for _, share in PORTS])[0]
    country = rng.choices(COUNTRIES, [country.weight for country in COUNTRIES])[0]
    worldwide, address = rng.random() < WORLDWIDE, rng.random() < ADDRESSES
    if worldwide:
        return Request(f"host-{index}.example.com", port, level=level)
    if not address:
        ending = ENDINGS.get(country.code, country.code.lower())
        return Request(f"host-{index}.example.{ending}", port, level=level)
    ip = ipaddress.IPv4Address(TEST_NETWORK + index % (1 << 17))
    place = Place(ip, 0, country.code, country.continent, country.latitude, country.longitude)
    return Request(str(ip), port, level=level, place=place)
