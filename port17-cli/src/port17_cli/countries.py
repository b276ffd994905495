"""The countries of a test network: an address of its own for each node, and the table of places."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from port17.errors import ConfigError, UsageError
from port17.navigator.countries import COUNTRIES
from port17_cli import toml

TABLE: Final = "places.toml"
FIRST_ASN: Final = 64_512
"""The first AS number for private use (RFC 6996): each node's network is announced by one of its own."""


def parse(text: str | None, nodes: int) -> tuple[str, ...]:
    """What ``--countries`` says.

    :param nodes: how many there are.
    :returns: per node its country: in the order of the list, and from its beginning again. Empty without one.
    :raises UsageError: a code is unknown, or there are more countries than nodes.
    """
    if text is None:
        return ()
    codes = [code.strip().upper() for code in text.split(",")]
    for code in codes:
        if code not in COUNTRIES:
            raise UsageError(
                f"--countries: {code!r} is no country's code.", cure="Write codes like DE,FR,US, with commas."
            )
    if len(codes) > nodes:
        raise UsageError(
            f"--countries names {len(codes)} countries for {nodes} nodes.",
            cure="Name fewer, or ask for more nodes.",
        )
    if not sys.platform.startswith("linux"):
        raise ConfigError(
            "--countries gives each node a loopback address of its own, which works on Linux alone.",
            cure="Leave it out, or run the test network on Linux.",
        )
    return tuple(codes[number % len(codes)] for number in range(nodes))


def host(number: int) -> str:
    """The loopback address of a node.

    :param number: 1 to 200, as in its name.
    """
    return f"127.18.{number}.1"


def write(folder: Path, countries: Sequence[str]) -> dict[str, object]:
    """Write the table of places.

    :param countries: per node.
    :returns: ``[geo]`` of whoever is to read it.
    :raises ConfigError: it cannot be written.
    """
    places = {
        f"127.18.{number}.0/24": {"country": country, "asn": FIRST_ASN + number}
        for number, country in enumerate(countries, 1)
    }
    path = folder / TABLE
    try:
        path.write_text(
            f"# Where the nodes of this test network are said to be.\n{toml.dumps({'places': places})}"
        )
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}.", cure="Give another --dir."
        ) from error
    return {"source": "static", "options": {"file": str(path)}}
