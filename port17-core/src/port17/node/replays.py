"""The replay sets over restarts: a clean stop leaves them on disk, anything else costs a wait."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from port17.errors import ConfigError, RecordError
from port17.node import key_file
from port17.records import cbor
from port17.wire.replay import REPLAY_CAP, REPLAY_KEY_SIZE, STAMP_UNIT_S, ReplaySet

FILE = "replays"
"""Written by a clean stop, removed by the next start."""
MARK = "running"
"""Made by a start, removed by a clean stop: what a crash leaves."""
FILE_CAP = 2 * REPLAY_CAP * (REPLAY_KEY_SIZE + 1) + 64
"""Longest file, bytes: both sets full."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replays:
    """A node's replay sets, kept apart.

    :param links: of flight 1 of links.
    :param setups: of SETUP.
    """

    links: ReplaySet
    setups: ReplaySet

    @classmethod
    def load(cls, folder: Path, skew_s: float, now_s: float, *, unknown_until_s: float = 0.0) -> Replays:
        """The sets as the last stop left them.

        After an unclean one they are lost, and stamps that could belong to a replay are refused.

        :param folder: the node's state.
        :param unknown_until_s: Unix time at which the node's keys were put back from a backup: whatever was
            seen before is lost.
        :raises ConfigError: the folder can't be written.
        """
        file, mark = folder / FILE, folder / MARK
        try:
            unclean = mark.exists() or now_s < unknown_until_s + 2 * skew_s + STAMP_UNIT_S
            stored = None if unclean or not file.exists() else file.read_bytes()[: FILE_CAP + 1]
            placed_s = key_file.placed_s(file) if stored is not None else 0.0
            mark.touch(mode=0o600)
            file.unlink(missing_ok=True)
            key_file.sync(folder)
        except OSError as error:
            raise ConfigError(
                f"the node's state in {folder} can't be used: {error.strerror}",
                cure="Choose a folder that you may write to, as `state`.",
            ) from error
        links: list[bytes] = []
        setups: list[bytes] = []
        if stored is not None:
            try:
                links, setups, written_s = _decode(stored)
                if key_file.is_put_back(placed_s, written_s):
                    _log.warning("the stored replay sets are from a backup: they count as lost")
                    unclean = True
            except RecordError:
                _log.warning("the stored replay sets are damaged: they count as lost")
                unclean = True
        refuse_until_s = 0.0
        if unclean:
            refuse_until_s = now_s + skew_s
            _log.warning(
                "the last stop was unclean: calls are refused for some %d s",
                int(2 * skew_s + STAMP_UNIT_S),
            )
        replays = cls(
            ReplaySet(skew_s, refuse_until_s=refuse_until_s, elapsed=time.monotonic),
            ReplaySet(skew_s, refuse_until_s=refuse_until_s, elapsed=time.monotonic),
        )
        replays.links.restore(links)
        replays.setups.restore(setups)
        return replays

    def store(self, folder: Path, now_s: float) -> None:
        """Leave the sets for the next start. Those that miss what was seen before a crash don't count yet: a
        stop while that is still refused leaves the crash's mark.

        :raises OSError: they can't be written; the next start then counts as after an unclean stop.
        """
        sets = [b"".join(one.entries()) for one in (self.links, self.setups)]
        data = cbor.encode([*sets, int(time.time())])
        # What a power loss leaves: the mark without the sets, never the reverse.
        key_file.write(folder / FILE, data)
        if not self.setups.refuses(now_s):
            (folder / MARK).unlink(missing_ok=True)
            key_file.sync(folder)


def _decode(stored: bytes) -> tuple[list[bytes], list[bytes], int]:
    value = cbor.decode(stored, cap=FILE_CAP)
    match value:
        case [bytes() as links, bytes() as setups, int() as written_s]:
            return _split(links), _split(setups), written_s
    raise RecordError("not replay sets")


def _split(joined: bytes) -> list[bytes]:
    return [joined[at : at + REPLAY_KEY_SIZE] for at in range(0, len(joined), REPLAY_KEY_SIZE)]
