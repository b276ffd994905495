"""What tests of identities share: a passphrase, how it is handed over, and what a network's files hold."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from port17.bottles.rack import MemoryRack, load_directory
from port17.node.identity_file import IDENTITY_FILE, IdentityFile
from port17.plugins.loader import Registry
from port17.records.charter import Charter
from port17_cli import drivers

PASSPHRASE = "seventeen gulls over the harbour"


class Descriptors:
    """Pipes that hold a passphrase each, as flags."""

    def __init__(self, typed: dict[str, str]) -> None:
        self._typed = typed
        self._open: list[int] = []

    def __enter__(self) -> list[str]:
        flags = []
        for name, text in self._typed.items():
            reading, writing = os.pipe()
            os.write(writing, text.encode() + b"\n")
            os.close(writing)
            self._open.append(reading)
            flags += [f"--{name.replace('_', '-')}-fd", str(reading)]
        return flags

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)


def init(network: Path, name: str, *more: str) -> list[str]:
    words = ["node", "init", "--config", str(network / f"{name}.toml")]
    words += ["--charter", str(network / "home.charter"), "--name", name, "--listen", "127.0.0.1:7017"]
    return [*words, *more]


def private(folder: Path) -> bytes:
    """What the file of an identity holds of its key, locked or not."""
    return IdentityFile.read(folder / IDENTITY_FILE).private


def bottles(network: Path) -> Iterator[Any]:
    charter = Charter.load(network / "home.charter", drivers.schemes(Registry()))
    schemes = drivers.schemes(Registry())
    rack = MemoryRack()
    assert load_directory(network / "bottles", charter.network_id, schemes, rack, time.time()) == []
    yield from rack
