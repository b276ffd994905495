"""Writes the vectors: `python -m tests.reference.generate`, in the project's folder.

What is random in them (encapsulations, ML-DSA's signatures) is kept from the files that are there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .cases import cold, handshake, link, onion, ratchet, records, setup, suites

FOLDER = Path(__file__).parent / "vectors"
NAMES = ("cold", "framing", "handshake", "link", "onion", "ratchet", "setup", "signatures", "suites")


def read() -> dict[str, Any]:
    """The vectors as they are, by file; empty where there are none."""
    paths = {name: FOLDER / f"{name}.json" for name in NAMES}
    return {name: json.loads(path.read_text()) if path.exists() else {} for name, path in paths.items()}


def compute(name: str, before: dict[str, Any]) -> dict[str, Any]:
    """One file, by the reference.

    :param before: the file as it is; what is random is taken from it.
    """
    match name:
        case "cold":
            return cold.flights(before)
        case "framing":
            return records.framing()
        case "handshake":
            return handshake.flights(before)
        case "link":
            return link.blocks(before)
        case "onion":
            return onion.routes()
        case "ratchet":
            return ratchet.sessions(before)
        case "setup":
            return setup.contents(before)
        case "signatures":
            return records.identities(before)
        case "suites":
            return suites.parts(before)
    raise ValueError(name)


def write() -> None:
    """All files."""
    FOLDER.mkdir(exist_ok=True)
    for name, before in read().items():
        text = json.dumps(compute(name, before), indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    write()
