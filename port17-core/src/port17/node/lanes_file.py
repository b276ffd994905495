"""The file that pins lanes: nodes with which there are to be lanes whatever the mesh needs."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from port17.errors import ConfigError, RecordError
from port17.network import KnownNetwork
from port17.records.identity import NODE_ID_SIZE, parse_node_id

LANES_FILE_CAP = 64 * 1024
"""Longest lanes file, bytes: a thousand ids."""
FINGERPRINT_DIGITS = 64
"""Hexadecimal digits of a fingerprint; a node id has half as many characters."""

_log = logging.getLogger(__name__)


def read_lanes(file: Path, network: KnownNetwork) -> list[bytes]:
    """The fingerprints of a lanes file: a JSON list of node ids, or of fingerprints in hex.

    Who has no bottle, or one that is refused, is named in the log.

    :raises ConfigError: it is no such list.
    """
    cure = 'It is a JSON list of node ids, e.g. ["k3v...", "p7a..."].'
    try:
        with file.open("rb") as stream:
            listed = json.loads(stream.read(LANES_FILE_CAP))
    except OSError as error:
        raise ConfigError(f"the lanes file {file} can't be read: {error.strerror}", cure=cure) from error
    except ValueError as error:
        raise ConfigError(f"the lanes file {file} is not JSON", cure=cure) from error
    if not (isinstance(listed, list) and all(isinstance(entry, str) for entry in listed)):
        raise ConfigError(f"the lanes file {file} holds no list of ids", cure=cure)
    known = {old[:NODE_ID_SIZE]: heir for old, heir in network.successors.heirs.items()}
    known |= {bottle.fingerprint[:NODE_ID_SIZE]: bottle.fingerprint for bottle in network.rack}
    superseded = {old[:NODE_ID_SIZE] for old in network.successors.superseded}
    lanes: list[bytes] = []
    for entry in listed:
        prefix = _prefix(entry, file, cure)
        fingerprint = known.get(prefix)
        if fingerprint is None and prefix in superseded:
            # Whoever has a neighbour's old key must not be able to keep us from starting.
            _log.warning("%s names %s, whose successor is in doubt: no lane", file, entry)
            continue
        if fingerprint is None:
            # Nor must a neighbour, by a bottle that is none. A whole fingerprint can be waited for; an id
            # says too little to know the node by.
            whole = len(entry) == FINGERPRINT_DIGITS
            waits = "the lane waits for one" if whole else "no lane before the next start"
            _log.warning("%s names %s, of which there is no usable bottle: %s", file, entry, waits)
            if not whole:
                continue
            fingerprint = bytes.fromhex(entry)
        lanes.append(fingerprint)
    return list(dict.fromkeys(lanes))  # a node and its successor may both be named


def _prefix(entry: str, file: Path, cure: str) -> bytes:
    try:
        if len(entry) == FINGERPRINT_DIGITS:
            return bytes.fromhex(entry)[:NODE_ID_SIZE]
        return parse_node_id(entry)
    except (ValueError, RecordError) as error:
        raise ConfigError(f"{file}: {entry!r} is no node id", cure=cure) from error
