"""``port17 geo lookup``: what the geo source of a node or client says of addresses."""

from __future__ import annotations

import argparse
import ipaddress

from port17.errors import UsageError
from port17.navigator.atlas import Atlas, Unplaceable
from port17.plugins.loader import Registry
from port17.plugins.own_atlas import open_atlas
from port17.records.ip_space import Address
from port17_cli import output, settings

UNKNOWN = "-"


def lookup(args: argparse.Namespace) -> int:
    """``port17 geo lookup``."""
    numbers = [_address(text) for text in args.address]
    config, _ = settings.read(settings.kind_of(args.config), args.config, args.set)
    atlas = open_atlas(config, Registry())
    try:
        rows = [_row(atlas, number) for number in numbers]
        files = list(atlas.source.about())
    finally:
        atlas.close()
    source = config.geo.source
    if args.json:
        print(output.document("port17.geo.lookup/1", {"source": source, "files": files, "places": rows}))
        return 0
    print(output.table(["ADDRESS", "COUNTRY", "CONTINENT", "AS", "MIDDLE"], [_cells(row) for row in rows]))
    print(f"\nby the source {source}" + (", which knows nothing" if atlas.is_empty else ""))
    for line in files:
        print(f"  {line}")
    return 0


def _address(text: str) -> Address:
    """:raises UsageError: it is none."""
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise UsageError(
            f"{text!r} is no address.",
            cure="Give a number like 192.0.2.7 or 2001:db8::7; names are not resolved for this.",
        ) from None


def _row(atlas: Atlas, number: Address) -> dict[str, object]:
    """:raises ConfigError: a file proves damaged."""
    try:
        place = atlas.find(number)
    except Unplaceable:
        atlas.source.locate(number)  # raises what the atlas doesn't repeat
        raise
    row: dict[str, object] = {"address": str(number), "known": place is not None}
    if place is None:
        return row | dict.fromkeys(("country", "continent", "asn", "latitude", "longitude"))
    return row | {
        "country": place.country or None,
        "continent": place.continent or None,
        "asn": place.asn or None,
        "latitude": place.latitude,
        "longitude": place.longitude,
    }


def _cells(row: dict[str, object]) -> list[object]:
    latitude, longitude = row["latitude"], row["longitude"]
    middle = UNKNOWN if latitude is None else f"{latitude:g}, {longitude:g}"
    shown = [row[key] or UNKNOWN for key in ("address", "country", "continent", "asn")]
    return [*shown, middle]
