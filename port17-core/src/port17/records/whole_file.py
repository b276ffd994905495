"""Writing a file that others may be reading: they see the old one or the new one, never half of either."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from port17.errors import ConfigError


def write_whole(file: Path, data: bytes) -> Path:
    """Writes a file, or leaves what is there. After a power loss it may be either.

    :returns: the file.
    :raises ConfigError: it can't be written.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.replace(file)
    except OSError as error:
        with suppress(OSError):  # what failed is told, not that nothing of it is left
            fresh.unlink()
        raise ConfigError(
            f"{file} can't be written: {error.strerror}",
            cure="Choose a folder that exists and that you may write to.",
        ) from error
    return file
