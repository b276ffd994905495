"""One file in MaxMind's format, looked over before anybody relies on it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import maxminddb

from port17 import ConfigError
from port17_geoip.layout import keys

FILE_CAP: Final = 4 << 30
"""Largest file, bytes. The largest that are sold have less than half of it; it is mapped, not read."""
SAMPLE: Final = 2000
"""Records that are looked at for any that says what is wanted: a file of which so many say nothing of it is
another file. Takes milliseconds."""
DAY_S: Final = 86_400
TREE_GAP: Final = 16
"""Bytes between the search tree and the data (MaxMind DB format 2.0)."""

_ANEW: Final = "Get it anew, whole."


class Database:
    """An open file."""

    def __init__(self, path: Path, what: str, says: Callable[[object], object]) -> None:
        """
        :param what: what is looked for in it, in the plural, for messages.
        :param says: what a record says of that; nothing if that is false.
        :raises ConfigError: it is missing, no such file, damaged, or of something else.
        """
        self.path = path
        size = _size(path)
        try:
            self._reader = maxminddb.open_database(path)
        except maxminddb.InvalidDatabaseError as error:
            raise ConfigError(
                f"{path} is damaged, or no file in MaxMind's format (.mmdb): {error}",
                cure="Get it anew, whole; unpack it if it ends with .gz or .zip.",
            ) from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error}.", cure="Check its permissions.") from error
        try:
            found = self._reader.metadata()
            self.kind: Final = str(found.database_type)
            self.made_s: Final = int(found.build_epoch)
            self._v4_only = found.ip_version == 4
            tree = found.node_count * found.record_size // 4 + TREE_GAP
            if tree >= size:
                raise ConfigError(f"{path} ends early: its index alone has {tree} bytes.", cure=_ANEW)
            self._look_over(what, says)
        except BaseException:
            self._reader.close()
            raise

    @property
    def age_days(self) -> float:
        """Days since it was made, by its own word."""
        return (time.time() - self.made_s) / DAY_S

    def get(self, ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Any:
        """The record of an address; None if there is none.

        :raises ConfigError: the file is damaged there.
        """
        if self._v4_only and ip.version == 6:
            return None
        try:
            return self._reader.get(ip)
        except maxminddb.InvalidDatabaseError as error:
            # Without the reader's own words, which name the address: it may be a destination's.
            raise ConfigError(f"{self.path} is damaged.", cure=_ANEW) from error

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()

    def _look_over(self, what: str, says: Callable[[object], object]) -> None:
        record: object = None
        try:
            for _, record in islice(self._reader, SAMPLE):
                if says(record):
                    return
        except (maxminddb.InvalidDatabaseError, ValueError) as error:
            raise ConfigError(f"{self.path} is damaged: {error}", cure=_ANEW) from error
        held = f"has records with {', '.join(keys(record))}" if keys(record) else "is empty"
        raise ConfigError(
            f"{self.path} names no {what}: it is of type {self.kind!r} and {held}.",
            cure=f"Give a file that names {what}, in one of the layouts of MaxMind, DB-IP or IPLocate.",
        )


def _size(path: Path) -> int:
    try:
        if not path.is_file():
            if path.exists():
                raise ConfigError(f"{path} is no file.", cure="Give the .mmdb file itself.")
            raise ConfigError(
                f"There is no file {path}.",
                cure="Get one from its publisher (docs/geo.md says where), or correct [geo.options].",
            )
        size = path.stat().st_size
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}.", cure="Check its permissions.") from error
    if size > FILE_CAP:
        raise ConfigError(f"{path} has {size} bytes; {FILE_CAP} are the most.", cure="Is it the right file?")
    return size
