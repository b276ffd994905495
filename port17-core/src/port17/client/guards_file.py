"""The file in which a client keeps its guards from one run to the next."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from random import Random, SystemRandom
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from port17.errors import ConfigError
from port17.navigator.guards import LIST_CAP, Guard, Guards
from port17.records.charter_file import FOLDER_MODE
from port17.records.record import HASH_SIZE
from port17.records.regular_file import read_regular
from port17.records.whole_file import write_whole

FILE: Final = "guards.json"
VERSION: Final = 1
FILE_CAP: Final = 64 * 1024
"""Longest file, bytes: a full list takes 4 KiB."""
LATEST_S: Final = 2.0**53
"""Latest Unix second that is taken; beyond it floats have no seconds."""

_random: Final = SystemRandom()
_log = logging.getLogger(__name__)

_Seconds = Annotated[float, Field(ge=0, le=LATEST_S, allow_inf_nan=False)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * HASH_SIZE}}}$")]
    since_s: _Seconds
    life_s: _Seconds
    used_s: _Seconds | None
    gone_s: _Seconds | None


class _Contents(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    network: str
    dropped_s: _Seconds | None
    guards: Annotated[list[_Row], Field(max_length=LIST_CAP)]


class GuardsFile:
    """The file of one client."""

    def __init__(self, state: Path, network_id: bytes) -> None:
        """:param state: the client's own folder."""
        self.path = state / FILE
        self._network = network_id.hex()
        self._told = False
        """That it can't be written."""

    def load(self, rng: Random = _random) -> Guards:
        """The guards that were drawn before; none if there is no file.

        :raises ConfigError: the file is damaged, or of another network. Others are never drawn for that:
            whoever can damage a file would have the client draw until it draws theirs.
        """
        try:
            data = read_regular(self.path, FILE_CAP)
        except FileNotFoundError:
            return Guards(rng=rng)
        except OSError as error:
            raise self._unusable(f"can't be read: {error.strerror}") from error
        if len(data) > FILE_CAP:
            raise self._unusable(f"is longer than {FILE_CAP} bytes")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._unusable("is damaged: it is no JSON") from error
        version = value.get("version") if isinstance(value, dict) else None
        if type(version) is int and version > VERSION:
            raise ConfigError(
                f"the guards in {self.path} were written by a newer Port17 (version {version} of the file)",
                cure="Run that one, or give this client a state of its own.",
            )
        try:
            contents = _Contents.model_validate(value)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
            raise self._unusable(f"is damaged: {where} is wrong") from error
        if contents.network != self._network:
            raise ConfigError(
                f"the guards in {self.path} are of another network",
                cure="Give each network's client a state of its own, as `state` in its configuration.",
            )
        if len({row.id for row in contents.guards}) != len(contents.guards):
            raise self._unusable("is damaged: it names a guard twice")
        held = [
            Guard(bytes.fromhex(row.id), row.since_s, row.life_s, row.used_s, row.gone_s)
            for row in contents.guards
        ]
        return Guards(held, rng=rng, dropped_s=contents.dropped_s)

    def save(self, guards: Guards) -> bool:
        """Keep a list. If it can't be written, the log tells once; until it can, it is kept in memory.

        :returns: whether it is written.
        """
        rows = [
            _Row(
                id=one.fingerprint.hex(),
                since_s=one.since_s,
                life_s=one.life_s,
                used_s=one.used_s,
                gone_s=one.gone_s,
            )
            for one in guards.listed
        ]
        contents = _Contents(version=VERSION, network=self._network, dropped_s=guards.dropped_s, guards=rows)
        try:
            self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(self.path, contents.model_dump_json(indent=1).encode() + b"\n")
        except (OSError, ConfigError) as error:
            level, self._told = logging.DEBUG if self._told else logging.WARNING, True
            _log.log(
                level,
                "the guards cannot be kept in %s (%s): after a restart others would be drawn. Let this client"
                " write there.",
                self.path.parent,
                type(error).__name__,
            )
            return False
        self._told = False
        return True

    def _unusable(self, what: str) -> ConfigError:
        return ConfigError(
            f"the file of guards {self.path} {what}",
            cure="Put a copy of it back. If there is none, remove it: other guards are drawn then, and each"
            " that is drawn may be the wrong one.",
        )
